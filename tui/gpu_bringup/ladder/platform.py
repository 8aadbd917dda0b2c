"""Rung 2: this is a place where a driver can live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.room import room_steps
from gpu_bringup.ladder.view import installing, loaded_version, needs_module, prepare_only
from gpu_bringup.ladder.words import Say, ev, plural
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("platform")
ARCHITECTURES = ("x86_64", "aarch64")
MIB = 1 << 20
# research: a build needs 1-2 GB in /var/lib/dkms; modules and GSP firmware add 100+ MB an initramfs
SPACE = (
    ("/boot", 300 * MIB, 40 * MIB, "boot-partition-full"),
    ("/var", 3072 * MIB, 300 * MIB, "dkms-disk-full"),
    ("/", 1024 * MIB, 100 * MIB, "dkms-disk-full"),
)


def _outside(ctx: Context) -> RungResult:
    facts = ctx.facts
    evidence = [ev("installation method", text) for text in facts.packages.method_evidence]
    if facts.platform.modules_loadable is False:
        evidence.append(
            ev(facts.platform.modules_note or "kernel", "no further module can be loaded")
        )
    version = loaded_version(facts)
    if isinstance(facts.nvml, NvmlFacts):
        version = version or facts.nvml.driver_version
        return say.ok(
            f"works, and this is not the place to install: driver {version} is provided from outside "
            f"this system and NVML answers ({plural(len(facts.nvml.gpus), 'GPU')})",
            *evidence,
        )
    return say.ok(
        f"the driver{' ' + version if version else ''} is provided from outside this system; this is "
        "not the place to install",
        *evidence,
    )


def _kernel_waits(ctx: Context) -> bool:
    """Does a kernel's package wait to be configured, which writes its initramfs?"""
    names = ctx.facts.packages.unfinished
    return not isinstance(names, Unknown) and any(n.startswith("linux-image-") for n in names)


def _space(ctx: Context) -> list[Cause]:
    """What is too full: much room is wanted only while something is still to be built."""
    building = installing(ctx) and bool(needs_module(ctx))
    causes = []
    for path, build, idle, cause_id in SPACE:
        free = ctx.facts.storage.free(path)
        if isinstance(free, Unknown):
            continue
        need = build if building or (path == "/boot" and _kernel_waits(ctx)) else idle
        if free < need:
            text = f"{path} has {free // MIB} MiB free, {need // MIB} MiB are wanted"
            causes.append(cause(cause_id, 0.9, ev(f"free space on {path}", text)))
    for space in ctx.facts.storage.spaces:
        if space.read_only is True and space.path in ("/", "/usr", "/boot") and building:
            causes.append(cause("read-only-system", 0.9, ev(space.path, "mounted read-only")))
    return causes


def _place(ctx: Context) -> list[Cause]:
    platform = ctx.facts.platform
    causes: list[Cause] = []
    if isinstance(platform.container, str):
        causes.append(
            cause(
                "container-host-driver-absent",
                0.9,
                ev("container", f"this is a {platform.container} container"),
            )
        )
    if platform.chroot is True:
        causes.append(cause("inside-chroot", 0.9, ev("/proc/1/root", "another root than ours")))
    if platform.modules_loadable is False:
        note = platform.modules_note or "kernel"
        causes.append(cause("modules-not-loadable", 0.97, ev(note, "no module can be loaded")))
    return causes


_WORDS = {
    "container-host-driver-absent": "this is a container: install the driver on its host, and the "
    "container toolkit brings it in",
    "inside-chroot": "this is a chroot: name the kernel to prepare with --kernel RELEASE",
    "modules-not-loadable": "this kernel loads no modules, so no driver can be installed here: boot a "
    "distribution kernel, or have the driver provided by the platform",
    "boot-partition-full": "/boot is too full for another initramfs: remove old kernels first",
    "dkms-disk-full": "too little disk space to build and install a driver",
    "read-only-system": "the system is mounted read-only: its driver belongs into its image",
    "arch-not-supported": "this processor architecture has no NVIDIA server driver",
    "clock-wrong": "the clock is wrong, so that repositories and certificates look invalid: set it "
    "(timedatectl set-time, or chrony) before anything is fetched",
}


def check(ctx: Context) -> RungResult:
    facts = ctx.facts
    if ctx.outside_driver:
        return _outside(ctx)
    platform = facts.platform
    works = bool(loaded_version(facts))
    causes = _space(ctx)
    arch = "" if isinstance(facts.os, Unknown) else facts.os.arch
    if arch and arch not in ARCHITECTURES:
        causes.append(cause("arch-not-supported", 0.9, ev("uname -m", arch)))
    if installing(ctx) and platform.clock_plausible is False:
        causes.append(cause("clock-wrong", 0.95, ev("clock", "before this program was made")))
    if not prepare_only(ctx) and not works:
        causes += _place(ctx)
    evidence = _where(ctx)
    if causes:
        first = max(causes, key=lambda item: item.confidence)
        return say.broken(_WORDS[first.cause], causes, evidence)
    if prepare_only(ctx):
        return say.ok(
            "the prepared system takes a driver; its kernel is not running here", *evidence
        )
    if works and platform.modules_loadable is False:
        evidence.append(ev(platform.modules_note or "kernel", "no further module can be loaded"))
        return say.ok("the driver is loaded; this kernel takes no further modules", *evidence)
    if isinstance(platform.modules_loadable, Unknown) and not works:
        reason = platform.modules_loadable.reason
        return say.unknown(
            f"whether this kernel can load modules is not known: {reason}", *evidence
        )
    return say.ok(_kind(ctx), *evidence)


def _kind(ctx: Context) -> str:
    platform = ctx.facts.platform
    arch = "" if isinstance(ctx.facts.os, Unknown) else f"{ctx.facts.os.arch}, "
    kind = "modules can be loaded"
    if isinstance(platform.virtualisation, str):
        return f"{arch}virtual machine ({platform.virtualisation}), {kind}"
    return f"{arch}{'bare metal, ' if platform.virtualisation is None else ''}{kind}"


def _where(ctx: Context) -> list[Evidence]:
    platform = ctx.facts.platform
    evidence = []
    if platform.modules_note:
        able = {True: "modules can be loaded", False: "no module can be loaded"}
        if isinstance(platform.modules_loadable, bool):
            evidence.append(ev(platform.modules_note, able[platform.modules_loadable]))
    for name, fact in (("cloud", platform.cloud), ("maker", platform.vendor)):
        if isinstance(fact, str):
            evidence.append(ev(name, fact))
    for path in ("/", "/var", "/boot"):
        free = ctx.facts.storage.free(path)
        if not isinstance(free, Unknown):
            evidence.append(ev(f"free space on {path}", f"{free // MIB} MiB"))
    return evidence


def repair(ctx: Context) -> tuple[Step, ...]:
    """Room can be made; where a driver can't live, a person must choose another place: no steps."""
    causes = frozenset(item.cause for item in check(ctx).causes)
    if ctx.outside_driver or not causes <= {"dkms-disk-full", "boot-partition-full"}:
        return ()
    return room_steps(ctx, causes)


RUNG = Rung(
    id="platform",
    title="A place for a driver",
    holds_when="This is no container, modules can be loaded, and there is room on the disk and in /boot.",
    teaches="A driver is part of the running kernel. Containers share their host's kernel, some "
    "kernels take no modules at all, and a full /boot leaves a half-written boot image behind.",
    check=check,
    repair=repair,
)
