"""Kernels whose number says nothing of their API: what is documented to build on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.finding import Finding, Module
from gpu_bringup.rules.subject import TargetKernel, urls

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.kernels import VendorKernel

RULE = "driver-kernel"


def vendor_kernel(catalogue: Catalogue, release: str) -> VendorKernel | None:
    """The entry for a release such as "5.14.0-611.5.1.el9_7.x86_64"; None: none is on record."""
    for entry in catalogue.vendor_kernels:
        if re.match(re.escape(entry.kernel) + r"(?!\d)", release):
            return entry
    return None


def on_vendor_kernel(catalogue: Catalogue, module: Module, kernel: TargetKernel) -> Finding:
    """Is the driver documented for this vendor's kernel? Numbers are never compared with upstream's."""
    entry = vendor_kernel(catalogue, kernel.release)
    label = module.label
    if entry is None:
        return Finding(
            RULE,
            Verdict.UNKNOWN,
            "none",
            f"{kernel.release or 'The standard kernel'} is a vendor kernel: its number says "
            "nothing of its API, so it is never "
            f"held against upstream limits. Only a build shows whether {label} fits; the newest release "
            "of a supported branch has the best chance.",
            urls(catalogue, _sources(catalogue)),
        )
    sources = urls(catalogue, entry.sources)
    for branch, last, flavour in entry.broken:
        mine = branch == branch_of(module.driver) and flavour is module.flavour
        if mine and driver_key(module.driver) <= driver_key(last):
            detail = f"{last} {flavour.value} is reported to fail on the kernel of {entry.name}"
            detail += "." if last == module.driver else f", and {label} is older."
            return Finding(RULE, Verdict.VIOLATED, "documented", detail, sources)
    first = dict(entry.first).get(branch_of(module.driver))
    if first is not None and driver_key(module.driver) >= driver_key(first):
        branch = branch_of(module.driver)
        detail = f"R{branch} is known to build on the kernel of {entry.name} from {first} on."
        if entry.certainty == "low":
            return Finding(
                RULE, Verdict.UNKNOWN, "none", f"{detail} There is little evidence for it.", sources
            )
        return Finding(RULE, Verdict.OK, "documented", detail, sources)
    known = ", ".join(f"R{branch} from {version}" for branch, version in entry.first)
    detail = (
        f"{kernel.release} is the kernel of {entry.name}, a vendor kernel whose number says nothing of "
        f"its API. Known to build on it: {known}. Of {label} it isn't known."
    )
    return Finding(RULE, Verdict.UNKNOWN, "none", detail, sources)


def _sources(catalogue: Catalogue) -> tuple[str, ...]:
    """Builds on vendor kernels that show why their number can't be compared."""
    return tuple(s for build in catalogue.builds if ".el" in build.kernel for s in build.sources)
