"""The screens of MokManager, in the order in which they come, with the answer that each wants. Pure.

Texts and order as seen on Debian's shim-signed 15.8 (MokManager of shim) over a serial console; the
window of ten seconds is shim's own default (MokManager.c: ``timeout``), which ``mokutil --timeout``
changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

WINDOW_SECONDS = 10
"""How long the first screen waits for a key."""
LONGEST_PASSWORD = 256
"""mokutil(1) and shim's PASSWORD_MAX: a longer one is refused."""
_SAFE = re.compile(r"[0-9a-zA-Z]*")
_MOVED = frozenset("azqwmyzAZQWMYZ")
"""Letters that lie elsewhere on French (AZERTY) and German (QWERTZ) keyboards than on a US one."""


@dataclass(frozen=True, slots=True)
class Screen:
    """One screen: what it shows, what to choose and what then happens."""

    title: str
    choices: tuple[str, ...]
    """Entries of its menu, top first; empty: it wants something else."""
    choose: int
    """Index into ``choices`` of the right one."""
    keys: str
    """What to press."""
    why: str
    wrong: str
    """What a wrong answer costs."""


def screens(fingerprint: str = "", subject: str = "") -> tuple[Screen, ...]:
    """The six screens.

    Args:
        fingerprint: SHA-1 of the certificate as MokManager's "View key 0" shows it, with colons.
        subject: its common name.
    """
    seen = (
        f" It shows '{subject}' and the SHA-1 fingerprint {fingerprint.upper()}."
        if fingerprint
        else ""
    )
    return (
        Screen(
            "Shim UEFI key management",
            (),
            0,
            "any key, such as Space",
            f"'Press any key to perform MOK management', 'Booting in {WINDOW_SECONDS} seconds'. The seconds "
            "count down as you look at it.",
            "Nobody presses a key: the machine starts as before, the request is dropped, and the driver "
            "stays refused. Nothing is broken: ask again and reboot again.",
        ),
        Screen(
            "Perform MOK management",
            ("Continue boot", "Enroll MOK", "Enroll key from disk", "Enroll hash from disk"),
            1,
            "Down, Enter",
            "MOK is the machine owner's key: yours.",
            "'Continue boot' is the entry that is marked at first: Enter there drops the request.",
        ),
        Screen(
            "[Enroll MOK]",
            ("View key 0", "Continue"),
            1,
            "Down, Enter",
            f"'View key 0' shows the key, so that you can compare it.{seen}",
            "Another fingerprint: choose nothing, switch the machine off and find out who asked.",
        ),
        Screen(
            "Enroll the key(s)?",
            ("No", "Yes"),
            1,
            "Down, Enter",
            "",
            "'No' goes back to the first menu: choose Enroll MOK again.",
        ),
        Screen(
            "Password:",
            (),
            0,
            "the one-time password, Enter",
            "The one that you chose when the request was made. Nothing is shown while you type, and the "
            "keyboard counts as a US one.",
            '"Password doesn\'t match": Enter, then type it again.',
        ),
        Screen(
            "Perform MOK management",
            ("Reboot", "Enroll key from disk", "Enroll hash from disk"),
            0,
            "Enter",
            "The key is in. The machine restarts, and the kernel takes the driver.",
            "",
        ),
    )


def password_advice(password: str) -> str:
    """Why this one-time password may fail at the console; empty: it will do.

    It is typed once more on a console that takes every keyboard for a US one, after a reboot.
    """
    if not password:
        return "An empty password is refused."
    if len(password) > LONGEST_PASSWORD:
        return f"It is longer than {LONGEST_PASSWORD} characters, which MokManager doesn't take."
    if len(password) < 8:
        return "Short is allowed, but whoever guesses it at the console can enrol a key: take 8 or more."
    if not _SAFE.fullmatch(password):
        return "MokManager takes every keyboard for a US one: use digits and plain letters only."
    if _MOVED & set(password):
        return "a, m, q, w, y, z lie elsewhere on French and German keyboards: MokManager has the US layout."
    return ""
