"""Causes that the kernel's log names. Texts support, facts decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import loaded_version, log_lines, module_files
from gpu_bringup.ladder.words import ev
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.unknown import Unknown

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
    variant = _variant_bug(ctx)
    if variant is not None and any(item.cause == "rminit-failed-hardware" for item in causes):
        causes.insert(0, variant)
    return causes


def _variant_bug(ctx: Context) -> Cause | None:
    """R515's open modules stop at chips with some engines switched off, whatever the board's health."""
    running = ctx.facts.kernels.running
    files = module_files(ctx, running) if isinstance(running, str) else ()
    version = loaded_version(ctx.facts) or (str(files[0].version) if files else "")
    flavour = ctx.facts.modules.loaded_flavour
    if files and (flavour is None or isinstance(flavour, Unknown)):
        flavour = files[0].flavour
    if flavour is not Flavour.OPEN or not version.startswith("515."):
        return None
    lines = log_lines(ctx, r"RmInitAdapter failed")
    told = ev("driver", f"{version}, open modules: their first releases")
    return cause("open-module-chip-variant-bug", 0.8, told, *lines)
