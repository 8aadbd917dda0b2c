"""Where the enrolment of a signing key stands: not asked for, waiting, missed or done. Pure.

shim keeps a request in the variable MokNew until MokManager runs at the next boot; MokManager takes
it away whether somebody confirmed it or not (shim, MokManager.c). So a request that was made in an
earlier boot and is neither waiting nor enrolled was missed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import SecureBootFacts, SigningKey

ASKED = "/var/lib/gpu-bringup/enrolment-asked"
"""Holds the id of the boot in which enrolment was asked for; read by ``facts.secure_boot``."""


class Stage(str, Enum):
    """How far the enrolment of one key has come."""

    ENROLLED = "enrolled"
    WAITING = "waiting"
    """Asked for; the next boot brings the screen."""
    PASSED_BY = "passed-by"
    """Asked for in an earlier boot and still waiting: that boot did not go through shim."""
    MISSED = "missed"
    """Asked for; the screen came and nobody confirmed."""
    NOT_ASKED = "not-asked"
    NO_KEY = "no-key"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A stage with the sentence that says it and what to do next."""

    stage: Stage
    text: str
    next: str = ""


def enrolment(secure: SecureBootFacts, key: SigningKey | None) -> Enrolment:
    """Where the enrolment of ``key`` stands, as far as the firmware's variables tell."""
    if key is None or key.exists is False:
        return Enrolment(Stage.NO_KEY, "this host has no signing key yet")
    if isinstance(key.exists, Unknown):
        return Enrolment(Stage.UNKNOWN, key.exists.reason)
    if key.enrolled is True:
        return Enrolment(Stage.ENROLLED, "the firmware trusts the key")
    asked = isinstance(secure.asked_in, str)
    earlier = asked and isinstance(secure.boot, str) and secure.asked_in != secure.boot
    if key.pending is True:
        return _pending(earlier)
    unread = next((f for f in (key.enrolled, key.pending) if isinstance(f, Unknown)), None)
    if unread is not None:
        return Enrolment(
            Stage.UNKNOWN, f"whether the key is enrolled is not known: {unread.reason}"
        )
    if earlier:
        return Enrolment(
            Stage.MISSED,
            "the screen of an earlier boot passed without an answer, and the firmware dropped the request",
            "Ask again (gpu-bringup enrol --again), open the console first, then reboot.",
        )
    if asked:
        return Enrolment(
            Stage.NOT_ASKED,
            "enrolment was asked for in this boot, but no request waits: it was taken back",
            "Ask again: gpu-bringup enrol --again",
        )
    return Enrolment(
        Stage.NOT_ASKED,
        "the firmware doesn't know the key, and nobody has asked it to",
        "Ask it: gpu-bringup enrol --again",
    )


def _pending(earlier: bool) -> Enrolment:
    if earlier:
        return Enrolment(
            Stage.PASSED_BY,
            "the request still waits although the machine was started since: it did not start through "
            "shim, which is the program that asks",
            "Look at the boot order (efibootmgr -v): the entry that starts shimx64.efi must come first.",
        )
    return Enrolment(
        Stage.WAITING,
        "the request waits for the next boot, where somebody must confirm it on the console",
        "See the screens that will come (gpu-bringup enrol --rehearse), then reboot.",
    )
