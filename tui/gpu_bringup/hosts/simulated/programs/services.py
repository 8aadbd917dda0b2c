"""systemctl, nvidia-smi and its kin, docker, env and sudo, and the plan's own scripts."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import booting, kernel_modules, probes
from gpu_bringup.hosts.simulated.programs.words import TABLE, program, said, split
from gpu_bringup.hosts.simulated.tree import File, Link
from gpu_bringup.hosts.simulated.work import Program

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine, Unit


def _unit(machine: Machine, name: str) -> Unit | None:
    full = name if "." in name else f"{name}.service"
    return machine.units.get(full)


@program("systemctl")
def systemctl(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    action, names = (words[0], words[1:]) if words else ("", [])
    if action == "reboot":
        yield from booting.reboot(machine)
        return 0
    if action in ("daemon-reload", "daemon-reexec", "reset-failed"):
        return 0
    if action in ("", "list-units"):
        yield "  UNIT                            LOAD   ACTIVE   SUB"
        for known in machine.units.values():
            state = "active   running" if known.running else "inactive dead"
            yield f"  {known.name:<31} loaded {state}"
        return 0
    status = 0
    for name in names:
        unit = _unit(machine, name)
        if unit is None:
            if action in ("is-active", "is-enabled"):
                yield "inactive" if action == "is-active" else "not-found"
                status = 4
                continue
            full = name if "." in name else f"{name}.service"
            yield f"Failed to {action} {full}: Unit {full} not found."
            status = 5
            continue
        status = (yield from _act(machine, unit, action, options)) or status
    return status


def _act(machine: Machine, unit: Unit, action: str, options: dict[str, str]) -> Program:
    now = "--now" in options
    if action == "is-active":
        yield "active" if unit.running else "inactive"
        return 0 if unit.running else 3
    if action == "is-enabled":
        yield "enabled" if unit.enabled else "disabled"
        return 0 if unit.enabled else 1
    if action == "status":
        yield f"{'●' if unit.running else '○'} {unit.name}"
        state = "enabled" if unit.enabled else "disabled"
        yield f"     Loaded: loaded (/usr/lib/systemd/system/{unit.name}; {state})"
        yield f"     Active: {'active (running)' if unit.running else 'inactive (dead)'}"
        return 0 if unit.running else 3
    enabled = {"enable": True, "disable": False, "mask": False}.get(action, unit.enabled)
    running = unit.running
    if action in ("start", "restart", "reload-or-restart", "try-restart") or (
        action == "enable" and now
    ):
        if unit.needs_driver and not booting.service_works(machine, unit.name):
            machine.units[unit.name] = replace(unit, enabled=enabled, running=False)
            machine.changed()
            yield f"Job for {unit.name} failed because the control process exited with error code."
            yield f'See "systemctl status {unit.name}" and "journalctl -xeu {unit.name}" for details.'
            return 1
        if unit.name == "nvidia-cdi-refresh.service":
            from gpu_bringup.hosts.simulated.programs.vendor import write_cdi

            error = write_cdi(machine)
            if error:
                yield error
                return 1
        running = True
    elif action == "stop" or (action in ("disable", "mask") and now):
        running = False
        machine.happened("unit-stopped", unit.name)
    machine.units[unit.name] = replace(unit, enabled=enabled, running=running)
    machine.changed()
    return 0


@program("nvidia-smi")
def nvidia_smi(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not machine.tree.exists("/usr/bin/nvidia-smi"):
        yield "bash: nvidia-smi: command not found"
        return 127
    answer = probes.nvml(machine)
    if answer is None:
        yield (
            "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure that "
            "the NVIDIA Display Driver is properly installed and present in your system."
        )
        return 12
    error = answer.get("error", "")
    if error == "Driver Not Loaded":
        yield (
            "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure "
            "that the latest NVIDIA driver is installed and running."
        )
        yield ""
        return 9
    if error:
        library = probes.library_version(machine, "libnvidia-ml.so") or ""
        yield f"Failed to initialize NVML: {error}"
        yield f"NVML library version: {'.'.join(library.split('.')[:2])}"
        return 18
    if not answer["gpus"]:
        yield "No devices were found"
        return 6
    if "-L" in argv:
        for gpu in answer["gpus"]:
            yield f"GPU {gpu['index']}: {gpu['name']} (UUID: GPU-{gpu['index']:08x})"
        return 0
    version = answer["driver_version"]
    cuda = answer["cuda_driver_version"]
    shown = f"{cuda // 1000}.{cuda % 1000 // 10}"
    yield f"| NVIDIA-SMI {version:<20} Driver Version: {version:<15} CUDA Version: {shown} |"
    for gpu in answer["gpus"]:
        used = "busy" if gpu["processes"] else "idle"
        memory = gpu["memory_total"] // 2**20
        yield (f"|   {gpu['index']}  {gpu['name']:<28} {gpu['pci_bus_id']}  {memory} MiB  {used} |")
    return 0


@program("nvidia-modprobe")
def nvidia_modprobe(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not machine.tree.exists("/usr/bin/nvidia-modprobe"):
        yield "bash: nvidia-modprobe: command not found"
        return 127
    error = kernel_modules.insert(machine, "nvidia")
    if not error and "-u" in argv:
        error = kernel_modules.insert(machine, "nvidia_uvm")
    return 1 if error else 0


@program("env")
def environment(machine: Machine, argv: tuple[str, ...]) -> Program:
    words = list(argv[1:])
    while words and re.match(r"[A-Za-z_]\w*=", words[0]):
        words.pop(0)
    return (yield from run(machine, tuple(words)))


@program("sudo", "nice", "ionice", "timeout", "setsid")
def prefix(machine: Machine, argv: tuple[str, ...]) -> Program:
    words = list(argv[1:])
    while words and (words[0].startswith("-") or words[0].isdigit() or re.match(r"\w+=", words[0])):
        words.pop(0)
    return (yield from run(machine, tuple(words)))


@program("sh", "bash")
def shell(machine: Machine, argv: tuple[str, ...]) -> Program:
    words = [word for word in argv[1:] if not word.startswith("-")]
    if not words or "-c" in argv:
        yield f"{argv[0]}: this training has no shell inside its shell; type the command itself"
        return 127
    script = posixpath.basename(words[0])
    if not machine.tree.exists(words[0]):
        yield f"{argv[0]}: 0: cannot open {words[0]}: No such file"
        return 2
    known = SCRIPTS.get(script)
    if known is None:
        yield f"{argv[0]}: {script} is not known to this training"
        return 127
    return (yield from known(machine, (script, *words[1:])))


def run(machine: Machine, argv: tuple[str, ...]) -> Program:
    """Any command by its name or path; 127 where there is none."""
    if not argv:
        return 0
    name = posixpath.basename(argv[0])
    if argv[0].startswith("/") and name not in TABLE:
        name = ""
    known = TABLE.get(name)
    if known is None:
        yield f"bash: {argv[0]}: command not found"
        return 127
    return (yield from known(machine, (name, *argv[1:])))


# --- the scripts that plans bring along ------------------------------------------------------------------


def fetch_key(machine: Machine, argv: tuple[str, ...]) -> Program:
    """scripts/fetch-key.sh URL FINGERPRINT... TARGET"""
    if not machine.network:
        yield f"fetch-key: {argv[1]} could not be fetched"
        return 1
    wanted = [word for word in argv[2:-1] if re.fullmatch(r"[0-9A-F]{40}", word)]
    served = {archive.key for archive in machine.archives if archive.key}
    if not wanted or not set(wanted) <= served:
        yield "fetch-key: the key that came has another fingerprint; nothing was written"
        return 1
    machine.write(argv[-1], "\n".join(wanted) + "\n")
    yield f"fetch-key: {argv[-1]}"
    return 0


def move_aside(machine: Machine, argv: tuple[str, ...]) -> Program:
    """scripts/move-aside.sh files|library-folder PATH..."""
    if len(argv) < 3:
        yield "move-aside: usage: move-aside.sh files|library-folder|back PATH..."
        return 2
    for path in argv[2:]:
        owner = next((i.offer.name for i in machine.packages.installed.values()
                      if any(p == path for p, _ in i.offer.files)), "")  # fmt: skip
        if owner:
            yield (
                f"move-aside: {path} belongs to the package {owner}: change or remove that package; "
                "nothing was changed"
            )
            return 1
    for path in argv[2:]:
        node = machine.tree.own_node(path)
        if node is None:
            yield f"move-aside: {path} is gone already"
            continue
        kept = f"/var/lib/gpu-bringup/aside{path}.1"
        if isinstance(node, Link):
            machine.tree.link(kept, node.target)
        elif isinstance(node, File):
            machine.tree.write(kept, node)
        machine.tree.remove(path)
        machine.changed()
        yield f"move-aside: moved {path} to {kept}; to put it back: mv {kept} {path}"
    return 0


SCRIPTS = {"fetch-key.sh": fetch_key, "move-aside.sh": move_aside}
"""By their names; each does to the machine what the real script does to a host."""


__all__ = ["SCRIPTS", "run", "said"]
