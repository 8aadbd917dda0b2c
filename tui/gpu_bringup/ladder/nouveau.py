"""Rung 7: no competing driver holds the GPUs or can win the next boot."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.gpu import PASSTHROUGH
from gpu_bringup.ladder.images import nouveau_causes
from gpu_bringup.ladder.log_causes import log_causes
from gpu_bringup.ladder.steps import change_step, initramfs_steps, reboot_step
from gpu_bringup.ladder.view import (
    board,
    gpus,
    later,
    loaded_names,
    loaded_version,
    log_lines,
    short_bus,
)
from gpu_bringup.ladder.words import Say, ev, listed, why_unknown
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from gpu_bringup.model.facts import PciDevice
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("nouveau")
COMPETITORS = ("nouveau", "nova_core", "nova_drm")


def competing(ctx: Context) -> tuple[str, ...]:
    """Competing drivers that are loaded or bound now; their removal takes a reboot."""
    if ctx.target is not None and ctx.target.prepare_only:
        return ()
    loaded = [name for name in loaded_names(ctx.facts) if name in COMPETITORS]
    bound = [str(d.driver).replace("-", "_") for d in gpus(ctx) if isinstance(d.driver, str)]
    return tuple(dict.fromkeys([*loaded, *(name for name in bound if name in COMPETITORS)]))


def _blacklisted(ctx: Context) -> tuple[str, ...]:
    """Entries "MODULE FILE:LINE" of modprobe.d that keep nouveau away."""
    listing = ctx.facts.modules.blacklisted
    if isinstance(listing, Unknown):
        return ()
    return tuple(entry for entry in listing if entry.split(" ", 1)[0] == "nouveau")


def _nvidia_has_all(ctx: Context) -> bool:
    found = gpus(ctx)
    return bool(found) and all(device.driver == "nvidia" or _seen(ctx, device) for device in found)


def _seen(ctx: Context, device: PciDevice) -> bool:
    """A GPU that NVML lists is held by nvidia, even where sysfs can't be read."""
    nvml = ctx.facts.nvml
    listed_ones = nvml.gpus if isinstance(nvml, NvmlFacts) else ()
    known = {short_bus(gpu.bus_id) for gpu in listed_ones}
    return isinstance(device.driver, Unknown) and short_bus(device.bus_id) in known


def _unbound(ctx: Context) -> tuple[PciDevice, ...]:
    """GPUs that the loaded nvidia module does not hold; before it is loaded none can be held."""
    if later(ctx) or not loaded_version(ctx.facts):
        return ()
    return tuple(d for d in gpus(ctx) if not isinstance(d.driver, Unknown) and d.driver != "nvidia")


def _wrong_driver(ctx: Context, device: PciDevice) -> tuple[str, Evidence] | None:
    """Why the loaded driver can't take this GPU: flavour, or a branch that no longer serves it."""
    place, facts = board(ctx, device), ctx.facts
    flavour, version = facts.modules.loaded_flavour, loaded_version(facts)
    if flavour is Flavour.PROPRIETARY and place.open_modules == "required":
        told = ev("/proc/driver/nvidia/version", f"{version}, proprietary; {place.name} needs open")
        return "proprietary-module-on-open-only-gpu", told
    if flavour is Flavour.OPEN and place.open_modules == "unsupported":
        told = ev("/proc/driver/nvidia/version", f"{version}, open; {place.name} needs proprietary")
        return "open-module-on-pre-turing", told
    last, branch = place.last_branch, branch_of(version)
    if last and branch.isdigit() and int(branch) > int(last):
        told = ev("/proc/driver/nvidia/version", f"{version}; {place.name} is served up to R{last}")
        return "legacy-gpu-branch", told
    return None


def _not_bound(
    ctx: Context, unbound: tuple[PciDevice, ...], evidence: list[Evidence]
) -> RungResult:
    causes: dict[str, list[Evidence]] = {}
    said = log_causes(ctx, 0.85)
    for device in unbound:
        wrong = _wrong_driver(ctx, device) if device.driver not in PASSTHROUGH else None
        if wrong is not None:
            causes.setdefault(wrong[0], []).append(wrong[1])
            continue
        kind = "gpu-bound-to-vfio" if device.driver in PASSTHROUGH else "gpu-not-bound"
        told = ev(f"/sys/bus/pci/devices/{device.bus_id}/driver", str(device.driver or "no driver"))
        lines = log_lines(ctx, rf"NVRM:.*{re.escape(device.bus_id)}|probe of {device.bus_id}")
        causes.setdefault(kind, []).extend([told, *lines])
    held = listed(f"{d.bus_id} ({d.driver or 'no driver'})" for d in unbound)
    return say.broken(
        f"the nvidia module is loaded, but does not hold {held}",
        [
            *(
                cause(kind, 0.8 if kind == "gpu-not-bound" else 0.96, *told)
                for kind, told in causes.items()
            ),
            *(item for item in said if item.cause not in causes),
        ],
        evidence,
    )


