"""Waits until nothing is in the way of a command: another package manager, or our own from before."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts import package_locks

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from gpu_bringup.hosts.base import Host, Session
    from gpu_bringup.model.plan import Command

PATIENCE = 3600.0
"""Seconds that another package manager is waited for: an upgrade of a whole release takes so long."""
_EVERY = 0.5
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Quiet:
    """Waits, says for whom, and stops waiting when the run is to stop.

    Args:
        cancelled: set when the run is to stop.
        note: writes a journal event, never raises.
    """

    def __init__(self, host: Host, cancelled: threading.Event, note: Callable[..., None]) -> None:
        self._host = host
        self._cancelled = cancelled
        self._note = note
        self.refusal = ""
        """Why ``lock_free`` or ``leftover_ended`` gave up, in words."""

    def lock_free(self, command: Command, where: Mapping[str, Any]) -> bool:
        """Wait until no other process has the package database; True: nobody has it (any more).

        A holder is never killed. Says once for each holder who it is and since when ("waiting").
        """
        if self._host.kind != "local" or not package_locks.needs_lock(command.argv[0]):
            return True

        def holder() -> str:
            found = package_locks.holder(command.argv[0])
            return f"{found.words} holds the package database's lock" if found else ""

        return self._until_none(holder, where)

    def leftover_ended(self, process: Mapping[str, Any] | None) -> bool:
        """Wait for what is left of a command whose run was killed; True: nothing is.

        Args:
            process: its "command-process" event; None: it isn't known, or nothing was interrupted.
        """
        if process is None or self._host.kind != "local" or not self._same_boot(process):
            return True
        session = process.get("session")
        if not isinstance(session, int) or session <= 1:
            return True

        def left() -> str:
            found = package_locks.in_session(session)
            if not found:
                return ""
            number, name = found[0]
            return f"{name} (process {number}) of this run is still at work"

        where = {"step": process.get("step"), "command": process.get("command")}
        return self._until_none(left, where)

    def identity(self, session: Session) -> dict[str, Any]:
        """What ``leftover_ended`` needs to know of a command that was just started."""
        number = getattr(session, "pid", None)
        # A command on a terminal of its own leads a session, whose number is its process id.
        return {"session": number if isinstance(number, int) else None, "boot_id": self._boot_id()}

    def _boot_id(self) -> str | None:
        text = self._host.read_text(_BOOT_ID)
        return text.strip() if isinstance(text, str) else None

    def _same_boot(self, process: Mapping[str, Any]) -> bool:
        return process.get("boot_id") is not None and process["boot_id"] == self._boot_id()

    def _until_none(self, look: Callable[[], str], where: Mapping[str, Any]) -> bool:
        told = ""
        until = time.monotonic() + PATIENCE
        while reason := look():
            if reason != told:
                told = reason
                self._note("waiting", reason=reason, **where)
            if time.monotonic() > until:
                minutes = round(PATIENCE / 60)
                self.refusal = f"{reason}, after {minutes} minutes still. It was not disturbed."
                return False
            if self._cancelled.wait(_EVERY):
                self.refusal = f"Stopped as you wished, while {reason}."
                return False
        if told:
            self._note("waiting-ended", **where)
        return True
