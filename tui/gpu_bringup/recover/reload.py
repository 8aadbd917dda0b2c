"""Reload instead of reboot: services, modules, and the order in which they go and come back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.gpu import all_reserved
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
    return next(iter(reasons(ctx)), "")


def reasons(ctx: Context) -> tuple[str, ...]:
    """Everything that stands against a reload, what weighs most first; empty: it can be done."""
    facts = ctx.facts
    if isinstance(facts.platform.container, str) or facts.platform.chroot is True:
        return ("this is no system of its own: modules are loaded by the host outside",)
    running = facts.kernels.running
    kernel = facts.kernel(running) if isinstance(running, str) else None
    if kernel is not None and kernel.modules_enabled is False:
        return (f"{running} was built without loadable modules (CONFIG_MODULES is not set)",)
    found: list[str] = []
    if facts.platform.modules_loadable is False:
        found.append("this kernel takes no further module until the next boot (modules_disabled)")
    if competing(ctx):
        found.append(
            f"{listed(competing(ctx))} holds the GPU and can't be taken away while the system runs"
        )
    if all_reserved(ctx):
        found.append(
            "every GPU is reserved for virtual machines (vfio-pci): the driver would get none"
        )
    if blacklist_entries(ctx):
        where = blacklist_entries(ctx)[0].partition(" ")[2]
        found.append(f"modprobe.d keeps the module out ({where}): that must be mended first")
    gpus = () if isinstance(facts.pci.gpus, Unknown) else facts.pci.gpus
    gone = [gpu.bus_id for gpu in gpus if gpu.fallen_off]
    if gone:
        found.append(
            f"{listed(gone)} no longer answers on the bus: only a power cycle brings it back"
        )
    if log_lines(ctx, r"Xid \(.*\): (?:79|119|120|154),"):
        found.append(
            "the kernel's log tells a GPU or GSP that stopped answering: a reload would hang on it"
        )
    return (*found, *_module_reasons(ctx), *_foreign_users(ctx))


def _module_reasons(ctx: Context) -> tuple[str, ...]:
    running = ctx.facts.kernels.running
    disk = disk_module(ctx)
    if disk is None and isinstance(ctx.facts.modules.files, Unknown):
        why = ctx.facts.modules.files.reason
        return (f"which modules the running kernel ({running}) has on disk is not known: {why}",)
    if disk is None:
        return (f"the running kernel ({running}) has no nvidia module on disk to load",)
    if isinstance(disk.version, Unknown):
        return (f"the version of the module on disk is not known: {disk.version.reason}",)
    found: list[str] = []
    libraries = library_version(ctx.facts)
    if libraries and isinstance(disk.version, str) and disk.version != libraries:
        found.append(
            f"the module on disk for the running kernel is {disk.version} ({disk.path}), the libraries "
            f"are {libraries}: loading it would not bring them together"
        )
    magic = disk.vermagic.split(" ", 1)[0] if isinstance(disk.vermagic, str) else running
    if magic != running and "weak-updates" not in disk.path:
        found.append(f"the module on disk was built for {magic}, not for the running kernel")
    if enforced(ctx) is True and would_be_taken(ctx, disk) is not True:
        found.append("the running kernel would refuse the module: its key is not trusted")
    return tuple(found)


def _foreign_users(ctx: Context) -> tuple[str, ...]:
    """Modules of others that use NVIDIA's: rmmod refuses as long as they are loaded."""
    loaded = ctx.facts.modules.loaded
    if isinstance(loaded, Unknown):
        return ()
    users: dict[str, list[str]] = {}
    for module in loaded:
        name = module.name.replace("-", "_")
        if name in ORDER:
            for user in module.users:
                if user.replace("-", "_") not in ORDER:
                    users.setdefault(user, []).append(name)
    return tuple(
        f"the module {user} uses {listed(used)}, which can't be unloaded before it: end what uses "
        f"{user}, then rmmod {user}"
        for user, used in users.items()
    )


def pointless(ctx: Context) -> str:
    """Why a reload would change nothing; empty: it would."""
    loaded, disk = loaded_version(ctx.facts), disk_module(ctx)
    if isinstance(ctx.facts.modules.loaded_version, Unknown):
        return f"what is loaded is not known: {ctx.facts.modules.loaded_version.reason}"
    if not loaded:
        return "no nvidia module is loaded, so there is none to put another in place of"
    if disk is not None and disk.version == loaded:
        return f"the module on disk is the one that is loaded ({loaded}): a reload changes nothing"
    return ""


def needed(ctx: Context) -> bool:
    """Would a reload change anything: is another module loaded than the one on disk?"""
    loaded, disk = loaded_version(ctx.facts), disk_module(ctx)
    return bool(loaded) and disk is not None and disk.version != loaded


def loadable(ctx: Context) -> bool:
    """Is no driver loaded, although the running kernel has one on disk that fits and would be taken?"""
    return ctx.facts.modules.loaded_version is None and not reasons(ctx)


def load_step(ctx: Context, in_use: InUse) -> Step:
    """Put the modules on disk into the running kernel, then start what serves the driver."""
    units = tuple(reversed(in_use.services or _usual(ctx)))
    names = ("nvidia", "nvidia_uvm")
    return Step(
        id="load-modules",
        rung="loaded",
        title="Load the driver",
        why="The module for the running kernel is on disk and fits the libraries; loading puts it into "
        "the running kernel. nvidia_uvm is CUDA's memory manager.",
        commands=(
            *(Command(("modprobe", module_stem(ctx, name))) for name in names),
            *(systemctl("start", unit, ok=(0, 5)) for unit in units),
        ),
        undo=tuple(Command(("rmmod", name), ok_statuses=(0, 1)) for name in reversed(names)),
        done_when=("loaded",),
        estimate_seconds=20,
        risk="None for what runs now: no program uses these GPUs yet.",
        expect="No output at all when it works.",
    )


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
