"""What the codes of the NVLink fabric mean: SXid of NVSwitches, numbers in NVLink 5's Xid lines."""

from __future__ import annotations

from dataclasses import dataclass

SEVERITIES = {
    "noise": "nothing by itself",
    "not-fatal": "not fatal",
    "may-be-fatal": "fatal for the traffic of its port",
    "fatal": "fatal for the whole fabric",
}


@dataclass(frozen=True, slots=True)
class SwitchError:
    """SXid numbers of one meaning."""

    numbers: tuple[int, ...]
    meaning: str
    severity: str
    """A key of ``SEVERITIES``."""
    do: str
    """What to do first: a key of ``model.xid.ACTIONS``."""
    then: str = ""
    """What follows from it."""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkUnit:
    """Units of NVLink 5 and what the bits of their error status ask for."""

    names: tuple[str, ...]
    """As Xid lines name them."""
    ignore: tuple[int, ...] = ()
    report: tuple[int, ...] = ()
    """Nothing now; field diagnostics where it comes back."""
    packets_lost: tuple[int, ...] = ()
    """Not fatal; a reset where work fails."""
    follow_154: tuple[int, ...] = ()
    """The Xid 154 beside it says what to do."""
    cables: tuple[int, ...] = ()
    reset: tuple[int, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Reasons for which a link of NVLink 5 went down (Xid 149)."""

    codes: tuple[int, ...]
    """Bits 20 to 25 of the line's first number."""
    look: str
    """At what to look."""
    sources: tuple[str, ...] = ()
