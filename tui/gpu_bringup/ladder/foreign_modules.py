"""Module files in a kernel's folder that were built for another kernel, or stand beside the right one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.families.aside import move_files
from gpu_bringup.ladder.steps import change_step
from gpu_bringup.ladder.view import log_lines, module_files, wanted
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.plan import Command, Step

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import ModuleFile

REFUSED = r"nvidia: version magic"


def built_for(file: ModuleFile, release: str) -> str:
    """The kernel release that a file was built for; ``release`` where that isn't known."""
    return file.vermagic.split(" ", 1)[0] if isinstance(file.vermagic, str) else release


def stale_links(ctx: Context, release: str) -> tuple[str, ...]:
    """Paths below weak-updates that lead to another kernel's module which this kernel refused."""
    files = module_files(ctx, release)
    if not log_lines(ctx, REFUSED):
        return ()
    weak = [file for file in files if "weak-updates" in file.path]
    if not any(built_for(file, release) != release for file in weak):
        return ()
    listing = ctx.facts.modules.files
    everything = listing if isinstance(listing, tuple) else ()
    return tuple(f.path for f in everything if f.kernel == release and "weak-updates" in f.path)


def second_copies(ctx: Context, release: str) -> tuple[str, ...]:
    """Modules of another version that stand beside one of the wanted version."""
    wish, listing = wanted(ctx), ctx.facts.modules.files
    files = module_files(ctx, release)
    versions = {file.version for file in files if isinstance(file.version, str)}
    if len(versions) < 2 or not any(f.version == wish.version for f in files):
        return ()
    everything = listing if isinstance(listing, tuple) else ()
    return tuple(
        file.path
        for file in everything
        if file.kernel == release
        and file.name.startswith("nvidia")
        and isinstance(file.version, str)
        and file.version != wish.version
    )


def aside_steps(ctx: Context) -> tuple[Step, ...]:
    """Move what is in the right module's way aside; what a package owns is refused by the script."""
    steps: list[Step | None] = []
    for release in ctx.releases:
        depmod = (Command(("depmod", "-a", release)),)
        for step_id, paths, why in (
            (
                "move-weak-updates",
                stale_links(ctx, release),
                "These links lead to a module of another kernel, which this kernel refused (version "
                "magic). They come before what is built for it.",
            ),
            (
                "move-second-module",
                second_copies(ctx, release),
                "Another version of the module lies in the same kernel's folder, and modprobe may "
                "take it instead of the one that fits the libraries.",
            ),
        ):
            if not paths:
                continue
            steps.append(
                change_step(
                    f"{step_id}-{release}",
                    "module",
                    f"Move {listed(paths[:3])}{' and more' if len(paths) > 3 else ''} aside",
                    f"{why} Each is kept, with its name, below /var/lib/gpu-bringup/aside.",
                    move_files(paths, depmod),
                    done_when=("module",),
                    risk="A file that a package owns is refused: then that package must go instead.",
                )
            )
    return tuple(step for step in steps if step is not None)
