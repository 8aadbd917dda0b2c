"""API changes that were taken over into long-term kernels: the sublevel and the flavour decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.finding import Finding, Module, series_of
from gpu_bringup.rules.subject import TargetKernel, urls

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue, StableBreak


def breaks(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> list[Finding]:
    """What each known change means for this module on this kernel; nothing where it has no bearing.

    Source of the idea: in July 2026 long-term kernels took over a change of Linux 6.19, and open
    modules that had built for years stopped building (the catalogue names the incidents).
    """
    findings = []
    for item in catalogue.stable_breaks:
        if item.flavour is module.flavour:
            finding = _one_break(catalogue, item, module, kernel)
            if finding is not None:
                findings.append(finding)
    return findings


def _fixed(item: StableBreak, driver: str) -> tuple[bool | None, str]:
    """(does this version carry the fix, words for where the fix begins); None: not known."""
    fixed = dict(item.fixed)
    branch = branch_of(driver)
    if branch in fixed:
        first = fixed[branch]
        if first == "all":
            return True, f"every R{branch} release has the fix"
        if first == "never":
            return False, f"no R{branch} release has the fix"
        return driver_key(driver) >= driver_key(first), f"R{branch} has the fix from {first}"
    numbers = sorted(int(name) for name in fixed)
    number = int(branch)
    if not numbers or number > numbers[-1]:
        return True, f"R{branch} is newer than the change"
    older = [n for n in numbers if n < number]
    newer = [n for n in numbers if n > number]
    if older and newer and fixed[str(older[-1])] == fixed[str(newer[0])] == "never":
        return False, f"no R{branch} release has the fix"
    return None, f"which R{branch} release has the fix isn't known"


def _reached(item: StableBreak, kernel: TargetKernel) -> bool | None:
    """Has this kernel the API change? None: not known."""
    upstream = kernel.upstream
    if upstream is None or kernel.vendor:
        return None
    series = (upstream.major, upstream.minor)
    if series >= series_of(item.mainline):
        return True
    for name, last_good, first_bad in item.series:
        if series_of(name) != series:
            continue
        if upstream.sublevel is None:
            return None
        if 0 < first_bad <= upstream.sublevel:
            return True
        if upstream.sublevel <= last_good:
            return False
        return None
    return None if kernel.stable_patches and item.series else False


def _by_mainline(item: StableBreak, kernel: TargetKernel) -> bool:
    upstream = kernel.upstream
    return upstream is not None and (upstream.major, upstream.minor) >= series_of(item.mainline)


def _one_break(
    catalogue: Catalogue, item: StableBreak, module: Module, kernel: TargetKernel
) -> Finding | None:
    fixed, words = _fixed(item, module.driver)
    reached = _reached(item, kernel)
    sources = urls(catalogue, item.sources)
    label = module.label
    if reached is False:
        return None
    if fixed:
        if not _says_something(item, module):
            return None
        change = "carries" if reached else "may carry"
        detail = (
            f"{kernel.label} {change} the {item.id} change, and {label} copes with it: {words}."
        )
        return Finding("stable-break", Verdict.OK, "documented", detail, sources)
    if reached and fixed is False and module.patched and _by_mainline(item, kernel):
        # Distributions patch old drivers for new mainline kernels; their own stable updates
        # are what takes them by surprise.
        detail = (
            f"{kernel.label} carries the {item.id} change; {words} upstream, but the distribution may "
            "have patched its package: only a build shows."
        )
        return Finding("stable-break", Verdict.UNKNOWN, "none", detail, sources)
    if reached and fixed is False:
        detail = (
            f"{kernel.label} carries the {item.id} change, on which {label} modules fail to compile "
            f"(“{item.symptom}”): {words}."
        )
        return Finding(
            "stable-break",
            Verdict.VIOLATED,
            "documented",
            detail,
            sources,
            first_error=item.symptom,
        )
    if reached:
        detail = f"{kernel.label} carries the {item.id} change; {words}."
    elif kernel.vendor:
        detail = (
            f"{kernel.label} is a vendor kernel with backports: whether it has the {item.id} change "
            f"isn't known, and {words}."
        )
    elif kernel.stable_patches:
        detail = (
            f"{kernel.stable_patches} takes stable patches over without changing the number: whether "
            f"{kernel.label} has the {item.id} change wasn't verified, and {words}."
        )
    else:
        detail = (
            f"Whether {kernel.label} already has the {item.id} change isn't known (the release doesn't "
            f"tell the sublevel, or it lies between the last good and the first bad one), and {words}."
        )
    return Finding("stable-break", Verdict.UNKNOWN, "none", detail, sources)


def _says_something(item: StableBreak, module: Module) -> bool:
    """A fix that came in within the branch is worth a line; one that is older than it isn't."""
    first = dict(item.fixed).get(branch_of(module.driver), "all")
    return first not in ("all", "never")
