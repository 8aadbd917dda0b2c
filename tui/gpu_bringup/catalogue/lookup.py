"""Questions to the catalogue: pure, and forgiving about how people write names."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.boards import device_of, index_of, plain
from gpu_bringup.model.versions import branch_of, driver_key

if TYPE_CHECKING:
    from datetime import date

    from gpu_bringup.model.boards import System
    from gpu_bringup.model.catalogue import (
        Architecture,
        Catalogue,
        DistributionRelease,
        Gpu,
        Toolkit,
    )

_WORD = re.compile(r"[a-z]+|[0-9]+")

# Rebuilds and relatives that take the packages of another distribution's release.
SAME_AS = {
    "almalinux": "rhel",
    "rocky": "rhel",
    "centos": "rhel",
    "ol": "rhel",
    "opensuse-leap": "sles",
}


def find_gpu(catalogue: Catalogue, text: str) -> Gpu | None:
    """The board of that name, alias or PCI id, however it is written ("H100", "10DE:2330")."""
    wanted = text.strip().lower()
    if device_of(wanted) >= 0:
        return gpu_by_pci(catalogue, wanted)
    return index_of(catalogue).by_name(text)


def suggest_gpus(catalogue: Catalogue, text: str, count: int = 4) -> tuple[str, ...]:
    """Names of boards that look like ``text``, nearest first; at most ``count``.

    Words in any order count first ("rtx6000 pro" is in "RTX PRO 6000 Blackwell"), then the letters.
    """
    import difflib  # only a name that nobody knows needs it

    words = _words(text)
    matcher = difflib.SequenceMatcher(b=plain(text), autojunk=False)
    scores: dict[str, float] = {}
    for written, name in index_of(catalogue).names():
        have = _words(written)
        shared = len(words & have) / len(words) if words else 0.0
        matcher.set_seq1(plain(written))
        if shared < 0.5 and matcher.quick_ratio() < 0.7:
            continue
        score = shared - 0.02 * len(have - words) + matcher.ratio()
        scores[name] = max(scores.get(name, 0.0), score)
    best = max(scores.values(), default=0.0)
    near = [name for name, score in scores.items() if score > 0.6 * best]
    return tuple(sorted(near, key=lambda name: (-scores[name], len(name), name))[:count])


def _words(text: str) -> set[str]:
    """The words and numbers of a name: "RTX6000 Ada" -> rtx, 6000, ada."""
    return set(_WORD.findall(text.lower())) - {"nvidia"}


def gpu_by_pci(catalogue: Catalogue, pci_id: str, subsystem_id: str = "") -> Gpu | None:
    """The board with that PCI id; where several share it, the subsystem id decides."""
    return index_of(catalogue).by_id(pci_id, subsystem_id)


def architecture_of(catalogue: Catalogue, pci_id: str) -> Architecture | None:
    """The architecture that a PCI id of vendor 10de belongs to, by board or by range."""
    return index_of(catalogue).architecture(pci_id)


def compute_capability(catalogue: Catalogue, pci_id: str) -> str:
    """Of the board or chip with that PCI id, such as "9.0"; empty: not known."""
    gpu = gpu_by_pci(catalogue, pci_id)
    if gpu is not None:
        return gpu.compute_capability
    chip = index_of(catalogue).chip(pci_id)
    return chip.compute_capability if chip is not None else ""


def systems_with(catalogue: Catalogue, gpu_id: str) -> tuple[System, ...]:
    """The systems that a board comes in, as the catalogue has them."""
    return tuple(system for system in catalogue.systems if gpu_id in system.gpus)


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
