"""Rung 11: device nodes and GSP firmware are there and right; the persistence daemon runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.loaded import can_run
from gpu_bringup.ladder.module import to_come
from gpu_bringup.ladder.steps import systemctl
from gpu_bringup.ladder.view import (
    base_name,
    driver_set,
    gpus,
    later,
    loaded_version,
    log_lines,
    packages,
)
from gpu_bringup.ladder.words import Say, ev, listed, plural
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("devices")
# Ubuntu's own archive ships the daemon in nvidia-compute-utils-BRANCH, which nvidia-headless-... requires.
_DAEMON = re.compile(r"persistenced|^nvidia-compute-utils-\d|^nvidia-headless-no-dkms-\d")
_UBUNTU_DAEMON = re.compile(r"^nvidia-(?:compute-utils|headless-no-dkms)-\d+")
DROP_IN = "/etc/systemd/system/nvidia-persistenced.service.d/gpu-bringup.conf"
_DROP_IN_TEXT = """\
# Written by gpu-bringup: Ubuntu's unit starts the daemon with --no-persistence-mode, lets systemd stop
# it (StopWhenUnneeded) and can't be enabled for boot. Remove this file, run systemctl daemon-reload to undo.
[Unit]
StopWhenUnneeded=false

[Service]
ExecStart=
ExecStart=/usr/bin/nvidia-persistenced --user nvidia-persistenced --verbose

[Install]
WantedBy=multi-user.target
"""


def needed_nodes(ctx: Context) -> tuple[str, ...]:
    """Nodes below /dev that programs open: control, memory manager, one a GPU."""
    held = [d for d in gpus(ctx) if d.driver == "nvidia" or isinstance(d.driver, Unknown)]
    return ("nvidiactl", "nvidia-uvm", *(f"nvidia{index}" for index in range(len(held))))


def _missing_nodes(ctx: Context) -> tuple[str, ...]:
    nodes = ctx.facts.devices.nodes
    if isinstance(nodes, Unknown):
        return ()
    return tuple(name for name in needed_nodes(ctx) if name not in nodes)


def _firmware(ctx: Context) -> Cause | None:
    """GSP firmware of the loaded version; the open modules can't start a GPU without it."""
    version = loaded_version(ctx.facts)
    if isinstance(ctx.facts.nvml, NvmlFacts) and ctx.facts.nvml.gpus:
        return None
    lines = log_lines(ctx, r"No firmware image found|Direct firmware load for nvidia/.* failed")
    folders = ctx.facts.devices.firmware
    if isinstance(folders, Unknown) or version in folders:
        return cause("gsp-firmware-missing", 0.6, *lines) if lines else None
    if ctx.facts.modules.loaded_flavour is not Flavour.OPEN and not lines:
        return None
    text = f"no folder for {version}; there is {listed(folders) or 'none'}"
    return cause("gsp-firmware-missing", 0.9, ev("/lib/firmware/nvidia", text), *lines)


def _persistence(ctx: Context) -> Cause | None:
    services = ctx.facts.services
    nvml = ctx.facts.nvml
    if isinstance(nvml, NvmlFacts) and nvml.gpus and all(g.persistence is True for g in nvml.gpus):
        return None
    if services.persistenced_running is not False:
        return None
    if services.persistenced_enabled is True:
        text = "enabled, but it does not run"
        return cause("persistenced-failed", 0.85, ev("nvidia-persistenced", text))
    if ctx.target is not None and services.persistenced_enabled is False and _persistence_unit(ctx):
        text = "installed, but not enabled"
        return cause("persistenced-failed", 0.8, ev("nvidia-persistenced", text))
    return None


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason:
        return say.skipped(reason)
    nodes = ctx.facts.devices.nodes
    if isinstance(nodes, Unknown):
        return say.unknown(f"/dev could not be looked at: {nodes.reason}")
    causes: list[Cause] = []
    words: list[str] = []
    notes: list[Evidence] = [ev("/dev", listed(nodes))] if nodes else []
    lacking = _missing_nodes(ctx)
    if lacking:
        words.append(f"/dev/{listed(lacking)} missing")
        causes.append(cause("device-nodes-missing", 0.92, ev("/dev", f"no {listed(lacking)}")))
    firmware = _firmware(ctx) if loaded_version(ctx.facts) else None
    if firmware is not None:
        words.append("no GSP firmware of the loaded version")
        causes.append(firmware)
    mode = ctx.facts.devices.device_file_mode
    if isinstance(mode, int) and mode & 0o600 != 0o600:
        words.append(f"device nodes have the odd mode {mode:04o}")
        text = f"DeviceFileMode {mode} is {mode:04o}: not even the owner may read and write"
        causes.append(cause("device-permissions", 0.85, ev("/proc/driver/nvidia/params", text)))
    persistence = _persistence(ctx)
    if persistence is not None:
        words.append("the persistence daemon does not run")
        causes.append(persistence)
    if causes:
        return say.broken("; ".join(words), causes, notes)
    count = len([n for n in nodes if n.removeprefix("nvidia").isdigit()])
    return say.ok(f"{plural(count, 'GPU node')}, nvidiactl and nvidia-uvm in /dev", *notes)


def _coming(ctx: Context) -> tuple[str, ...]:
    """Packages of the driver that an earlier step of the plan brings."""
    return driver_set(ctx) if to_come(ctx) else ()


def _persistence_unit(ctx: Context) -> str:
    """The daemon's unit where its package is, or will be, installed; empty otherwise."""
    if ctx.family is None:
        return ""
    names = [*packages(ctx.facts), *(base_name(name) for name in _coming(ctx))]
    there = any(_DAEMON.search(name) for name in names)
    return ctx.family.services().get("persistenced", "") if there else ""


