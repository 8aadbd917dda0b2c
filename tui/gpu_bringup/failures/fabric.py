"""Decodes the fabric's codes: SXid of NVSwitches, and the numbers in NVLink 5's Xid lines (144 to 150).

Source: ``profiles/failures/fabric-codes.toml``, which names what it was taken from.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from gpu_bringup.catalogue.reader import read_files
from gpu_bringup.model.xid import ACTIONS
from gpu_bringup.resources import data_folder

FILE = "fabric-codes.toml"
SEVERITIES = {
    "noise": "nothing by itself",
    "not-fatal": "not fatal",
    "may-be-fatal": "fatal for the traffic of its port",
    "fatal": "fatal for the whole fabric",
}
STATES = {
    "ignore": "nothing to do",
    "report": "no action now; field diagnostics if it comes back",
    "packets-lost": "not fatal, packets were lost: reset the GPU if work fails",
    "follow-154": ACTIONS["follow-154"],
    "cables": "not fatal: look at the link's signal and its cables",
    "reset": "fatal: drain and reset the GPU",
}
"""What a unit's error status asks for, the mildest first."""
_UNKNOWN_STATUS = 0x80000000
"""Bit of every unit: an interrupt that nothing handles; not fatal."""
_NUMBERS = re.compile(r"\((0x[0-9a-fA-F]+)[ ,]+(0x[0-9a-fA-F]+)")
_LINK_DOWN = ("NETIR_LINK_EVT", "NETIR_LINK_DOWN")


@lru_cache(maxsize=1)
def codes() -> dict[str, Any]:
    """The file's tables by kind.

    Raises:
        InputError: the file can't be read.
    """
    path = data_folder("profiles").joinpath("failures").joinpath(FILE)
    (_, content), *_ = read_files([(f"profiles/failures/{FILE}", path)])
    return dict(content)


def switch_words(number: int) -> str:
    """What an SXid means and what to do, in one line; says so where it isn't known."""
    for entry in codes()["sxid"]:
        if number in entry["numbers"]:
            words = (
                f"SXid {number} of an NVSwitch: {entry['meaning']}; {SEVERITIES[entry['severity']]}. "
                f"{ACTIONS[entry['do']].capitalize()}"
            )
            return f"{words}. {entry['then']}" if entry.get("then") else words
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
        code = info >> 20 & 0x3F
        for entry in codes()["link-down"]:
            if code in entry["codes"]:
                return f"Reason {code}: look at {entry['look']}; drain and reset the GPU"
        return f"Reason {code} is not in NVIDIA's catalogue as this release knows it"
    for entry in codes()["unit"]:
        if unit in entry["names"]:
            return _status_words(entry, status)
    return STATES["report"].capitalize() if status == _UNKNOWN_STATUS else ""


def _status_words(entry: dict[str, Any], status: int) -> str:
    """What the worst of the status's bits asks for."""
    found = [
        state
        for state in STATES
        if any(value == status or value and value & status for value in entry.get(state, ()))
    ]
    if status & _UNKNOWN_STATUS:
        found = sorted({*found, "report"}, key=list(STATES).index)
    return STATES[found[-1]].capitalize() if found else ""
