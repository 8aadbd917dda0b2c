"""What the first error of a failed module build means (research: table of kernel API breaks)."""

from __future__ import annotations

import re

RULES: tuple[tuple[str, str], ...] = (
    (r"No space left on device", "dkms-disk-full"),
    (r"PREEMPT_RT", "preempt-rt-kernel"),
    (r"GPL-incompatible module|GPL-only symbol", "dkms-build-gpl-symbol"),
    (r"(?:gcc|clang|cc|ld)(?:[-.\d]+)?: (?:command )?not found", "gcc-mismatch"),
    (r"unrecognized command[- ]line option|CC version check|CC sanity check", "gcc-mismatch"),
    (r"Could not locate dkms\.conf|dkms\.conf does not exist|is broken", "dkms-tree-broken"),
    (r"kernel headers .*cannot be found|Unable to find the kernel source tree", "headers-missing"),
)


def cause_of_build_error(text: str) -> str:
    """The cause's id; a compile error that no rule knows is a change in the kernel's API."""
    return next((cause for rule, cause in RULES if re.search(rule, text)), "dkms-build-api-break")
