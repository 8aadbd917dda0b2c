"""Does this driver build on this kernel? What is known, with how it is known. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import InputError
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import branch_of, upstream_kernel
from gpu_bringup.rules.buildable import judge
from gpu_bringup.rules.describe import (
    find_distribution,
    misspelt_system,
    nearest,
    pinned_driver,
)
from gpu_bringup.rules.finding import Finding, Module
from gpu_bringup.rules.packaged import package_of
from gpu_bringup.rules.release import target_kernel
from gpu_bringup.rules.subject import urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import Catalogue, DistributionRelease, DriverPackage
    from gpu_bringup.model.trial import BuildEvidence
    from gpu_bringup.rules.subject import TargetKernel

_WORDS = {Verdict.OK: "builds", Verdict.VIOLATED: "fails", Verdict.UNKNOWN: "unknown"}
_VERBS = {
    Verdict.OK: "build",
    Verdict.VIOLATED: "fail",
    Verdict.UNKNOWN: "are another matter, and not known",
}
_FORETOLD = ("documented", "inferred")
_BASES = {"host": "measured"}


def assess(
    catalogue: Catalogue,
    driver: str,
    kernel: str,
    flavour: Flavour | None = None,
    os: str | None = None,
    evidence: Sequence[BuildEvidence] = (),
) -> dict[str, Any]:
    """Say whether a driver's modules build on a kernel.

    Args:
        driver: exact version ("580.178.04"), or of a distribution's package ("550.163.01-5.1").
        kernel: release as ``uname -r`` prints it.
        flavour: None judges every flavour that the branch has; it "builds" only if all do.
        os: "debian:13": which distribution's kernel it is, and whose package may carry patches.
        evidence: trial builds of this host.

    Returns:
        The document of ``compat --json``: verdict "builds", "fails" or "unknown"; basis "measured",
        "documented", "inferred" or "none"; ``flavours`` has both for each kind of modules.

    Raises:
        InputError: no driver version, no kernel release, a misspelt system. (A system that isn't known
            is no mistake: the answer says what holds without its packages.)
    """
    named = pinned_driver(driver)
    match = re.match(r"^(\d{3}(?:\.\d+){1,2})(-[A-Za-z0-9.+~]+)?$", named)
    if match is None:
        raise InputError(
            f"{driver!r} is no driver version",
            place="--driver",
            hint="Give one such as 580.178.04.",
        )
    version, revision = match[1], named if match[2] else ""
    if upstream_kernel(kernel) is None:
        raise InputError(
            f"{kernel!r} is no kernel release",
            place="--kernel",
            hint="Give it as uname -r prints it, such as 6.12.107+deb13-amd64.",
        )
    release = _release(catalogue, os)
    family = release.family if release else _family(catalogue, os)
    target = target_kernel(kernel, family=family, abis=catalogue.kernel_abis)
    if target.realtime:
        return _document(
            "unknown",
            "none",
            f"{kernel} is a PREEMPT_RT kernel: DKMS leaves it out, and NVIDIA doesn't support it.",
        )
    results = [
        (each, _judged(catalogue, version, revision, each, target, release, evidence))
        for each in ([flavour] if flavour is not None else _flavours(catalogue, version))
    ]
    document = _combine(results)
    if os and release is None:
        document["detail"] += (
            f" (The system {os} isn't in this catalogue: whether its own packages carry patches isn't "
            "known; this is of NVIDIA's release.)"
        )
    return document


def _family(catalogue: Catalogue, os: str | None) -> str:
    """The family of a system of which only other versions are known ("ubuntu:25.10"); "" if none is."""
    name = (os or "").lower().partition(":")[0]
    return next((r.family for r in catalogue.distributions if r.os_id == name), "")


def _release(catalogue: Catalogue, os: str | None) -> DistributionRelease | None:
    if not os:
        return None
    release = find_distribution(os, catalogue)
    if release is None and misspelt_system(os, catalogue):
        known = [f"{r.os_id}:{r.version}" for r in catalogue.distributions]
        raise InputError(f"the system {os!r} isn't known", place="--os", hint=nearest(os, known))
    return release


def _flavours(catalogue: Catalogue, driver: str) -> tuple[Flavour, ...]:
    branch = catalogue.branches.get(branch_of(driver))
    return branch.flavours if branch is not None and branch.flavours else tuple(Flavour)


def _judged(
    catalogue: Catalogue,
    driver: str,
    revision: str,
    flavour: Flavour,
    kernel: TargetKernel,
    release: DistributionRelease | None,
    evidence: Sequence[BuildEvidence],
) -> tuple[Finding, ...]:
    branch = catalogue.branches.get(branch_of(driver))
    if branch is not None and flavour not in branch.flavours:
        others = " and ".join(f"the {each.value} ones" for each in branch.flavours)
        detail = f"R{branch.id} has no {flavour.value} modules, only {others}."
        sources = urls(catalogue, branch.sources)
        return (Finding("driver-kernel", Verdict.VIOLATED, "documented", detail, sources),)
    if revision:
        package: DriverPackage | None = package_of(revision, flavour)
    else:
        package = _package(release, driver, flavour)
    packaged = package is None and release is not None and release.family == "debian"
    found = judge(catalogue, Module(driver, flavour, package, packaged), kernel, evidence)
    head = found[0]
    foretold = head.verdict is Verdict.VIOLATED and head.basis in _FORETOLD
    if revision and foretold and not _on_record(catalogue, revision):
        detail = (
            f"Of NVIDIA's own release: {head.detail} What {revision} carries in patches of the "
            "distribution's isn't on record: only a build shows."
        )
        return (Finding("driver-kernel", Verdict.UNKNOWN, "none", detail, head.sources), *found)
    return found


def _on_record(catalogue: Catalogue, revision: str) -> bool:
    """Is anything known of exactly this package version?"""
    return (
        any(row.package == revision for row in catalogue.package_limits)
        or any(revision in row.package.replace("=", " ").split() for row in catalogue.builds)
        or any(
            package.package_version == revision
            for release in catalogue.distributions
            for package in release.drivers
        )
    )


def _package(
    release: DistributionRelease | None, driver: str, flavour: Flavour
) -> DriverPackage | None:
    """The distribution's own package of that version, which may carry patches."""
    for package in release.drivers if release is not None else ():
        if package.version == driver and package.flavour is flavour:
            return package
    return None


