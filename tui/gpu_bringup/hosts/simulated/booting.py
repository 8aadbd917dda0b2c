"""A restart: MokManager, the chosen kernel, modules by their aliases, services."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from gpu_bringup.hosts.simulated.boot_files import chosen_kernel
from gpu_bringup.hosts.simulated.kernel_modules import (
    blacklist_of,
    blacklisted,
    insert,
    module_file,
)
from gpu_bringup.hosts.simulated.machine import Image, Machine
from gpu_bringup.hosts.simulated.work import Ask, Work


def reboot(machine: Machine) -> Work:
    """Restart: MokManager where keys wait, the chosen kernel, modules by their aliases, services."""
    machine.happened("reboot", machine.running_kernel)
    for job in machine.jobs:
        if job.important:
            machine.happened("job-killed", job.command)
    machine.jobs = ()
    firmware = machine.firmware
    if firmware.pending and firmware.efi:
        answer = yield Ask(
            "MokManager: Press any key to perform MOK management [10 s, empty: let it pass]: "
        )
        if answer.strip():
            typed = yield Ask("Enroll MOK > Continue > Yes. Password: ", secret=True)
            if typed.strip("\n") == firmware.password:
                firmware.enrolled = (*firmware.enrolled, *firmware.pending)
                yield "The system must now be rebooted"
            else:
                yield "Password doesn't match"
        firmware.pending, firmware.password = (), ""
    start(machine)
    return True


def start(machine: Machine) -> None:
    """What happens from the boot loader to the login."""
    machine.running_kernel = chosen_kernel(machine)
    machine.boot += 1
    machine.clock += 150
    machine.booted = machine.clock - 40
    machine.loaded = {}
    machine.log = ()
    release = machine.running_kernel
    machine.say(f"Linux version {release}")
    state = "enabled" if machine.firmware.secure_boot else "disabled"
    if machine.firmware.efi:
        machine.say(f"secureboot: Secure boot {state}")
    machine.firmware.lockdown = "integrity" if machine.firmware.secure_boot else "none"
    image = machine.images.get(release, Image())
    early = blacklist_of(text for _, text in image.configuration)
    for path, _ in image.modules:
        name = posixpath.basename(path).split(".")[0].replace("-", "_")
        if name not in early:
            insert(machine, name)
    if "nouveau" not in machine.loaded:
        off = blacklisted(machine)
        if machine.gpus and "nvidia" not in off and module_file(machine, "nvidia") is not None:
            error = insert(machine, "nvidia")
            if not error:
                insert(machine, "nvidia_uvm")
                insert(machine, "nvidia_modeset")
        if "nvidia" not in machine.loaded and "nouveau" not in off:
            insert(machine, "nouveau")
    for name, unit in list(machine.units.items()):
        works = not unit.needs_driver or service_works(machine, name)
        machine.units[name] = replace(unit, running=unit.enabled and works)
    machine.changed()


def service_works(machine: Machine, name: str) -> bool:
    if "nvidia" not in machine.loaded:
        return False
    if "fabricmanager" in name:
        driver = machine.loaded["nvidia"].module.version
        manager = machine.packages.installed.get("nvidia-fabricmanager")
        return manager is not None and manager.offer.version.split("-")[0] == driver
    return True
