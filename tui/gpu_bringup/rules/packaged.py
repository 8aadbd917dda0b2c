"""What is known of a distribution's own, patched driver package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.catalogue import DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.kernels import PackageLimit
    from gpu_bringup.rules.finding import Module


def patched_up_to(catalogue: Catalogue, module: Module) -> PackageLimit | None:
    """The newest kernels that exactly this package's patches are for; None: not on record."""
    if not module.patched or module.package is None:
        return None
    for limit in catalogue.package_limits:
        if limit.package == module.package.package_version and limit.flavour is module.flavour:
            return limit
    return None


def package_of(version: str, flavour: Flavour) -> DriverPackage:
    """Debian's package of exactly this version ("550.163.01-5.1"), wherever it comes from."""
    name = "nvidia-open-kernel-dkms" if flavour is Flavour.OPEN else "nvidia-kernel-dkms"
    return DriverPackage(
        id=version,
        source="distribution",
        branch=branch_of(version),
        version=version.partition("-")[0],
        package_version=version,
        flavour=flavour,
        route="dkms",
        kernel_package=name,
        packages=(name,),
        components=(),
        repository="",
        pin=(),
        module_names=(),
        sources=(),
    )
