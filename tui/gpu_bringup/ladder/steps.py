"""Pieces that several rungs' repairs share: one install, one initramfs rebuild, one reboot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.families.common import is_driver_package
from gpu_bringup.ladder.view import base_name, missing, packages
from gpu_bringup.model.plan import Command, Step

if TYPE_CHECKING:
    from gpu_bringup.families.base import Change
    from gpu_bringup.ladder.base import Context

REBOOT = "reboot"


_KEPT = ("headers", "compiler", "guard")
"""Rungs whose packages an undo leaves: zfs-dkms and the like need them too, and would go along."""
KEPT_WORDS = (
    "Taking the run back leaves these packages in place: other modules may be built with them by "
    "then, and would be removed along with them."
)

# Compilers and the like: somebody else may rely on them by the time of an undo.
_SHARED_TOOLS = re.compile(
    r"^(gcc|g\+\+|clang|lld|llvm|make|binutils|libc6-dev|glibc-devel|libelf-dev|elfutils-libelf-devel"
    r"|pahole|dwarves|kmod|openssl|mokutil|ca-certificates|gpg|gnupg2?|perl|curl|wget)(-\d+)?$"
)


def without_vague(names: tuple[str, ...]) -> tuple[str, ...]:
    """Build trees once: beside one of an exact version, its bare name would bring the newest too."""

    def exact(name: str) -> bool:
        return any(
            other.startswith(f"{name}=") or re.match(rf"{re.escape(name)}-\d", other)
            for other in names
        )

    return tuple(
        name for name in names if not name.endswith(("-devel", "-devel-matched")) or not exact(name)
    )


def install_step(
    ctx: Context,
    step_id: str,
    rung: str,
    title: str,
    why: str,
    names: tuple[str, ...],
    *,
    done_when: tuple[str, ...] = (),
    estimate_seconds: int = 60,
    risk: str = "",
    expect: str = "",
) -> Step | None:
    """One package manager run for ``names``; None when there is no family or nothing to install.

    Its undo removes only what was not on the host before, of a driver its own packages alone, and
    nothing that other modules are built with (headers, compiler, dkms).
    """
    names = tuple(dict.fromkeys(names))
    if ctx.family is None or not names:
        return None
    manager = ctx.family.manager
    known = packages(ctx.facts)
    new = tuple(
        base_name(name)
        for name in names
        if base_name(name) not in known
        and not _SHARED_TOOLS.match(base_name(name))
        and (rung != "module" or is_driver_package(base_name(name)))
    )
    kept = rung in _KEPT
    return Step(
        id=step_id,
        rung=rung,
        title=title,
        why=why,
        commands=(manager.install(without_vague(names)),),
        undo=(manager.remove(new),) if new and not kept else (),
        done_when=done_when,
        estimate_seconds=estimate_seconds,
        risk=f"{risk} {KEPT_WORDS}".strip() if kept else risk,
        expect=expect,
        packages=names,
    )


def wanting(ctx: Context, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` that aren't installed yet."""
    return missing(ctx.facts, names)


def refresh_step(ctx: Context) -> Step | None:
    """Read the repositories' indexes, so that what is installed next is what they have now."""
    if ctx.family is None:
        return None
    return Step(
        id="refresh-packages",
        rung="packages",
        title="Read the package indexes",
        why="The package manager installs what its index names; an old index names versions that "
        "the repository has dropped, and the download then fails with 404.",
        commands=(ctx.family.manager.refresh(),),
        estimate_seconds=30,
        expect="One line a repository; an error here is a network, proxy or key problem, "
        "not a driver problem.",
    )


def change_step(
    step_id: str,
    rung: str,
    title: str,
    why: str,
    change: Change,
    *,
    done_when: tuple[str, ...] = (),
    estimate_seconds: int = 10,
    risk: str = "",
    expect: str = "",
) -> Step | None:
    """A family's change as a step; None when there is nothing to change."""
    if not change:
        return None
    return Step(
        id=step_id,
        rung=rung,
        title=title,
        why=why,
        commands=change.commands,
        writes=change.writes,
        undo=change.undo,
        done_when=done_when,
        estimate_seconds=estimate_seconds,
        risk=risk,
        expect=expect,
    )


def initramfs_steps(ctx: Context, done_when: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """One rebuild for each kernel that has an initramfs (or an image, where that isn't known)."""
    if ctx.family is None:
        return ()
    steps = []
    for release, kernel in ctx.kernels():
        if kernel is None or kernel.initramfs is False:
            continue
        if kernel.initramfs is not True and not kernel.bootable:
            continue
        steps.append(
            Step(
                id=f"initramfs-{release}",
                rung="nouveau",
                title=f"Rebuild the initramfs of {release}",
                why="The kernel loads drivers from the initramfs before it sees the real file "
                "system. A blacklist or a new driver that isn't in it doesn't count at boot.",
                commands=(ctx.family.rebuild_initramfs(release),),
                done_when=done_when,
                estimate_seconds=40,
                risk="It needs room in /boot: a half-written initramfs may not boot.",
                expect="One line that names the image; warnings about missing firmware of other "
                "devices are harmless.",
            )
        )
    return tuple(steps)


def reboot_step(rung: str, why: str, done_when: tuple[str, ...], expect: str = "") -> Step:
    """Ask for a reboot; the program never reboots by itself."""
    return Step(
        id=REBOOT,
        rung=rung,
        title="Reboot this server",
        why=why,
        reboot=True,
        stops_workloads=True,
        done_when=done_when,
        estimate_seconds=180,
        risk="Everything on this server stops. Drain it first, and have its console at hand.",
        expect=expect or "After the boot run the same command again: it goes on from there.",
    )


def systemctl(*words: str, ok: tuple[int, ...] = (0,)) -> Command:
    """A systemctl command."""
    return Command(("systemctl", *words), ok_statuses=ok)
