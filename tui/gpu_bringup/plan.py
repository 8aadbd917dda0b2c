"""From broken rungs to ordered steps. Pure: facts, target and report in, a plan out."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import distribution
from gpu_bringup.ladder import (
    compiler,
    gpu,
    guard,
    libraries,
    loaded,
    packages,
    platform,
    room,
    signing,
)
from gpu_bringup.ladder.by_hand import BY_HAND, IF_NO_STEP, TARGET_MENDS
from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.ladder.loaded import UNBLOCK
from gpu_bringup.ladder.steps import REBOOT, install_step, refresh_step
from gpu_bringup.ladder.unread import unread
from gpu_bringup.ladder.view import later
from gpu_bringup.model.ladder import LadderReport, RungResult, State
from gpu_bringup.model.plan import MadeFor, Plan, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.failure import Mend

_BRINGS_DRIVER = re.compile(
    r"^(add-repository-.*|enable-components|pin-branch|driver|align-driver)$"
)
"""Steps that another driver release is the reason for."""
FIRST_BOOT_RUNGS = ("gpu", "loaded", "devices", "nvml", "fabric", "cuda")
BUILD_PACKAGES = ("headers", "compiler")
"""Steps that may share one package manager run: nothing is built by either."""


def _doesnt_hold(report: LadderReport) -> tuple[RungResult, ...]:
    return tuple(r for r in report.rungs if r.state in (State.BROKEN, State.BLOCKED))


def _nowhere_to_work(ctx: Context, report: LadderReport) -> bool:
    """Would any step be in vain or unsafe: no place for a driver, no GPU and none planned?"""
    broken = {result.id: result for result in _doesnt_hold(report)}
    if "platform" in broken and not platform.repair(ctx):
        return True
    bus = broken.get("gpu")
    return bus is not None and any(item.cause == "no-gpu-found" for item in bus.causes)


def _no_driver_chosen(ctx: Context, report: LadderReport) -> bool:
    """Nothing is installed and nothing was chosen: what the rungs lack depends on the choice."""
    causes = (item.cause for item in report.rung("module").causes)
    return ctx.target is None and "driver-not-installed" in causes


def _unique(steps: Iterable[Step]) -> tuple[Step, ...]:
    """One step an id: the first stays where it is and takes over what the others complete."""
    found: dict[str, Step] = {}
    for step in steps:
        first = found.get(step.id)
        if first is None:
            found[step.id] = step
            continue
        why = first.why if step.why in first.why else f"{first.why} {step.why}"
        done = tuple(dict.fromkeys((*first.done_when, *step.done_when)))
        expect = first.expect if step.expect in first.expect else f"{first.expect} {step.expect}"
        found[step.id] = replace(first, why=why, done_when=done, expect=expect)
    return tuple(found.values())


def _environment_title(parts: list[Step]) -> str:
    first, second = (part.title.removeprefix("Install ") for part in parts[:2])
    whole = second == compiler.BOTH
    return (
        f"Install kernel headers, {second.removeprefix('the ')}"
        if whole
        else f"Install {first}, and {second}"
    )


def _merge_installs(ctx: Context, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Headers and compiler in one run of the package manager, where the first of them stood."""
    parts = [step for step in steps if step.id in BUILD_PACKAGES and len(step.commands) == 1]
    if len(parts) < 2:
        return steps
    merged = install_step(
        ctx,
        "build-environment",
        parts[0].rung,
        _environment_title(parts),
        " ".join(step.why for step in parts),
        tuple(name for step in parts for name in step.packages),
        done_when=tuple(name for step in parts for name in step.done_when),
        estimate_seconds=max(step.estimate_seconds for step in parts) + 30,
        expect=parts[0].expect,
    )
    if merged is None:
        return steps
    return tuple(merged if step is parts[0] else step for step in steps if step not in parts[1:])


