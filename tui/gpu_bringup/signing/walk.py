"""A walk through MokManager's screens for practice: what each key does there, wrong ones included. Pure.

Nothing of the machine is touched. What is typed as a password is only counted and judged.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_bringup.signing.rehearsal import WINDOW_SECONDS, Screen, password_advice

FIRST, MENU, ENROL, SURE, PASSWORD, REBOOT = range(6)
"""Positions of the screens in ``rehearsal.screens``."""
DROPPED = (
    "In earnest the machine would start now as before, and the request would be gone: nothing is broken, "
    "but the driver stays refused. You would ask again (gpu-bringup enrol --again) and reboot again."
)
NOT_THIS = "That one looks for a file on a disk and has nothing to do with your request. Choose Enroll MOK."
NOT_NOW = "The key is in already: this is for other keys. Choose Reboot."


@dataclass
class Walk:
    """Where somebody stands who walks through ``screens``."""

    screens: tuple[Screen, ...]
    at: int = FIRST
    cursor: int = 0
    """The marked entry of a menu."""
    typed: int = 0
    """How many characters the password has so far."""
    said: str = ""
    """What the last wrong or noteworthy key would have led to."""
    viewing: bool = False
    """Is "View key 0" open?"""
    missed: bool = False
    """Did the time of the first screen run out, or was the request dropped?"""
    over: bool = False
    """Is the walk through?"""
    _letters: list[str] = field(default_factory=list, repr=False)

    @property
    def screen(self) -> Screen:
        return self.screens[self.at]

    @property
    def anything(self) -> bool:
        """Does every key do the same here?"""
        return self.at == FIRST or self.viewing or self.missed

    def press(self, key: str) -> None:
        """Take one key: "up", "down", "enter", "backspace", or a character."""
        if self.over:
            return
        if self.missed:
            self._go(FIRST)
            self.missed = False
        elif self.viewing:
            self.viewing = False
        elif self.at == FIRST:
            self._go(MENU)
        elif self.at == PASSWORD:
            self._type(key)
        elif key == "enter":
            self._choose()
        elif key in ("up", "down"):
            count = len(self.screen.choices)
            self.cursor = max(0, min(count - 1, self.cursor + (1 if key == "down" else -1)))

    def run_out(self) -> None:
        """The time of the first screen is over."""
        if self.at == FIRST and not self.missed:
            self.missed = True
            self.said = f"Nobody pressed a key for {WINDOW_SECONDS} seconds. {DROPPED}"

    def forget(self) -> None:
        """Drop what was typed."""
        self._letters.clear()
        self.typed = 0

    def _go(self, at: int, said: str = "") -> None:
        self.forget()
        self.at, self.cursor, self.said, self.viewing = at, 0, said, False

    def _type(self, key: str) -> None:
        if key == "backspace":
            if self._letters:
                self._letters.pop()
        elif key == "enter":
            self._send()
            return
        elif len(key) == 1:
            self._letters.append(key)
        self.typed = len(self._letters)

    def _send(self) -> None:
        if not self._letters:
            self.said = '"Password doesn\'t match": nothing was typed. Enter, then type it again.'
            return
        advice = password_advice("".join(self._letters))
        self._go(REBOOT, f"Of the word that you practised with: {advice}" if advice else "")

    def _choose(self) -> None:
        right = self.cursor == self.screen.choose
        if right and self.at == REBOOT:
            self.forget()
            self.over = True
            self.said = ""
        elif right:
            self._go(self.at + 1)
        elif self.at == MENU and self.cursor == 0:
            self._go(MENU)
            self.missed, self.said = True, f"'Continue boot': {DROPPED}"
        elif self.at == MENU:
            self.said = NOT_THIS
        elif self.at == ENROL:
            self.viewing = True
        elif self.at == SURE:
            self._go(MENU, "'No': back to the first menu. Choose Enroll MOK again.")
        else:
            self.said = NOT_NOW
