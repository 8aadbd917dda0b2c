"""Which kernels of this host have a driver that works: the way back to service after a bad upgrade."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.families.boot_choice import choose_kernel
from gpu_bringup.ladder.loaded import blacklist_entries
from gpu_bringup.ladder.signature import would_be_taken
from gpu_bringup.ladder.signing import enforced
from gpu_bringup.ladder.steps import reboot_step
from gpu_bringup.ladder.view import boards, module_files, wanted
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.next_boot import next_boot, short_reason

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import ModuleFile


LEARN = "as root on that server, gpu-bringup check reads it, and gpu-bringup record writes it down"


def _file(ctx: Context, release: str) -> ModuleFile | None:
    """The module that ``release`` would load: of the libraries' version, built for this kernel."""
    wish = wanted(ctx)
    for file in module_files(ctx, release):
        magic = file.vermagic.split(" ", 1)[0] if isinstance(file.vermagic, str) else release
        if wish.fits(file) and (magic == release or "weak-updates" in file.path):
            return file
    return None


def why_not(ctx: Context, release: str) -> str:
    """Why this kernel would have no working driver, as far as files tell; empty: it would."""
    file = _file(ctx, release)
    if file is None:
        files, looked = module_files(ctx, release), ctx.facts.modules.files
        if isinstance(looked, Unknown):
            return (
                "can't be judged: whether it has the nvidia module is not known "
                f"({short_reason(looked)}); {LEARN}"
            )
        if not files:
            return "has no nvidia module"
        return (
            f"has the module in version {files[0].version}, the libraries need {wanted(ctx).words}"
        )
    kernel = ctx.facts.kernel(release)
    if kernel is not None and kernel.initramfs is False:
        return "has no initramfs, so it may not boot"
    for board in boards(ctx):
        wrong = {"required": Flavour.PROPRIETARY, "unsupported": Flavour.OPEN}
        if file.flavour is wrong.get(board.open_modules):
            return f"has {file.flavour.value} modules, which can't drive {board.name}"
    if enforced(ctx) is True and would_be_taken(ctx, file) is not True:
        return "has a module that Secure Boot would refuse"
    return ""


def serving(ctx: Context) -> tuple[str, ...]:
    """Installed kernels whose driver would work, those that are known to first, each group newest first.

    Of the others nothing is known that speaks against them: ``doubt`` says what isn't known. The
    running kernel is not among them.
    """
    installed = ctx.facts.kernels.installed
    if isinstance(installed, Unknown) or blacklist_entries(ctx):
        return ()
    rows = next_boot(ctx).rows
    failing = {row.release for row in rows if row.works is False}
    known = {row.release for row in rows if row.works is True}
    found = [
        kernel.release
        for kernel in installed
        if kernel.bootable
        and not kernel.running
        and kernel.release not in failing
        and not why_not(ctx, kernel.release)
    ]
    return tuple(sorted(found, key=lambda release: release not in known))


def doubt(ctx: Context, release: str) -> str:
    """What isn't known of this kernel's driver although nothing speaks against it; empty: all is."""
    row = next((row for row in next_boot(ctx).rows if row.release == release), None)
    return listed(row.reasons) if row is not None and isinstance(row.works, Unknown) else ""


def driver_words(ctx: Context, release: str) -> str:
    """What is known of the driver that this kernel would have, in a sentence."""
    unsure = doubt(ctx, release)
    if not unsure:
        return f"{release} has a driver that fits, judged by its files."
    return f"{release} has a driver, and nothing is known to speak against it; not known: {unsure}."


def boot_steps(ctx: Context, release: str, *, once: bool) -> tuple[tuple[Step, ...], str, str]:
    """(steps, risk, why they can't be taken) for booting another kernel."""
    family = ctx.family.id if ctx.family is not None else ""
    choice = choose_kernel(ctx.facts, family, release, once=once)
    if choice.why_not:
        return (), "", choice.why_not
    how = "at the next boot, once" if once else "from the next boot on"
    step = Step(
        id="boot-once" if once else "boot-default",
        rung="kernel",
        title=f"Boot {release} {how}",
        why=f"{driver_words(ctx, release)} This tells the boot loader, nothing else: no package and no "
        "module changes.",
        commands=choice.change.commands,
        writes=choice.change.writes,
        undo=choice.change.undo,
        estimate_seconds=20 if choice.change.writes else 3,
        risk=choice.risk,
    )
    # Chosen already, by an earlier run or by the menu's own order: only the reboot is missing.
    kernel = ctx.facts.kernel(release)
    ready = kernel is not None and (
        kernel.one_shot if once else kernel.default is True and not _one_shot(ctx)
    )
    if release == ctx.facts.kernels.running and not once:
        return ((step,), choice.risk, "")
    reboot = reboot_step(
        "kernel",
        f"{release} is started by it, and its driver with it.",
        ("kernel", "headers", "module", "loaded", "devices", "nvml", "cuda"),
        "After the boot look again: gpu-bringup check.",
    )
    return ((reboot,) if ready else (step, reboot)), choice.risk, ""


def _one_shot(ctx: Context) -> bool:
    installed = ctx.facts.kernels.installed
    return not isinstance(installed, Unknown) and any(kernel.one_shot for kernel in installed)
