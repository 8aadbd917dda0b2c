"""Entries that can't both be right, or that contradict themselves: refused rather than believed.

What needs no other entry (words, forms, types) is checked where an entry is read; ids that must exist
are looked for in ``references``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from gpu_bringup.catalogue.entries import fail, guess
from gpu_bringup.catalogue.references import Place
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import (
    Architecture,
    Branch,
    DistributionRelease,
    DriverRelease,
    Framework,
    Gpu,
    KernelLimit,
    Scenario,
    StableBreak,
    Toolkit,
)
from gpu_bringup.model.stack import Bulletin, ForwardCompatibility, KnownBad
from gpu_bringup.model.versions import branch_of, driver_key

_DAYS_APART = timedelta(days=31)
"""Sources date the same release days apart (520.56.06: 2022-10-12, its successor 2022-10-10)."""


@dataclass(frozen=True)
class Known:
    """The entries that others are held against."""

    architectures: Mapping[str, Architecture]
    branches: Mapping[str, Branch]
    releases: Mapping[str, DriverRelease]
    toolkits: Mapping[str, Toolkit]
    systems: frozenset[str]
    """Ids of distributions, those of rebuilds included."""

    def owner(self, device: int) -> Architecture | None:
        """The architecture in one of whose ranges a device id is; None: in none."""
        place = bisect_right(self._firsts, device) - 1
        if place < 0:
            return None
        _, last, architecture = self._ranges[place]
        return architecture if device <= last else None

    @cached_property
    def _ranges(self) -> list[tuple[int, int, Architecture]]:
        ranges = [(*pair, item) for item in self.architectures.values() for pair in item.pci_ranges]
        return sorted(ranges, key=lambda item: item[:2])

    @cached_property
    def _firsts(self) -> list[int]:
        return [first for first, _, _ in self._ranges]


def check(entry: Any, known: Known, place: Place) -> None:
    """Hold one entry against itself and the others.

    Raises:
        InputError: it contradicts; names both sides.
    """
    look = _CHECKS.get(type(entry))
    if look is not None:
        look(entry, known, place)


def _wrong(message: str, place: Place, key: str) -> InputError:
    return fail(message, place[0], f"{place[1]}.{key}")


def _older(version: str, than: str) -> bool:
    return driver_key(version) < driver_key(than)


def _branch(entry: Branch, known: Known, place: Place) -> None:
    for key in ("first_release", "last_release", "security_floor"):
        version = getattr(entry, key)
        if version is not None and branch_of(version) != entry.id:
            raise _wrong(f"{version} is no release of branch {entry.id}", place, key)
    if _older(entry.last_release, entry.first_release):
        raise _wrong(
            f"{entry.last_release} is older than the first release, {entry.first_release}",
            place,
            "last_release",
        )
    first = known.releases.get(entry.first_release)
    if first is None or first.released is None or entry.end_of_support is None:
        return
    if entry.end_of_support < first.released:
        raise _wrong(
            f"{entry.end_of_support} is before its first release, {entry.first_release} of "
            f"{first.released}",
            place,
            "end_of_support",
        )


def _release(entry: DriverRelease, known: Known, place: Place) -> None:
    branch = known.branches.get(branch_of(entry.version))
    first = known.releases.get(branch.first_release) if branch is not None else None
    if first is None or first.released is None or entry.released is None:
        return
    # A beta comes before the release that a branch is said to begin with (595.45.04, 595.58.03).
    if _older(entry.version, first.version):
        return
    if entry.released + _DAYS_APART < first.released:
        raise _wrong(
            f"{entry.released} is before the first release of its branch, {first.version} "
            f"of {first.released}",
            place,
            "released",
        )


def _toolkit(entry: Toolkit, known: Known, place: Place) -> None:
    if branch_of(entry.driver) not in known.branches:
        raise _wrong(f"{entry.driver} is in no driver branch", place, "driver")
    if _older(entry.driver, entry.minor_driver):
        raise _wrong(
            f"{entry.minor_driver} is newer than the driver for the full feature set, {entry.driver}",
            place,
            "minor_driver",
        )
    if _older(entry.cc_max, entry.cc_min):
        raise _wrong(f"{entry.cc_max} is lower than cc_min, {entry.cc_min}", place, "cc_max")


def _gpu(entry: Gpu, known: Known, place: Place) -> None:
    architecture = known.architectures[entry.architecture]
    fitting = architecture.compute_capabilities
    if fitting and entry.compute_capability not in fitting:
        raise _wrong(
            f"{architecture.name} has compute capability {' or '.join(fitting)}, not "
            f"{entry.compute_capability}",
            place,
            "compute_capability",
        )
    for number, pci_id in enumerate(entry.pci_ids):
        owner = known.owner(int(pci_id.partition(":")[2], 16))
        if owner is not None and owner.id != entry.architecture:
            raise _wrong(
                f"{pci_id} is in a range of {owner.name}, not of {architecture.name}",
                place,
                f"pci_ids[{number}]",
            )
    if architecture.open_modules == "required" and entry.open_modules != "required":
        raise _wrong(
            f"{architecture.name} needs the open modules, so this can't be {entry.open_modules!r}",
            place,
            "open_modules",
        )


def _architecture(entry: Architecture, known: Known, place: Place) -> None:
    for first, last in (("first_branch", "last_branch"), ("first_cuda", "last_cuda")):
        begin, end = getattr(entry, first), getattr(entry, last)
        if end is not None and _older(end, begin):
            raise _wrong(f"{end} is before {first}, {begin}", place, last)


def _limit(entry: KernelLimit, known: Known, place: Place) -> None:
    branch = known.branches.get(branch_of(entry.driver))
    if branch is not None and entry.flavour is not None and entry.flavour not in branch.flavours:
        raise _wrong(f"branch {branch.id} ships no {entry.flavour.value} modules", place, "flavour")


def _break(entry: StableBreak, known: Known, place: Place) -> None:
    for number, (series, good, bad) in enumerate(entry.series):
        if (good, bad) != (-1, -1) and not (0 <= good < bad or (good >= 0 and bad == -1)):
            raise _wrong(
                f"{series}: the last sublevel known good, {good}, must be below the first known "
                f"bad, {bad} (-1: not known)",
                place,
                f"series[{number}]",
            )


def _distribution(entry: DistributionRelease, known: Known, place: Place) -> None:
    for number, package in enumerate(entry.drivers):
        where = (place[0], f"{place[1]}.drivers[{number}]")
        branch = known.branches[package.branch]
        if package.flavour not in branch.flavours:
            ships = " and ".join(flavour.value for flavour in branch.flavours)
            raise _wrong(
                f"branch {branch.id} ships no {package.flavour.value} modules, only {ships}",
                where,
                "flavour",
            )
        if package.version and branch_of(package.version) != package.branch:
            raise _wrong(
                f"{package.version} is no release of branch {package.branch}", where, "version"
            )


def _framework(entry: Framework, known: Known, place: Place) -> None:
    toolkit = known.toolkits.get(entry.cuda)
    if toolkit is not None and _older(entry.driver_min, toolkit.minor_driver):
        raise _wrong(
            f"{entry.driver_min} can't run CUDA {entry.cuda}, which needs {toolkit.minor_driver}",
            place,
            "driver_min",
        )


def _scenario(entry: Scenario, known: Known, place: Place) -> None:
    if "container-toolkit" in entry.extras and not entry.containers:
        raise _wrong(
            "containers is false, but the container toolkit is among the extras",
            place,
            "containers",
        )
    for number, system in enumerate(entry.os):
        name = system.partition(":")[0]
        if name not in known.systems:
            near = guess(name, known.systems)
            raise _wrong(f"there is no distribution {name!r}{near}", place, f"os[{number}]")
    toolkit = known.toolkits.get(entry.pinned_cuda)
    if entry.pinned_cuda and toolkit is None:
        near = guess(entry.pinned_cuda, known.toolkits)
        raise _wrong(f"there is no CUDA toolkit {entry.pinned_cuda}{near}", place, "pinned_cuda")
    if not entry.pinned_driver:
        return
    branch = known.branches.get(branch_of(entry.pinned_driver))
    if branch is None:
        near = guess(branch_of(entry.pinned_driver), known.branches)
        raise _wrong(f"{entry.pinned_driver} is in no driver branch{near}", place, "pinned_driver")
    if branch.type not in entry.branch_types:
        raise _wrong(
            f"R{branch.id} is a branch of type {branch.type!r}, but branch_types has "
            f"{', '.join(entry.branch_types) or 'nothing'}",
            place,
            "pinned_driver",
        )
    if _older(entry.pinned_driver, branch.first_release):
        raise _wrong(
            f"branch {branch.id} begins with {branch.first_release}", place, "pinned_driver"
        )
    if toolkit is not None and _older(entry.pinned_driver, toolkit.minor_driver):
        raise _wrong(
            f"CUDA {toolkit.version} needs driver {toolkit.minor_driver} or newer, not "
            f"{entry.pinned_driver}",
            place,
            "pinned_cuda",
        )


def _bulletin(entry: Bulletin, known: Known, place: Place) -> None:
    for number, (branch, version) in enumerate(entry.fixed):
        if entry.component == "driver" and branch_of(version) != branch:
            raise _wrong(f"{version} is no release of branch {branch}", place, f"fixed[{number}]")


def _known_bad(entry: KnownBad, known: Known, place: Place) -> None:
    for key in ("last", "fixed"):
        version = getattr(entry, key)
        if version and _older(version, entry.first):
            raise _wrong(f"{version} is older than the first one, {entry.first}", place, key)
    for number, name in enumerate(entry.architectures):
        if name not in known.architectures:
            near = guess(name, known.architectures)
            raise _wrong(
                f"there is no architecture {name!r}{near}", place, f"architectures[{number}]"
            )


def _forward(entry: ForwardCompatibility, known: Known, place: Place) -> None:
    if entry.toolkit not in known.toolkits:
        near = guess(entry.toolkit, known.toolkits)
        raise _wrong(f"there is no CUDA toolkit {entry.toolkit}{near}", place, "toolkit")


_CHECKS: dict[type, Any] = {
    Bulletin: _bulletin,
    KnownBad: _known_bad,
    ForwardCompatibility: _forward,
    Branch: _branch,
    DriverRelease: _release,
    Toolkit: _toolkit,
    Gpu: _gpu,
    Architecture: _architecture,
    KernelLimit: _limit,
    StableBreak: _break,
    DistributionRelease: _distribution,
    Framework: _framework,
    Scenario: _scenario,
}


def check_boards() -> Callable[[Gpu, Place], None]:
    """A check of boards that remembers those it has seen.

    Two may share a PCI id only where the subsystem tells them apart. What it returns raises
    InputError: two boards are the same device.
    """
    seen: dict[str, Gpu] = {}

    def check(board: Gpu, place: Place) -> None:
        for number, pci_id in enumerate(board.pci_ids):
            other = seen.setdefault(pci_id, board)
            if other is not board and not (board.subsystem_ids or other.subsystem_ids):
                raise _wrong(
                    f"{pci_id} is the board {other.id!r} already; give subsystem_ids, or use that "
                    "id to replace it",
                    place,
                    f"pci_ids[{number}]",
                )

    return check
