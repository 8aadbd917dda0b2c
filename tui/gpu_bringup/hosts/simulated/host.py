"""A simulated machine as a ``Host``: it answers, and commands change it."""

from __future__ import annotations

import posixpath
import time
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError
from gpu_bringup.hosts.base import CommandResult, Exited, Lines, Prompt, Session, SessionEvent
from gpu_bringup.hosts.simulated import dkms_tree, probes, work
from gpu_bringup.hosts.simulated.programs import (
    apt,
    apt_cache,
    dkms,
    dpkg,
    kernel,
    looking,
    processes,
    services,
    vendor,
)
from gpu_bringup.hosts.simulated.render import MARK, render
from gpu_bringup.hosts.simulated.tree import File, Link
from gpu_bringup.model.facts import Certificate, Space
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.plan import Command

PROGRAMS = (apt, apt_cache, dkms, dpkg, kernel, looking, processes, services, vendor)
"""Imported so that each enters its commands into the table."""


class SimulatedHost:
    """Answers from a machine.

    Args:
        machine: the state; shared with whoever else looks at it.
        speed: simulated seconds a second; 0: no waiting at all.
    """

    kind = "simulated"

    def __init__(self, machine: Machine, *, speed: float = 0.0) -> None:
        self.machine = machine
        self.speed = speed

    @property
    def label(self) -> str:
        return f"TRAINING: {self.machine.name}"

    def _tree(self) -> Any:
        if self.machine.dirty:
            render(self.machine)
        return self.machine.tree

    # --- files

    def read_text(self, path: str, *, limit: int = 4_000_000) -> Fact[str | None]:
        found = self._tree().file(path)
        return None if found is None else found.text[:limit]

    def list_dir(self, path: str) -> Fact[tuple[str, ...] | None]:
        names: tuple[str, ...] | None = self._tree().names(path)
        return names

    def read_link(self, path: str) -> Fact[str | None]:
        found = self._tree().own_node(path)
        return found.target if isinstance(found, Link) else None

    def resolve(self, path: str) -> Fact[str | None]:
        tree = self._tree()
        real: str = tree.resolve(path)
        return real if tree.exists(real) else None

    def exists(self, path: str) -> Fact[bool]:
        return bool(self._tree().exists(path))

    def certificates(self, path: str) -> Fact[tuple[Certificate, ...] | None]:
        found = self._tree().file(path)
        if found is None:
            return None
        if not found.text.startswith(MARK):
            return Unknown(f"{path} holds no certificate")
        return tuple(
            Certificate(key.sha1, f"CN={key.common_name}", key.key_id, key.key_id)
            for key in dkms_tree.keys_in(found.text)
        )

    def space(self, path: str) -> Space:
        machine = self.machine
        if not self._tree().exists(path):
            unknown = Unknown(f"there is no {path}")
            return Space(path=path, free=unknown, total=unknown, read_only=unknown)
        total = machine.spaces.get(machine.mount_of(path), 0)
        return Space(path=path, free=machine.free(path), total=total, read_only=False)

    # --- questions

    def run(self, argv: Sequence[str], *, timeout: float = 10.0) -> Fact[CommandResult]:
        self._tree()
        lines: list[str] = []
        running = services.run(self.machine, tuple(argv))
        try:
            said = next(running)
            while True:
                if isinstance(said, str):
                    lines.append(said)
                # Nobody is there to answer: an empty line goes to whoever asks.
                said = running.send("") if isinstance(said, work.Ask) else next(running)
        except StopIteration as stopped:
            output = "".join(f"{line}\n" for line in lines)
            if stopped.value == 127:
                return CommandResult(127, "")
            return CommandResult(int(stopped.value), output)

    def kernel_log(self) -> Fact[str]:
        return "\n".join(self.machine.log) + "\n"

    def environment(self, name: str) -> Fact[str | None]:
        return None

    def uid(self) -> Fact[int]:
        return 0

    def now(self) -> Fact[float]:
        return self.machine.clock

    def nvml(self, *, timeout: float = 40.0) -> Fact[dict[str, Any] | None]:
        return probes.nvml(self.machine)

    def cuda(self, *, deep: bool = False, timeout: float = 30.0) -> Fact[dict[str, Any] | None]:
        return probes.cuda(self.machine, deep=deep)

    def digest(self, kind: str, path: str) -> Fact[dict[str, Any] | None]:
        found = self._tree().node(path)
        if found is None:
            return None
        if kind == "modified":
            modified = found.modified if isinstance(found, File) else 0.0
            return {"time": modified, "inode": 1}
        if kind == "keys" and isinstance(found, File):
            return {"keys": [{"fingerprint": row} for row in found.text.split()]}
        if kind == "initramfs":
            return self._image(path)
        return Unknown(f"{path} is of a kind that this training doesn't have")

    def _image(self, path: str) -> dict[str, Any] | None:
        image = self.machine.images.get(posixpath.basename(path).removeprefix("initrd.img-"))
        if image is None:
            return None
        return {
            "modules": [
                {"path": name, "version": version or None} for name, version in image.modules
            ],
            "configuration": [
                {"path": f"/{name}", "text": text} for name, text in image.configuration
            ],
            "links": [],
        }

    # --- changes

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        return SimulatedSession(self, command)

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        if self.machine.free(path) < len(content):
            raise HostError(f"{path} can't be written: No space left on device")
        old = self._tree().file(path)
        self.machine.write(path, content, mode)
        return None if old is None else str(old.text)

    def remove_file(self, path: str) -> None:
        self.machine.tree.remove(path)
        self.machine.changed()


class SimulatedSession:
    """A command that runs on a simulated machine; time passes by the machine's clock."""

    def __init__(self, host: SimulatedHost, command: Command) -> None:
        host._tree()
        self._host = host
        self._running = services.run(host.machine, tuple(command.argv))
        self._answers: list[str] = []
        self._interrupted = False

    def __iter__(self) -> Iterator[SessionEvent]:
        answer: str | None
        machine = self._host.machine
        try:
            said = next(self._running)
            while True:
                answer = None
                if self._interrupted:
                    yield Exited(130)
                    return
                if isinstance(said, str):
                    yield Lines(tuple(said.split("\n")))
                elif isinstance(said, work.Wait):
                    machine.clock += said.seconds
                    if self._host.speed:
                        time.sleep(min(said.seconds / self._host.speed, 600.0))
                else:
                    yield Prompt(said.text, said.secret)
                    answer = self._answer()
                said = next(self._running) if answer is None else self._running.send(answer)
        except StopIteration as stopped:
            machine.changed()
            yield Exited(int(stopped.value))

    def _answer(self) -> str:
        while not self._answers and not self._interrupted:
            time.sleep(0.02)
        return self._answers.pop(0) if self._answers else ""

    def send(self, text: str) -> None:
        self._answers.append(text)

    def interrupt(self) -> None:
        self._interrupted = True

    def resize(self, rows: int, columns: int) -> None:
        """A simulated command doesn't look at the terminal's size."""
