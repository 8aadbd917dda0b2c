"""Keep what is installed, where nothing rules it out; say why where something does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.build_errors import cause_of_build_error
from gpu_bringup.ladder.failed_build import HOPELESS
from gpu_bringup.ladder.series import core_versions
from gpu_bringup.ladder.view import upstream_version
from gpu_bringup.model.target import Assessment, Reason, Recommendation, Verdict
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.model.facts import DkmsBuild, Facts
    from gpu_bringup.model.target import Target

_ABOUT_BUILDS = frozenset({"driver-kernel", "stable-break", "measured-build"})
"""They count as long as a module is still to be built: one that is there was built all the same."""
# Rules that speak about a choice still to be made; a driver that is there already is not undone for
# their sake (its notes are shown all the same).
_ABOUT_CHOOSING = _ABOUT_BUILDS | {
    "lifecycle",
    "branch-type",
    "security-floor",
    "source-reachable",
    "compiler-kernel",
    "secure-boot-route",
    "os-lifecycle",
    "kernel-lifecycle",
}
KEPT = "already-installed"
"""Rule of the reason that a kept driver carries."""


def installed_versions(facts: Facts) -> dict[str, str]:
    """Package -> version of everything installed that matters; empty where it is unknown."""
    if isinstance(facts.packages.installed, Unknown):
        return {}
    found = facts.packages.installed
    # What only waits to be configured is here: finishing it is less than another driver.
    return {item.name: item.version for item in found if item.installed or item.half_done}


def _present(assessment: Assessment, versions: dict[str, str]) -> str | None:
    """Version of the installed package with this candidate's modules, for whatever kernel; else None."""
    name = assessment.target.package.kernel_package
    if not name:
        return None
    # Ready-made modules are one package a kernel: after an upgrade the new kernel's is what lacks.
    pattern = re.escape(name).replace(re.escape("{kernel}"), r"\d\S*")
    return next((v for package, v in versions.items() if re.fullmatch(pattern, package)), None)


def is_installed(assessment: Assessment, versions: dict[str, str]) -> bool:
    """Is the package with this candidate's modules installed (in its version, where it names one)?"""
    package, found = assessment.target.package, _present(assessment, versions)
    if found is None:
        return False
    if package.package_version and found != package.package_version:
        return False
    # Sources share names of packages: the branch tells which of them it came from.
    installed = upstream_version(found)
    return not installed or not package.branch_certain or branch_of(installed) == package.branch


def failed_build(facts: Facts, version: str, kernels: tuple[str, ...]) -> DkmsBuild | None:
    """The build of this driver version that failed at the driver's own source, for one of ``kernels``."""
    if isinstance(facts.modules.dkms, Unknown):
        return None
    for build in facts.modules.dkms:
        own = build.module.startswith("nvidia") and build.version == version
        failed = build.state == "failed" and build.kernel in kernels and build.first_error
        if own and failed and cause_of_build_error(build.first_error) in HOPELESS:
            return build
    return None


def _built_everywhere(assessment: Assessment, facts: Facts) -> bool:
    """Is a module of this version there for each kernel of the target? Unknown ones count as there."""
    target = assessment.target
    if isinstance(facts.modules.files, Unknown):
        return False
    there = {
        file.kernel
        for file in facts.modules.files
        if file.name == "nvidia"
        and (isinstance(file.version, Unknown) or file.version == target.driver.version)
    }
    return all(release in there for release in target.kernels)


def _may_stay(assessment: Assessment, facts: Facts) -> bool:
    target = assessment.target
    if failed_build(facts, target.driver.version, target.kernels) is not None:
        return False
    built = _built_everywhere(assessment, facts)
    allowed = _ABOUT_CHOOSING if built else _ABOUT_CHOOSING - _ABOUT_BUILDS
    return all(reason.rule in allowed for reason in assessment.blocked_by)


def prefer_installed(
    recommendation: Recommendation,
    facts: Facts,
    exact: Callable[[str], Recommendation] | None = None,
) -> Recommendation:
    """The recommendation with the installed candidate first, if there is one that may stay.

    Args:
        exact: judges one driver version as if it had been asked for; so that an installed release
            that isn't its branch's newest stays as well. None: the newest stands for its branch.
    """
    versions = installed_versions(facts)
    if not versions:
        return recommendation
    chosen = recommendation.chosen
    everyone = [
        *([chosen] if chosen is not None else []),
        *(a for a, _ in recommendation.alternatives),
    ]
    for assessment in everyone:
        if not is_installed(assessment, versions):
            continue
        same = _as_installed(assessment, facts, versions, exact)
        if same is assessment and assessment is chosen:
            return recommendation
        if _may_stay(same, facts):
            return _moved_first(recommendation, assessment, same)
    return recommendation


