"""One driver series on one host: packages of two that are mixed, and a hold that keeps a part back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import (
    known_packages,
    needs_module,
    packages,
    upstream_version,
)
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.plan import Step
from gpu_bringup.model.versions import branch_of, driver_key

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import Facts, Package
    from gpu_bringup.model.ladder import Cause

_CORE = re.compile(
    r"^(libcuda1|libnvidia-(ml1|compute|cfg1|ptxjitcompiler1|nvvm|gpucomp|decode|encode|extra|common|gl)"
    r"|nvidia-(kernel|dkms|open|compute|utils|headless|driver|smi|libs|gl)|kmod-nvidia|cuda-drivers)"
)
"""The parts that must be of one version; tools with versions of their own are not among them."""
_OTHER = re.compile(r"support|assistant|pinning|selinux|container|cuda-dev|fabric|imex|-dev$")
_MODULE = re.compile(r"dkms|kernel|^nvidia-open|kmod")
_NUMBERED = re.compile(r"-\d{3}(-|$)")


def core(ctx: Context) -> dict[str, Package]:
    """Installed packages of the driver proper, by name, whose version says a driver version."""
    return {
        name: package
        for name, package in packages(ctx.facts).items()
        if _CORE.match(name) and not _OTHER.search(name) and upstream_version(package.version)
    }


def core_versions(facts: Facts) -> frozenset[str]:
    """Driver versions of the installed packages of the driver proper; more than one: they are mixed."""
    return frozenset(
        upstream_version(package.version)
        for name, package in known_packages(facts).items()
        if _CORE.match(name) and not _OTHER.search(name) and upstream_version(package.version)
    )


def kept_version(ctx: Context) -> str:
    """The driver version that the set should have: the target's, the module's, else the newest."""
    if ctx.target is not None and ctx.target.driver.version:
        return ctx.target.driver.version
    found = core(ctx)
    modules = [upstream_version(p.version) for n, p in found.items() if _MODULE.search(n)]
    versions = modules or [upstream_version(p.version) for p in found.values()]
    return max(versions, key=driver_key, default="")


def strays(ctx: Context) -> dict[str, Package]:
    """Packages of another series than the one to keep; also of another version where held."""
    keep = kept_version(ctx)
    result = {}
    for name, package in core(ctx).items():
        version = upstream_version(package.version)
        if version == keep:
            continue
        if branch_of(version) != branch_of(keep) or package.held:
            result[name] = package
    return result


def series_causes(ctx: Context) -> list[Cause]:
    """Two series mixed, or a hold that keeps a part of the set back; facts alone decide."""
    found = core(ctx)
    versions = {upstream_version(package.version) for package in found.values()}
    if len(versions) < 2:
        return []
    keep = kept_version(ctx)
    if ctx.target is not None and keep not in versions:
        # The whole set is to be replaced: it will be one again.
        return []
    stray = strays(ctx)
    if not stray:
        return []
    told = [
        ev("package database", f"{version}: {listed(_names(found, version)[:5])}")
        for version in sorted(versions, key=driver_key, reverse=True)
    ]
    held = [name for name, package in stray.items() if package.held]
    if held:
        text = f"held at another version than the rest: {listed(held)}"
        return [cause("held-or-broken-packages", 0.94, ev("holds", text), *told)]
    return [cause("repo-or-branch-package-conflict", 0.93, *told)]


def _names(found: dict[str, Package], version: str) -> list[str]:
    return [n for n, package in found.items() if upstream_version(package.version) == version]


def series_steps(ctx: Context) -> tuple[Step, ...]:
    """Bring the set to one version: release holds, take what stays behind along or away."""
    stray = strays(ctx) if series_causes(ctx) else {}
    family = ctx.family
    if not stray or family is None:
        return ()
    manager, keep = family.manager, kept_version(ctx)
    whole = next((p.version for p in core(ctx).values() if upstream_version(p.version) == keep), "")
    steps: list[Step] = []
    held = tuple(name for name, package in stray.items() if package.held)
    if held:
        steps.append(
            Step(
                id="unhold-strays",
                rung="packages",
                title=f"Release the hold on {listed(held)}",
                why="A part of the driver that is held stays behind when the rest is upgraded, and the "
                "parts refuse each other. Hold all of the set or none.",
                commands=(manager.unhold(held),),
                undo=(manager.hold(held),),
            )
        )
    numbered = tuple(name for name in stray if _NUMBERED.search(name))
    pinned = tuple(f"{name}={whole}" for name in stray if name not in numbered)
    if numbered:
        back = tuple(f"{name}={stray[name].version}" for name in numbered)
        steps.append(
            Step(
                id="remove-other-series",
                rung="packages",
                title=f"Remove the packages of the other driver series ({listed(numbered)})",
                why=f"The driver that stays is {keep}. Packages of another series overwrite its files "
                "or are loaded in place of them.",
                commands=(manager.remove(numbered),),
                undo=(manager.install(back),),
                stops_workloads=True,
                estimate_seconds=40,
                risk="Programs that use the GPUs now may fail until the set is whole again.",
            )
        )
    if pinned and (ctx.target is None or not needs_module(ctx)):
        steps.append(
            Step(
                id="align-series",
                rung="packages",
                title=f"Bring {listed(stray[n.partition('=')[0]].name for n in pinned)} to {keep}",
                why="All parts of the driver must be of one version, to the last digit.",
                commands=(manager.install(pinned),),
                stops_workloads=True,
                estimate_seconds=90,
                risk="Programs that use the GPUs now may fail until the set is whole again.",
                packages=pinned,
            )
        )
    return tuple(steps)