def _ubuntus_own(ctx: Context) -> bool:
    """Does the daemon come from Ubuntu's archive, whose unit keeps persistence mode off?"""
    if ctx.family is None or ctx.family.id != "ubuntu":
        return False
    if ctx.target is not None:
        return ctx.target.package.source == "distribution"
    have = packages(ctx.facts)
    return "nvidia-persistenced" not in have and any(_UBUNTU_DAEMON.match(name) for name in have)


def _persistent(ctx: Context) -> bool:
    """Does NVML say that persistence mode is on for every GPU?"""
    nvml = ctx.facts.nvml
    return (
        isinstance(nvml, NvmlFacts)
        and bool(nvml.gpus)
        and all(g.persistence is True for g in nvml.gpus)
    )


def _with_persistence(unit: str) -> Step:
    """Ubuntu's daemon with persistence mode on, by a drop-in of our own.

    Sources: debian/templates/nvidia-compute-utils-flavour.nvidia-persistenced.service.in of
    canonical/nvidia-graphics-drivers (StopWhenUnneeded, pull request 34); nvidia-persistenced(1): the
    mode is on unless --no-persistence-mode is given; systemd.unit(5) on drop-ins.
    """
    return Step(
        id="persistence",
        rung="devices",
        title="Start the persistence daemon with persistence mode on, now and at every boot",
        why="Ubuntu's own unit starts it with persistence mode off. The driver then shuts a GPU down "
        "whenever the last program leaves it: the next start takes seconds, and nvidia-smi up to half "
        "a minute.",
        writes=(Write(DROP_IN, _DROP_IN_TEXT),),
        commands=(
            systemctl("daemon-reload"),
            systemctl("enable", unit),
            systemctl("restart", unit),
        ),
        undo=(
            systemctl("disable", "--now", unit),
            Command(("rm", "-f", DROP_IN)),
            systemctl("daemon-reload"),
        ),
        done_when=("devices",),
        estimate_seconds=5,
    )


def _at_next_boot(ctx: Context) -> tuple[Step, ...]:
    """The daemon switched on for the boot that the driver needs anyway; it can't run before."""
    unit = _persistence_unit(ctx)
    asked = ctx.target is not None and ctx.facts.services.persistenced_enabled is False
    if not unit or not asked or later(ctx) or ctx.facts.platform.init != "systemd":
        return ()
    if _coming(ctx) or _ubuntus_own(ctx):
        # The package that comes switches it on itself.
        return ()
    return (
        Step(
            id="persistence",
            rung="devices",
            title="Let the persistence daemon start at every boot",
            why="Without it the driver shuts a GPU down whenever the last program leaves it: the next "
            "start then takes seconds. It starts with the driver, at the boot that this plan ends with.",
            commands=(systemctl("enable", unit),),
            undo=(systemctl("disable", unit),),
            done_when=("devices",),
            estimate_seconds=5,
        ),
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.outside_driver or ctx.family is None:
        return ()
    if not can_run(ctx):
        return _at_next_boot(ctx)
    steps: list[Step] = []
    expected = max(len(gpus(ctx)), 1)
    nodes = ctx.facts.devices.nodes
    have = () if isinstance(nodes, Unknown) else nodes
    wanted = ("nvidiactl", "nvidia-uvm", *(f"nvidia{index}" for index in range(expected)))
    if any(name not in have for name in wanted):
        known = {*packages(ctx.facts), *(base_name(name) for name in _coming(ctx))}
        tool = () if "nvidia-modprobe" in known else ("nvidia-modprobe",)
        install = (ctx.family.manager.install(tool),) if tool else ()
        make = tuple(
            Command(("nvidia-modprobe", "-u", "-c", str(index))) for index in range(expected)
        )
        steps.append(
            Step(
                id="device-nodes",
                rung="devices",
                title="Make the device nodes",
                why="Programs reach the driver through /dev/nvidia*. nvidia-modprobe makes them where "
                "no desktop or daemon did.",
                commands=(*install, *make),
                done_when=("devices",),
                estimate_seconds=10,
                packages=tool,
            )
        )
    unit = _persistence_unit(ctx)
    services = ctx.facts.services
    running = services.persistenced_running is True
    init = ctx.facts.platform.init
    # Nobody looked at a described host; a server of the families here has systemd.
    systemd = init == "systemd" or (isinstance(init, Unknown) and ctx.facts.recorded)
    if unit and systemd and _ubuntus_own(ctx):
        if not _persistent(ctx):
            steps.append(_with_persistence(unit))
    elif unit and not running and systemd:
        steps.append(
            Step(
                id="persistence",
                rung="devices",
                title="Start the persistence daemon, now and at every boot",
                why="Without it the driver shuts a GPU down whenever the last program leaves it: the "
                "next start then takes seconds, and nvidia-smi up to half a minute.",
                commands=(systemctl("enable", "--now", unit),),
                undo=(systemctl("disable", "--now", unit),),
                done_when=("devices",),
                estimate_seconds=5,
            )
        )
    return tuple(steps)


RUNG = Rung(
    id="devices",
    title="Device nodes and firmware",
    holds_when="Device nodes and GSP firmware are there and right.",
    teaches="/dev/nvidia0 … are the doors to the GPUs, nvidiactl is the desk, nvidia-uvm is CUDA's "
    "memory manager. The GPU's own processor (GSP) boots from a firmware file of the driver's version.",
    check=check,
    repair=repair,
)