def _as_installed(
    assessment: Assessment,
    facts: Facts,
    versions: dict[str, str],
    exact: Callable[[str], Recommendation] | None,
) -> Assessment:
    """The candidate in the release that is installed, whole and in one version; else as it is."""
    target = assessment.target
    installed = upstream_version(_present(assessment, versions) or "")
    whole = core_versions(facts) == {installed}
    open_choice = not target.package.version and target.package.branch_certain
    if exact is None or not whole or not open_choice or installed == target.driver.version:
        return assessment
    found = exact(installed)
    known = [*([found.chosen] if found.chosen else []), *(item for item, _ in found.alternatives)]
    for item in known:
        other = item.target
        alike = other.driver.version == installed and other.driver.flavour is target.driver.flavour
        if alike and other.source_kind == target.source_kind:
            return replace(
                item, target=replace(other, package=target.package, extras=target.extras)
            )
    return assessment


def _moved_first(
    recommendation: Recommendation, offered: Assessment, assessment: Assessment
) -> Recommendation:
    previous = recommendation.chosen
    reasons = tuple(
        replace(reason, blocking=False) if reason.rule in _ABOUT_CHOOSING else reason
        for reason in assessment.reasons
    )
    kept = Reason(
        rule=KEPT,
        verdict=Verdict.OK,
        detail="it is installed here already, and nothing about this hardware rules it out",
        sources=("package database of this host",),
        blocking=False,
    )
    loud = tuple(
        reason.detail
        for reason in assessment.blocked_by
        if reason.verdict is Verdict.VIOLATED and reason.detail not in recommendation.notes
    )
    others = [(item, why) for item, why in recommendation.alternatives if item is not offered]
    if previous is not None:
        why = "better for a new host, but another driver is installed; name it with --driver to change"
        others.insert(0, (previous, why))
    return replace(
        recommendation,
        status="recommended",
        chosen=replace(assessment, reasons=(*reasons, kept)),
        alternatives=tuple(others),
        notes=(*recommendation.notes, *loud),
    )


def kept(recommendation: Recommendation) -> Assessment | None:
    """The chosen candidate where it is the installed driver that stays; else None."""
    chosen = recommendation.chosen
    stays = chosen is not None and any(reason.rule == KEPT for reason in chosen.reasons)
    return chosen if stays else None


def why_moved(recommendation: Recommendation, facts: Facts) -> str:
    """Why the target is another driver than the installed one, with evidence; empty: it is the same.

    A sentence or two for the plan. Where nothing stands against the installed one, the move was
    asked for.
    """
    chosen, versions = recommendation.chosen, installed_versions(facts)
    if chosen is None or not versions:
        return ""
    new = chosen.target
    everyone = [(chosen, ""), *recommendation.alternatives]
    there = [
        (item, why, found)
        for item, why in everyone
        if (found := _present(item, versions)) is not None
    ]
    for item, _, found in there:
        old = item.target
        version = upstream_version(found)
        # A package of ready-made modules has the kernel's version: its name tells the branch.
        alike = not version and old.package.kernel_package == new.package.kernel_package
        same = alike or version == new.driver.version or not new.package.branch_certain
        if same and old.driver.flavour is new.driver.flavour:
            return ""
    if not there:
        return ""
    item, why, found = next(
        (entry for entry in there if is_installed(entry[0], versions)), there[0]
    )
    version = upstream_version(found)
    release = version or f"R{item.target.driver.branch}"
    name = f"{release} {item.target.driver.flavour.value}, which is installed,"
    build = failed_build(facts, version, new.kernels)
    if build is not None:
        return (
            f"{name} does not compile on {build.kernel}: “{build.first_error}” ({build.log_path}). "
            f"Therefore {new.driver.version} {new.driver.flavour.value} takes its place."
        )
    against = _against(item, why) if version == item.target.driver.version else ""
    if against:
        return (
            f"{name} can't stay: {against} Therefore {new.driver.version} "
            f"{new.driver.flavour.value} takes its place."
        )
    return f"{name} is replaced by {new.driver.version} {new.driver.flavour.value}, as was chosen."


def _against(item: Assessment, why: str) -> str:
    """What stands against an installed candidate; what only speaks of choices is left out."""
    hard = [r for r in item.blocked_by if r.rule not in _ABOUT_CHOOSING - _ABOUT_BUILDS]
    texts = list(dict.fromkeys(reason.detail for reason in hard))
    if not texts and re.search(r"\bd(?:oes|id) not compile", why):
        texts = [f"{why}."]
    return " ".join(text if text.endswith(".") else f"{text}." for text in texts[:2])


def with_reason(
    target: Target | None, recommendation: Recommendation, facts: Facts
) -> Target | None:
    """The target with the reason for leaving the installed driver, where it does."""
    if target is None:
        return None
    reason = why_moved(recommendation, facts)
    return replace(target, instead=reason) if reason else target
