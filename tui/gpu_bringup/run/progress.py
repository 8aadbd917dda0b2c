"""How far a command is, from what it prints. Pure and honest: None where it can't be known.

Texts of apt: apt-private/acqprogress.cc ("Get:12 ..."), apt-get's summary; of dpkg: its unpack and
configure messages; of dkms: "Building module(s)", which hides the compiler's output in make.log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command, Plan

ObjectCount = Callable[[], "tuple[int, int] | None"]
"""(object files built, source files) in dkms's build folder; None: nothing is being built."""

_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_COUNTS = re.compile(
    r"(\d+) upgraded, (\d+) newly installed, (?:(\d+) downgraded, )?(\d+) to remove"
)
_COUNTS_3 = re.compile(
    r"Upgrading: (\d+), Installing: (\d+),(?: Downgrading: (\d+),)? Removing: (\d+)"
)
_NEED = re.compile(r"Need to get ([\d.,]+) ([kMG]?B)(?:/[\d.,]+ [kMG]?B)? of archives")
_NEED_3 = re.compile(r"Download size: ([\d.,]+) ([kMG]?B)")
_GET = re.compile(r"Get:\d+ \S+ .*\[([\d.,]+) ([kMG]?B)\]$")
_UNPACK = re.compile(r"(?:Unpacking|Removing|Purging configuration files for) (\S+)")
_SETUP = re.compile(r"Setting up (\S+)")
_PERCENT = re.compile(r"Progress: \[ *(\d+)%\]|\(Reading database \.\.\. *(\d+)%")
_DKMS = re.compile(r"Building (?:initial )?module|^make -j\d+ |Building module\(s\)", re.IGNORECASE)
_DKMS_DONE = re.compile(
    r"^(?:Signing module|Installing |Running module version|depmod|DKMS: install)"
)

_DOWNLOAD, _UNPACKED = 0.3, 0.5
"""Fractions of an installation after its download and after its unpacking: the rest configures."""
_MINIMUM_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a command is.

    ``fraction``: 0 to 1, None: not known. ``text``: what it does now. ``remaining_seconds``: None:
    not known; from the pace so far, so it is an estimate.
    """

    fraction: float | None
    text: str
    remaining_seconds: int | None


def _bytes(number: str, unit: str) -> int:
    return round(float(number.replace(",", "")) * _UNITS[unit])


class ProgressReader:
    """Reads a command's lines and says how far it is; never goes backwards.

    Args:
        objects: asked while dkms compiles, which shows nothing of it.
    """

    def __init__(self, objects: ObjectCount | None = None) -> None:
        self._objects = objects
        self._fraction: float | None = None
        self._text = ""
        self._packages = 0
        self._need = 0
        self._got = 0
        self._unpacked = 0
        self._configured = 0
        self._slice = (0.0, 1.0)
        self._building = False

    @property
    def building(self) -> bool:
        """Is dkms compiling now?"""
        return self._building

    def line(self, line: str) -> bool:
        """Look at a finished line, without colours; returns whether it changed anything."""
        line = line.strip()
        if not line:
            return False
        if counts := (_COUNTS.search(line) or _COUNTS_3.search(line)):
            self._packages = sum(int(count or 0) for count in counts.groups())
            return True
        if need := (_NEED.search(line) or _NEED_3.search(line)):
            self._need = _bytes(need[1], need[2])
            return True
        if get := _GET.search(line):
            self._got += _bytes(get[1], get[2])
            share = _DOWNLOAD * min(1.0, self._got / self._need) if self._need else None
            return self._move(share, f"downloading {line.split(' ', 2)[-1]}")
        if unpack := _UNPACK.match(line):
            self._unpacked += 1
            return self._move(self._packaged(), f"unpacking {unpack[1]}")
        if setup := _SETUP.match(line):
            return self._setup(setup[1])
        return self._dkms(line)

    def partial(self, text: str) -> bool:
        """Look at an unfinished line; returns whether it changed anything."""
        match = _PERCENT.search(text)
        if match and match[1]:
            return self._move(int(match[1]) / 100, text.strip())
        if match:
            return self._move(self._fraction, text.strip())
        return False

    def now(self, elapsed: float) -> Progress:
        """How far it is, ``elapsed`` seconds after the command's start."""
        fraction, text = self._fraction, self._text
        if self._building and self._objects is not None:
            counted = self._objects()
            if counted is not None and counted[1] > 0:
                built, sources = counted
                low, high = self._slice
                self._raise(low + (high - low) * min(0.97, built / sources))
                fraction, text = self._fraction, f"compiling: {built} of about {sources} files"
        remaining = None
        if fraction and fraction >= 0.05 and elapsed >= _MINIMUM_SECONDS:
            remaining = round(elapsed * (1 - fraction) / fraction)
        return Progress(fraction, text, remaining)

    def _packaged(self) -> float | None:
        if not self._packages:
            return None
        start = _DOWNLOAD if self._need else 0.0
        unpacked = min(1.0, self._unpacked / self._packages)
        configured = min(1.0, self._configured / self._packages)
        return start + (_UNPACKED - start) * unpacked + (1 - _UNPACKED) * configured

    def _setup(self, name: str) -> bool:
        self._building = False
        # "Setting up" is printed before the package is configured: what is done is those before it.
        before = self._packaged()
        self._configured += 1
        after = self._packaged()
        self._slice = (before or 0.0, after if after is not None else 1.0)
        return self._move(before, f"setting up {name}")

    def _dkms(self, line: str) -> bool:
        if _DKMS.search(line):
            self._building = True
            return self._move(self._fraction, "dkms compiles the kernel modules")
        if self._building and _DKMS_DONE.match(line):
            self._building = False
            return self._move(self._fraction, line)
        return False

    def _raise(self, fraction: float | None) -> None:
        if fraction is not None:
            self._fraction = max(self._fraction or 0.0, min(1.0, fraction))

    def _move(self, fraction: float | None, text: str) -> bool:
        self._raise(fraction)
        self._text = text
        return True


def reads_progress(command: Command) -> bool:
    """Is a command's output of a kind that tells progress?"""
    return command.package_manager or command.argv[0].rsplit("/", 1)[-1] == "dkms"


def overall(plan: Plan, done: frozenset[str], current: str, fraction: float | None) -> float:
    """How far a whole run is, 0 to 1, its steps weighed by their estimates.

    Args:
        done: ids of the steps that are done.
        current: id of the running step; empty: none.
        fraction: how far that one is; None: not known, counts as not begun.
    """
    total = sum(max(1, step.estimate_seconds) for step in plan.steps)
    if not total:
        return 1.0
    reached = 0.0
    for step in plan.steps:
        weight = max(1, step.estimate_seconds)
        if step.id in done:
            reached += weight
        elif step.id == current:
            reached += weight * (fraction or 0.0)
    return min(1.0, reached / total)
