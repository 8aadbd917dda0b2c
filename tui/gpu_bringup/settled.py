"""Keep what is installed, where nothing rules it out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.model.target import Assessment, Reason, Recommendation, Verdict
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Facts

# Rules that speak about a choice still to be made; a driver that is there already is not undone for
# their sake (its notes are shown all the same).
_ABOUT_CHOOSING = frozenset(
    {
        "lifecycle",
        "branch-type",
        "security-floor",
        "source-reachable",
        "driver-kernel",
        "stable-break",
        "measured-build",
        "compiler-kernel",
        "secure-boot-route",
        "os-lifecycle",
        "kernel-lifecycle",
    }
)


def installed_versions(facts: Facts) -> dict[str, str]:
    """Package -> version of everything installed that matters; empty where it is unknown."""
    if isinstance(facts.packages.installed, Unknown):
        return {}
    return {item.name: item.version for item in facts.packages.installed if item.installed}


def is_installed(assessment: Assessment, versions: dict[str, str]) -> bool:
    """Is the package with this candidate's modules installed (in its version, where it names one)?"""
    package = assessment.target.package
    for release in assessment.target.kernels or ("",):
        name = package.kernel_package.replace("{kernel}", release)
        found = versions.get(name)
        if found is None:
            return False
        if package.package_version and found != package.package_version:
            return False
    return True


def prefer_installed(recommendation: Recommendation, facts: Facts) -> Recommendation:
    """The recommendation with the installed candidate first, if there is one that may stay."""
    versions = installed_versions(facts)
    chosen = recommendation.chosen
    if not versions or (chosen is not None and is_installed(chosen, versions)):
        return recommendation
    for assessment, _ in recommendation.alternatives:
        if not is_installed(assessment, versions):
            continue
        if any(reason.rule not in _ABOUT_CHOOSING for reason in assessment.blocked_by):
            continue
        return _moved_first(recommendation, assessment)
    return recommendation


def _moved_first(recommendation: Recommendation, assessment: Assessment) -> Recommendation:
    previous = recommendation.chosen
    reasons = tuple(
        replace(reason, blocking=False) if reason.rule in _ABOUT_CHOOSING else reason
        for reason in assessment.reasons
    )
    kept = Reason(
        rule="already-installed",
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
    others = [(item, why) for item, why in recommendation.alternatives if item is not assessment]
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
