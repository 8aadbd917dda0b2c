"""From a broken ladder to numbered ways on, the quickest safe one first. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.loaded import disk_module
from gpu_bringup.ladder.view import driver_traces, loaded_version
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.in_use import InUse
from gpu_bringup.model.ladder import State
from gpu_bringup.model.plan import MadeFor, Plan
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.next_boot import next_boot
from gpu_bringup.recover import drain, kernels, reload
from gpu_bringup.recover.way import (
    BOOT_DEFAULT,
    BOOT_ONCE,
    LATER,
    LOAD,
    MEND,
    RELOAD,
    Recovery,
    Way,
)

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.ladder import LadderReport
    from gpu_bringup.model.plan import Step

_BOOT = "Back to service: boot another kernel"
_RELOAD = "Back to service: reload without a reboot"


def had_driver(ctx: Context) -> bool:
    """Was there ever a driver here? A fresh server has nothing to recover."""
    return bool(driver_traces(replace(ctx, target=None)))


def _made_for(ctx: Context, releases: tuple[str, ...]) -> MadeFor | None:
    system = ctx.facts.os
    if isinstance(system, Unknown):
        return None
    return MadeFor(system.id, system.version, system.name, system.arch, releases, running=False)


def _minutes(seconds: int) -> str:
    return f"about {seconds} s" if seconds < 90 else f"about {round(seconds / 60)} min"


def _cost(steps: tuple[Step, ...]) -> str:
    seconds = sum(step.estimate_seconds for step in steps)
    words = [_minutes(seconds)]
    if any(step.reboot for step in steps):
        words.append("one reboot: everything on this server stops")
    elif any(step.stops_workloads for step in steps):
        words.append("no reboot; programs on the GPUs must end")
    else:
        words.append("nothing stops")
    return ", ".join(words)


def _boot_way(ctx: Context, release: str, once: bool, in_use: InUse) -> tuple[Way | None, str]:
    steps, risk, why_not = kernels.boot_steps(ctx, release, once=once)
    if why_not:
        return None, why_not
    if once:
        title = f"Back to service now: boot {release} once"
        what = (
            f"{kernels.driver_words(ctx, release)} The boot loader starts it at the next boot only; the "
            "boot after that is as before, so mend it before then."
        )
    else:
        title = f"Back to service now: boot {release} until further notice"
        what = (
            f"{kernels.driver_words(ctx, release)} It becomes the default, also for boots that nobody "
            "planned. Newer kernels stay installed, with their security fixes unused."
        )
    plan = Plan({}, steps, made_for=_made_for(ctx, (release,)))
    way_id = BOOT_ONCE if once else BOOT_DEFAULT
    gone = drain.stops(in_use)
    return Way(0, way_id, title, what, _cost(steps), plan, risk, gone, reboots=True), ""


def _reload_way(ctx: Context, in_use: InUse) -> tuple[Way | None, str]:
    reason = reload.why_not(ctx)
    if reason:
        return None, reason
    step = reload.reload_step(ctx, in_use)
    running = ctx.facts.kernels.running
    releases = (running,) if isinstance(running, str) else ()
    plan = Plan({}, (step,), made_for=_made_for(ctx, releases))
    return (
        Way(
            0,
            RELOAD,
            "Back to service now: reload the driver, no reboot",
            "The module on disk fits the libraries; only the one in memory is another. Services are "
            "stopped, the modules swapped, the services started again.",
            _cost((step,)),
            plan,
            step.risk,
            drain.stops(in_use),
        ),
        "",
    )


def _load_way(ctx: Context, in_use: InUse) -> Way:
    step = reload.load_step(ctx, in_use)
    running = ctx.facts.kernels.running
    releases = (running,) if isinstance(running, str) else ()
    plan = Plan({}, (step,), made_for=_made_for(ctx, releases))
    return Way(
        0,
        LOAD,
        "Back to service now: load the driver",
        f"The running kernel ({listed(releases)}) has a module on disk that fits the libraries; it is "
        "only not loaded. No reboot is needed.",
        _cost((step,)),
        plan,
        step.risk,
    )


def _stay_way(ctx: Context, running: str) -> tuple[Way | None, str]:
    """Where the next boot starts a kernel without a driver: the running one, which has it, for good."""
    found = next_boot(ctx)
    others = [row for row in found.rows if row.release in found.next and row.works is False]
    failing = [row for row in found.rows if row.release == running and row.works is False]
    if running in found.next or not others:
        return None, ""
    if failing:
        return (
            None,
            f"{running} would not come up with a driver either: {listed(failing[0].reasons)}",
        )
    steps, risk, why_not = kernels.boot_steps(ctx, running, once=False)
    if why_not:
        return None, why_not
    other = others[0]
    once = (
        f" {other.release} is chosen for the next boot only, which goes first: that choice ends with "
        "this boot."
        if other.once
        else ""
    )
    return Way(
        0,
        BOOT_DEFAULT,
        f"Keep what works: {running} becomes the boot loader's default",
        f"{running} runs now and has a driver that fits; the next boot would start {other.release} "
        f"without one ({listed(other.reasons)}). Nothing is rebooted. Newer kernels stay installed, "
        f"with their security fixes unused, until {other.release} is mended.{once}",
        _cost(steps),
        Plan({}, steps, made_for=_made_for(ctx, (running,))),
        risk,
    ), ""


_MISMATCH = frozenset(
    {
        "driver-library-mismatch",
        "driver-library-mismatch-stale-on-disk",
        "initramfs-stale-module",
        "libcuda-other-version",
    }
)


def _mismatch(report: LadderReport) -> bool:
    """Do the loaded module and the libraries not belong together?"""
    return any(item.cause in _MISMATCH for result in report.rungs for item in result.causes)


def _no_reload(ctx: Context, in_use: InUse) -> tuple[str, ...]:
    """Everything that makes a reload impossible, or no help."""
    if ctx.outside_driver:
        loaded = loaded_version(ctx.facts)
        return (
            f"the loaded driver{f' {loaded}' if loaded else ''} is provided from outside this system: "
            "there is no module of this system to load in its place. Whoever provides it must load the "
            "version of the libraries, or bring the libraries of the loaded version",
        )
    why = (reload.pointless(ctx), *reload.reasons(ctx), *drain.in_the_way(in_use))
    return tuple(reason for reason in why if reason)


def _broken_running(ctx: Context, report: LadderReport) -> bool:
    """Is it the running kernel that has no working driver (and not the hardware or a container)?"""
    states = {result.id: result.state for result in report.rungs}
    here = ("kernel", "headers", "compiler", "module", "signature", "loaded", "libraries")
    fallen = (State.BROKEN, State.BLOCKED)
    if states.get("gpu") is State.BROKEN:
        return False
    return any(states.get(rung) in fallen for rung in here)


def _mend_way(report: LadderReport, plan: Plan, in_use: InUse) -> Way:
    root = report.root_cause
    cause = root.causes[0].title if root is not None and root.causes else ""
    stops = any(step.stops_workloads for step in plan.steps)
    count = len(plan.steps)
    what = (
        f"{count} step{'' if count == 1 else 's'} from the lowest broken layer up"
        f"{f' ({cause})' if cause else ''}; a driver that is to be built is compiled on trial first."
        if count
        else "Nothing here can be mended by a program; what a person must do stands below."
    )
    return Way(
        0,
        MEND,
        "Mend it",
        what,
        _cost(plan.steps) if count else "depends on you",
        plan,
        next((step.risk for step in plan.steps if step.risk), ""),
        drain.stops(in_use) if stops else (),
        reboots=plan.needs_reboot,
    )


def ways(ctx: Context, report: LadderReport, plan: Plan, in_use: InUse) -> Recovery:
    """The ways on.

    Args:
        ctx: of the host as it is; a target in it counts for mending only.
        report: its ladder.
        plan: the repair from the broken rungs.
        in_use: what runs on the GPUs.

    Returns:
        Numbered ways, quickest first, and those that this host does not have with the reason. A
        healthy host has none.
    """
    if report.verdict != "broken":
        return Recovery((), (), in_use)
    now = replace(ctx, target=None)
    found: list[Way] = []
    not_here: list[tuple[str, str]] = []
    refused: list[tuple[str, tuple[str, ...]]] = []
    if reload.needed(now):
        way, reason = _reload_way(now, in_use)
        if way is not None:
            found.append(way)
        else:
            not_here.append((_RELOAD, reason))
            refused.append((RELOAD, (*reload.reasons(now), *drain.in_the_way(in_use))))
    elif had_driver(ctx):
        why = _no_reload(now, in_use)
        # Only where versions differ is it worth a line: others get it when they ask for it.
        if _mismatch(report) and why and loaded_version(now.facts):
            not_here.append((_RELOAD, why[0]))
        refused.append((RELOAD, why))
    here = had_driver(ctx) and not ctx.outside_driver
    if here and reload.loadable(now):
        found.append(_load_way(now, in_use))
    elif here and now.facts.modules.loaded_version is None and disk_module(now) is not None:
        why = reload.reasons(now)
        not_here.append(("Back to service: load the driver of the running kernel", why[0]))
        refused.append((LOAD, why))
    running = ctx.facts.kernels.running
    fit = isinstance(running, str) and not kernels.why_not(now, running)
    if had_driver(ctx) and not ctx.outside_driver and _broken_running(now, report) and not fit:
        # Already said: no reload brings what isn't on disk; the reason is the module's own.
        others = kernels.serving(now)
        if not others:
            not_here.append((_BOOT, _no_other(now)))
            refused += [(BOOT_ONCE, _each_other(now)), (BOOT_DEFAULT, _each_other(now))]
        for once in (True, False) if others else ():
            tried = [_boot_way(now, release, once, in_use) for release in others]
            way, reason = next((pair for pair in tried if pair[0] is not None), tried[0])
            if way is not None:
                found.append(way)
            else:
                not_here.append((f"{_BOOT} {'once' if once else 'for good'}", reason))
                refused.append((BOOT_ONCE if once else BOOT_DEFAULT, (reason,)))
    elif fit and here and isinstance(running, str):
        way, reason = _stay_way(now, running)
        if way is not None:
            found.append(way)
        elif reason:
            not_here.append(("Make the running kernel the boot loader's default", reason))
        why = (
            f"the running kernel ({running}) has a driver that fits: another would mend nothing",
        )
        refused += [(BOOT_ONCE, why), *(() if way is not None else ((BOOT_DEFAULT, why),))]
    found.append(_mend_way(report, plan, in_use))
    found.append(_later())
    numbered = tuple(replace(way, number=number) for number, way in enumerate(found, 1))
    return Recovery(numbered, tuple(not_here), in_use, tuple(refused))


def _later() -> Way:
    return Way(
        0,
        LATER,
        "Mend it later",
        "Writes a record of this server and a reminder of what was found, and changes nothing else.",
        "some seconds, nothing stops",
        Plan({}, ()),
    )


def _no_other(ctx: Context) -> str:
    """Why no other kernel serves, one reason a kernel."""
    return "; ".join(_each_other(ctx)[:4])


def _each_other(ctx: Context) -> tuple[str, ...]:
    installed = ctx.facts.kernels.installed
    if isinstance(installed, Unknown):
        return (f"the installed kernels are not known: {installed.reason}",)
    others = [k.release for k in installed if k.bootable and not k.running]
    if not others:
        return ("no other kernel is installed",)
    return tuple(f"{name} {kernels.why_not(ctx, name) or 'is kept out'}" for name in others)


def with_drain(way: Way, in_use: InUse, chosen: drain.Drain) -> Plan:
    """The way's plan, with room made first as the operator said, and started again where it can be.

    Raises:
        InputError: what was named holds no GPU.
    """
    before = drain.drain_steps(in_use, chosen)
    after = () if way.reboots else drain.start_again(in_use, chosen)
    return around(way.plan, before, after)


def around(plan: Plan, before: tuple[Step, ...], after: tuple[Step, ...] = ()) -> Plan:
    """The plan with ``before`` right before its first step that stops work, and ``after`` at its end.

    What only prepares (indexes, headers, a build) goes on while programs still use the GPUs.
    """
    steps = plan.steps
    ending = (at for at, step in enumerate(steps) if step.stops_workloads and not step.reboot)
    first = next(ending, 0)
    return replace(plan, steps=(*steps[:first], *before, *steps[first:], *after))


def stops_now(plan: Plan) -> bool:
    """Does a step itself end what uses the GPUs (and not only the reboot that the operator starts)?"""
    return any(step.stops_workloads and not step.reboot for step in plan.steps)


def way_of(plan: Plan, in_use: InUse) -> Way:
    """A plan as the way that it is, for the questions that are asked before work stops."""
    stops = any(step.stops_workloads for step in plan.steps)
    return Way(
        0,
        MEND,
        "Before work stops",
        "",
        _cost(plan.steps),
        plan,
        "; ".join(step.risk for step in plan.steps if step.stops_workloads and step.risk),
        drain.stops(in_use) if stops else (),
        reboots=not stops_now(plan),
    )
