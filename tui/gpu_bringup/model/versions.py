"""Ordering of driver versions, kernel releases and Debian package versions.

``packaging.version`` is no use here: ``Version("580.95.05")`` prints ``580.95.5`` and
``Version("6.8.0-87-generic")`` raises. Raw strings are kept; keys are only for comparing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache


@lru_cache(maxsize=4096)
def driver_key(version: str) -> tuple[int, ...]:
    """Sort key of an NVIDIA driver version such as "580.95.05" (numeric fields)."""
    # A field of thousands of digits, which Python won't turn into a number, is no version anyway.
    return tuple(int(field) for field in re.findall(r"\d+", version[:256]))


def branch_of(version: str) -> str:
    """The driver branch of a version: "580.95.05" -> "580"."""
    return version.split(".", 1)[0]


@dataclass(frozen=True, slots=True)
class UpstreamKernel:
    """The upstream version a kernel release names: series "6.12", sublevel 107 (None: not named)."""

    major: int
    minor: int
    sublevel: int | None

    @property
    def series(self) -> str:
        return f"{self.major}.{self.minor}"

    @property
    def key(self) -> tuple[int, int, int]:
        return (self.major, self.minor, self.sublevel or 0)


_UPSTREAM = re.compile(r"^(\d+)\.(\d+)(?:\.(\d+))?")


def upstream_kernel(release: str) -> UpstreamKernel | None:
    """What a kernel release says of its upstream version, or None when it is no release.

    "6.12.107+deb13-amd64" -> 6.12.107. Debian 12 and Ubuntu put an ABI number where others put the
    sublevel ("6.1.0-56-amd64", "6.8.0-87-generic"): then the sublevel is None, because 0 is wrong.
    """
    match = _UPSTREAM.match(release)
    if not match:
        return None
    major, minor, sublevel = int(match[1]), int(match[2]), match[3]
    if sublevel is None:
        return UpstreamKernel(major, minor, None)
    abi_style = sublevel == "0" and re.match(r"^\d+\.\d+\.0-\d+", release) is not None
    return UpstreamKernel(major, minor, None if abi_style else int(sublevel))


def _order(char: str) -> int:
    if char == "~":
        return -1
    if char.isalpha():
        return ord(char)
    return ord(char) + 256


def _compare_part(left: str, right: str) -> int:
    while left or right:
        left_text = re.match(r"\D*", left)[0]  # type: ignore[index]
        right_text = re.match(r"\D*", right)[0]  # type: ignore[index]
        for index in range(max(len(left_text), len(right_text))):
            a = _order(left_text[index]) if index < len(left_text) else 0
            b = _order(right_text[index]) if index < len(right_text) else 0
            if a != b:
                return -1 if a < b else 1
        left, right = left[len(left_text) :], right[len(right_text) :]
        left_number = re.match(r"\d*", left)[0]  # type: ignore[index]
        right_number = re.match(r"\d*", right)[0]  # type: ignore[index]
        a, b = int(left_number or 0), int(right_number or 0)
        if a != b:
            return -1 if a < b else 1
        left, right = left[len(left_number) :], right[len(right_number) :]
    return 0


def compare_debian(left: str, right: str) -> int:
    """Compare two Debian package versions: negative, zero or positive (deb-version(7))."""

    def split(version: str) -> tuple[int, str, str]:
        epoch, rest = version.split(":", 1) if ":" in version else ("0", version)
        upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
        return int(epoch) if epoch.isdigit() else 0, upstream, revision

    (left_epoch, left_up, left_rev) = split(left)
    (right_epoch, right_up, right_rev) = split(right)
    if left_epoch != right_epoch:
        return left_epoch - right_epoch
    return _compare_part(left_up, right_up) or _compare_part(left_rev, right_rev)
