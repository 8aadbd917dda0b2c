"""The kinds of entries that a file of ``profiles/`` may hold."""

from __future__ import annotations

from gpu_bringup.model.advice import Advice, VoidSetting
from gpu_bringup.model.boards import ArchiveFabric, Chip, System
from gpu_bringup.model.catalogue import (
    Architecture,
    Branch,
    Build,
    DistributionRelease,
    DriverRelease,
    Framework,
    Gpu,
    KernelLimit,
    KernelSeries,
    NvSwitch,
    PackageRepository,
    Scenario,
    Source,
    StableBreak,
    Toolkit,
)
from gpu_bringup.model.guide import GuideClaim
from gpu_bringup.model.kernels import KernelAbi, PackageLimit, VendorKernel
from gpu_bringup.model.stack import (
    BaseImage,
    Bulletin,
    Component,
    ComponentRelease,
    ForwardCompatibility,
    KnownBad,
)

# Table name in a file -> (dataclass, what makes an entry the same one).
KINDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "source": (Source, ("id",)),
    "architecture": (Architecture, ("id",)),
    "gpu": (Gpu, ("id",)),
    "chip": (Chip, ("id",)),
    "system": (System, ("id",)),
    "archive_fabric": (ArchiveFabric, ("os_id",)),
    "nvswitch": (NvSwitch, ("pci_id",)),
    "branch": (Branch, ("id",)),
    "release": (DriverRelease, ("version",)),
    "toolkit": (Toolkit, ("version",)),
    "kernel_limit": (KernelLimit, ("driver", "flavour")),
    "kernel_series": (KernelSeries, ("series",)),
    "stable_break": (StableBreak, ("id",)),
    "kernel_abi": (KernelAbi, ("series",)),
    "package_limit": (PackageLimit, ("package", "flavour")),
    "vendor_kernel": (VendorKernel, ("kernel",)),
    "build": (Build, ("driver", "package", "flavour", "kernel")),
    "distribution": (DistributionRelease, ("os_id", "version")),
    "repository": (PackageRepository, ("id",)),
    "framework": (Framework, ("id", "version")),
    "scenario": (Scenario, ("id",)),
    "claim": (GuideClaim, ("id",)),
    "bulletin": (Bulletin, ("id", "component")),
    "known_bad": (KnownBad, ("id",)),
    "component": (Component, ("id",)),
    "component_release": (ComponentRelease, ("component", "version")),
    "forward_compatibility": (ForwardCompatibility, ("toolkit",)),
    "base_image": (BaseImage, ("repository", "tag")),
    "advice": (Advice, ("id",)),
    "void_setting": (VoidSetting, ("name",)),
}
