"""Causes that the kernel's log names. Texts support, facts decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import log_lines

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.ladder import Cause

LOG_CAUSES = (
    (r"requires use of the NVIDIA open kernel modules", "proprietary-module-on-open-only-gpu"),
    (r"is not supported by open", "open-module-on-pre-turing"),
    (r"No firmware image found|Direct firmware load for nvidia/.* failed", "gsp-firmware-missing"),
    (r"GSP firmware image version mismatch", "gsp-firmware-mismatch"),
    (r"is not supported by the", "gpu-not-supported-by-release"),
    (r"nvidia: Unknown symbol", "kernel-modules-package-missing"),
    (r"This PCI I/O region assigned to your NVIDIA device is invalid", "bar-not-assigned"),
    (r"RmInitAdapter failed", "rminit-failed-hardware"),
)


def log_causes(ctx: Context, confidence: float = 0.7) -> list[Cause]:
    """Causes that the kernel's log names, in the order of ``LOG_CAUSES``."""
    causes = []
    for pattern, cause_id in LOG_CAUSES:
        lines = log_lines(ctx, pattern)
        if lines:
            causes.append(cause(cause_id, confidence, *lines))
    return causes
