"""The simulated host as an exercise has it: it notes each change, so that it can be replayed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts.base import Exited, Prompt
from gpu_bringup.hosts.simulated.host import SimulatedHost
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.hosts.base import Session, SessionEvent
    from gpu_bringup.hosts.simulated.machine import Machine

Acted = Callable[[str, dict[str, Any], "Machine"], None]
"""Told of each change: kind of the event, its fields, and the machine as it was before."""

_SALT = "gpu-bringup training"


def masked(secret: str) -> str:
    """What stands for a password: equal ones give equal words, and nothing leads back to it.

    Somebody may type a real one here; neither the machine nor the log ever gets it. The length is kept
    up to 64 characters, because programs judge it.
    """
    digest = hashlib.scrypt(
        secret.encode("utf-8", "surrogateescape"), salt=_SALT.encode(), n=2**12, r=8, p=1
    ).hex()
    return digest[: len(secret)]


class PractiseHost(SimulatedHost):
    """A simulated host that tells of each change.

    Args:
        machine: what it starts with.
        acted: told of each change, after it.
    """

    def __init__(self, machine: Machine, acted: Acted) -> None:
        super().__init__(machine)
        self._acted = acted
        self._busy = threading.RLock()

    def put(self, machine: Machine) -> None:
        """Put another state in the place of the machine's (replayed, or stepped back)."""
        self.machine = machine

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> Session:
        """As every host; what it did is noted when it has ended."""
        before = self.machine.copy()
        session = super().open(command, rows=rows, columns=columns)
        return _Noted(session, command, before, self._acted)

    def write_file(self, path: str, content: str, mode: int) -> str | None:
        """As every host, and noted."""
        before = self.machine.copy()
        old = super().write_file(path, content, mode)
        self._acted("write", {"path": path, "content": content, "mode": mode}, before)
        return old

    def remove_file(self, path: str) -> None:
        """As every host, and noted."""
        before = self.machine.copy()
        super().remove_file(path)
        self._acted("remove", {"path": path}, before)

    def restart(self, password: str = "") -> tuple[str, ...]:
        """Restart the machine; returns what its console shows.

        Args:
            password: for MokManager; empty: nobody presses a key there.
        """
        from gpu_bringup.training.simulation import drive

        def answer(prompt: Prompt) -> str:
            return password if prompt.secret else "y" if password else ""

        return drive(self.open(Command(("reboot",))), answer)

    def wait(self, seconds: float) -> None:
        """Let time pass, and note it."""
        from gpu_bringup.training.simulation import let_pass

        before = self.machine.copy()
        let_pass(self.machine, seconds)
        self._acted("wait", {"for": seconds}, before)


class _Noted:
    """A session that is noted at its end, with the answers that it got."""

    def __init__(self, session: Session, command: Command, before: Machine, acted: Acted) -> None:
        self._session = session
        self._command = command
        self._before = before
        self._acted = acted
        self._answers: list[str] = []
        self._secret = False
        self._interrupted = False

    def __iter__(self) -> Iterator[SessionEvent]:
        seen, ended = 0, False
        try:
            for event in self._session:
                if isinstance(event, Prompt):
                    self._secret = event.secret
                if isinstance(event, Exited):
                    ended = True
                    self._note(event.status)
                seen += 1
                yield event
        finally:
            if not ended:
                # Ctrl-C in the middle: half of its work is done, as in life.
                self._note(130, after=seen)

    def _note(self, status: int, **further: Any) -> None:
        fields: dict[str, Any] = {"argv": list(self._command.argv), "status": status, **further}
        if self._answers:
            fields["answers"] = self._answers
        if self._interrupted:
            fields["interrupted"] = True
        self._acted("command", fields, self._before)

    def send(self, text: str) -> None:
        """Answer a prompt; a secret is masked before anybody sees it."""
        given = masked(text) if self._secret else text
        self._answers.append(given)
        self._session.send(given)

    def interrupt(self) -> None:
        self._interrupted = True
        self._session.interrupt()

    def resize(self, rows: int, columns: int) -> None:
        self._session.resize(rows, columns)
