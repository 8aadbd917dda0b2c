"""modprobe's rules and what the kernel says to a module."""

from __future__ import annotations

from gpu_bringup.hosts.simulated.boot_files import CONFIGURATION
from gpu_bringup.hosts.simulated.dkms_tree import vermagic
from gpu_bringup.hosts.simulated.machine import Loaded, Machine
from gpu_bringup.hosts.simulated.tree import File, Module

_USES = {
    "nvidia_uvm": ("nvidia",),
    "nvidia_modeset": ("nvidia",),
    "nvidia_drm": ("nvidia_modeset",),
    "nvidia_peermem": ("nvidia",),
}


def module_file(machine: Machine, name: str, kernel: str = "") -> tuple[str, File] | None:
    """The file that modprobe would load: updates before the kernel's own.

    Args:
        kernel: release; empty: the running one.
    """
    kernel = kernel or machine.running_kernel
    name = name.replace("-", "_")
    found: list[tuple[int, str, File]] = []
    for path, node in machine.tree.walk(f"/usr/lib/modules/{kernel}"):
        if isinstance(node, File) and node.module is not None and node.module.name == name:
            found.append((0 if "/updates/" in path else 1, path, node))
    if not found:
        return None
    _, path, file = min(found, key=lambda item: item[:2])
    return path.replace("/usr/lib/modules/", "/lib/modules/", 1), file


def blacklisted(machine: Machine) -> frozenset[str]:
    """Modules that modprobe.d keeps from being loaded by alias."""
    return blacklist_of(
        node.text
        for folder in CONFIGURATION
        for path, node in machine.tree.walk(folder)
        if isinstance(node, File) and path.endswith(".conf")
    )


def blacklist_of(texts: object) -> frozenset[str]:
    assert hasattr(texts, "__iter__")
    found: set[str] = set()
    for text in texts:
        for row in str(text).splitlines():
            words = row.split()
            if len(words) >= 2 and words[0] == "blacklist":
                found.add(words[1].replace("-", "_"))
    return frozenset(found)


def switched_off(machine: Machine, name: str) -> bool:
    """Does modprobe.d replace its loading by another command ("install NAME /bin/false")?"""
    for folder in CONFIGURATION:
        for path, node in machine.tree.walk(folder):
            if isinstance(node, File) and path.endswith(".conf"):
                for row in node.text.splitlines():
                    words = row.split()
                    if (
                        len(words) >= 3
                        and words[0] == "install"
                        and words[1].replace("-", "_") == name
                    ) and words[2].endswith(("/false", "/true")):
                        return True
    return False


def insert(machine: Machine, name: str, *, explicit: bool = True) -> str:
    """Load a module and those that it needs; the error's words, empty where it is loaded."""
    name = name.replace("-", "_")
    if name in machine.loaded:
        return ""
    if switched_off(machine, name):
        return "install command failed"
    found = module_file(machine, name)
    if found is None:
        return f"FATAL: Module {name} not found in directory /lib/modules/{machine.running_kernel}"
    for needed in _USES.get(name, ()):
        error = insert(machine, needed, explicit=False)
        if error:
            return error
    return _load(machine, found[1])


def _load(machine: Machine, file: File) -> str:
    module = file.module
    assert module is not None
    name = module.name
    if not module.vermagic.startswith(machine.running_kernel + " "):
        machine.say(
            f"{name}: version magic '{module.vermagic}' should be '{vermagic(machine.running_kernel)}'"
        )
        return "Exec format error"
    if machine.firmware.secure_boot and module.signer != "kernel" and not _trusted(machine, module):
        machine.say(
            "Loading of module with unavailable key is rejected"
            if module.key
            else "Loading of unsigned module is rejected"
        )
        return "Key was rejected by service"
    if name == "nvidia":
        error = _probe(machine, module)
        if error:
            return error
        if "nouveau" in machine.loaded:
            machine.say("NVRM: GPU 0000:17:00.0 is already bound to nouveau.")
            return "No such device"
    machine.loaded[name] = Loaded(module, _USES.get(name, ()))
    machine.changed()
    return ""


def _trusted(machine: Machine, module: Module) -> bool:
    return bool(module.key) and any(key.key_id == module.key for key in machine.firmware.enrolled)


def _probe(machine: Machine, module: Module) -> str:
    branch = int(module.version.split(".")[0])
    open_modules = module.license != "NVIDIA"
    seen = 0
    for gpu in machine.gpus:
        if gpu.pci_class == "068000":
            continue
        if gpu.fallen_off:
            machine.say(f"NVRM: GPU {gpu.bus_id}: GPU has fallen off the bus.")
            continue
        if not gpu.first_driver <= branch <= gpu.last_driver:
            machine.say(
                f"NVRM: The NVIDIA GPU {gpu.bus_id} (PCI ID: 10de:{gpu.device})\n"
                f"NVRM: installed in this system is not supported by the\n"
                f"NVRM: NVIDIA {module.version} driver release."
            )
            continue
        if gpu.open_only and not open_modules:
            machine.say(
                f"NVRM: The NVIDIA GPU {gpu.bus_id} (PCI ID: 10de:{gpu.device}) installed in this system "
                "requires use of the NVIDIA open kernel modules."
            )
            continue
        seen += 1
    if not seen:
        machine.say("NVRM: No NVIDIA GPU found.")
        return "No such device"
    kind = "Open Kernel Module for x86_64" if open_modules else "x86_64 Kernel Module"
    machine.say(f"NVRM: loading NVIDIA UNIX {kind}  {module.version}  Release Build")
    return ""


def holders(machine: Machine, name: str) -> list[str]:
    """What keeps a module from being taken out: modules and programs."""
    found = [other for other, item in machine.loaded.items() if name in item.users]
    if name in ("nvidia", "nvidia_uvm"):
        found += [job.command.split()[0] for job in machine.jobs if job.gpus]
        found += [u.name for u in machine.units.values() if u.running and u.needs_driver]
    return found


def remove_module(machine: Machine, name: str) -> str:
    """Take a module out of the kernel; the error's words, empty where it is gone."""
    name = name.replace("-", "_")
    if name not in machine.loaded:
        return f"Module {name} is not currently loaded"
    held = holders(machine, name)
    if held:
        modules = [item for item in held if item in machine.loaded]
        return f"Module {name} is in use" + (f" by: {' '.join(modules)}" if modules else "")
    del machine.loaded[name]
    machine.happened("module-unloaded", name)
    machine.changed()
    return ""
