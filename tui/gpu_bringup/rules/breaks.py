"""Changes of the kernel's API, in mainline and as taken over into long-term and vendor kernels."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from gpu_bringup.model.target import Verdict
from gpu_bringup.rules.finding import Finding, Module, series_of
from gpu_bringup.rules.fixes import Fix, fix
from gpu_bringup.rules.packaged import patched_up_to
from gpu_bringup.rules.subject import TargetKernel, urls

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue, StableBreak

_VENDOR = re.compile(r"^([\d.]+)-(\d+)\.(\w+)$")
"""A build of a vendor's kernel: base, build number, tag of the system."""


def breaks(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> list[Finding]:
    """What each known change means for this module on this kernel; nothing where it has no bearing.

    Source of the idea: in July 2026 long-term kernels took over a change of Linux 6.19, and open
    modules that had built for years stopped building (the catalogue names the incidents).
    """
    findings = []
    for item, has in met(catalogue, kernel):
        if item.flavour in (None, module.flavour):
            finding = _one_break(catalogue, item, has, module, kernel)
            if finding is not None:
                findings.append(finding)
    return findings


def copes(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, after: tuple[int, int]
) -> tuple[StableBreak, ...] | None:
    """The changes that the kernel has since ``after`` (a series), all of which the module copes with.

    None: of one of them it isn't known (or it doesn't), or the kernel isn't upstream's.
    """
    upstream = kernel.upstream
    if upstream is None or kernel.vendor:
        return None
    found = []
    for item, _ in met(catalogue, kernel):
        if item.flavour not in (None, module.flavour):
            continue
        if not fix(item, module.driver).known:
            return None
        if after < series_of(item.mainline) <= (upstream.major, upstream.minor):
            found.append(item)
    return tuple(found)


@lru_cache(maxsize=4096)
def met(
    catalogue: Catalogue, kernel: TargetKernel
) -> tuple[tuple[StableBreak, Literal[True] | None], ...]:
    """The changes that a kernel has (True), or of which that isn't known (None)."""
    found = ((item, reached(item, kernel)) for item in catalogue.stable_breaks)
    return tuple((item, has) for item, has in found if has is not False)


def reached(item: StableBreak, kernel: TargetKernel) -> bool | None:
    """Has this kernel the API change? None: not known."""
    upstream = kernel.upstream
    if upstream is None:
        return None
    if kernel.vendor:
        return True if _in_vendor(item, kernel.release) else None
    series = (upstream.major, upstream.minor)
    if series >= series_of(item.mainline):
        return not any(
            series >= series_of(name) >= series_of(item.mainline) for name, _ in item.healed
        )
    for name, last_good, first_bad in item.series:
        if series_of(name) == series:
            sublevel = upstream.sublevel
            if sublevel is None:
                return False if _older_ubuntu(item, kernel, upstream.series) else None
            return _in_series(sublevel, last_good, first_bad, dict(item.healed).get(name))
    if not kernel.stable_patches or not item.series:
        return False
    return False if _older_ubuntu(item, kernel, upstream.series) else None


def _in_series(sublevel: int, last_good: int, first_bad: int, healed: int | None) -> bool | None:
    if healed is not None and sublevel >= healed:
        return False
    if 0 < first_bad <= sublevel:
        return True if healed is None or sublevel == first_bad else None
    return False if sublevel <= last_good else None


def _older_ubuntu(item: StableBreak, kernel: TargetKernel, series: str) -> bool:
    """Is it a kernel of Ubuntu's that was built before the change was made?"""
    match = re.match(r"^\d+\.\d+\.0-(\d+)-generic$", kernel.release)
    newest = dict(item.ubuntu).get(series)
    return match is not None and newest is not None and int(match[1]) <= newest


def _in_vendor(item: StableBreak, release: str) -> bool:
    """Is it one of the vendor kernels that have the change, or a later build of the same base?"""
    for name in item.vendors:
        base, first, tag = _VENDOR.findall(name)[0]
        match = re.match(re.escape(base) + r"-(\d+)\.", release)
        if match is not None and int(match[1]) >= int(first) and f".{tag}" in release:
            return True
    return False


def _by_mainline(item: StableBreak, kernel: TargetKernel) -> bool:
    upstream = kernel.upstream
    return upstream is not None and (upstream.major, upstream.minor) >= series_of(item.mainline)


def _carries(item: StableBreak, kernel: TargetKernel) -> str:
    return f"{kernel.label} has the {item.id} change"


def _fails(item: StableBreak, module: Module, kernel: TargetKernel, known: Fix) -> str:
    error = f" (“{item.symptom}”)" if item.symptom else ""
    return (
        f"{_carries(item, kernel)} of Linux {item.mainline}, on which {module.label} modules fail to "
        f"compile{error}: {known.words}."
    )


def _one_break(
    catalogue: Catalogue,
    item: StableBreak,
    has: Literal[True] | None,
    module: Module,
    kernel: TargetKernel,
) -> Finding | None:
    known = fix(item, module.driver)
    if known.known and not (has and known.within):
        return None
    sources = urls(catalogue, item.sources)
    if known.known:
        detail = f"{_carries(item, kernel)}, and {module.label} copes with it: {known.words}."
        return Finding("stable-break", Verdict.OK, "documented", detail, sources)
    if kernel.vendor and not has:
        return None  # what isn't known of a vendor kernel is told once, by the limit
    if module.patched and not kernel.vendor:
        # Distributions patch old drivers for new mainline kernels; their own stable updates
        # are what takes them by surprise.
        limit = patched_up_to(catalogue, module)
        if limit is not None and series_of(limit.newest) >= series_of(item.mainline):
            return None
        if limit is None and _by_mainline(item, kernel):
            detail = (
                f"{_carries(item, kernel)}; {known.words} upstream, but the distribution may "
                "have patched its package: only a build shows."
            )
            return Finding("stable-break", Verdict.UNKNOWN, "none", detail, sources)
    if has and known.known is False:
        return Finding(
            "stable-break",
            Verdict.VIOLATED,
            "documented",
            _fails(item, module, kernel, known),
            sources,
            first_error=item.symptom,
        )
    if has:
        detail = f"{_carries(item, kernel)}; {known.words}."
    elif kernel.stable_patches:
        detail = (
            f"{kernel.stable_patches} takes stable patches over without changing the number: whether "
            f"{kernel.label} has the {item.id} change wasn't verified, and {known.words}."
        )
    else:
        detail = (
            f"Whether {kernel.label} already has the {item.id} change isn't known (the release doesn't "
            f"tell the sublevel, or it lies between the last good and the first bad one), and "
            f"{known.words}."
        )
    return Finding("stable-break", Verdict.UNKNOWN, "none", detail, sources)