def _combine(results: list[tuple[Flavour, tuple[Finding, ...]]]) -> dict[str, Any]:
    heads = [(flavour, found[0]) for flavour, found in results]
    for verdict in (Verdict.VIOLATED, Verdict.UNKNOWN, Verdict.OK):
        deciding = [(flavour, head) for flavour, head in heads if head.verdict is verdict]
        if deciding:
            break
    order = ("host", "measured", "documented", "inferred", "none")
    deciding.sort(key=lambda item: order.index(item[1].basis))
    # A failure is as sure as its best proof, a build of both kinds only as sure as the lesser.
    basis = deciding[-1 if verdict is Verdict.OK else 0][1].basis
    detail = _told(deciding)
    others = [(flavour, head) for flavour, head in heads if head.verdict is not verdict]
    for flavour, head in others:
        detail += (
            f" The {flavour.value} modules {_VERBS[head.verdict]}. {head.detail}"
            f" (Ask again with --flavour {flavour.value}.)"
        )
    error = next((head.first_error for _, head in deciding if head.first_error), "")
    # What agrees with the first is told only where it speaks against the build.
    sources = [
        url
        for _, found in results
        for place, finding in enumerate(found)
        if place == 0 or finding.verdict is not Verdict.OK
        for url in finding.sources
    ]
    flavours = {
        flavour.value: {
            "verdict": _WORDS[head.verdict],
            "basis": _BASES.get(head.basis, head.basis),
        }
        for flavour, head in heads
    }
    return _document(_WORDS[verdict], _BASES.get(basis, basis), detail, error, sources, flavours)


def _told(deciding: list[tuple[Flavour, Finding]]) -> str:
    """The deciding sentences; one that holds for both flavours is told once, without them."""
    plain = {head.detail.replace(f" {flavour.value}", "") for flavour, head in deciding}
    if len(deciding) > 1 and len(plain) == 1:
        return plain.pop()
    return " ".join(dict.fromkeys(head.detail for _, head in deciding))


def _document(
    verdict: str,
    basis: str,
    detail: str,
    first_error: str = "",
    sources: Sequence[str] = (),
    flavours: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    return {
        "schema": 1,
        "verdict": verdict,
        "basis": basis,
        "detail": detail,
        "first_error": first_error or None,
        "sources": list(dict.fromkeys(sources)),
        "flavours": flavours or {},
    }
