"""Which kernels a broken rung is about: a fault of one kernel explains nothing of another's. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.headers import must_have
from gpu_bringup.ladder.view import has_module, module_files
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.ladder import RungResult

PER_KERNEL = ("headers", "compiler", "module")
"""Rungs that judge each kernel by itself."""


def concerned(ctx: Context, result: RungResult) -> frozenset[str]:
    """Releases that a rung's fault is about; none: all of them, or it can't be told.

    "loaded" is about the running kernel alone, and only where that has its module: without one the
    fault is the module's.
    """
    if result.id == "headers":
        return frozenset(
            release
            for release, kernel in ctx.kernels()
            if kernel is not None
            and not isinstance(kernel.headers.state, Unknown)
            and kernel.headers.state is not HeadersState.COMPLETE
            and must_have(ctx, release)
        )
    if result.id == "compiler":
        return frozenset(
            release
            for release, kernel in ctx.kernels()
            if kernel is not None and kernel.compiler_present is False and must_have(ctx, release)
        )
    if isinstance(ctx.facts.modules.files, Unknown):
        return frozenset()
    if result.id == "module":
        return frozenset(release for release in ctx.releases if not has_module(ctx, release))
    if result.id == "signature":
        # Where there is no module, there is nothing to be signed.
        return frozenset(release for release in ctx.releases if module_files(ctx, release))
    running = ctx.facts.kernels.running
    if result.id == "loaded" and isinstance(running, str) and running in ctx.releases:
        return frozenset({running}) if has_module(ctx, running) else frozenset()
    return frozenset()


def apart(ctx: Context, result: RungResult, below: RungResult) -> bool:
    """Are both about kernels, and no kernel is in both?"""
    if below.id not in PER_KERNEL or result.id not in (*PER_KERNEL, "signature", "loaded"):
        return False
    mine, theirs = concerned(ctx, result), concerned(ctx, below)
    return bool(mine) and bool(theirs) and not mine & theirs
