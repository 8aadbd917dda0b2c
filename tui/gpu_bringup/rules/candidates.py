"""Every way to install a driver on a distribution release: what is on offer, and what was named."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.catalogue import Catalogue, DistributionRelease, DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.describe import pinned_driver
from gpu_bringup.rules.subject import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date


def was_out(catalogue: Catalogue, version: str, day: date) -> bool:
    """Was a release out on a day? One whose own date isn't known was not, where an older one of its
    branch wasn't; where nothing is known of its branch, it was."""
    if day >= catalogue.as_of:
        return True
    branch, key = branch_of(version), driver_key(version)
    return not any(
        release.released is not None and release.released > day and driver_key(name) <= key
        for name, release in catalogue.releases.items()
        if branch_of(name) == branch
    )


@lru_cache(maxsize=1024)
def newest_release(catalogue: Catalogue, branch: str, day: date | None = None) -> str:
    """The newest release of a branch on record; empty: none. Those that were only published for
    everybody, or as betas, aren't known to be in a package repository: they must be named.

    Args:
        day: releases that came out later don't count; None: all do.
    """
    versions = [
        version
        for version, release in catalogue.releases.items()
        if branch_of(version) == branch and release.channel not in ("public", "beta")
    ]
    known = catalogue.branches.get(branch)
    if known is not None and known.last_release:
        versions.append(known.last_release)
    if day is not None:
        versions = [version for version in versions if was_out(catalogue, version, day)]
    return max(versions, key=driver_key, default="")


def candidates(
    distribution: DistributionRelease, answers: Answers, catalogue: Catalogue
) -> tuple[Candidate, ...]:
    """All candidates of the wanted source; a driver that was named and nobody offers comes along,
    so that what it breaks can be told."""
    wish = pinned_driver(answers.driver)
    found = list(_offered(distribution, answers, catalogue, wish))
    flavours = {candidate.flavour for candidate in found if candidate.pinned}
    missing = answers.flavour and Flavour(answers.flavour) not in flavours
    if wish and (missing or not flavours):
        found += _nobodys(catalogue, wish, answers)
    return tuple(dict.fromkeys(found))


def _kind(package: DriverPackage, source: SourceKind | None) -> str:
    """Under which kind a package is offered, given the wanted source; empty: not at all."""
    if source is SourceKind.LOCAL:
        return SourceKind.LOCAL.value if package.source == "nvidia-repository" else ""
    if source is None or package.source == source.value:
        return package.source
    return ""


def _offered(
    distribution: DistributionRelease, answers: Answers, catalogue: Catalogue, wish: str
) -> Iterator[Candidate]:
    day = answers.today or catalogue.as_of
    for package in distribution.drivers:
        kind = _kind(package, answers.source)
        if not kind:
            continue
        branch = catalogue.branches.get(package.branch)
        version = package.version or newest_release(catalogue, package.branch, day)
        pinned = bool(wish) and wish in (package.branch, version)
        if version and (pinned or was_out(catalogue, version, day)):
            yield Candidate(package, version, package.flavour, branch, kind, pinned)
        # NVIDIA's repository keeps every release of a branch; a pin may name an older one.
        keeps_all = package.source == "nvidia-repository" and not package.version
        if "." in wish and not pinned and keeps_all and branch_of(wish) == package.branch:
            yield Candidate(_exact(package, wish), wish, package.flavour, branch, kind, True)


def _exact(package: DriverPackage, version: str) -> DriverPackage:
    """The same packages held at one version.

    NVIDIA's pinning package exists for branches and for exact versions: nvidia-driver-pinning-580
    and nvidia-driver-pinning-580.95.05 (Driver Installation Guide, version locking).
    """

    def narrow(name: str) -> str:
        suffix = f"-{package.branch}"
        return name[: -len(suffix)] + f"-{version}" if name.endswith(suffix) else name

    if not package.pin:
        # apt takes a pattern for a version: any packaging revision of exactly this release.
        return replace(
            package,
            version=version,
            package_version=f"{version}-*",
            packages=tuple(
                name if name == package.kernel_package else f"{name}={version}-*"
                for name in package.packages
            ),
        )
    pins = {name: narrow(name) for name in package.pin}
    return replace(
        package,
        version=version,
        pin=tuple(pins.values()),
        packages=tuple(pins.get(name, name) for name in package.packages),
    )


def _nobodys(catalogue: Catalogue, wish: str, answers: Answers) -> Iterator[Candidate]:
    name = branch_of(wish)
    branch = catalogue.branches.get(name)
    version = wish if "." in wish else newest_release(catalogue, name)
    flavours = branch.flavours if branch is not None and branch.flavours else tuple(Flavour)
    if answers.flavour:
        flavours = (Flavour(answers.flavour),)
    for flavour in flavours:
        package = DriverPackage(
            id=f"{version}-{flavour.value}",
            source="",
            branch=name,
            version=version,
            package_version="",
            flavour=flavour,
            route="dkms",
            kernel_package="",
            packages=(),
            components=(),
            repository="",
            pin=(),
            module_names=(),
            sources=(),
        )
        yield Candidate(package, version, flavour, branch, "", True)
