"""Lines of the kernel's log that speak of the driver, its competitors and signatures."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.facts import LogFacts
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_LIMIT = 4000
_KEPT_OLD = 1000
# Held against lines in lower case, and with a letter at the head of each word: looking through a log
# of thousands of lines is several times faster so than with IGNORECASE or "\b" in front.
_OURS = re.compile(
    r"nvrm|nvidia|x(?<=\bx)id\b|nouveau|n(?<=\bn)ova(?:[_-]|\b)|lockdown|locked down|secure ?boot|"
    r"key was rejected|loading of (?:un|module)|module verification|"
    r"pcieport .*aer|a(?<=\ba)er: |\[10de:"
)


# Xids of programs can come by the thousand; they must not push out an early one of hardware.
_WEIGHTY = re.compile(
    r"\bXid \([^)]*\): (?!(?:13|31|43|45|109)\b)|fallen off the bus", re.IGNORECASE
)


def driver_lines(log: str) -> tuple[str, ...]:
    """The lines that matter, oldest first; where there are very many, the newest few thousand and
    the Xids of hardware before them."""
    lines = tuple(raw.rstrip() for raw in log.splitlines() if _OURS.search(raw.lower()))
    older = tuple(line for line in lines[:-_LIMIT] if _WEIGHTY.search(line))[:_KEPT_OLD]
    return older + lines[-_LIMIT:]


def observe(host: Host) -> LogFacts:
    log = host.kernel_log()
    return LogFacts(log if isinstance(log, Unknown) else driver_lines(log))
