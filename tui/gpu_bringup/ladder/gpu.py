"""Rung 1: every NVIDIA GPU and NVSwitch on the PCI bus is known and free for the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import board, later, log_lines
from gpu_bringup.ladder.words import Say, counted, ev, listed, plural, why_unknown
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import PciDevice
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("gpu")
PASSTHROUGH = ("vfio-pci", "pci-stub")
BUS = "/sys/bus/pci/devices"


def _evidence(ctx: Context, device: PciDevice) -> Evidence:
    place = board(ctx, device)
    driver = device.driver if isinstance(device.driver, str) else "no driver"
    if isinstance(device.driver, Unknown):
        driver = "driver not known"
    family = f", {place.architecture.name}" if place.architecture is not None else ""
    return ev(f"{BUS}/{device.bus_id}", f"{place.name} ({device.pci_id}{family}), {driver}")


def all_reserved(ctx: Context) -> bool:
    """Is every GPU here kept for virtual machines, so that no driver of this system can have one?"""
    found = ctx.facts.pci.gpus
    if isinstance(found, Unknown) or not found or later(ctx):
        return False
    return all(device.driver in PASSTHROUGH for device in found)


def _no_gpu(ctx: Context) -> RungResult:
    switches = ctx.facts.pci.nvswitches
    seen = (
        plural(len(switches), "NVSwitch", "NVSwitches") if not isinstance(switches, Unknown) else ""
    )
    also = f", though {seen} are there" if seen and switches else ""
    return say.broken(
        f"no NVIDIA GPU on the PCI bus{also}: check seating and power, the slot in the firmware "
        "(Above 4G Decoding), or, in a virtual machine, that the host passes one through. To plan "
        "for hardware that is still to come, name it: --gpu H100",
        [cause("no-gpu-found", 0.95, ev(BUS, "no device of vendor 10de with a display class"))],
    )


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason:
        names = listed(ctx.target.gpus) if ctx.target is not None else ""
        return say.skipped(f"planned for {names or 'a GPU'}; {reason}")
    found = ctx.facts.pci.gpus
    if isinstance(found, Unknown):
        return say.unknown(f"the PCI bus could not be looked at: {found.reason}")
    if not found:
        return _no_gpu(ctx)
    evidence = [_evidence(ctx, device) for device in found]
    switches = ctx.facts.pci.nvswitches
    names = counted(board(ctx, device).name for device in found)
    if not isinstance(switches, Unknown) and switches:
        names += f", {plural(len(switches), 'NVSwitch', 'NVSwitches')}"
    causes: list[Cause] = []
    gone = [device for device in found if device.fallen_off]
    if gone:
        lines = log_lines(ctx, r"Xid \(.*\): 79,|fallen off the bus")
        told = (ev(f"{BUS}/{d.bus_id}", "reads all ones: it no longer answers") for d in gone)
        causes.append(cause("xid-79-fallen-off-bus", 0.98, *told, *lines))
    kept = [device for device in found if device.driver in PASSTHROUGH]
    if kept:
        told = (ev(f"{BUS}/{d.bus_id}/driver", str(d.driver)) for d in kept)
        causes.append(
            cause("gpu-bound-to-vfio", 0.97, *told, *log_lines(ctx, "already bound to vfio"))
        )
    small = [
        device for device in found if isinstance(device.bars_unset, tuple) and device.bars_unset
    ]
    if small and not gone:
        told = (
            ev(f"{BUS}/{d.bus_id}/resource", f"no address for BAR {listed(map(str, d.bars_unset))}")
            for d in small
            if isinstance(d.bars_unset, tuple)
        )
        causes.append(
            cause(
                "bar-not-assigned",
                0.96,
                *told,
                *log_lines(ctx, r"BAR \d.*(?:failed|can't) .*assign"),
            )
        )
    if causes:
        what = []
        if gone:
            what.append(f"{listed(d.bus_id for d in gone)} no longer answers on the bus")
        if small and not gone:
            what.append(f"{listed(d.bus_id for d in small)} got no memory window from the firmware")
        if kept:
            what.append(f"{listed(d.bus_id for d in kept)} is reserved for passthrough")
        return say.broken(f"{names}: {'; '.join(what)}", causes, evidence)
    unnamed = sum(1 for device in found if board(ctx, device).architecture is None)
    note = f" ({unnamed} not in the catalogue)" if unnamed else ""
    if isinstance(switches, Unknown):
        evidence.append(ev("NVSwitch", why_unknown(switches)))
    return say.ok(f"{names}{note}", *evidence)


def repair(ctx: Context) -> tuple[Step, ...]:
    """Hardware and passthrough are a person's business: no steps."""
    return ()


RUNG = Rung(
    id="gpu",
    title="GPU on the bus",
    holds_when="Every NVIDIA GPU and NVSwitch on the PCI bus is known and not held by another driver.",
    teaches="Before any software counts, the card must answer on the PCI bus. The kernel lists what "
    "answers under /sys/bus/pci/devices (lspci reads the same). vfio-pci means the GPU is reserved "
    "for a virtual machine.",
    check=check,
    repair=repair,
)
