"""Reads the Xid catalogue (``profiles/failures/xid.toml``) and decodes lines with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.entries import build, fail
from gpu_bringup.catalogue.reader import read_files
from gpu_bringup.failures.fabric import link_words, switch_words
from gpu_bringup.model.xid import ACTIONS, FAULTS, Xid
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "xid.toml"
LINE = re.compile(
    r"NVRM: (?P<switch>S?)Xid \(PCI:(?P<bus>[0-9a-fA-F:.]+)\): (?P<number>\d+)(?:, (?P<rest>.*))?"
)
_ACTION = re.compile(r"recovery action changed from .*? to 0x([0-9a-fA-F]+) \(([^)]*)\)")
_LINK = re.compile(r"^(?P<unit>[A-Z0-9_]+) (?P<severity>Fatal|Nonfatal)\b.*?\bLink (?P<link>-?\d+)")
_SWITCH = re.compile(r"nvidia-nvswitch\d+: SXid \(PCI:(?P<bus>[0-9a-fA-F:.]+)\): (?P<number>\d+)")


@dataclass(frozen=True, slots=True)
class Decoded:
    """One Xid line in plain words."""

    gpu: str
    """PCI address as the line has it."""
    number: int
    words: str
    """What it means, whose fault it is, and what to do."""


@lru_cache(maxsize=1)
def catalogue() -> Mapping[int, Xid]:
    """All known numbers.

    Raises:
        InputError: the file is wrong; names the place.
    """
    path = data_folder("profiles").joinpath("failures").joinpath(FILE)
    found: dict[int, Xid] = {}
    for name, content in read_files([(f"profiles/failures/{FILE}", path)]):
        for number, table in enumerate(content.get("xid", ()), 1):
            place = f"xid {table.get('number', number)}"
            entry = build(Xid, table, name, place)
            for value, known, key in ((entry.fault, FAULTS, "fault"), (entry.do, ACTIONS, "do")):
                if value not in known:
                    raise fail(f"{value!r} is none of {', '.join(known)}", name, f"{place}.{key}")
            if entry.number in found:
                raise fail("this number stands here already", name, place)
            found[entry.number] = entry
    return found


def describe(number: int) -> str:
    """What a number means, in one line; says so where it isn't known."""
    entry = catalogue().get(number)
    if entry is None:
        return f"Xid {number} is not in NVIDIA's catalogue as this release knows it"
    words = (
        f"Xid {number} {entry.name}: {entry.meaning}. {_WHOSE[entry.fault]}; {ACTIONS[entry.do]}"
    )
    return f"{words}. {entry.then.rstrip('.')}" if entry.then else words


_WHOSE = {
    "application": "Usually the program's fault",
    "driver": "Usually the driver's or its firmware's fault",
    "board": "The board's fault",
    "fabric": "A fault of NVLink or NVSwitch",
    "platform": "A fault of power, slot, cooling or the PCIe link",
    "unknown": "Whose fault it is, it doesn't say",
}


def decode(line: str) -> Decoded | None:
    """What a line of the kernel's log says; None: it is no Xid line."""
    switch = _SWITCH.search(line)
    if switch is not None:
        number = int(switch["number"])
        return Decoded(switch["bus"], number, switch_words(number))
    match = LINE.search(line)
    if match is None or match["switch"]:
        return None
    number, rest = int(match["number"]), match["rest"] or ""
    words = describe(number)
    action = _ACTION.search(rest)
    if action is not None:
        words = f"Xid 154: the driver asks for: {action[2]}"
    link = _LINK.search(rest)
    if link is not None:
        severity = "fatal" if link["severity"] == "Fatal" else "not fatal"
        words = f"{words}. Unit {link['unit']}, {severity}, link {link['link']}"
        more = link_words(link["unit"], rest)
        words = f"{words}. {more}" if more else words
    return Decoded(match["bus"], number, words)
