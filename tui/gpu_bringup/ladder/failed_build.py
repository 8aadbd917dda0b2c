"""A driver package that is half configured because its modules do not compile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.families.common import is_driver_package
from gpu_bringup.ladder.build_errors import cause_of_build_error
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import base_name, driver_set, upstream_version
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import DkmsBuild
    from gpu_bringup.model.ladder import Cause

HOPELESS = ("dkms-build-api-break", "dkms-build-gpl-symbol")
"""The driver's own source is at fault: the same build would fail again."""


def unfinished(ctx: Context) -> tuple[str, ...]:
    """Packages that are half installed or not configured; empty where that isn't known."""
    names = ctx.facts.packages.unfinished
    return () if isinstance(names, Unknown) else names


def _build(ctx: Context) -> DkmsBuild | None:
    """The failed build that left nothing but driver packages unfinished; else None."""
    names, builds = unfinished(ctx), ctx.facts.modules.dkms
    if not names or not all(is_driver_package(name) for name in names):
        return None
    if isinstance(builds, Unknown):
        return None
    versions = {upstream_version(packages_version(ctx, name)) for name in names}
    for build in builds:
        own = build.module.startswith("nvidia") and build.version in versions
        if own and build.state == "failed" and build.first_error:
            return build
    return None


def packages_version(ctx: Context, name: str) -> str:
    """Version of a package, finished or not; empty where it isn't known."""
    listing = ctx.facts.packages.installed
    if isinstance(listing, Unknown):
        return ""
    return next((package.version for package in listing if package.name == name), "")


def build_cause(ctx: Context) -> Cause | None:
    """The compile error behind the half-configured package, where it is the driver's own fault."""
    build = _build(ctx)
    found = cause_of_build_error(build.first_error) if build is not None else ""
    if build is None or found not in HOPELESS:
        return None
    return cause(
        found,
        0.96,
        ev(build.log_path or "dkms", build.first_error),
        ev("package database", f"therefore not configured: {listed(unfinished(ctx)[:6])}"),
    )


def _wanted(ctx: Context) -> str:
    return ctx.target.driver.version if ctx.target is not None else ""


def removal_step(ctx: Context) -> Step | None:
    """Take the package away that can't be configured, where the target is another driver."""
    if build_cause(ctx) is None or ctx.target is None or ctx.family is None:
        return None
    gone = unfinished(ctx)
    names = {base_name(name) for name in driver_set(ctx)}
    same = {name for name in gone if upstream_version(packages_version(ctx, name)) == _wanted(ctx)}
    if names & same:
        return None
    manager = ctx.family.manager
    listing = ctx.facts.packages.installed
    held = () if isinstance(listing, Unknown) else tuple(p.name for p in listing if p.held)
    commands = [manager.remove(gone)]
    if any(name in held for name in gone):
        commands.insert(0, manager.unhold(tuple(name for name in gone if name in held)))
    if ctx.facts.packages.interrupted is True and manager.name == "apt":
        # apt refuses everything while dpkg's journal waits; that the build fails again is known.
        commands.insert(0, manager.mend()[0])
    return Step(
        id="remove-failed-driver",
        rung="packages",
        title=f"Remove {listed(gone)}, which does not compile on this kernel",
        why="The package is half configured, and every later installation would try its build again "
        "and stop there. The chosen driver takes its place.",
        commands=tuple(commands),
        stops_workloads=True,
        estimate_seconds=30,
        risk="Modules of this driver that were built for older kernels go as well. Taking the run back "
        "doesn't bring it back: it could not be configured.",
    )
