"""Who answers a run's questions and may stop it: one of those that show it has the seat, the others watch.

The seat is a file in the run's control folder, which only root and the run's owner may enter, and
which names the one who sits there. Each that shows a run holds flock(2) on a ticket of its own beside
it: a ticket that nobody holds belongs to a terminal that was closed, and its seat is free.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.errors import BringupError, HostError
from gpu_bringup.run import history, lock
from gpu_bringup.run.control import FOLDER
from gpu_bringup.run.journal import NAME, now, parse_line

if TYPE_CHECKING:
    from pathlib import Path

_SEAT = "seat.json"


@dataclass(frozen=True, slots=True)
class Sitting:
    """Who sits there."""

    ticket: str
    user: str
    terminal: str
    """Such as "/dev/pts/3"; empty: none."""
    since: str
    """ISO 8601, UTC."""


class Seat:
    """The seat of a run, as one process that shows it sees it.

    Args:
        folder: the run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._place = folder / FOLDER
        self._ticket = ""
        self._held: int | None = None

    @property
    def reachable(self) -> bool:
        """May this user sit there at all?"""
        return os.access(self._place, os.R_OK | os.W_OK | os.X_OK)

    def mine(self) -> bool:
        """Do I sit there?"""
        sitting = self._read()
        return bool(self._ticket) and sitting is not None and sitting.ticket == self._ticket

    def other(self) -> Sitting | None:
        """Who else sits there; None: it is mine, or free, or out of sight."""
        sitting = self._read()
        if sitting is None or sitting.ticket == self._ticket:
            return None
        return sitting if lock.is_held(self._place / sitting.ticket) else None

    def take(self) -> None:
        """Sit down; whoever sat there watches from now on.

        Raises:
            HostError: this user may not, or the disk is full.
        """
        try:
            if self._held is None:
                self._ticket = f"ticket-{secrets.token_hex(8)}"
                flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._held = os.open(self._place / self._ticket, flags, 0o644)
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            me = {"ticket": self._ticket, "user": _me(), "terminal": _terminal(), "since": now()}
            # A new file put in the old one's place: a link that somebody laid there is not followed.
            made = self._place / f"{self._ticket}.new"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(made, flags, 0o644), "w", encoding="utf-8") as file:
                file.write(json.dumps(me))
            made.rename(self._place / _SEAT)
        except OSError as error:
            raise HostError(
                f"This run can't be taken over: {error.strerror}",
                meaning="It can be watched from here; it goes on as it is.",
                hint="It belongs to whoever started it, and to root: sudo gpu-bringup.",
            ) from error

    def take_if_free(self) -> bool:
        """Sit down where nobody else does; returns whether I sit there now."""
        if not self.reachable or self.other() is not None:
            return False
        self.take()
        return True

    def leave(self) -> None:
        """Stand up: whoever comes next may sit down unasked."""
        if self._held is None:
            return
        with contextlib.suppress(OSError):
            if self.mine():
                (self._place / _SEAT).unlink()
            (self._place / self._ticket).unlink()
        os.close(self._held)
        self._held, self._ticket = None, ""

    def _read(self) -> Sitting | None:
        try:
            data = json.loads((self._place / _SEAT).read_text("utf-8"))
            ticket = str(data["ticket"])
            words = (str(data["user"]), str(data["terminal"]), str(data["since"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if not ticket.startswith("ticket-") or not ticket[7:].isalnum():
            return None
        return Sitting(ticket, *words)


def started_by(folder: Path) -> tuple[str, str]:
    """(name of the user who started a run, when: ISO 8601, UTC); empty where it isn't known."""
    user = ""
    with contextlib.suppress(BringupError):
        owner = history.load_info(folder).get("owner")
        user = _name(owner) if isinstance(owner, int) else ""
    try:
        with (folder / NAME).open("rb") as file:
            event = parse_line(file.readline())
    except OSError:
        event = None
    return user, str(event.get("time", "")) if event is not None else ""


def _me() -> str:
    asked_by = os.environ.get("SUDO_UID", "")
    uid = os.geteuid()
    return _name(int(asked_by) if uid == 0 and asked_by.isdigit() else uid)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except (KeyError, OverflowError):
        return f"uid {uid}"


def _terminal() -> str:
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):
            return os.ttyname(descriptor)
    return ""
