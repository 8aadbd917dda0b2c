"""Rung 14: on NVSwitch systems the fabric software runs, in exactly the driver's version."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.loaded import can_run
from gpu_bringup.ladder.steps import install_step, systemctl, wanting
from gpu_bringup.ladder.view import base_name, boards, driver_set, later, loaded_version
from gpu_bringup.ladder.words import Say, ev, plural, why_unknown
from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts
from gpu_bringup.model.ladder import RungResult, State
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.ladder import Cause

say = Say("fabric")
ON_HOST = (
    "This virtual machine has GPUs, but no NVSwitch: in pass-through the fabric manager runs on the "
    "host, and must be looked at there."
)
NVLINK5_MODULES = ("mlx5_ib", "ib_umad")


def kind(ctx: Context) -> str:
    """ "none", "fabricmanager", "fabricmanager+nvlsm", "imex", or "unknown"."""
    if ctx.target is not None and ctx.target.fabric not in ("", "unknown"):
        return ctx.target.fabric
    pci = ctx.facts.pci
    if any(item.fabric == "imex" for item in boards(ctx)):
        return "imex"
    if pci.nvlink5 is True:
        return "fabricmanager+nvlsm"
    if not isinstance(pci.nvswitches, Unknown):
        return "fabricmanager" if pci.nvswitches else "none"
    if isinstance(pci.gpus, Unknown):
        return "unknown"
    wishes = {item.fabric for item in boards(ctx)}
    return "none" if wishes <= {"none"} else "unknown"


def _states(ctx: Context) -> set[str]:
    """Fabric states that NVML tells of the GPUs; "not-supported" ones left out."""
    if not isinstance(ctx.facts.nvml, NvmlFacts):
        return set()
    told = (gpu.fabric_state for gpu in ctx.facts.nvml.gpus)
    return {state for state in told if isinstance(state, str) and state != "not-supported"}


def _causes(ctx: Context, need: str, version: str) -> tuple[list[Cause], list[str]]:
    services = ctx.facts.services
    causes: list[Cause] = []
    words: list[str] = []
    if need == "imex":
        if services.imex is None:
            words.append("IMEX is not installed")
            causes.append(cause("imex-missing", 0.85, ev("nvidia-imex", "not installed")))
        return causes, words
    installed = services.fabric_manager
    if installed is None:
        words.append("the fabric manager is not installed")
        told = ev("nv-fabricmanager", "not installed")
        causes.append(cause("fabricmanager-not-running", 0.95, told))
    elif isinstance(installed, str) and version and installed != version:
        words.append(f"the fabric manager is {installed}, the driver {version}")
        told = ev("nv-fabricmanager", installed)
        causes.append(cause("fabricmanager-version-mismatch", 0.97, told, ev("driver", version)))
    elif services.fabric_manager_running is False:
        words.append("the fabric manager does not run")
        told = ev("nvidia-fabricmanager", "not running")
        causes.append(cause("fabricmanager-not-running", 0.93, told))
    if need == "fabricmanager+nvlsm" and services.nvlsm is None:
        words.append("nvlsm is not installed")
        causes.append(cause("nvlink5-prereqs-missing", 0.9, ev("nvlsm", "not installed")))
    return causes, words


def _refused(ctx: Context) -> tuple[list[Cause], list[str]]:
    """GPUs whose fabric is done, but with an error (nvmlGpuFabricInfo_t.status, an NVML code)."""
    causes: list[Cause] = []
    words: list[str] = []
    for gpu in ctx.facts.nvml.gpus if isinstance(ctx.facts.nvml, NvmlFacts) else ():
        status = gpu.fabric_status
        if gpu.fabric_state == "completed" and isinstance(status, int) and status != 0:
            words.append(f"the fabric of GPU {gpu.index} ended with NVML's error {status}")
            told = ev(f"NVML, GPU {gpu.index}", f"fabric completed, status {status}")
            causes.append(cause("fabric-failed", 0.85, told))
    return causes, words


def runs_on_host(ctx: Context) -> bool:
    """A virtual machine that was given GPUs, but no NVSwitch: their fabric manager is elsewhere."""
    virtual = isinstance(ctx.facts.platform.virtualisation, str)
    return virtual and ctx.facts.pci.nvswitches == ()


def _cuda_waits(ctx: Context) -> bool:
    return isinstance(ctx.facts.cuda, CudaFacts) and ctx.facts.cuda.init == 802


def _not_needed(ctx: Context) -> RungResult:
    """A fabric manager without switches: its failed unit is no fault of the GPUs."""
    version = str(ctx.facts.services.fabric_manager)
    runs = ctx.facts.services.fabric_manager_running
    state = "it runs" if runs is True else "it does not run" if runs is False else "not seen to run"
    told = ev("nv-fabricmanager", f"{version} is installed; {state}")
    return RungResult(
        "fabric",
        State.SKIPPED,
        f"no NVSwitch here: the fabric manager {version} has nothing to manage. That its unit fails harms "
        "nothing; its package may go",
        (told, ev("PCI bus", "no NVSwitch")),
        (cause("fabricmanager-not-needed", 0.9, told),),
    )


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason:
        return say.skipped(reason)
    need = kind(ctx)
    waits = _cuda_waits(ctx)
    causes, words = _refused(ctx)
    if causes:
        return say.broken("; ".join(words), causes)
    if waits and need in ("none", "unknown") and runs_on_host(ctx):
        told = ev("cuInit", "802")
        return say.broken(
            f"CUDA waits for the NVSwitch fabric. {ON_HOST}",
            [cause("fabricmanager-not-running", 0.8, told)],
        )
    if need == "none" and not waits and isinstance(ctx.facts.services.fabric_manager, str):
        return _not_needed(ctx)
    if need == "none" and not waits:
        return say.skipped("no NVSwitch here: the GPUs need no fabric manager")
    if need == "unknown" and not waits:
        if isinstance(ctx.facts.cuda, CudaFacts) and ctx.facts.cuda.init == 0:
            return say.ok("CUDA starts: no fabric is waited for", ev("cuInit", "0"))
        return say.unknown("whether this machine has NVSwitches is not known")
    version = loaded_version(ctx.facts)
    causes, words = _causes(ctx, need, version)
    open_states = _states(ctx) - {"completed"}
    if (open_states or waits) and not causes:
        told = ev("NVML" if open_states else "cuInit", ", ".join(sorted(open_states)) or "802")
        words.append("the fabric is not ready")
        found = "nvlink5-prereqs-missing" if need.endswith("nvlsm") else "fabricmanager-not-running"
        causes.append(cause(found, 0.75, told))
    if causes:
        return say.broken("; ".join(words), causes)
    software = ctx.facts.services.imex if need == "imex" else ctx.facts.services.fabric_manager
    running = need != "imex" and ctx.facts.services.fabric_manager_running is True
    if not _states(ctx) and not running:
        told_by = why_unknown(software, "whether it runs could not be seen")
        return say.unknown(
            f"whether the NVLink fabric is ready is not known: NVML does not tell its state, and of "
            f"its software: {told_by}"
        )
    switches = ctx.facts.pci.nvswitches
    count = 0 if isinstance(switches, Unknown) else len(switches)
    seen = f"{plural(count, 'NVSwitch', 'NVSwitches')}, " if count else ""
    if not running:
        return say.ok(f"{seen}the fabric is completed, NVML says", ev("fabric", need))
    silent = "" if _states(ctx) else "; NVML does not tell the fabric's state"
    named = software if isinstance(software, str) else ""
    words_of = f"fabric software {named}" if named else "the fabric software"
    return say.ok(f"{seen}{words_of} runs{silent}", ev("fabric", need))


_WHY_SAME = (
    "On NVSwitch boards the GPUs reach each other through switches that this software sets up. It "
    "must be of the driver's version to the last digit, or it refuses to start."
)


def floating(package: DriverPackage) -> bool:
    """Is the driver that gets installed the newest of its branch, whichever that is by then?"""
    # "nvidia-driver-pinning-580" is a package; a module stream has a colon and is none.
    return not package.version and any(":" not in name for name in package.pin)


def exact(ctx: Context) -> bool:
    """Is the module's package asked for in one version?"""
    kernel_package = ctx.target.package.kernel_package if ctx.target is not None else ""
    return any(name.startswith(f"{kernel_package}=") for name in driver_set(ctx))