def _without_repeats(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Leave out an installation whose packages an earlier step brings already."""
    done: set[str] = set()
    kept: list[Step] = []
    for step in steps:
        only_installs = bool(step.packages) and len(step.commands) == 1 and not step.writes
        if not only_installs or not set(step.packages) <= done:
            kept.append(step)
        done |= set(step.packages)
    return tuple(kept)


def _one_driver_step(ctx: Context, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without a second run for the same set: NVIDIA's packages depend on each other's exact version."""
    target = ctx.target
    exact = target is not None and target.package.source == "nvidia-repository"
    if not exact or not any(step.id == "driver" for step in steps):
        return steps
    return tuple(step for step in steps if step.id != "align-driver")


def _refreshed(ctx: Context, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Put one reading of the indexes before the first installation that has none before it."""
    if ctx.family is None:
        return steps
    if ctx.target is not None and ctx.target.source_kind == "local":
        return _from_folder(ctx, steps)
    refresh = ctx.family.manager.refresh()
    for index, step in enumerate(steps):
        if refresh in step.commands:
            return steps
        if step.packages:
            extra = refresh_step(ctx)
            return (*steps[:index], *((extra,) if extra else ()), *steps[index:])
    return steps


def _from_folder(ctx: Context, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Make the operator's folder the source before the first command that takes packages from it."""
    for index, step in enumerate(steps):
        if step.packages or any(command.package_manager for command in step.commands):
            extra = packages.local_step(ctx)
            return (*steps[:index], *((extra,) if extra else ()), *steps[index:])
    return steps


_RUNNING = frozenset({"loaded", "devices", "nvml", "fabric", "cuda", "containers"})
"""Rungs whose steps need the driver to run: should one fail, the next boot is in order already."""


def _rank(step: Step) -> int:
    if step.id == REBOOT or step.reboot:
        return 3
    if step.id.startswith("initramfs-"):
        return 1
    return 2 if step.rung in _RUNNING else 0


def _ordered(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """As the rungs gave them: what makes the next boot good first, then what runs now, a reboot last."""
    return tuple(sorted(steps, key=_rank))


def _with_reason(ctx: Context, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Say in the first step that another driver needs, and in the driver's own, why it is another."""
    reason = ctx.target.instead if ctx.target is not None else ""
    if not reason:
        return steps
    fitting = [step for step in steps if _BRINGS_DRIVER.match(step.id)]
    told = [*fitting[:1], *(step for step in fitting[1:] if step.id == "driver")]
    return tuple(
        replace(step, why=f"{reason} {step.why}") if step in told else step for step in steps
    )


def _without_step(ctx: Context, result: RungResult) -> str:
    """What a person can do about a broken rung that has no step here, by its first cause."""
    summary = f"{result.summary[:1].upper()}{result.summary[1:]}."
    if not result.causes:
        return summary
    first = result.causes[0].cause
    if first in IF_NO_STEP:
        return f"{summary} {IF_NO_STEP[first]}"
    # Read only here: most broken rungs have a step.
    from gpu_bringup.explain.repair import mends
    from gpu_bringup.failures.loader import load

    failure, family = load().get(first), ctx.family.id if ctx.family is not None else ""
    found = mends(failure, family) if failure is not None else ()
    told = " ".join(f"{mend.title}: {mend.why}{_commands(ctx, mend)}" for mend in found)
    return f"{summary} By hand: {told}" if told else summary


def _commands(ctx: Context, mend: Mend) -> str:
    from gpu_bringup.explain.repair import fill

    known = {"kernel": next(iter(ctx.releases), "")}
    values = {name: value for name, value in known.items() if value}
    argvs = [shlex.join(fill(argv, values)) for argv in mend.commands]
    return f" ({'; '.join(argvs)})" if argvs else ""


def _blocked(ctx: Context, report: LadderReport, steps: tuple[Step, ...]) -> tuple[str, ...]:
    """Why a broken rung has no step here."""
    lacking = unread(ctx)
    fallen = {result.id for result in _doesnt_hold(report)}
    waits = frozenset() if lacking is None else fallen & (lacking.rungs or fallen)
    texts: list[str] = [lacking.text] if lacking is not None and waits else []
    mended = {rung_id for step in steps for rung_id in (step.rung, *step.done_when)}
    if ctx.target is not None:
        mended |= {"module", "libraries"} if "module" in mended else set()
    for result in _doesnt_hold(report):
        for item in result.causes:
            target_does = ctx.target is not None and item.cause in TARGET_MENDS
            done = item.cause == "module-blacklisted" and any(s.id == UNBLOCK for s in steps)
            mends = target_does or done
            if item.cause in BY_HAND and result.state is State.BROKEN and not mends:
                texts.append(BY_HAND[item.cause])
        known = any(item.cause in BY_HAND for item in result.causes)
        if result.id in waits:
            continue
        if result.state is State.BROKEN and result.id not in mended and not known:
            texts.append(_without_step(ctx, result))
    texts += libraries.by_hand(ctx)
    texts += packages.by_hand(ctx)
    texts += signing.by_hand(ctx)
    platform = ctx.facts.platform
    if steps and platform.root is False and platform.sudo is False:
        texts.append(
            "These steps need root, and there is neither root nor sudo here: log in as root, or have "
            "an administrator run them."
        )
    return tuple(dict.fromkeys(texts))


def _made_for(ctx: Context, steps: tuple[Step, ...]) -> MadeFor | None:
    """What an exported plan must find again before it changes anything."""
    system = ctx.facts.os
    if isinstance(system, Unknown) or not steps:
        return None
    known = distribution(ctx.catalogue, system.id, system.version)
    # The catalogue's "9" stands for every 9.x, whose packages the plan names alike.
    version = known.version if known is not None else system.version
    loads = not later(ctx) and any(step.rung in _RUNNING or step.reboot for step in steps)
    return MadeFor(
        os_id=system.id,
        os_version=version,
        os_name=system.name,
        machine=system.arch,
        kernels=tuple(release for release in ctx.releases if release),
        running=loads,
    )


def _follows(ctx: Context, bad: set[str]) -> set[str]:
    """Rungs that hold now and won't once the broken ones are mended: what is mended pulls them along."""
    found: set[str] = set()
    if "packages" in bad and packages.held_in_the_way(ctx):
        # What is released for the new driver is held anew.
        found.add("guard")
    if bad & {"headers", "module"} and guard.arriving(ctx):
        found.add("guard")
    if "module" in bad and loaded.replaced(ctx):
        # The module that runs is the one that this plan replaces on the disk.
        found.add("loaded")
    return found


def make_plan(ctx: Context, report: LadderReport) -> Plan:
    """The steps that make every rung of ``report`` hold, in the order of the ladder.

    Empty for a healthy host, and where the driver is provided from outside. Rungs that only a
    person can mend, and those that are seen at the first boot, are named instead.
    """
    target = ctx.target.to_json() if ctx.target is not None else {}
    first_boot: tuple[str, ...] = ()
    if later(ctx):
        first_boot = tuple(
            r.id for r in report.rungs if r.state is State.SKIPPED and r.id in FIRST_BOOT_RUNGS
        )
    if ctx.outside_driver:
        told = (
            "The driver is provided from outside this system: whoever provides it must mend it.",
        )
        # No target: that driver will not be installed here.
        return Plan({}, (), told if _doesnt_hold(report) else ())
    if _nowhere_to_work(ctx, report):
        return Plan(target, (), _blocked(ctx, report, ()), first_boot)
    if gpu.all_reserved(ctx):
        # Nothing that a driver needs helps before a GPU is free for it: that takes a person and a reboot.
        return Plan(target, (), (BY_HAND["gpu-bound-to-vfio"],), first_boot)
    bad = {result.id for result in _doesnt_hold(report)}
    bad |= _follows(ctx, bad)
    # What is installed isn't known while the package database is damaged.
    if _no_driver_chosen(ctx, report) or ctx.facts.packages.damage:
        bad &= {"packages"}
    lacking = unread(ctx)
    if lacking is not None:
        bad = set() if lacking.rungs is None else bad - lacking.rungs
    made: list[Step] = []
    here = ctx
    for rung in RUNGS:
        made += rung.repair(here) if rung.id in bad else ()
        if rung.id == "platform" and any(step.id == room.REMOVAL for step in made):
            here = room.without_spare(ctx)
    steps = _one_driver_step(ctx, _unique(made))
    steps = _without_repeats(_merge_installs(ctx, _ordered(steps)))
    steps = _with_reason(ctx, _refreshed(ctx, steps))
    return Plan(target, steps, _blocked(ctx, report, steps), first_boot, _made_for(ctx, steps))
