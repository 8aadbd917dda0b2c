"""Why sudo didn't make somebody root, in plain words. Pure.

sudo's own words (its plugins/sudoers sources, sudoers(5) "passwd_tries", sudo(8) "DIAGNOSTICS") stay
beside them: they are what an administrator searches for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOT_ALLOWED = re.compile(
    r"is not in the sudoers file|is not allowed to (?:run sudo|execute)|may not run sudo"
)
_WRONG = re.compile(r"(\d+) incorrect password attempts?")
_BROKEN = re.compile(r"sudoers|setuid root|nosuid|effective uid is not 0|no new privileges", re.I)
_MEANING = "Nothing was changed."


def refusal(lines: Sequence[str], status: int, *, given_up: bool) -> RefusedError:
    """The error for a sudo that didn't start the command.

    Args:
        lines: what it wrote, without the password, which it never writes.
        status: its exit status.
        given_up: the operator didn't answer its question.
    """
    words = [line.strip() for line in lines if line.strip()]
    for line in words:
        if _NOT_ALLOWED.search(line):
            return RefusedError(
                f"This needs root, and this user may not use sudo for it: {line}",
                meaning=_MEANING,
                hint="Log in as a user who may, or ask whoever administers this server.",
            )
    if given_up:
        return RefusedError(
            "This needs root, and no password was given to sudo.",
            meaning=_MEANING,
            hint="Start the steps again when you have it, or start gpu-bringup as root.",
        )
    for line in words:
        if _WRONG.search(line):
            return RefusedError(
                f"This needs root, and sudo took none of the passwords: {line}",
                meaning=_MEANING,
                hint="It asks for your own password, not root's. Start the steps again to try once more.",
            )
    last = words[-1] if words else f"exit status {status}"
    if any(_BROKEN.search(line) for line in words):
        hint = "sudo itself doesn't work here: become root another way (su -), then start it again."
    else:
        hint = "Start it with sudo, or as root."
    return RefusedError(
        f"This needs root, and sudo didn't give it: {last}", meaning=_MEANING, hint=hint
    )
