"""Rung 10: the modules are loaded, and what is loaded is what is on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.families.aside import move_files
from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.ledger import culprit_evidence
from gpu_bringup.ladder.log_causes import log_causes
from gpu_bringup.ladder.module import will_exist
from gpu_bringup.ladder.nouveau import competing
from gpu_bringup.ladder.signing import enrolment_missing
from gpu_bringup.ladder.steps import change_step, initramfs_steps, reboot_step, systemctl
from gpu_bringup.ladder.view import (
    later,
    library_version,
    loaded_names,
    loaded_version,
    module_files,
)
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.facts import ModuleFile
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("loaded")
UNBLOCK = "unblock-nvidia"
"""Id of the step that moves aside what keeps the modules out."""
RUNNING_RUNGS = ("loaded", "devices", "nvml", "cuda")


def disk_module(ctx: Context) -> ModuleFile | None:
    """The nvidia module on disk for the running kernel."""
    running = ctx.facts.kernels.running
    files = module_files(ctx, running) if isinstance(running, str) else ()
    return files[0] if files else None


def blacklist_entries(ctx: Context) -> tuple[str, ...]:
    """Entries "MODULE FILE:LINE" of modprobe.d that keep NVIDIA's own modules out."""
    listing = ctx.facts.modules.blacklisted
    if isinstance(listing, Unknown):
        return ()
    return tuple(e for e in listing if e.split(" ", 1)[0].replace("-", "_").startswith("nvidia"))


def _kept_out(ctx: Context) -> list[Cause]:
    return [
        cause("module-blacklisted", 0.9, ev(e.partition(" ")[2], f"keeps {e.split(' ')[0]} out"))
        for e in blacklist_entries(ctx)[:1]
    ]


def _not_loaded(ctx: Context) -> RungResult:
    causes = _kept_out(ctx)
    causes += log_causes(ctx)
    missing = ev("/proc/modules", "no nvidia module")
    if not causes:
        causes.append(cause("module-not-loaded", 0.8, missing))
    return say.broken("the nvidia module is not loaded", causes, (missing,))


def _initramfs_version(ctx: Context) -> tuple[str | None, str]:
    """(nvidia's version in the running kernel's initramfs, its path); "": none in it; None: not read."""
    looked = ctx.facts.initramfs
    for image in () if isinstance(looked, Unknown) else looked:
        if image.kernel == ctx.facts.kernels.running and not isinstance(image.modules, Unknown):
            inside = image.module("nvidia")
            if inside is None:
                return "", image.path
            return (None if isinstance(inside.version, Unknown) else inside.version), image.path
    return None, ""


def _held(ctx: Context) -> tuple[Evidence, ...]:
    """Loaded modules that programs hold, beyond the modules that use them."""
    loaded = ctx.facts.modules.loaded
    return tuple(
        ev(
            "/proc/modules",
            f"{item.name} is held {item.references - len(item.users)} times by programs",
        )
        for item in (() if isinstance(loaded, Unknown) else loaded)
        if item.name.startswith("nvidia") and item.references > len(item.users)
    )


