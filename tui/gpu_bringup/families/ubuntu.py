"""Ubuntu: kernel flavours with GA and HWE lines, Canonical's prebuilt modules, one MOK for all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.debian import (
    DebianFamily,
    fabric_names,
    installed_version,
    shim_signed,
)
from gpu_bringup.model.versions import upstream_kernel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.families.base import Family, SigningScheme
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.facts import Facts, OsFacts

IDS = ("ubuntu",)

_FLAVOUR = re.compile(r"^\d+\.\d+\.\d+-\d+-(?P<flavour>[a-z][a-z0-9-]*)$")
_KERNEL_META = re.compile(
    r"^linux-(?:image-|headers-|modules-extra-)?"
    r"(?:generic|lowlatency|realtime|aws|azure|gcp|gke|ibm|oracle|kvm|virtual|nvidia)(?:-[a-z0-9.-]+)?$"
)
_GA_SERIES = {"22.04": (5, 15), "24.04": (6, 8), "26.04": (7, 0)}
"""Series that a release came with; later ones on it are its HWE line."""
_HWE_FLAVOURS = ("generic", "generic-64k", "lowlatency", "lowlatency-64k", "nvidia", "nvidia-64k")
"""Flavours whose later series have metas of their own (linux-image-nvidia-64k-hwe-24.04); those of
clouds (aws, azure, gcp ...) roll under one name, and stay on the first series as -lts-24.04."""
_NVIDIA_DISTRO = {"jammy": "ubuntu2204", "noble": "ubuntu2404", "resolute": "ubuntu2604"}


@dataclass(frozen=True, slots=True)
class UbuntuFamily(DebianFamily):
    """Ubuntu and what is made from it."""

    id: str = "ubuntu"

    def _usual_line(self, release: str) -> str:
        """Meta suffix by release alone: "generic", "generic-hwe-24.04", "aws"; "" when foreign."""
        match = _FLAVOUR.match(release)
        if not match:
            return ""
        flavour, kernel = match["flavour"], upstream_kernel(release)
        first = _GA_SERIES.get(self.os.version)
        later = kernel is not None and first is not None and (kernel.major, kernel.minor) > first
        if later and flavour in _HWE_FLAVOURS:
            return f"{flavour}-hwe-{self.os.version}"
        return flavour

    def _line(self, release: str, facts: Facts) -> str:
        """Meta suffix of the line that this kernel comes from, by the metas that are installed."""
        match = _FLAVOUR.match(release)
        if not match:
            return ""
        flavour = match["flavour"]
        lines: dict[str, str] = {}
        for name in sorted(common.installed_names(facts)):
            for prefix in ("linux-image-", "linux-"):
                line = name.removeprefix(prefix)
                if line != name and re.match(rf"^{flavour}(?:-(?:hwe|lts)-[\d.]+)?$", line):
                    lines.setdefault(line, installed_version(facts, name))
                    break
        # A meta's version starts with the kernel's ("6.8.0-87.88", "6.8.0.87.88").
        series = release.rsplit("-", 1)[0].split("-", 1)[0]
        fitting = [line for line, version in lines.items() if version.startswith(series)]
        return next(iter(fitting or lines), "") or self._usual_line(release)

    def header_meta_packages(self, release: str, facts: Facts) -> tuple[str, ...]:
        """linux-headers-generic, -generic-hwe-24.04, -aws ...: of the installed image meta's line."""
        line = self._line(release, facts)
        return (f"linux-headers-{line}",) if line else ()

    def kernel_meta_packages(self, release: str) -> tuple[str, ...]:
        """linux-image-LINE, by the release alone."""
        line = self._usual_line(release)
        return (f"linux-image-{line}",) if line else ()

    def module_meta_packages(
        self, package: DriverPackage, release: str, facts: Facts
    ) -> tuple[str, ...]:
        """linux-modules-nvidia-BRANCH-LINE, which follows the kernel; only for prebuilt modules.

        None for the -lts- lines of clouds: whether they have one was not confirmed anywhere.
        """
        line = self._line(release, facts)
        if (
            "-lts-" in line
            or package.route != "prebuilt"
            or "{kernel}" not in package.kernel_package
            or not line
        ):
            return ()
        return (package.kernel_package.replace("{kernel}", line),)

    def signing(self, facts: Facts) -> SigningScheme:
        """/var/lib/shim-signed/mok, which Ubuntu's dkms signs with; or what is in use already."""
        if common.signing_kind(facts, "shim-signed") == "dkms":
            # slots=True makes a new class, so that super() without arguments would fail here.
            return DebianFamily.signing(self, facts)
        return shim_signed()

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """Ubuntu's own names carry the branch; those of NVIDIA's repository from R580 on don't.

        Ubuntu's archive keeps one version of each, and its fabric manager depends on
        nvidia-kernel-common of exactly its version: with a driver that comes from there apt itself
        sees to it, and a version in the name would only fail once the archive has moved on.
        """
        if source == "nvidia-repository":
            return DebianFamily.fabric_packages(self, kind, branch, version)
        return fabric_names(kind, f"-{branch}", "" if source == "distribution" else version)

    def _known(self, components: Sequence[str]) -> tuple[str, ...]:
        return tuple(components)

    def _nvidia_distro(self, os: OsFacts) -> str:
        if os.id == "ubuntu" and re.match(r"^\d\d\.\d\d$", os.version):
            return "ubuntu" + os.version.replace(".", "")
        return _NVIDIA_DISTRO.get(os.codename, "")

    def guard_packages(self, package: DriverPackage, facts: Facts) -> tuple[str, ...]:
        """The installed driver set with the metas of kernel, headers and prebuilt modules."""
        return common.guard_packages(facts, _KERNEL_META)


def family(os: OsFacts) -> Family:
    """The family object of one Ubuntu release."""
    return UbuntuFamily(os)
