"""make.log of a module build: for which kernel it is and which line is the first that says why."""

from __future__ import annotations

import re

_HEAD = re.compile(r"DKMS (?:\(\S+\) )?make\.log for \S+ for kernel (\S+)")
_NO_SPACE = re.compile(r"No space left on device")
_TELLING = re.compile(
    r"(?:fatal )?error: |\bmodpost: .*(?:GPL-incompatible|undefined|module layout)|"
    r"^(?:ERROR|FATAL): modpost|\*\*\* |No space left on device|"
    r"command not found|^/bin/sh: \d+: \S+: not found|Killed signal|"
    r"cannot allocate memory|virtual memory exhausted",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^make(?:\[\d+\])?: \*\*\* |conftest\w*\.c:|warning: |kernel/dkms\.conf|"
    r"treated as errors|^\s*(?:#|//)|\bBuild succeeded|In file included"
)
_MAKE = re.compile(r"^make(?:\[\d+\])?: \*\*\* ")
_PROBE = re.compile(r"conftest\w*\.c:.*error: ")
"""The driver's own probes of the kernel fail by design; said only where nothing else is wrong."""
_PROBE_BROKEN = re.compile(
    r"conftest\d*\.c:\d+:\d+: error:|cannot use keyword .false. as enumeration constant"
    r"|.bool. cannot be defined via .typedef."
)
"""What ``check --decide`` asks of the log, too."""


def log_kernel(text: str) -> str:
    """The kernel release in the first line of dkms's make.log; empty: none named."""
    match = _HEAD.search(text[:4096])
    return match[1] if match else ""


def probes_hold(text: str) -> bool:
    """Has the log no error in the driver's own probes of the kernel?"""
    return _PROBE_BROKEN.search(text) is None


def first_error(text: str) -> str:
    """The first line that says why a build failed, or "" where none does.

    A full disk outranks everything before it, for it makes compilers say other things first; make's
    own "***" lines count only where nothing else does.
    """
    lines = [raw.strip() for raw in text.splitlines()]
    for raw in lines:
        if _NO_SPACE.search(raw):
            return raw
    for raw in lines:
        if _TELLING.search(raw) and not _NOISE.search(raw):
            return raw
    for pattern in (_PROBE, _MAKE):
        for raw in lines:
            if pattern.search(raw):
                return raw
    return ""
