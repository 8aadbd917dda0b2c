"""Decodes the fabric's codes: SXid of NVSwitches, and the numbers in NVLink 5's Xid lines (144 to 150).

Source: ``profiles/failures/fabric-codes.toml``, which names what it was taken from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from gpu_bringup.catalogue.entries import build
from gpu_bringup.catalogue.reader import read_files
from gpu_bringup.model.fabric_codes import SEVERITIES, LinkDown, LinkUnit, SwitchError
from gpu_bringup.model.xid import ACTIONS
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
FILE = "fabric-codes.toml"
STATES = {
    "ignore": "nothing to do",
    "report": "no action now; field diagnostics if it comes back",
    "packets_lost": "not fatal, packets were lost: reset the GPU if work fails",
    "follow_154": ACTIONS["follow-154"],
    "cables": "not fatal: look at the link's signal and its cables",
    "reset": "fatal: drain and reset the GPU",
}
"""What a unit's error status asks for, the mildest first."""
_UNKNOWN_STATUS = 0x80000000
"""Bit of every unit: an interrupt that nothing handles; not fatal."""
_NUMBERS = re.compile(r"\((0x[0-9a-fA-F]+)[ ,]+(0x[0-9a-fA-F]+)")
_LINK_DOWN = ("NETIR_LINK_EVT", "NETIR_LINK_DOWN")


@dataclass(frozen=True, slots=True)
class Codes:
    """All of the file's tables."""

    switch: tuple[SwitchError, ...]
    units: tuple[LinkUnit, ...]
    down: tuple[LinkDown, ...]


def _table(kind: str, content: Mapping[str, Any], cls: type[T]) -> tuple[T, ...]:
    return tuple(
        build(cls, entry, f"profiles/failures/{FILE}", f"{kind} {number}")
        for number, entry in enumerate(content.get(kind, ()), 1)
    )


@lru_cache(maxsize=1)
def codes() -> Codes:
    """What is known of the fabric's codes.

    Raises:
        InputError: the file is wrong; names the place.
    """
    path = data_folder("profiles").joinpath("failures").joinpath(FILE)
    (_, content), *_ = read_files([(f"profiles/failures/{FILE}", path)])
    return Codes(
        _table("sxid", content, SwitchError),
        _table("nvlink_unit", content, LinkUnit),
        _table("nvlink_down", content, LinkDown),
    )


def switch_words(number: int) -> str:
    """What an SXid means and what to do, in one line; says so where it isn't known."""
    for entry in codes().switch:
        if number in entry.numbers:
            words = f"SXid {number} of an NVSwitch: {entry.meaning}; {SEVERITIES[entry.severity]}"
            if entry.do != "ignore":
                words = f"{words}. What to do: {ACTIONS[entry.do]}"
            return f"{words}. {entry.then}" if entry.then else words
    return f"SXid {number} of an NVSwitch is not in the fabric manager's guide as this release knows it"


def link_words(unit: str, rest: str) -> str:
    """What the numbers of an NVLink 5 line ask for; empty where they aren't known.

    Args:
        unit: as the line names it ("RLW_REMAP").
        rest: the line from the unit on, with its numbers in brackets.
    """
    numbers = _NUMBERS.search(rest)
    if numbers is None:
        return ""
    info, status = int(numbers[1], 16), int(numbers[2], 16)
    if unit in _LINK_DOWN:
        return _down_words(info >> 20 & 0x3F)
    for entry in codes().units:
        if unit in entry.names:
            return _status_words(entry, status)
    return f"Its numbers: {STATES['report']}" if status == _UNKNOWN_STATUS else ""


def _down_words(code: int) -> str:
    for entry in codes().down:
        if code in entry.codes:
            return f"Reason {code}: drain and reset the GPU, and look at {entry.look}"
    return f"Reason {code} is not in NVIDIA's catalogue as this release knows it"


def _status_words(entry: LinkUnit, status: int) -> str:
    """What the worst of the status's bits asks for."""
    found = [
        state
        for state in STATES
        if any(value == status or (value and value & status) for value in getattr(entry, state))
        or (state == "report" and status & _UNKNOWN_STATUS)
    ]
    return f"Its numbers: {STATES[found[-1]]}" if found else ""
