"""May this terminal answer the run that it shows, or does it only watch? Knows no widget."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.run.take_over import Seat, started_by
from gpu_bringup.ui.waiting_text import begun, mode_text, seated


class RunSeat:
    """The place of this terminal at one run.

    Args:
        folder: the run's folder.
        own: it was started here; else the place is taken only where nobody sits.
    """

    def __init__(self, folder: Path, *, own: bool) -> None:
        self._seat = Seat(folder)
        self._begun = started_by(folder)
        self.problem = ""
        """Why it could not be taken."""
        try:
            if own:
                self._seat.take()
            else:
                self._seat.take_if_free()
        except BringupError as error:
            self.problem = str(error)
        self.watching = not self._seat.mine()
        """Somebody else answers this run and may stop it."""

    @property
    def reachable(self) -> bool:
        """May this user take it over?"""
        return self._seat.reachable

    @property
    def begun(self) -> str:
        """Who started the run, and when."""
        return begun(*self._begun)

    @property
    def other(self) -> str:
        """Who else sits there; empty: nobody."""
        other = self._seat.other()
        return seated(other) if other is not None else ""

    def lost(self) -> bool:
        """Has it been taken over since this was asked last?"""
        if self.watching or self._seat.mine():
            return False
        self.watching = True
        return True

    def take_over(self) -> None:
        """Sit down.

        Raises:
            HostError: this user may not.
        """
        self._seat.take()
        self.watching = False

    def leave(self) -> None:
        """Whoever comes next may sit down unasked."""
        self._seat.leave()

    def mode(self) -> Content:
        """What this terminal may do, and what its end means, in a line."""
        other = self._seat.other() if self.watching else None
        return mode_text(self.watching, other, self.reachable)

    def question(self) -> str:
        """What is said before it is taken over."""
        about = tr("Now {name} answers this run. It was {begun}. The run goes on either way.")
        return about.format(name=self.other or tr("nobody"), begun=self.begun)
