"""Which faults of the simulated host make which cause, for lessons from real servers. Data."""

from __future__ import annotations

FAULT_OF_CAUSE: dict[str, tuple[str, ...]] = {
    "boot-partition-full": ("old-kernels",),
    "cdi-spec-stale": ("docker-host", "container-lost-gpus"),
    "container-toolkit-missing": ("docker-host", "container-lost-gpus"),
    "dkms-build-api-break": ("driver-too-old",),
    "dkms-tree-broken": ("source-removed",),
    "dpkg-interrupted": ("dpkg-interrupted",),
    "driver-library-mismatch": ("library-mismatch",),
    "driver-library-mismatch-stale-on-disk": ("module-older",),
    "fabricmanager-not-running": ("nvswitch-board", "fabricmanager-stopped"),
    "fabricmanager-version-mismatch": ("nvswitch-board manager=580.159.03",),
    "gcc-mismatch": ("compiler-missing",),
    "headers-meta-not-following": ("kernel-upgraded headers=missing",),
    "headers-missing": ("kernel-upgraded headers=missing",),
    "initramfs-stale-module": ("initramfs-old-module",),
    "kernel-upgraded-module-not-built": ("kernel-upgraded headers=missing",),
    "libcuda-mismatch-803": ("libcuda-twice",),
    "mixed-runfile-and-packages": ("runfile-over-packages",),
    "module-blacklisted": ("nvidia-blacklisted",),
    "module-not-loaded": ("module-unloaded",),
    "nouveau-loaded": ("nouveau-in-initramfs",),
    "partial-hold": ("held-package",),
    "persistenced-failed": ("persistenced-off",),
    "proprietary-module-on-open-only-gpu": ("wrong-flavour",),
    "repo-signing-key": ("key-missing",),
    "sb-key-not-trusted-by-kernel": ("module-wrong-key",),
    "sb-mok-not-enrolled": ("key-not-enrolled",),
    "sb-unsigned-module": ("module-unsigned",),
    "unattended-upgrade-unguarded": ("holds-lifted",),
    "xid-79-fallen-off-bus": ("xid-79",),
}
"""Id of a cause -> faults that break a simulated host in the same way."""

FAULT_OF_RUNG: dict[str, tuple[str, ...]] = {
    "platform": ("old-kernels",),
    "packages": ("dpkg-interrupted",),
    "headers": ("kernel-upgraded headers=missing",),
    "compiler": ("compiler-missing",),
    "nouveau": ("nouveau-in-initramfs",),
    "module": ("source-removed",),
    "signature": ("key-not-enrolled",),
    "loaded": ("module-unloaded",),
    "devices": ("persistenced-off",),
    "libraries": ("library-mismatch",),
    "fabric": ("nvswitch-board", "fabricmanager-stopped"),
    "containers": ("docker-host", "container-lost-gpus"),
    "guard": ("holds-lifted",),
}
"""Rung that a run mended first -> faults that break it."""

FRESH = frozenset({"driver", "blacklist-nouveau"})
"""Ids of steps that together mean: this run set a fresh server up."""
