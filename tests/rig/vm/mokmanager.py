"""MokManager's screens on the serial console: who presses which key, and what if nobody does.

The screens are told by their words: they differ a little between releases of shim.
"""

from __future__ import annotations

from console import Console, Missed

FIRST = r"Press any key to perform MOK management"
APPEARS_SECONDS = 400
"""From the order to reboot; most of it is systemd stopping services under emulation."""
STEP_SECONDS = 60


def enrol(console: Console, password: str, *, wrong: str = "") -> list[str]:
    """From the blue screen to the firmware's reboot; returns the names of the screens seen.

    Args:
        password: the one that was typed at the request.
        wrong: typed first, to be refused.

    Raises:
        Missed: a screen did not come.
    """
    seen = []

    def screen(name: str, words: str, *keys: str) -> None:
        console.wait(words, STEP_SECONDS, firmware=True)
        console.picture(f"mok-{name}", firmware=True)
        seen.append(name)
        console.press(*keys)

    console.wait(FIRST, APPEARS_SECONDS, firmware=True, still=False)
    console.picture("mok-press-any-key", firmware=True)
    seen.append("press any key")
    console.press("x")
    screen("perform", r"Enroll MOK", "down", "enter")
    screen("enroll", r"View key 0", "down", "enter")
    screen("yes", r"Enroll the key\(s\)\?", "down", "enter")
    if wrong:
        screen("password-wrong", r"Password:", *wrong, "enter")
        screen("refused", r"Password doesn.t match", "enter")
    screen("password", r"Password:", *password, "enter")
    screen("reboot", r"^\W*Reboot\W*$", "enter")
    return seen


def miss(console: Console) -> float:
    """Let the blue screen pass by; returns the seconds that it stood.

    Raises:
        Missed: it did not come, or did not go.
    """
    import time

    console.wait(FIRST, APPEARS_SECONDS, firmware=True, still=False)
    console.picture("mok-nobody-there", firmware=True)
    begun = time.monotonic()
    while FIRST in console.text(firmware=True):
        console.read(0.5)
        if time.monotonic() - begun > STEP_SECONDS:
            raise Missed(
                f"MokManager waits longer than {STEP_SECONDS} s\n{console.text(firmware=True)}"
            )
    return time.monotonic() - begun
