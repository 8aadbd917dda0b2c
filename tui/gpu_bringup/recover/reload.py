"""Reload instead of reboot: services, modules, and the order in which they go and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.loaded import blacklist_entries, disk_module, module_stem
from gpu_bringup.ladder.nouveau import competing
from gpu_bringup.ladder.signature import would_be_taken
from gpu_bringup.ladder.signing import enforced
from gpu_bringup.ladder.steps import systemctl
from gpu_bringup.ladder.view import library_version, loaded_names, loaded_version, log_lines
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.in_use import InUse

ORDER = ("nvidia_peermem", "nvidia_fs", "nvidia_drm", "nvidia_modeset", "nvidia_uvm", "nvidia")
"""Out in this order: each uses those after it. In again the other way round."""
START_LAST = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")


def why_not(ctx: Context) -> str:
    """Why the running kernel can't get a working driver without a reboot; empty: it can."""
    facts = ctx.facts
    if isinstance(facts.platform.container, str) or facts.platform.chroot is True:
        return "this is no system of its own: modules are loaded by the host outside"
    if facts.platform.modules_loadable is False:
        return "this kernel takes no further module until the next boot (modules_disabled)"
    if competing(ctx):
        return (
            f"{listed(competing(ctx))} holds the GPU and can't be taken away while the system runs"
        )
    if blacklist_entries(ctx):
        return "modprobe.d keeps the module out: that must be mended first"
    gpus = () if isinstance(facts.pci.gpus, Unknown) else facts.pci.gpus
    gone = [gpu.bus_id for gpu in gpus if gpu.fallen_off]
    if gone:
        return f"{listed(gone)} no longer answers on the bus: only a power cycle brings it back"
    if log_lines(ctx, r"Xid \(.*\): (?:79|119|120|154),"):
        return (
            "the kernel's log tells a GPU or GSP that stopped answering: a reload would hang on it"
        )
    return _module_reason(ctx)


def _module_reason(ctx: Context) -> str:
    running = ctx.facts.kernels.running
    disk = disk_module(ctx)
    if disk is None:
        return f"the running kernel ({running}) has no nvidia module on disk that could be loaded"
    libraries = library_version(ctx.facts)
    if libraries and isinstance(disk.version, str) and disk.version != libraries:
        return (
            f"the module on disk for the running kernel is {disk.version}, the libraries are "
            f"{libraries}: loading it would not bring them together"
        )
    magic = disk.vermagic.split(" ", 1)[0] if isinstance(disk.vermagic, str) else running
    if magic != running and "weak-updates" not in disk.path:
        return f"the module on disk was built for {magic}, not for the running kernel"
    if enforced(ctx) is True and would_be_taken(ctx, disk) is not True:
        return "the running kernel would refuse the module: its key is not trusted"
    return ""


def needed(ctx: Context) -> bool:
    """Would a reload change anything: is another module loaded than the one on disk?"""
    loaded, disk = loaded_version(ctx.facts), disk_module(ctx)
    return bool(loaded) and disk is not None and disk.version != loaded


def reload_step(ctx: Context, in_use: InUse) -> Step:
    """Stop the driver's services, swap the modules, start the services again."""
    there = [name for name in ORDER if name in loaded_names(ctx.facts)]
    units = in_use.services or _usual(ctx)
    back = [name for name in reversed(there) if name not in ("nvidia_peermem", "nvidia_fs")]
    come = list(dict.fromkeys(["nvidia", "nvidia_uvm", *back]))
    extra = [name for name in there if name in ("nvidia_peermem", "nvidia_fs")]
    start = [unit for unit in reversed(units) if unit not in START_LAST]
    start += [unit for unit in START_LAST if unit in units]
    return Step(
        id="reload-modules",
        rung="loaded",
        title="Put the module on disk in place of the loaded one",
        why="The running kernel still holds the old module, and the new libraries refuse to talk to "
        "it. Services that hold it are stopped first (users before what they use), then the modules "
        "go out, those that use others first; in again the other way round. No reboot is needed.",
        commands=(
            *(systemctl("stop", unit, ok=(0, 5)) for unit in units),
            *(Command(("rmmod", name)) for name in there),
            *(Command(("modprobe", module_stem(ctx, name))) for name in come),
            *(Command(("modprobe", name.replace("_", "-")), ok_statuses=(0, 1)) for name in extra),
            *(systemctl("start", unit, ok=(0, 5)) for unit in start),
        ),
        stops_workloads=True,
        done_when=("loaded", "libraries"),
        estimate_seconds=45,
        risk="'Module nvidia is in use' means that a program still holds a GPU: nothing is lost then, "
        "end it and take the way again, or reboot.",
        expect="No output at all when it works; persistence mode takes some seconds a GPU.",
    )


def _usual(ctx: Context) -> tuple[str, ...]:
    """Where nobody could look: stopping a unit that isn't there does no harm (status 5)."""
    services = ctx.facts.services
    units = []
    if services.fabric_manager_running is True:
        units.append("nvidia-fabricmanager.service")
    if services.persistenced_running is not False:
        units.append("nvidia-persistenced.service")
    return tuple(units)
