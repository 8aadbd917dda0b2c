"""The newest upstream kernel that a driver release is known to build on."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import UpstreamKernel, branch_of, driver_key
from gpu_bringup.rules.breaks import copes, met
from gpu_bringup.rules.finding import Finding, Module, series_of
from gpu_bringup.rules.fixes import fix
from gpu_bringup.rules.packaged import patched_up_to
from gpu_bringup.rules.subject import TargetKernel, urls
from gpu_bringup.rules.vendor import RULE, on_vendor_kernel

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue, KernelLimit

_OLDEST = ((555, "4.15"), (495, "3.10"), (0, "2.6.32"))
"""(first branch, oldest kernel that its makefile accepts), by the README and the release notes of
470, 495.44, 525 to 550, 555.42.02 and 595.45.04 (source "nvidia-readme")."""


def _within(kernel: UpstreamKernel, newest: str) -> bool | None:
    """Is the kernel not newer than ``newest`` ("6.12" or "6.6.14")? None: its sublevel decides."""
    key = driver_key(newest)
    mine, limit = (kernel.major, kernel.minor), series_of(newest)
    if mine != limit or len(key) < 3:
        return mine <= limit
    return None if kernel.sublevel is None else kernel.sublevel <= key[2]


@lru_cache(maxsize=1024)
def _rows(catalogue: Catalogue, module: Module) -> tuple[KernelLimit | None, KernelLimit | None]:
    """(the newest entry not newer than the driver, the next newer one), of its branch and flavour."""
    branch, key = branch_of(module.driver), driver_key(module.driver)
    rows = [
        row
        for row in catalogue.kernel_limits
        if branch_of(row.driver) == branch and row.flavour in (None, module.flavour)
    ]
    # An entry of one flavour is more exact than one for both of the same version.
    rows.sort(key=lambda row: (driver_key(row.driver), row.flavour is not None))
    older = [row for row in rows if driver_key(row.driver) <= key]
    newer = [row for row in rows if driver_key(row.driver) > key]
    return (older[-1] if older else None), (newer[0] if newer else None)


def frontier(catalogue: Catalogue) -> tuple[int, int]:
    """The newest series that any driver on record is known to build on."""
    return max((series_of(entry.newest) for entry in catalogue.kernel_limits), default=(0, 0))


def limit(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> Finding:
    """Hold the kernel against the entries of the driver's branch.

    A release without an entry of its own lies between two: what both say holds for it. What they
    disagree on is decided by the changes of the kernel in between, where each of them is known; else
    it isn't known. Vendor kernels are never compared.
    """
    if kernel.upstream is None:
        what = (
            "No kernel was named"
            if not kernel.release
            else f"{kernel.release} is no kernel release"
        )
        return _unknown(f"{what}: whether {module.label} builds can't be told.")
    if kernel.vendor:
        return on_vendor_kernel(catalogue, module, kernel)
    old = _too_old(catalogue, module, kernel.upstream, kernel)
    if old is not None:
        return old
    patched = _by_package(catalogue, module, kernel.upstream, kernel)
    return patched or _by_rows(catalogue, module, kernel.upstream, kernel)


def _unknown(detail: str, sources: tuple[str, ...] = ()) -> Finding:
    return Finding(RULE, Verdict.UNKNOWN, "none", detail, sources)


def _too_old(
    catalogue: Catalogue, module: Module, upstream: UpstreamKernel, kernel: TargetKernel
) -> Finding | None:
    number = int(branch_of(module.driver))
    oldest = next(text for first, text in _OLDEST if number >= first)
    if (upstream.major, upstream.minor) >= series_of(oldest):
        return None
    detail = f"R{number} drivers need Linux {oldest} or newer; this is {kernel.label}."
    return Finding(
        RULE, Verdict.VIOLATED, "documented", detail, urls(catalogue, ("nvidia-readme",))
    )


def _by_package(
    catalogue: Catalogue, module: Module, upstream: UpstreamKernel, kernel: TargetKernel
) -> Finding | None:
    """What the changelog of a distribution's patched package says it is for."""
    row = patched_up_to(catalogue, module)
    if row is None or not _within(upstream, row.newest):
        return None
    detail = (
        f"The distribution's package {row.package} of {module.label} has patches for kernels up to "
        f"Linux {row.newest}; this is {kernel.label}."
    )
    return Finding(RULE, Verdict.OK, "documented", detail, urls(catalogue, row.sources))


