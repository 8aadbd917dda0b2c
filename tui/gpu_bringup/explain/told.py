"""What a text tells of its host in passing: kernel release, driver's version and branch, family.

Used to fill the places in commands. Only what the whole head of the text agrees on is taken: where it
names two kernels, nobody can tell which of them a command is for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_KERNEL = re.compile(
    rb"(?:\b(?:for|on|of) kernel:? |linux-headers-|linux-image-|kernel-devel-|/lib/modules/|"
    rb"initrd\.img-|vmlinuz-|KERNEL_UNAME=|Linux version | -k )"
    rb"(?P<release>\d+\.\d+(?:\.\d+)?(?:[-+][\w.+~]+)+)"
)
_DRIVER = re.compile(
    rb"(?:Kernel Module(?: for \w+)?\s+|Driver Version:\s+|NVIDIA-SMI\s+|driver version |"
    rb"NVIDIA-Linux-\w+-|/dkms/nvidia[\w-]*/|\bnvidia(?:-current|-open)?[-/ ])"
    rb"(?P<version>\d{3}\.\d{2,3}(?:\.\d{2})?)\b(?!\.\d)"
)
_BRANCH = re.compile(
    rb"(?:nvidia-(?:driver|dkms|kernel-\w+|utils|compute-utils|headless|fabricmanager|open)|cuda-drivers|"
    rb"libnvidia-[a-z]+)-(?P<branch>\d{3})(?![\d.])"
)


def _agreed(found: Iterable[bytes]) -> str:
    values = {value.decode("ascii", "replace") for value in found}
    return values.pop() if len(values) == 1 else ""


def values_in(head: bytes | bytearray) -> dict[str, str]:
    """``kernel``, ``driver`` and ``branch`` as far as the head of a text agrees on them.

    A release keeps the architecture at its end: ``uname -r`` has it where packages do.
    """
    releases = (match["release"] for match in _KERNEL.finditer(head))
    values = {
        "kernel": _agreed(
            re.sub(rb"(?:[._]+|\.(?:deb|rpm))$", b"", release) for release in releases
        ),
        "driver": _agreed(match["version"] for match in _DRIVER.finditer(head)),
        "branch": _agreed(match["branch"] for match in _BRANCH.finditer(head)),
    }
    return {name: value for name, value in values.items() if value}
