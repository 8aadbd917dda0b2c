"""Questions to the catalogue: pure, and forgiving about how people write names."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import branch_of, driver_key

if TYPE_CHECKING:
    from datetime import date

    from gpu_bringup.model.catalogue import (
        Architecture,
        Catalogue,
        DistributionRelease,
        Gpu,
        Toolkit,
    )

# Rebuilds and relatives that take the packages of another distribution's release.
SAME_AS = {
    "almalinux": "rhel",
    "rocky": "rhel",
    "centos": "rhel",
    "ol": "rhel",
    "opensuse-leap": "sles",
}


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """A name without case, spaces, dashes and the maker: what two ways to write it share."""
    return re.sub(r"[^a-z0-9:]", "", text.lower()).removeprefix("nvidia")


def find_gpu(catalogue: Catalogue, text: str) -> Gpu | None:
    """The board of that name, alias or PCI id, however it is written ("H100", "10DE:2330")."""
    wanted = _plain(text)
    for gpu in catalogue.gpus:
        names = (gpu.id, gpu.name, *gpu.aliases, *gpu.pci_ids)
        if any(_plain(name) == wanted for name in names):
            return gpu
    return None


def suggest_gpus(catalogue: Catalogue, text: str, count: int = 4) -> tuple[str, ...]:
    """Names of boards that look like ``text``, nearest first; at most ``count``."""
    import difflib  # only a name that nobody knows needs it

    names: dict[str, str] = {}
    for gpu in catalogue.gpus:
        for name in (gpu.name, *gpu.aliases):
            names.setdefault(_plain(name), gpu.name)
    near = difflib.get_close_matches(_plain(text), names, count * 2, 0.5)
    return tuple(dict.fromkeys(names[name] for name in near))[:count]


def gpu_by_pci(catalogue: Catalogue, pci_id: str, subsystem_id: str = "") -> Gpu | None:
    """The board with that PCI id; where several share it, the subsystem id decides."""
    same = [gpu for gpu in catalogue.gpus if pci_id in gpu.pci_ids]
    for gpu in same:
        if subsystem_id and subsystem_id in gpu.subsystem_ids:
            return gpu
    return same[0] if same else None


def architecture_of(catalogue: Catalogue, pci_id: str) -> Architecture | None:
    """The architecture that a PCI id of vendor 10de belongs to, by board or by range."""
    gpu = gpu_by_pci(catalogue, pci_id)
    if gpu is not None:
        return catalogue.architectures.get(gpu.architecture)
    vendor, _, device = pci_id.partition(":")
    if vendor != "10de":
        return None
    try:
        number = int(device, 16)
    except ValueError:
        return None
    for architecture in catalogue.architectures.values():
        if any(first <= number <= last for first, last in architecture.pci_ranges):
            return architecture
    return None


def distribution(catalogue: Catalogue, os_id: str, version: str) -> DistributionRelease | None:
    """The release that fits: exactly, else by its major version ("9.8" -> RHEL 9)."""
    for wanted in (os_id, SAME_AS.get(os_id)):
        if wanted is None:
            continue
        releases = [item for item in catalogue.distributions if item.os_id == wanted]
        for known in (version, version.split(".", 1)[0]):
            for release in releases:
                if release.version == known:
                    return _as_had_by(release, os_id)
    return None


_NAMES = {
    "almalinux": "AlmaLinux",
    "rocky": "Rocky Linux",
    "centos": "CentOS Stream",
    "ol": "Oracle Linux",
    "opensuse-leap": "openSUSE Leap",
}


def _as_had_by(release: DistributionRelease, os_id: str) -> DistributionRelease:
    """The release with its own name and those drivers that a system of this id can have."""
    drivers = tuple(item for item in release.drivers if not item.os or os_id in item.os)
    name = _NAMES.get(os_id, "")
    if len(drivers) == len(release.drivers) and not name:
        return release
    return replace(
        release, drivers=drivers, name=f"{name} {release.version}" if name else release.name
    )


def branch_end(catalogue: Catalogue, branch: str) -> date | None:
    """Last day of support of a driver branch ("580"); None: not known, or no such branch."""
    known = catalogue.branches.get(branch)
    return known.end_of_support if known else None


def toolkit_for_driver(
    catalogue: Catalogue, driver: str, last: str | None = None
) -> Toolkit | None:
    """The newest toolkit that a driver serves with its full features, not newer than ``last``."""
    fitting = [
        toolkit
        for toolkit in catalogue.toolkits
        if driver_key(toolkit.driver) <= driver_key(driver)
        and (last is None or driver_key(toolkit.version) <= driver_key(last))
    ]
    branch = catalogue.branches.get(branch_of(driver))
    if branch is not None:
        fitting = [t for t in fitting if driver_key(t.version) <= driver_key(branch.cuda)]
    return max(fitting, key=lambda toolkit: driver_key(toolkit.version), default=None)
