"""A plan: an ordered list of steps that a person can read and a machine can run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_CREDENTIALS = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s/@\"'<>]+@")


@dataclass(frozen=True, slots=True)
class Command:
    """One command as an argv list (never a shell string)."""

    argv: tuple[str, ...]
    root: bool = True
    environment: tuple[tuple[str, str], ...] = ()
    package_manager: bool = False
    """Waits for the package database's lock, is never killed, its progress is read."""
    network: bool = False
    """Transient failures are tried again."""
    ok_statuses: tuple[int, ...] = (0,)
    interactive: bool = False
    """May ask the operator something on its terminal."""

    def to_json(self) -> dict[str, Any]:
        result: dict[str, Any] = {"argv": list(self.argv), "root": self.root}
        if self.environment:
            result["environment"] = dict(self.environment)
        for key in ("package_manager", "network", "interactive"):
            if getattr(self, key):
                result[key] = True
        if self.ok_statuses != (0,):
            result["ok_statuses"] = list(self.ok_statuses)
        return result

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Command:
        return cls(
            argv=tuple(data["argv"]),
            root=bool(data["root"]),
            environment=tuple(sorted(data.get("environment", {}).items())),
            package_manager=bool(data.get("package_manager", False)),
            network=bool(data.get("network", False)),
            ok_statuses=tuple(data.get("ok_statuses", (0,))),
            interactive=bool(data.get("interactive", False)),
        )


@dataclass(frozen=True, slots=True)
class Write:
    """A text file that a step writes as a whole; the old content is kept for undo."""

    path: str
    content: str
    mode: int = 0o644
    """Of a new file. A file that is there keeps what it forbids to others."""
    exact: bool = False
    """``mode`` whatever the file has now: it is put back as it was."""

    @property
    def has_credentials(self) -> bool:
        """Does the text hold an address with a user name or a password in it?"""
        return _CREDENTIALS.search(self.content) is not None

    def to_json(self) -> dict[str, Any]:
        result = {"path": self.path, "mode": f"{self.mode:04o}", "content": self.content}
        return {**result, "exact": True} if self.exact else result

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Write:
        return cls(
            path=data["path"],
            content=data["content"],
            mode=int(data["mode"], 8),
            exact=bool(data.get("exact", False)),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do, with what an operator wants to know before it is done."""

    id: str
    rung: str
    title: str
    why: str
    commands: tuple[Command, ...] = ()
    writes: tuple[Write, ...] = ()
    """Written before the commands run."""
    reboot: bool = False
    stops_workloads: bool = False
    undo: tuple[Command, ...] = ()
    done_when: tuple[str, ...] = ()
    """Ids of the rungs that hold after it."""
    estimate_seconds: int = 10
    risk: str = ""
    """What may go wrong and what it would cost; empty: nothing worth a word."""
    download_bytes: int | None = None
    installed_bytes: int | None = None
    expect: str = ""
    """What the operator will see while it runs."""
    packages: tuple[str, ...] = ()
    """Packages that its commands install ("name" or "name=version"), for size and for exports."""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "rung": self.rung,
            "title": self.title,
            "why": self.why,
            "commands": [command.to_json() for command in self.commands],
            "writes": [write.to_json() for write in self.writes],
            "reboot": self.reboot,
            "stops_workloads": self.stops_workloads,
            "undo": [command.to_json() for command in self.undo],
            "done_when": list(self.done_when),
            "estimate_seconds": self.estimate_seconds,
            "risk": self.risk,
            "download_bytes": self.download_bytes,
            "installed_bytes": self.installed_bytes,
            "expect": self.expect,
            "packages": list(self.packages),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Step:
        return cls(
            id=data["id"],
            rung=data["rung"],
            title=data["title"],
            why=data["why"],
            commands=tuple(Command.from_json(item) for item in data["commands"]),
            writes=tuple(Write.from_json(item) for item in data["writes"]),
            reboot=bool(data["reboot"]),
            stops_workloads=bool(data["stops_workloads"]),
            undo=tuple(Command.from_json(item) for item in data["undo"]),
            done_when=tuple(data["done_when"]),
            estimate_seconds=int(data["estimate_seconds"]),
            risk=data.get("risk", ""),
            download_bytes=data.get("download_bytes"),
            installed_bytes=data.get("installed_bytes"),
            expect=data.get("expect", ""),
            packages=tuple(data.get("packages", ())),
        )


@dataclass(frozen=True, slots=True)
class MadeFor:
    """The host that a plan was made for, as far as an exported plan can tell it from another."""

    os_id: str
    """ID of its os-release."""
    os_version: str
    """VERSION_ID, or the first part of it that matters ("9" for 9.8)."""
    os_name: str = ""
    machine: str = ""
    """As ``uname -m`` gives it; empty: not known."""
    kernels: tuple[str, ...] = ()
    """Kernel releases that must be installed."""
    running: bool = True
    """One of them must be the running one: steps load the driver into it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "os": {"id": self.os_id, "version": self.os_version, "name": self.os_name},
            "machine": self.machine or None,
            "kernels": list(self.kernels),
            "running": self.running,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> MadeFor:
        return cls(
            os_id=data["os"]["id"],
            os_version=data["os"]["version"],
            os_name=data["os"]["name"],
            machine=data["machine"] or "",
            kernels=tuple(data["kernels"]),
            running=bool(data["running"]),
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that bring a host to its target."""

    target: dict[str, Any]
    """The target as ``Target.to_json`` gives it."""
    steps: tuple[Step, ...]
    blocked: tuple[str, ...] = ()
    """Why some broken rung has no step here (a thing only a person can do)."""
    first_boot: tuple[str, ...] = ()
    """Rungs that can only be seen when the prepared kernel runs."""
    made_for: MadeFor | None = None
    """The host; None: not known, or of no account."""

    @property
    def empty(self) -> bool:
        return not self.steps

    @property
    def needs_reboot(self) -> bool:
        return any(step.reboot for step in self.steps)

    @property
    def estimate_seconds(self) -> int:
        return sum(step.estimate_seconds for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "target": self.target,
            "steps": [step.to_json() for step in self.steps],
            "blocked": list(self.blocked),
            "first_boot": list(self.first_boot),
            **({"made_for": self.made_for.to_json()} if self.made_for else {}),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Plan:
        made_for = data.get("made_for")
        return cls(
            target=data["target"],
            steps=tuple(Step.from_json(item) for item in data["steps"]),
            blocked=tuple(data.get("blocked", ())),
            first_boot=tuple(data.get("first_boot", ())),
            made_for=MadeFor.from_json(made_for) if made_for else None,
        )
