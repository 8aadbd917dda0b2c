"""What one Xid number of the kernel's log means, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Xid:
    """An entry of NVIDIA's Xid catalogue."""

    number: int
    name: str
    """The driver's own name of it."""
    meaning: str
    """In plain words."""
    fault: str
    """Whose fault it usually is: one of ``FAULTS``."""
    do: str
    """What to do first: a key of ``ACTIONS``."""
    cause: str = ""
    """Id of the failure that it speaks for; empty: it is told, and not judged."""
    then: str = ""
    """What follows from it, or what to look at next."""
    sources: tuple[str, ...] = ()


FAULTS = ("application", "driver", "board", "fabric", "platform", "unknown")
ACTIONS = {
    "ignore": "nothing by itself",
    "follow": "look at the Xid that goes with it",
    "follow-154": "do as the Xid 154 beside it says",
    "watch": "watch it; no action now",
    "restart-job": "restart the job",
    "reset": "drain and reset the GPU",
    "reboot": "drain and restart the machine",
    "update": "update driver or firmware",
    "check-hardware": "look at cables and seating",
    "replace": "have the board replaced",
    "contact-support": "field diagnostics, then the vendor's support",
}