def _stale(ctx: Context, loaded: str, disk: str) -> RungResult:
    libraries = library_version(ctx.facts)
    told = [ev("/proc/driver/nvidia/version", loaded), ev("module on disk", disk)]
    if libraries:
        told.append(ev("libraries", libraries))
    told += culprit_evidence(ctx)
    held = _held(ctx)
    stale, image = _initramfs_version(ctx)
    sure = 0.85 if libraries == disk else 0.6
    causes = [cause("driver-library-mismatch", sure, *told)]
    if stale == loaded:
        # It came from there at this boot, and will again at the next.
        causes.insert(0, cause("initramfs-stale-module", 0.93, ev(image, stale), *told))
    elif stale is None:
        causes.append(cause("initramfs-stale-module", 0.3, *told))
    if held:
        # Why the upgrade could not exchange it, and what a reload meets.
        causes.append(cause("module-in-use", 0.5, *held))
    how = "updated" if driver_key(loaded) < driver_key(disk) else "exchanged for an older one"
    return say.broken(
        f"{loaded} is loaded, but {disk} is on disk: the driver was {how} under the running one",
        causes,
    )


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason and blacklist_entries(ctx) and not ctx.outside_driver:
        # Nothing has to run for that to be seen: the next boot would come up without the driver.
        return say.broken("modprobe.d keeps the nvidia module from loading at boot", _kept_out(ctx))
    if reason:
        return say.skipped(reason)
    version = ctx.facts.modules.loaded_version
    if isinstance(version, Unknown):
        return say.unknown(f"whether the module is loaded is not known: {version.reason}")
    if version is None:
        return _not_loaded(ctx)
    evidence: list[Evidence] = [ev("/proc/driver/nvidia/version", version)]
    disk = disk_module(ctx)
    if not ctx.outside_driver and disk is not None and isinstance(disk.version, str):
        if disk.version != version:
            return _stale(ctx, version, disk.version)
        evidence.append(ev(disk.path, disk.version))
    names = loaded_names(ctx.facts)
    if names and "nvidia_uvm" not in names:
        told = ev("/proc/modules", f"{listed(names)}, but no nvidia_uvm")
        return say.broken(
            f"{version} is loaded, but nvidia_uvm is not: CUDA will fail with error 999",
            [cause("uvm-not-loaded", 0.95, told)],
            evidence,
        )
    flavour = ctx.facts.modules.loaded_flavour
    words = f", {flavour.value} modules" if isinstance(flavour, Flavour) else ""
    return say.ok(f"{version}{words}: {listed(names) or 'nvidia'}", *evidence)


def module_stem(ctx: Context, name: str) -> str:
    """What modprobe must be told: on Debian the file is nvidia-current.ko, not nvidia.ko."""
    running = ctx.facts.kernels.running
    files = module_files(ctx, running, name) if isinstance(running, str) else ()
    if files:
        return files[0].file_name
    stems = ctx.target.package.module_names if ctx.target is not None else ()
    plain = [s for s in stems if not s.endswith(("uvm", "modeset", "drm", "peermem"))]
    if name == "nvidia":
        return plain[0] if plain else "nvidia"
    if name != "nvidia_uvm":
        return name.replace("_", "-")
    uvm = next((s for s in stems if s.endswith("uvm")), "")
    return uvm or (f"{plain[0]}-uvm" if plain else "nvidia-uvm")


def reboot_reason(ctx: Context) -> str:
    """Why the chosen driver can only run after a reboot; empty: it can be loaded now."""
    running = ctx.facts.kernels.running
    if ctx.target is not None and isinstance(running, str) and running not in ctx.releases:
        return f"The driver is made for {listed(ctx.releases)}; {running} is running."
    if competing(ctx):
        return f"{listed(competing(ctx))} holds the GPU until the next boot."
    if enrolment_missing(ctx):
        return "The kernel refuses the module until its key is enrolled at the next boot."
    return ""


def can_run(ctx: Context) -> bool:
    """Is the driver loaded now, or will it be without a reboot?"""
    if later(ctx) or reboot_reason(ctx):
        return False
    if loaded_version(ctx.facts):
        return True
    return will_exist(ctx) and (not blacklist_entries(ctx) or bool(_leftovers(ctx)))


def replaced(ctx: Context) -> bool:
    """Is an older module loaded than the one that is (or will be) on disk?"""
    version = loaded_version(ctx.facts)
    if not version:
        return False
    if ctx.target is not None and ctx.target.driver.version:
        return version != ctx.target.driver.version
    disk = disk_module(ctx)
    return disk is not None and isinstance(disk.version, str) and disk.version != version


def _busy(ctx: Context) -> bool:
    """Does anything besides NVIDIA's own modules hold the loaded module?"""
    loaded = ctx.facts.modules.loaded
    if isinstance(loaded, Unknown):
        return True
    ours = [m for m in loaded if m.name.replace("-", "_").startswith("nvidia")]
    return any(module.references > len(module.users) for module in ours)


