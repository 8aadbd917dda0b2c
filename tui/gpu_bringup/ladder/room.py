"""Room on /var and /boot: what can be given back without losing anything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.view import has_module, packages, prepare_only
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context

_KERNEL_PACKAGE = re.compile(r"^linux-(image|headers|modules|modules-extra|image-unsigned)-\d")
JOURNAL_LIMIT = "200M"
REMOVAL = "remove-old-kernels"
"""Id of the step that takes kernels away."""


def spare_kernels(ctx: Context) -> tuple[str, ...]:
    """Kernels that may go from a full /boot, oldest first.

    The running one, the next one and the newest stay. Beside the newest, which will boot in the end, one
    that has a driver stays as well: the running one where it is another, else the newest such.
    """
    installed = ctx.facts.kernels.installed
    if isinstance(installed, Unknown):
        return ()
    bootable = [kernel for kernel in installed if kernel.bootable]
    keep = {k.release for k in bootable if k.running or k.one_shot or k.default is True}
    keep |= {kernel.release for kernel in bootable[:1]}
    # A target names every bootable kernel, unless one was asked for.
    keep |= set(ctx.target.kernels) if ctx.target is not None and prepare_only(ctx) else set()
    with_driver = [k.release for k in bootable if not k.running and has_module(ctx, k.release)]
    running = {k.release for k in bootable[1:] if k.running and has_module(ctx, k.release)}
    if not running:
        keep |= set(with_driver[:1])
    return tuple(k.release for k in reversed(bootable) if k.release not in keep)


def without_spare(ctx: Context) -> Context:
    """The host as it is once the spare kernels are gone: nothing is to be built for those."""
    gone, installed = spare_kernels(ctx), ctx.facts.kernels.installed
    if not gone or isinstance(installed, Unknown):
        return ctx
    left = tuple(kernel for kernel in installed if kernel.release not in gone)
    facts = replace(ctx.facts, kernels=replace(ctx.facts.kernels, installed=left))
    if ctx.target is None:
        return replace(ctx, facts=facts)
    wished = tuple(release for release in ctx.target.kernels if release not in gone)
    return replace(ctx, facts=facts, target=replace(ctx.target, kernels=wished))


def _owned(ctx: Context, release: str) -> tuple[str, ...]:
    return tuple(
        name
        for name in packages(ctx.facts)
        if _KERNEL_PACKAGE.match(name) and name.endswith(release)
    )


def _removal(ctx: Context, names: tuple[str, ...]) -> Command:
    """apt also tries to configure what waits, and ends with 100 where that fails; finishing comes next."""
    assert ctx.family is not None
    command = ctx.family.manager.remove(names)
    waiting = ctx.facts.packages.unfinished
    some = not isinstance(waiting, Unknown) and bool(waiting)
    return replace(command, ok_statuses=(0, 100)) if some else command


def room_steps(ctx: Context, causes: frozenset[str]) -> tuple[Step, ...]:
    """Steps that make room; none where only a person can tell what may go."""
    family = ctx.family
    if family is None:
        return ()
    steps: list[Step] = []
    if "dkms-disk-full" in causes:
        clean = {"apt": ("apt-get", "clean"), "dnf": ("dnf", "clean", "packages")}
        cache = clean.get(family.manager.name, ("zypper", "clean"))
        steps.append(
            Step(
                id="make-room",
                rung="platform",
                title="Make room on /var: downloaded packages and old journal files",
                why="A module build needs some hundred MB below /var/lib/dkms, and dpkg can't even note "
                "what it did on a full disk. What is removed can be downloaded again, or is old log.",
                commands=(
                    Command(cache, package_manager=True),
                    Command(
                        ("journalctl", f"--vacuum-size={JOURNAL_LIMIT}"), ok_statuses=(0, 1, 127)
                    ),
                ),
                estimate_seconds=10,
                risk=f"Of the system's journal the newest {JOURNAL_LIMIT} stay.",
            )
        )
    spare = spare_kernels(ctx) if "boot-partition-full" in causes else ()
    names = tuple(name for release in spare for name in _owned(ctx, release))
    if names and family.manager.name == "apt":
        steps.append(
            Step(
                id=REMOVAL,
                rung="platform",
                title=f"Remove old kernels from /boot ({listed(spare)})",
                why="A full /boot leaves a half-written initramfs, and the next boot may fail. The running "
                "kernel, the newest one and a fallback with a driver stay.",
                commands=(_removal(ctx, names),),
                undo=(family.manager.install(names),),
                estimate_seconds=60,
                risk="These kernels can't be booted any more.",
            )
        )
    return tuple(steps)
