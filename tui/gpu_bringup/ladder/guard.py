"""Rung 17: the next unattended upgrade cannot break any of this."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.key_access import close_steps, with_keys
from gpu_bringup.ladder.module import to_come
from gpu_bringup.ladder.packages import held_in_the_way
from gpu_bringup.ladder.steps import change_step, install_step, wanting
from gpu_bringup.ladder.view import (
    base_name,
    driver_set,
    driver_traces,
    header_metas,
    installed_package,
    known_packages,
    outside_skip,
)
from gpu_bringup.ladder.words import Say, ev, listed, plural
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("guard")


def _header_metas(ctx: Context) -> tuple[str, ...]:
    """Meta packages that bring headers along with every later kernel."""
    names = [name for release in ctx.releases for name in header_metas(ctx, release)]
    return tuple(dict.fromkeys(names))


def _kernel_metas(ctx: Context) -> tuple[str, ...]:
    """What brings new kernels or moves this one, as far as it is installed or about to be.

    Of a host that was only described, nobody listed more than the kernel's meta: its parts are there.
    """
    if ctx.family is None:
        return ()
    have = known_packages(ctx.facts)
    described = isinstance(ctx.facts.packages.repositories, Unknown) and ctx.facts.recorded
    names: list[str] = []
    for release in ctx.releases:
        metas = ctx.family.kernel_meta_packages(release)
        moves = any(name in have for name in metas)
        # Not installed yet, but the build tree's package is: it comes with the headers' step.
        trees = ctx.family.header_packages(release) if moves and header_metas(ctx, release) else ()
        names += [
            name
            for name in ctx.family.kernel_hold_packages(release)
            if name in have or (described and moves) or any(t.startswith(f"{name}-") for t in trees)
        ]
    return tuple(dict.fromkeys(names))


def _metas_lacking(ctx: Context) -> tuple[str, ...]:
    """Header metas that don't follow although the kernel's meta does."""
    have = known_packages(ctx.facts)
    return tuple(name for name in _header_metas(ctx) if name not in have)


def hold_set(ctx: Context) -> tuple[str, ...]:
    """What the target wants held as one set: the driver, and the kernel metas with their headers.

    Kernel and driver are held together or not at all: a held driver under a moving kernel breaks at
    the next change of the kernel's API.
    """
    if ctx.target is None or not ctx.target.hold:
        return ()
    have = known_packages(ctx.facts)
    # Of a driver that is here as a whole, what was never installed is not held either.
    mine = driver_set(ctx)
    coming = mine if to_come(ctx) or not any(base_name(name) in have for name in mine) else ()
    names = (base_name(n) for n in mine if n in coming or base_name(n) in have)
    return tuple(dict.fromkeys([*names, *_kernel_metas(ctx), *_header_metas(ctx)]))


def arriving(ctx: Context) -> tuple[str, ...]:
    """Packages of the set that this plan itself brings, new or in place of another version.

    They aren't held before they are there, and a hold of the version before doesn't mean them.
    """
    have = known_packages(ctx.facts)
    coming = {base_name(name) for name in to_come(ctx)} | set(_metas_lacking(ctx))
    return tuple(name for name in hold_set(ctx) if name in coming and name not in have)


def _own_set(ctx: Context) -> tuple[str, ...]:
    """The installed driver set of a host without a target."""
    package = installed_package(ctx)
    if ctx.family is None or package is None:
        return ()
    return ctx.family.guard_packages(package, ctx.facts)


def _shielded(ctx: Context, name: str) -> bool:
    """Is a package held, or kept from unattended upgrades?"""
    package = known_packages(ctx.facts).get(name)
    if package is not None and package.held:
        return True
    patterns = ctx.facts.packages.unattended_blacklist
    if isinstance(patterns, Unknown):
        return False
    # unattended-upgrades matches its Package-Blacklist as regular expressions from the start.
    for pattern in patterns:
        try:
            if re.match(pattern, name):
                return True
        except re.error:
            continue
    return False


def _held(ctx: Context, names: tuple[str, ...]) -> tuple[str, ...]:
    have = known_packages(ctx.facts)
    return tuple(name for name in names if name in have and have[name].held)


def _hold_causes(ctx: Context) -> tuple[list[Cause], list[str], list[Evidence]]:
    target_set = hold_set(ctx)
    if target_set:
        held = _held(ctx, target_set)
        have = known_packages(ctx.facts)
        there = any(base_name(name) in have for name in driver_set(ctx))
        # Once the set is there, a name that isn't can't be held (what lacks is the module rung's).
        free = [n for n in target_set if n not in held and (n in have or not there)]
        if not free:
            return [], [], [ev("holds", listed(held))]
        found = "partial-hold" if held else "unattended-upgrade-unguarded"
        told = ev("holds", f"not held: {listed(free[:6])}{' and more' if len(free) > 6 else ''}")
        words = f"{len(free)} of {plural(len(target_set), 'package')} not held"
        return [cause(found, 0.85, told)], [words], []
    own = _own_set(ctx)
    if not own or ctx.facts.packages.unattended_upgrades is not True:
        return [], [], []
    free = [name for name in own if not _shielded(ctx, name)]
    if not free:
        return [], [], [ev("holds", f"{plural(len(own), 'package')} shielded")]
    told = ev("unattended-upgrades", f"on, and may replace {listed(free[:6])}")
    found = "partial-hold" if len(free) < len(own) else "unattended-upgrade-unguarded"
    words = f"unattended upgrades may replace {len(free)} of {plural(len(own), 'driver package')}"
    return [cause(found, 0.8, told)], [words], []


def check(ctx: Context) -> RungResult:
    return with_keys(ctx, _upgrades(ctx))


def _upgrades(ctx: Context) -> RungResult:
    if ctx.outside_driver:
        return outside_skip(ctx, say)
    unseen = isinstance(ctx.facts.packages.installed, Unknown)
    if unseen and isinstance(ctx.facts.modules.files, Unknown) and not driver_traces(ctx):
        return say.unknown("whether there is a driver to guard is not known")
    if ctx.target is None and not driver_traces(ctx):
        return say.skipped("no driver is installed: there is nothing to guard yet")
    if ctx.family is None:
        return say.skipped("how this distribution upgrades itself is not known here")
    if isinstance(ctx.facts.packages.installed, Unknown):
        return say.unknown(
            f"the installed packages are not known: {ctx.facts.packages.installed.reason}"
        )
    causes, words, evidence = _hold_causes(ctx)
    lacking = _metas_lacking(ctx)
    if lacking:
        words.append(f"{listed(lacking)} missing: the next kernel would come without headers")
        told = ev("package database", f"{listed(lacking)} not installed")
        causes.append(cause("headers-meta-not-following", 0.85, told))
    if causes:
        return say.broken("; ".join(words), causes, evidence)
    automatic = ctx.facts.packages.unattended_upgrades
    how = {
        True: "unattended upgrades are on, the driver is shielded",
        False: "no unattended upgrades",
    }
    state = how[automatic] if isinstance(automatic, bool) else "the driver set moves as one"
    follows = f"; {listed(_header_metas(ctx))} follows the kernel" if _header_metas(ctx) else ""
    return say.ok(f"{state}{follows}", *evidence)


def repair(ctx: Context) -> tuple[Step, ...]:
    family = ctx.family
    if family is None or ctx.outside_driver:
        return ()
    steps: list[Step | None] = [*close_steps(ctx)]
    lacking = wanting(ctx, _metas_lacking(ctx))
    if lacking:
        steps.append(
            install_step(
                ctx,
                "headers-meta",
                "guard",
                f"Let the headers follow the kernel ({listed(lacking)})",
                "The kernel's meta package brings every new kernel; without its twin for the headers "
                "the driver can't be built for it, and the GPUs are gone after the next reboot.",
                lacking,
                done_when=() if hold_set(ctx) else ("guard",),
                estimate_seconds=30,
            )
        )
    names = hold_set(ctx)
    if names and (_hold_causes(ctx)[0] or held_in_the_way(ctx) or arriving(ctx)):
        # Held as well: what hangs on the set and is installed already, so that nothing moves alone.
        everything = tuple(dict.fromkeys([*names, *_own_set(ctx)]))
        # What the operator holds already stays theirs: an undo must not release it. What an earlier
        # step releases for the new driver is held anew.
        released = held_in_the_way(ctx)
        held = set(_held(ctx, everything)) - set(released)
        everything = tuple(name for name in everything if name not in held)
        tools = wanting(ctx, family.manager.hold_tools)
        install = (family.manager.install(tools),) if tools else ()
        steps.append(
            Step(
                id="hold-set",
                rung="guard",
                title="Hold kernel and driver as one set",
                why="An unattended upgrade that moves one of them alone breaks the GPUs at the next "
                "reboot. Held, they move when you lift the hold, in a maintenance window of yours.",
                commands=(*install, family.manager.hold(everything)),
                undo=(family.manager.unhold(everything),),
                done_when=("guard",),
                estimate_seconds=5,
                risk="Security updates of kernel and driver wait for you too: plan a window for them.",
                packages=tools,
            )
        )
    elif _hold_causes(ctx)[0]:
        steps.append(
            change_step(
                "unattended-guard",
                "guard",
                "Keep unattended upgrades off the driver",
                "Libraries that are replaced under a loaded module refuse to work until the server is "
                "rebooted. Your own upgrades are not touched by this.",
                family.unattended_guard(_own_set(ctx)),
                done_when=("guard",),
                risk="Security updates of the driver wait for you: plan a window for them.",
            )
        )
    return tuple(step for step in steps if step is not None)


RUNG = Rung(
    id="guard",
    title="Guarded against upgrades",
    holds_when="The next unattended upgrade cannot break any of this.",
    teaches="Most GPU servers do not break by themselves: an automatic upgrade replaces one part of the "
    "set (kernel, headers, module, libraries) and leaves the others. The set must move together.",
    check=check,
    repair=repair,
)
