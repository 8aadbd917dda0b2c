"""The newest upstream kernel that a driver release is known to build on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import UpstreamKernel, branch_of, driver_key
from gpu_bringup.rules.finding import Finding, Module, series_of
from gpu_bringup.rules.subject import TargetKernel, urls

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue, KernelLimit


def _within(kernel: UpstreamKernel, newest: str) -> bool | None:
    """Is the kernel not newer than ``newest`` ("6.12" or "6.6.14")? None: its sublevel decides."""
    key = driver_key(newest)
    mine, limit = (kernel.major, kernel.minor), series_of(newest)
    if mine != limit or len(key) < 3:
        return mine <= limit
    return None if kernel.sublevel is None else kernel.sublevel <= key[2]


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


def limit(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> Finding:
    """Hold the kernel against the entries of the driver's branch.

    A release without an entry of its own lies between two: what both say holds for it, and what
    they disagree on isn't known. Vendor kernels are never compared.
    """
    rule, label = "driver-kernel", module.label
    if kernel.upstream is None:
        what = (
            "No kernel was named"
            if not kernel.release
            else f"{kernel.release} is no kernel release"
        )
        return Finding(
            rule, Verdict.UNKNOWN, "none", f"{what}: whether {label} builds can't be told."
        )
    if kernel.vendor:
        return Finding(
            rule,
            Verdict.UNKNOWN,
            "none",
            f"{kernel.release or 'The standard kernel'} is a vendor kernel: its number says "
            "nothing of its API, so it is never "
            f"held against upstream limits. Only a build shows whether {label} fits; the newest release "
            "of a supported branch has the best chance.",
            urls(catalogue, _vendor_sources(catalogue)),
        )
    older, newer = _rows(catalogue, module)
    if older is not None:
        within = _within(kernel.upstream, older.newest)
        sources = urls(catalogue, older.sources)
        exact = driver_key(older.driver) == driver_key(module.driver)
        of = f"{label}" if exact else f"{label} (as {older.driver}, the nearest release on record)"
        if within:
            detail = (
                f"{of} is known for kernels up to Linux {older.newest}; this is {kernel.label}."
            )
            return Finding(rule, Verdict.OK, "inferred", detail, sources)
        if within is None:
            detail = (
                f"{of} is known up to Linux {older.newest}, and {kernel.release} doesn't tell its "
                "sublevel."
            )
            return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
        if not exact and newer is None:
            detail = (
                f"{older.driver} is known up to Linux {older.newest}; nothing is on record for "
                f"{label}, which is newer, on {kernel.label}."
            )
            return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
        if exact or (newer is not None and _within(kernel.upstream, newer.newest) is False):
            return _beyond(catalogue, module, kernel, older)
        detail = (
            f"{older.driver} is known up to Linux {older.newest}, "
            f"{newer.driver if newer else ''} up to {newer.newest if newer else ''}; {label} lies "
            f"between them, so {kernel.label} is open."
        )
        return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
    if newer is not None and _within(kernel.upstream, newer.newest) is False:
        return _beyond(catalogue, module, kernel, newer)
    detail = f"No record says up to which kernel {label} builds; this is {kernel.label}."
    return Finding(rule, Verdict.UNKNOWN, "none", detail)


def _beyond(
    catalogue: Catalogue, module: Module, kernel: TargetKernel, row: KernelLimit
) -> Finding:
    """The kernel is newer than the release is known for: a failure, unless nothing can be known."""
    rule, label = "driver-kernel", module.label
    sources = urls(catalogue, row.sources)
    frontier = max((series_of(entry.newest) for entry in catalogue.kernel_limits), default=(0, 0))
    assert kernel.upstream is not None
    series = (kernel.upstream.major, kernel.upstream.minor)
    if series > frontier and series_of(row.newest) >= frontier:
        detail = (
            f"{kernel.label} is newer than every kernel that any driver on record was seen on (Linux "
            f"{frontier[0]}.{frontier[1]}): nobody is known to have built {label} on it. Make a trial "
            "build before relying on it, or boot an older kernel."
        )
        return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
    if module.patched and module.package is not None:
        detail = (
            f"NVIDIA's own {module.driver} is known up to Linux {row.newest}, but the distribution "
            f"patches its package ({module.package.kernel_package} {module.package.package_version}): "
            f"only a build shows whether it fits {kernel.label}."
        )
        return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
    if row.certainty == "low":
        detail = (
            f"{label} is believed to build up to Linux {row.newest}, with little evidence; this is "
            f"{kernel.label}."
        )
        return Finding(rule, Verdict.UNKNOWN, "none", detail, sources)
    detail = f"{label} is known to build up to Linux {row.newest}; {kernel.label} is newer."
    return Finding(rule, Verdict.VIOLATED, "inferred", detail, sources)


def _vendor_sources(catalogue: Catalogue) -> tuple[str, ...]:
    """Builds on vendor kernels that show why their number can't be compared."""
    return tuple(s for build in catalogue.builds if ".el" in build.kernel for s in build.sources)
