"""Rules: each holds one candidate against one thing that is known, and says so in a sentence.

A rule is a pure function ``(subject, candidate) -> reasons`` with a stable id in each reason. Adding
one is adding a function to ``RULES``; nothing else changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules import (
    compiler,
    fabric,
    frameworks,
    gpu,
    guests,
    kernel,
    known_bad,
    lifecycle,
    offer,
    peers,
    platform,
    security,
    software,
    wanted,
)

if TYPE_CHECKING:
    from gpu_bringup.rules.subject import Rule

RULES: tuple[Rule, ...] = (
    offer.operator_choice,
    guests.vgpu_guest,
    gpu.mixed_gpus,
    gpu.gpu_branch,
    gpu.gpu_release,
    gpu.gpu_flavour,
    offer.flavour_available,
    platform.platform,
    software.gpu_cuda,
    software.driver_cuda,
    wanted.cuda_wanted,
    frameworks.framework_driver,
    kernel.builds,
    compiler.compiler_kernel,
    kernel.realtime_kernel,
    lifecycle.lifecycle,
    lifecycle.branch_type,
    security.security_floor,
    known_bad.known_bad,
    kernel.secure_boot_route,
    offer.source_reachable,
    offer.branch_of_package,
    fabric.fabric,
    fabric.fabric_source,
    peers.peer_to_peer,
    lifecycle.os_lifecycle,
    lifecycle.kernel_lifecycle,
    lifecycle.scenario_os,
    wanted.kernel_wanted,
)
"""In the order in which they are read: what is physically impossible first."""

OF_KERNELS: frozenset[Rule] = frozenset(
    {
        kernel.builds,
        compiler.compiler_kernel,
        kernel.realtime_kernel,
        lifecycle.kernel_lifecycle,
        offer.source_reachable,
        wanted.kernel_wanted,
    }
)
"""Rules that look at the kernels or at builds. All others say the same whichever kernels there are:
what they say is worked out once for the hosts of a fleet that differ in nothing else."""
