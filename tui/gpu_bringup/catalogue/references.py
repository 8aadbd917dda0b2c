"""Checks that need more than one entry: ids that must exist, ranges that must not overlap."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from gpu_bringup.catalogue.entries import fail, guess, shown
from gpu_bringup.model.boards import Chip, System
from gpu_bringup.model.catalogue import (
    Architecture,
    DistributionRelease,
    DriverPackage,
    Gpu,
    Scenario,
    StableBreak,
)

Place = tuple[str, str]
"""(file, key path)."""


class References:
    """The ids that entries may name."""

    def __init__(
        self,
        sources: Collection[str],
        architectures: Collection[str],
        branches: Collection[str],
        repositories: Collection[str],
    ) -> None:
        self._sources = sources
        self._architectures = architectures
        self._branches = branches
        self._repositories = repositories

    def check(self, entry: Any, place: Place) -> None:
        """Look at everything that one entry names.

        Raises:
            InputError: it names something that doesn't exist.
        """
        self._known_sources(entry, place)
        if isinstance(entry, Gpu):
            _known(entry.architecture, self._architectures, "architecture", place, "architecture")
            if entry.last_branch is not None:
                self._branch(entry.last_branch, place, "last_branch")
        elif isinstance(entry, Chip):
            _known(entry.architecture, self._architectures, "architecture", place, "architecture")
        elif isinstance(entry, System):
            self._branch(entry.first_branch, place, "first_branch")
        elif isinstance(entry, Architecture):
            self._branch(entry.first_branch, place, "first_branch")
            if entry.last_branch is not None:
                self._branch(entry.last_branch, place, "last_branch")
        elif isinstance(entry, StableBreak):
            for number, (branch, _) in enumerate(entry.fixed):
                self._branch(branch, place, f"fixed[{number}]")
        elif isinstance(entry, Scenario):
            for number, claim in enumerate(entry.claims):
                self._known_sources(claim, (place[0], f"{place[1]}.claims[{number}]"))
        elif isinstance(entry, DistributionRelease):
            for number, package in enumerate(entry.drivers):
                self._package(package, (place[0], f"{place[1]}.drivers[{number}]"))

    def _package(self, package: DriverPackage, place: Place) -> None:
        self._known_sources(package, place)
        self._branch(package.branch, place, "branch")
        if package.repository:
            _known(package.repository, self._repositories, "repository", place, "repository")
        elif package.source == "nvidia-repository":
            raise fail("a package of NVIDIA's needs the repository that has it", *place)
        if package.kernel_package not in {name.partition("=")[0] for name in package.packages}:
            raise fail(
                f"{package.kernel_package!r} isn't among the packages",
                place[0],
                f"{place[1]}.kernel_package",
            )

    def _branch(self, branch: str, place: Place, key: str) -> None:
        _known(branch, self._branches, "driver branch", place, key)

    def _known_sources(self, entry: Any, place: Place) -> None:
        for number, source in enumerate(getattr(entry, "sources", ())):
            _known(source, self._sources, "source", place, f"sources[{number}]")


def _known(value: str, known: Collection[str], word: str, place: Place, key: str) -> None:
    if value not in known:
        raise fail(
            f"there is no {word} {shown(value)}{guess(value, known)}", place[0], _at(place, key)
        )


def _at(place: Place, key: str) -> str:
    return f"{place[1]}.{key}"


def check_ranges() -> Callable[[Architecture, Place], None]:
    """A check of PCI ranges that remembers those it has seen: no two may overlap.

    What it returns raises InputError: a range ends before it begins, or overlaps an earlier one.
    """
    seen: list[tuple[int, int, str]] = []

    def check(entry: Architecture, place: Place) -> None:
        for number, (first, last) in enumerate(entry.pci_ranges):
            where = (place[0], _at(place, f"pci_ranges[{number}]"))
            if not 0 <= first <= last <= 0xFFFF:
                raise fail(f"{first:#06x} to {last:#06x} is no range of device ids", *where)
            for other_first, other_last, name in seen:
                if first <= other_last and other_first <= last:
                    raise fail(
                        f"{max(first, other_first):#06x} is already in a range of {name}", *where
                    )
            seen.append((first, last, entry.name))

    return check
