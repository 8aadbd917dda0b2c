"""Every rule by its id: what it holds a candidate against, and where that is from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RuleEntry:
    """A rule as people are shown it."""

    id: str
    """As it stands in each reason."""
    about: str
    """What it asks, in a line."""
    sources: tuple[str, ...] = ()
    """Ids of the sources of the rule itself; empty: it is about this host or this program. What a
    reason adds are the sources of the entries it compared."""


def _rule(id: str, about: str, *sources: str) -> RuleEntry:
    return RuleEntry(id, about, sources)


REGISTRY: tuple[RuleEntry, ...] = (
    _rule("operator-choice", "is it the driver and the flavour that were asked for?"),
    _rule(
        "vgpu-guest", "is it a vGPU guest, which takes the driver of its hypervisor's vGPU release?"
    ),
    _rule(
        "mixed-gpus",
        "can one branch and one flavour serve every board of this machine?",
        "nvidia-architecture-matrix",
        "install-guide",
    ),
    _rule(
        "gpu-branch",
        "does the branch know the board's architecture, and still serve it?",
        "nvidia-architecture-matrix",
        "open-gpu-kernel-modules",
    ),
    _rule(
        "gpu-release",
        "is the release not older than the first whose supported list names the board?",
        "open-gpu-kernel-modules",
    ),
    _rule(
        "gpu-flavour",
        "open modules required, impossible, or either?",
        "install-guide",
        "open-gpu-kernel-modules",
    ),
    _rule(
        "flavour-available",
        "does the branch ship that flavour? (R620 has no proprietary one)",
        "install-guide-620",
    ),
    _rule("platform", "are there packages for the host's processor?", "install-guide"),
    _rule(
        "gpu-cuda",
        "does a CUDA that the driver serves compile for the board?",
        "nvidia-architecture-matrix",
        "cuda-release-notes",
    ),
    _rule(
        "driver-cuda",
        "which CUDA does it serve: all features, minor-version, forward compatibility?",
        "cuda-release-notes",
        "cuda-minor-compatibility",
    ),
    _rule(
        "cuda-wanted",
        "does the CUDA that was pinned run on it, and how?",
        "cuda-release-notes",
        "cuda-minor-compatibility",
    ),
    _rule("framework-driver", "does the framework's default build run on it?", "vllm", "torch"),
    _rule(
        "framework-gpu",
        "is the framework built for a CUDA that still compiles for the board?",
        "nvidia-architecture-matrix",
    ),
    _rule(
        "measured-build",
        "did anybody build exactly this on exactly this kernel, on this host or elsewhere?",
        "builds-2026-11",
    ),
    _rule(
        "stable-break",
        "has a long-term kernel taken over a change that this release can't take?",
        "open-gpu-kernel-modules",
        "flatcar-4207",
    ),
    _rule(
        "driver-kernel",
        "is the release known for kernels as new as this one?",
        "debian-changelogs",
        "open-gpu-kernel-modules",
    ),
    _rule(
        "compiler-kernel",
        "does the system have the compiler that built the kernel?",
        "debian-changelogs",
        "debian-archive",
    ),
    _rule(
        "realtime-kernel",
        "is it a PREEMPT_RT kernel, which the modules aren't built for?",
        "debian-nvidia",
    ),
    _rule(
        "lifecycle",
        "does the branch still get security fixes, and for how long?",
        "nvidia-supported-drivers",
        "endoflife",
    ),
    _rule(
        "branch-type",
        "is it a kind of branch that the scenario accepts?",
        "nvidia-supported-drivers",
    ),
    _rule(
        "security-floor",
        "does the release have the newest security bulletin's fixes?",
        "product-security",
    ),
    _rule("known-bad", "is something known against this very release?"),
    _rule(
        "secure-boot-route",
        "who signs the modules where Secure Boot is on: the distribution, or a key to enrol?",
        "install-guide",
    ),
    _rule("source-reachable", "does some source offer it for this system?", "nvidia-repository"),
    _rule("package-branch", "is it certain which driver the package brings?"),
    _rule(
        "fabric",
        "Fabric Manager, NVLSM or IMEX of the driver's very version, where NVSwitch is",
        "fabric-manager-guide",
    ),
    _rule(
        "fabric-source",
        "has the driver's source the fabric's software too?",
        "fabric-manager-guide",
    ),
    _rule("peer-to-peer", "do the boards reach each other's memory, as far as users report?"),
    _rule("os-lifecycle", "is the distribution release still supported?", "endoflife-os"),
    _rule("kernel-lifecycle", "does anybody still mend this kernel?", "endoflife-linux"),
    _rule("scenario-os", "is the system one that the scenario is meant for?"),
    _rule("kernel-wanted", "is it the kernel that the scenario pins?"),
    _rule("gpu-present", "is there a GPU at all?"),
    _rule("os-known", "is the system one that the catalogue has packages for?"),
    _rule("already-installed", "is it installed here already, and not ruled out?"),
)
"""In the order in which they are read."""

BY_ID = {entry.id: entry for entry in REGISTRY}


def place(rule: str) -> int:
    """The rule's place in the order; a rule that isn't registered comes last."""
    return _PLACES.get(rule, len(REGISTRY))


_PLACES = {entry.id: number for number, entry in enumerate(REGISTRY)}