def _following(
    ctx: Context, step: Step, package: DriverPackage, names: tuple[str, ...]
) -> Step | None:
    """The same in the version that the module package turns out to have; None once it is there."""
    if ctx.family is None or not wanting(ctx, tuple(base_name(name) for name in names)):
        return None
    versioned = tuple(f"{base_name(name)}=" if "=" in name else name for name in names)
    change = ctx.family.install_following(package, versioned, ctx.releases)
    if not change:
        return step
    plain = tuple(base_name(name) for name in names)
    return replace(step, commands=change.commands, writes=change.writes, packages=plain)


def _held(ctx: Context, step: Step, names: tuple[str, ...]) -> Step:
    """The same with what is of the driver's version held: moved alone it breaks every GPU."""
    versioned = tuple(base_name(name) for name in names if "=" in name)
    held = tuple(name for name in versioned if name in map(base_name, step.packages))
    if ctx.family is None or not held:
        return step
    manager = ctx.family.manager
    return replace(
        step,
        commands=(*step.commands, manager.hold(held)),
        undo=(manager.unhold(held), *step.undo),
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    need = kind(ctx)
    if later(ctx) or ctx.outside_driver or ctx.family is None or need in ("none", "unknown"):
        return ()
    target = ctx.target
    version = target.driver.version if target is not None else loaded_version(ctx.facts)
    if not version:
        return ()
    source = target.package.source if target is not None else ""
    names = ctx.family.fabric_packages(need, branch_of(version), version, source)
    # A pin keeps a branch, not a version: what is installed is the newest of it by then.
    sure = target is None or (
        target.package.branch_certain and (exact(ctx) or not floating(target.package))
    )
    step = install_step(
        ctx,
        "fabric-software",
        "fabric",
        f"Install the fabric software {version}" if sure else "Install the fabric software",
        _WHY_SAME,
        wanting(ctx, names),
        estimate_seconds=60,
    )
    if step is not None and target is not None and not sure:
        step = _following(ctx, step, target.package, names)
    if step is not None and target is not None and target.hold:
        step = _held(ctx, step, names)
    steps = [step] if step is not None else []
    if not can_run(ctx):
        return tuple(steps)
    unit = ctx.family.services().get("imex" if need == "imex" else "fabricmanager", "")
    nvlink5 = need.endswith("nvlsm")
    if not unit:
        return tuple(steps)
    load = tuple(Command(("modprobe", name)) for name in NVLINK5_MODULES) if nvlink5 else ()
    text = "# Written by gpu-bringup: NVLink 5 switches are managed through these modules.\n"
    lasting = Write("/etc/modules-load.d/gpu-bringup-nvlink.conf", text + "mlx5_ib\nib_umad\n")
    steps.append(
        Step(
            id="fabric-service",
            rung="fabric",
            title="Start the fabric software, now and at every boot",
            why="Until it has trained the links, every CUDA program fails with error 802 (system not "
            "yet initialized).",
            commands=(
                *load,
                Command(("systemctl", "enable", unit)),
                Command(("systemctl", "restart", unit)),
            ),
            writes=(lasting,) if nvlink5 else (),
            undo=(systemctl("disable", "--now", unit),),
            done_when=("fabric",),
            stops_workloads=True,
            estimate_seconds=40,
            risk="Starting it is harmless; restarting it under running multi-GPU jobs breaks them.",
        )
    )
    return tuple(steps)


RUNG = Rung(
    id="fabric",
    title="NVLink fabric",
    holds_when="On NVSwitch systems the fabric software runs in the driver's version.",
    teaches="Eight-GPU boards connect their GPUs through NVSwitches. The fabric manager programs them; "
    "without it nvidia-smi looks fine, and every CUDA program fails with error 802.",
    check=check,
    repair=repair,
)