def _reload(ctx: Context) -> Step:
    order = ("nvidia_peermem", "nvidia_drm", "nvidia_modeset", "nvidia_uvm", "nvidia")
    there = [name for name in order if name in loaded_names(ctx.facts)]
    unit = ctx.family.services().get("persistenced", "") if ctx.family is not None else ""
    stop = (systemctl("stop", unit, ok=(0, 5)),) if unit else ()
    return Step(
        id="reload-modules",
        rung="loaded",
        title="Put the new modules in place of the loaded ones",
        why="The running kernel still holds the modules of the old version, and the new libraries "
        "refuse to talk to them. Unloading and loading is enough when nothing uses the GPUs.",
        commands=(
            *stop,
            *(Command(("rmmod", name)) for name in there),
            Command(("modprobe", module_stem(ctx, "nvidia"))),
            Command(("modprobe", module_stem(ctx, "nvidia_uvm"))),
            *((systemctl("start", unit, ok=(0, 5)),) if unit else ()),
        ),
        stops_workloads=True,
        done_when=("loaded", "libraries"),
        estimate_seconds=30,
        risk="Every GPU program must have ended; 'Module nvidia is in use' means that one has not. "
        "Then a reboot does the same.",
    )


def _leftovers(ctx: Context) -> tuple[str, ...]:
    """Files of /etc/modprobe.d that keep nvidia out and can be moved aside; empty: not all can."""
    paths = tuple(dict.fromkeys(_place(entry) for entry in blacklist_entries(ctx)))
    listing = ctx.facts.modules.blacklisted
    entries = () if isinstance(listing, Unknown) else listing
    both = {_place(e) for e in entries if not e.startswith("nvidia")} & set(paths)
    fit = all(path.startswith("/etc/modprobe.d/") for path in paths) and not both
    return paths if fit else ()


def _place(entry: str) -> str:
    return entry.partition(" ")[2].rpartition(":")[0]


def _unblock(ctx: Context) -> tuple[Step, ...]:
    paths = _leftovers(ctx)
    if not paths:
        return ()
    images = tuple(command for step in initramfs_steps(ctx) for command in step.commands)
    step = change_step(
        UNBLOCK,
        "loaded",
        f"Move aside what keeps nvidia out ({listed(paths)})",
        "This file keeps NVIDIA's modules from loading, often left by prime-select, passthrough or a "
        "guide. It is kept, with its name, below /var/lib/gpu-bringup/aside.",
        move_files(paths, images),
        estimate_seconds=10 + 40 * len(images),
        risk="If somebody wanted the GPUs for virtual machines or another driver, ask them first. A file "
        "that a package owns is refused: then that package must be changed.",
    )
    return (step,) if step is not None else ()


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.outside_driver or ctx.family is None:
        return ()
    if blacklist_entries(ctx) and not _leftovers(ctx):
        return ()
    return (*_unblock(ctx), *(() if later(ctx) else _load(ctx)))


def _load(ctx: Context) -> tuple[Step, ...]:
    reason = reboot_reason(ctx)
    if reason:
        return (reboot_step("loaded", reason, RUNNING_RUNGS),)
    if replaced(ctx):
        if _busy(ctx):
            why = "Programs or services hold the old module, so it can't be unloaded."
            return (*initramfs_steps(ctx), reboot_step("loaded", why, RUNNING_RUNGS))
        return (_reload(ctx),)
    if not will_exist(ctx):
        return ()
    names = [name for name in ("nvidia", "nvidia_uvm") if name not in loaded_names(ctx.facts)]
    if not names:
        return ()
    return (
        Step(
            id="load-modules",
            rung="loaded",
            title="Load the driver",
            why="The modules are on disk; loading puts them into the running kernel. nvidia_uvm is "
            "CUDA's memory manager: without it CUDA fails with error 999.",
            commands=tuple(Command(("modprobe", module_stem(ctx, name))) for name in names),
            undo=tuple(Command(("rmmod", name), ok_statuses=(0, 1)) for name in reversed(names)),
            done_when=("loaded",),
            estimate_seconds=15,
            risk="None for what runs now: no program uses these GPUs yet.",
            expect="No output at all when it works.",
        ),
    )


RUNG = Rung(
    id="loaded",
    title="Modules loaded",
    holds_when="The modules are loaded, and what is loaded is what is on disk.",
    teaches="A module on disk does nothing until the kernel loads it. After an update the old one stays "
    "loaded until it is unloaded or the server reboots; new libraries then report a version mismatch.",
    check=check,
    repair=repair,
)