def check(ctx: Context) -> RungResult:
    now = competing(ctx)
    entries = _blacklisted(ctx)
    listing = ctx.facts.modules.blacklisted
    evidence = [ev(entry.partition(" ")[2], "blacklist nouveau") for entry in entries]
    bound = [
        d for d in gpus(ctx) if isinstance(d.driver, str) and d.driver.replace("-", "_") in now
    ]
    if now:
        told = [ev("/proc/modules", f"{listed(now)} loaded")]
        told += [ev(f"/sys/bus/pci/devices/{d.bus_id}/driver", str(d.driver)) for d in bound]
        told += log_lines(ctx, r"probe routine was not called|another driver was loaded")
        sure = 0.97 if bound else 0.8
        held = f" and holds {listed(d.bus_id for d in bound)}" if bound else ""
        more = (
            " although it is blacklisted: the initramfs was not rebuilt, or nobody rebooted since"
            if entries
            else ""
        )
        causes: list[Cause] = [cause("nouveau-loaded", sure, *told)]
        return say.broken(f"{listed(now)} is loaded{held}{more}", causes, evidence)
    unbound = _unbound(ctx)
    if unbound:
        return _not_bound(ctx, unbound, evidence)
    early = [] if ctx.outside_driver else nouveau_causes(ctx)
    if early:
        return say.broken(
            "the initramfs holds nouveau without its blacklist: nouveau takes the GPU at the next boot",
            early,
            evidence,
        )
    if entries:
        return say.ok("nouveau is kept away by modprobe.d", *evidence)
    if _nvidia_has_all(ctx):
        return say.ok("no competing driver is loaded; nvidia holds every GPU", *evidence)
    if ctx.outside_driver:
        vague = [d for d in gpus(ctx) if isinstance(d.driver, Unknown)]
        if vague:
            return say.unknown(
                f"which driver holds {listed(d.bus_id for d in vague)} is not known: "
                f"{why_unknown(vague[0].driver)}"
            )
        return say.ok("no competing driver is loaded", *evidence)
    if isinstance(listing, Unknown):
        return say.unknown(f"whether nouveau is kept away is not known: {listing.reason}")
    return say.broken(
        "nothing keeps nouveau from taking the GPU at the next boot",
        [cause("nouveau-loaded", 0.6, ev("/etc/modprobe.d", "no line blacklists nouveau"))],
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.family is None or ctx.outside_driver:
        return ()
    steps: list[Step | None] = []
    now = competing(ctx)
    images = initramfs_steps(ctx, () if now else ("nouveau",))
    if not _blacklisted(ctx):
        change = ctx.family.blacklist_competitors()
        # Without the file the images must be built again, or the blacklist stays in them.
        rebuild = tuple(command for step in images for command in step.commands)
        steps.append(
            change_step(
                "blacklist-nouveau",
                "nouveau",
                "Keep nouveau and nova off the GPUs",
                "Linux brings its own driver for NVIDIA cards. Whichever driver is first at boot "
                "takes the GPU, and the other one gets none.",
                replace(change, undo=(*change.undo, *rebuild)),
                done_when=() if now or images else ("nouveau",),
                risk="" if later(ctx) else "A screen on an NVIDIA card falls back to plain text.",
            )
        )
    steps += images
    if now:
        steps.append(
            reboot_step(
                "nouveau",
                f"{listed(now)} holds the GPU and can't be taken away safely while the system runs.",
                ("nouveau", "loaded"),
            )
        )
    return tuple(step for step in steps if step is not None)


RUNG = Rung(
    id="nouveau",
    title="No competing driver",
    holds_when="No competing driver is bound or can win the next boot.",
    teaches="nouveau (and nova, its successor) is Linux's own driver for NVIDIA cards. It can't run "
    "inference, and it grabs the card early, from the initramfs: so the blacklist must be in there too.",
    check=check,
    repair=repair,
)
