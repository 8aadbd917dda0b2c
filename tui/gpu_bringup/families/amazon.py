"""Amazon Linux 2023: dnf 4, kernels in streams of their own, NVIDIA's module streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.errors import RefusedError
from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family
from gpu_bringup.families.rhel import RhelFamily
from gpu_bringup.model.versions import upstream_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.facts import Facts, OsFacts

IDS = ("amzn",)

_FIRST_SERIES = "6.1"
"""Amazon Linux 2023's first kernel, the one whose packages carry no series in their names."""


@dataclass(frozen=True, slots=True)
class AmazonFamily(RhelFamily):
    """Amazon Linux 2023."""

    id: str = "amazon"

    def _kernel_name(self, release: str) -> str:
        kernel = upstream_kernel(release)
        if kernel is None or kernel.series == _FIRST_SERIES:
            return "kernel"
        return f"kernel{kernel.series}"

    def kernel_hold_packages(self, release: str) -> tuple[str, ...]:
        """Amazon's kernel is one package, with its build tree beside it."""
        name = self._kernel_name(release)
        return (name, f"{name}-devel")

    def _matched(self) -> bool:
        return False

    def _modular(self) -> bool:
        return True

    def _nvidia_distro(self, os: OsFacts) -> str:
        number = common.major(os.version)
        return f"amzn{number}" if number else ""

    def header_packages(self, release: str) -> tuple[str, ...]:
        """The build tree of exactly this release, and the modules that nvidia's rest on (drm)."""
        name = self._kernel_name(release)
        return (f"{name}-devel-{release}", f"{name}-modules-extra-{release}")

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Amazon's own NVIDIA repository, by the package that brings it.

        Raises:
            RefusedError: this machine isn't x86_64, the only one that repository has packages for.
        """
        if "amazonlinux-nvidia" in components and self.os.arch != "x86_64":
            raise RefusedError(
                "Amazon's NVIDIA repository has packages for x86_64 only.",
                meaning="Nothing was changed.",
                hint="Take the driver from NVIDIA's own repository: --source nvidia-repository",
            )
        return RhelFamily.enable_components(self, facts, files, components)


def family(os: OsFacts) -> Family:
    """The family object of Amazon Linux."""
    return AmazonFamily(os)
