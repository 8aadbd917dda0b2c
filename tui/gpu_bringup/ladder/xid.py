"""Xid lines of the kernel's log: which of them speak of hardware, and of which cause.

Numbers: NVIDIA's Xid catalogue (``profiles/failures/xid.toml``), read only when such a line is there.
Those of programs (13, 31, 43, 45, 109) are no fault of the machine. A GPU that fell off the bus is
told with and without a number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.words import ev
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.ladder import Cause, Evidence

XID = re.compile(r"NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): (\d+)")
_FALLEN = re.compile(r"NVRM:.*fallen off the bus", re.IGNORECASE)
_ACTION = re.compile(r"recovery action changed from .*? to 0x([0-9a-fA-F]+) \(([^)]*)\)")
_RECOVERY = 154
_SHOWN = 4
_PROGRAMS = "xid-app-or-driver-fault"
"""Xids of this failure are no fault of the machine."""


def _cause(number: int) -> str:
    """Id of the failure that a number speaks for; empty: it is not judged."""
    from gpu_bringup.failures.xids import catalogue

    entry = catalogue().get(number)
    return "" if entry is None or entry.cause == _PROGRAMS else entry.cause


@dataclass(frozen=True, slots=True)
class _Found:
    cause: str
    line: str
    words: str


def _read(line: str) -> tuple[tuple[str, int], _Found | None] | None:
    """((GPU, number), what it tells); None: no line of ours. A fault that has passed tells nothing."""
    match = XID.search(line)
    if match is None:
        if _FALLEN.search(line) is None:
            return None
        bus = re.search(r"[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}", line)
        words = "a GPU has fallen off the bus"
        return (bus[0] if bus else "", 0), _Found(_cause(79), line, words)
    gpu, number = match[1], int(match[2])
    found = _cause(number)
    if not found:
        return None
    words = f"Xid {number} of GPU {gpu}"
    action = _ACTION.search(line) if number == _RECOVERY else None
    if action is not None:
        if int(action[1], 16) == 0:
            return (gpu, number), None
        words = f"GPU {gpu} asks for: {action[2]} (Xid 154)"
    return (gpu, number), _Found(found, line, words)


def faults(ctx: Context) -> tuple[list[Cause], list[str]]:
    """Causes and words for every Xid of hardware in this boot's log; the newest of each GPU counts."""
    lines = ctx.facts.log.lines
    newest: dict[tuple[str, int], _Found] = {}
    for line in () if isinstance(lines, Unknown) else lines:
        told = _read(line)
        if told is None:
            continue
        key, found = told
        newest.pop(key, None)
        if found is not None:
            newest[key] = found
    evidence: dict[str, list[Evidence]] = {}
    for found in newest.values():
        evidence.setdefault(found.cause, []).append(ev("kernel log", found.line))
    causes = [cause(name, 0.75, *texts[-_SHOWN:]) for name, texts in evidence.items()]
    return causes, list(dict.fromkeys(found.words for found in newest.values()))


def not_read(ctx: Context) -> str:
    """Why the log could not be looked at for Xid lines; empty: it could."""
    lines = ctx.facts.log.lines
    return lines.reason if isinstance(lines, Unknown) else ""