def _by_rows(
    catalogue: Catalogue, module: Module, upstream: UpstreamKernel, kernel: TargetKernel
) -> Finding:
    older, newer = _rows(catalogue, module)
    label = module.label
    if older is None:
        if newer is not None and _within(upstream, newer.newest) is False:
            return _beyond(catalogue, module, kernel, newer)
        return _unknown(
            f"No record says up to which kernel {label} builds; this is {kernel.label}."
        )
    within = _within(upstream, older.newest)
    sources = urls(catalogue, older.sources)
    exact = driver_key(older.driver) == driver_key(module.driver)
    of = label if exact else f"{label} (as {older.driver}, the nearest release on record)"
    if within:
        detail = f"{of} is known for kernels up to Linux {older.newest}; this is {kernel.label}."
        return Finding(RULE, Verdict.OK, "inferred", detail, sources)
    if within is None:
        return _unknown(
            f"{of} is known up to Linux {older.newest}, and {kernel.release} doesn't tell its "
            "sublevel.",
            sources,
        )
    if exact or (newer is not None and _within(upstream, newer.newest) is False):
        return _beyond(catalogue, module, kernel, older)
    better = _by_changes(catalogue, module, kernel, older)
    if better is not None:
        return better
    if newer is None:
        return _unknown(
            f"{older.driver} is known up to Linux {older.newest}; nothing is on record for "
            f"{label}, which is newer, on {kernel.label}.",
            sources,
        )
    return _unknown(
        f"{older.driver} is known up to Linux {older.newest}, {newer.driver} up to {newer.newest}; "
        f"{label} lies between them, so {kernel.label} is open.",
        sources,
    )


def _by_changes(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, row: KernelLimit
) -> Finding | None:
    """It builds if it copes with every change up to this kernel, and one at least is on record."""
    assert kernel.upstream is not None
    if (kernel.upstream.major, kernel.upstream.minor) > frontier(catalogue):
        return None
    found = copes(catalogue, module, kernel, series_of(row.newest))
    if not found:
        return None
    last = max(found, key=lambda item: series_of(item.mainline))
    detail = (
        f"{module.label} has the fixes for every change of {kernel.label} that is known to break "
        f"drivers ({len(found)} of them), the last of them {last.id} of Linux {last.mainline}: "
        f"{fix(last, module.driver).words}."
    )
    return Finding(RULE, Verdict.OK, "inferred", detail, urls(catalogue, last.sources))


def _open_changes(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> bool:
    """Is there a change of this kernel of which it isn't known whether the driver copes with it,
    and none that it surely doesn't cope with?"""
    states = [
        fix(item, module.driver).known
        for item, _ in met(catalogue, kernel)
        if item.flavour in (None, module.flavour)
    ]
    return None in states and False not in states


def _beyond(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, row: KernelLimit
) -> Finding:
    """The kernel is newer than the release is known for: a failure, unless nothing can be known."""
    label = module.label
    sources = urls(catalogue, row.sources)
    newest = frontier(catalogue)
    assert kernel.upstream is not None
    series = (kernel.upstream.major, kernel.upstream.minor)
    if series > newest and series_of(row.newest) >= newest:
        return _unknown(
            f"{kernel.label} is newer than every kernel that any driver on record was seen on (Linux "
            f"{newest[0]}.{newest[1]}): nobody is known to have built {label} on it. Make a trial "
            "build before relying on it, or boot an older kernel.",
            sources,
        )
    if module.patched and module.package is not None:
        return _unknown(
            f"NVIDIA's own {module.driver} is known up to Linux {row.newest}, but the distribution "
            f"patches its package ({module.package.kernel_package} {module.package.package_version}): "
            f"only a build shows whether it fits {kernel.label}.",
            sources,
        )
    better = _by_changes(catalogue, module, kernel, row)
    if better is not None:
        return better
    if row.certainty == "low" or _open_changes(catalogue, module, kernel):
        return _unknown(
            f"{label} is believed to build up to Linux {row.newest}, with little evidence; this is "
            f"{kernel.label}.",
            sources,
        )
    detail = f"{label} is known to build up to Linux {row.newest}; {kernel.label} is newer."
    return Finding(RULE, Verdict.VIOLATED, "inferred", detail, sources)
