"""The 17 rungs in order, what each rests on, and the climb that finds the root cause."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder import (
    compiler,
    containers,
    cuda,
    devices,
    fabric,
    gpu,
    guard,
    headers,
    kernel,
    libraries,
    loaded,
    module,
    nouveau,
    nvml,
    packages,
    platform,
    signature,
)
from gpu_bringup.ladder.same_kernel import PER_KERNEL, apart, concerned
from gpu_bringup.ladder.view import driver_traces
from gpu_bringup.ladder.words import ev
from gpu_bringup.model.ladder import LadderReport, RungResult, State

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context, Rung

RUNGS: tuple[Rung, ...] = (
    gpu.RUNG,
    platform.RUNG,
    packages.RUNG,
    kernel.RUNG,
    headers.RUNG,
    compiler.RUNG,
    nouveau.RUNG,
    module.RUNG,
    signature.RUNG,
    loaded.RUNG,
    devices.RUNG,
    libraries.RUNG,
    nvml.RUNG,
    fabric.RUNG,
    cuda.RUNG,
    containers.RUNG,
    guard.RUNG,
)

NO_GPU = "gpu:no-gpu-found"
RESERVED = "gpu:gpu-bound-to-vfio"
"""Counts only where no GPU is left for this system's driver."""

RESTS_ON: dict[str, tuple[str, ...]] = {
    "gpu": (),
    "platform": (),
    "packages": ("platform", NO_GPU),
    "kernel": ("platform", NO_GPU),
    # A source that isn't switched on yet has no part in headers, compiler or an old module.
    "headers": (
        NO_GPU,
        "platform",
        "packages:dpkg-interrupted",
        "packages:package-database-damaged",
        "packages:distribution-not-known",
        "kernel",
    ),
    "compiler": (
        NO_GPU,
        "platform",
        "packages:dpkg-interrupted",
        "packages:package-database-damaged",
        "packages:distribution-not-known",
        "kernel",
    ),
    "nouveau": (NO_GPU, "platform"),
    "module": (NO_GPU, "platform", "packages", "kernel", "headers", "compiler"),
    "signature": (NO_GPU, "platform", "module"),
    "loaded": (NO_GPU, RESERVED, "platform", "nouveau", "module", "signature"),
    "devices": (NO_GPU, "platform", "loaded"),
    "libraries": (NO_GPU, "platform", "packages", "module:driver-not-installed", "loaded"),
    "nvml": ("gpu", "platform", "loaded", "devices", "libraries"),
    "fabric": ("gpu", "platform", "loaded", "devices"),
    "cuda": ("gpu", "platform", "loaded", "devices", "libraries", "nvml", "fabric"),
    "containers": (NO_GPU, "platform"),
    "guard": (NO_GPU, "platform"),
}
"""Rung -> rungs that it rests on; "rung:cause" means: only where that cause is among them."""

INDEPENDENT = {
    "driver-not-installed": (NO_GPU, "platform"),
    "driver-other-than-target": (NO_GPU, "platform"),
    "gpu-not-supported-by-release": (NO_GPU, "platform"),
    "proprietary-module-on-open-only-gpu": (NO_GPU, "platform"),
    "open-module-on-pre-turing": (NO_GPU, "platform"),
    "module-blacklisted": (NO_GPU, "platform"),
    "package-database-damaged": (),
    "libcuda-stub": (NO_GPU,),
    "duplicate-userspace-versions": (NO_GPU,),
}
"""Causes that no fault of the usual rungs below explains -> the few rungs that they do rest on."""


def _fallen(entry: str, below: dict[str, RungResult]) -> RungResult | None:
    """The result behind an entry of ``RESTS_ON`` if it doesn't hold, else None."""
    rung_id, _, cause_id = entry.partition(":")
    result = below.get(rung_id)
    if result is None or result.state not in (State.BROKEN, State.BLOCKED):
        return None
    if cause_id and cause_id not in (item.cause for item in result.causes):
        return None
    return result


def _settle(ctx: Context, result: RungResult, below: dict[str, RungResult]) -> RungResult:
    """A rung that doesn't hold, or isn't known, over a broken one of the same kernel is its consequence."""
    if result.state not in (State.BROKEN, State.UNKNOWN):
        return result
    first = result.causes[0].cause if result.causes else ""
    rests_on = INDEPENDENT.get(first, RESTS_ON[result.id])
    fallen = [
        found
        for entry in rests_on
        if (entry != RESERVED or gpu.all_reserved(ctx))
        and (found := _fallen(entry, below)) is not None
        and not apart(ctx, result, found)
    ]
    if not fallen:
        return result
    broken = [item for item in fallen if item.state is State.BROKEN]
    # The lowest of them is what mending starts with.
    root = next(item for item in below.values() if item in (broken or fallen))
    reason = root.causes[0].cause if root.causes else root.summary
    kept = tuple(ev(f"would be: {item.cause}", item.title) for item in result.causes)
    evidence = (ev("rests on", f"{root.id} ({reason})"), *result.evidence, *kept)
    return replace(result, state=State.BLOCKED, evidence=evidence)


def climb(ctx: Context) -> LadderReport:
    """Ask every rung, lowest first. Pure; the lowest broken rung is the root cause.

    Where a driver was installed before, what keeps *it* from working is the root cause, and not
    what another driver, which was chosen to mend it, lacks.
    """
    report = _daemon_last(_now_first(ctx, LadderReport(_ask(ctx))))
    root = report.root_cause
    target = ctx.target
    if root is None or target is None or target.prepare_only or not report.not_yet(root):
        return report
    bare = replace(ctx, target=None)
    now = LadderReport(_ask(bare)).root_cause if driver_traces(bare) else None
    if now is None or now.id == "guard":
        return report
    rungs = tuple(now if result.id == now.id else result for result in report.rungs)
    return LadderReport(rungs, now.id)


def _now_first(ctx: Context, report: LadderReport) -> LadderReport:
    """What keeps the running kernel's driver out comes before what another kernel lacks."""
    root, running = report.root_cause, ctx.facts.kernels.running
    if root is None or root.id not in PER_KERNEL:
        return report
    for rung_id in ("signature", "loaded"):
        now = report.rung(rung_id)
        if now.state is State.BROKEN and running in concerned(ctx, now) and apart(ctx, now, root):
            return replace(report, cause_rung=rung_id)
    return report


def _daemon_last(report: LadderReport) -> LadderReport:
    """A persistence daemon that is off breaks nothing above it: what is broken there is the cause."""
    root = report.root_cause
    if root is None or any(item.cause != "persistenced-failed" for item in root.causes):
        return report
    above = report.rungs[report.rungs.index(root) + 1 :]
    worse = next((r for r in above if r.state is State.BROKEN and r.id != "guard"), None)
    return report if worse is None else replace(report, cause_rung=worse.id)


def _ask(ctx: Context) -> tuple[RungResult, ...]:
    below: dict[str, RungResult] = {}
    for rung in RUNGS:
        result = rung.check(replace(ctx, below=tuple(below.values())))
        below[rung.id] = _settle(ctx, result, below)
    return tuple(below.values())


def rung(rung_id: str) -> Rung:
    """The rung of an id.

    Raises:
        KeyError: no such rung.
    """
    for item in RUNGS:
        if item.id == rung_id:
            return item
    raise KeyError(rung_id)
