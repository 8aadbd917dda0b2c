"""What is known of a distribution's own, patched driver package."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
