"""A machine made of dictionaries, which answers as a host record does."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpu_bringup.errors import ReadOnlyHostError
from gpu_bringup.hosts.base import CommandResult, Session
from gpu_bringup.model.facts import Certificate, Space
from gpu_bringup.model.plan import Command
from gpu_bringup.model.unknown import Fact, Unknown

UNRECORDED = Unknown("not in this record")


@dataclass
class FakeHost:
    """Answers from what it was given; the rest is absent (``complete``) or unknown.

    Folders and the targets of links follow from the files. ``unreadable`` paths, and everything
    below them, are Unknown. ``vanishing`` files are listed but gone when they are read.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    commands: Mapping[str, tuple[int, str] | str] = field(default_factory=dict)
    absent: Sequence[str] = ()
    unreadable: Sequence[str] = ()
    vanishing: Sequence[str] = ()
    certificate_files: Mapping[str, tuple[Certificate, ...]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """ "KIND PATH" -> what that file says."""
    log: Fact[str] = UNRECORDED
    nvml_answer: Fact[dict[str, Any] | None] = UNRECORDED
    cuda_answer: Fact[dict[str, Any] | None] = UNRECORDED
    complete: bool = True
    user: Fact[int] = 0
    clock: Fact[float] = 1_795_000_000.0
    spaces: Mapping[str, int] = field(default_factory=dict)
    kind: str = "recorded"
    label: str = "fake"
    asked: list[tuple[str, ...]] = field(default_factory=list)
    """Commands that were asked for, in order."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> FakeHost:
        """The host of a record (CONTRACTS: a host record); what it lacks is Unknown."""
        commands = {
            key: (value["exit"], value["output"])
            for key, value in record.get("commands", {}).items()
        }
        log = commands.get("dmesg", (127, ""))
        uid = commands.get("id -u", (127, ""))
        return cls(
            files=record.get("files", {}),
            listings=record.get("listings", {}),
            links=record.get("links", {}),
            commands=commands,
            absent=record.get("absent", ()),
            log=log[1] if log[0] == 0 else UNRECORDED,
            nvml_answer=record.get("nvml", UNRECORDED),
            cuda_answer=record.get("cuda", UNRECORDED),
            complete=False,
            user=int(uid[1]) if uid[0] == 0 else UNRECORDED,
            clock=UNRECORDED,
        )

    def _unread(self, path: str) -> bool:
        return any(path == item or path.startswith(item + "/") for item in self.unreadable)

    def _gone(self, path: str) -> Fact[None]:
        if self._unread(path):
            return Unknown(f"reading {path} needs root")
        if self.complete or any(
            path == item or path.startswith(item.rstrip("/") + "/") for item in self.absent
        ):
            return None
        folder, name = posixpath.split(path)
        if folder in self.listings and name not in self.listings[folder]:
            return None
        return UNRECORDED

    def _children(self, path: str) -> tuple[str, ...] | None:
        if path in self.listings:
            return tuple(sorted(self.listings[path]))
        prefix = path.rstrip("/") + "/"
        known = [*self.files, *self.links, *self.listings, *self.vanishing, *self.certificate_files]
        names = {item[len(prefix) :].split("/")[0] for item in known if item.startswith(prefix)}
        return tuple(sorted(name for name in names if name)) or None

    def _real(self, path: str) -> str:
        """The path with links followed, also those of folders above it."""
        for _ in range(20):
            parts = path.split("/")
            for index in range(2, len(parts) + 1):
                head = "/".join(parts[:index])
                if head in self.links:
                    target = posixpath.join(posixpath.dirname(head), self.links[head])
                    path = posixpath.normpath(posixpath.join(target, *parts[index:]))
                    break
            else:
                return path
        return path

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        real = self._real(path)
        if self._unread(path) or self._unread(real):
            return Unknown(f"reading {path} needs root")
        if real in self.files:
            return self.files[real][:limit]
        return self._gone(real)

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        real = self._real(path)
        if self._unread(real):
            return Unknown(f"reading {path} needs root")
        if real in self.files:
            return None
        # Files of a record don't say what else is in their folder.
        if self.complete or real in self.listings:
            return self._children(real)
        return self._gone(real)

    def read_link(self, path: str) -> Fact[str | None]:
        folder, name = posixpath.split(path)
        place = posixpath.join(self._real(folder), name)
        if place in self.links:
            return self.links[place]
        if place in self.files or place in self.listings:
            return None
        return self._gone(place)

    def resolve(self, path: str) -> Fact[str | None]:
        real = self._real(path)
        if real in self.files or self._children(real) is not None:
            return real if self.complete or real != path or path in self.files else UNRECORDED
        return self._gone(real)

    def exists(self, path: str) -> Fact[bool]:
        real = self._real(path)
        if real in self.files or self._children(real) is not None:
            return True
        folder, name = posixpath.split(real)
        if name in self.listings.get(folder, ()):
            return True
        gone = self._gone(real)
        return gone if isinstance(gone, Unknown) else False

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        if path in self.certificate_files:
            return self.certificate_files[path]
        return self._gone(path)

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        key = f"{kind} {path}"
        return self.digests[key] if key in self.digests else self._gone(path)

    def space(self, path: str) -> Space:
        free: Fact[int] = self.spaces.get(path, UNRECORDED)
        return Space(path, free)

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        self.asked.append(tuple(argv))
        key = " ".join(argv)
        if key in self.commands:
            answer = self.commands[key]
            return CommandResult(0, answer) if isinstance(answer, str) else CommandResult(*answer)
        return CommandResult(127, "") if self.complete else UNRECORDED

    def kernel_log(self) -> Fact[str]:
        return self.log

    def environment(self, name: str) -> Fact[str | None]:
        if name in self.variables:
            return self.variables[name]
        return None if self.complete else UNRECORDED

    def uid(self) -> Fact[int]:
        return self.user

    def now(self) -> Fact[float]:
        return self.clock

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        return self.nvml_answer

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        return self.cuda_answer

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        raise ReadOnlyHostError("a fake host runs nothing")

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        raise ReadOnlyHostError("a fake host writes nothing")

    def remove_file(self, path: str) -> None:
        raise ReadOnlyHostError("a fake host removes nothing")
