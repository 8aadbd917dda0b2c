"""Does a simulated machine's state contradict itself? Pure. (What is rendered from the state can't.)"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.hosts.simulated.machine import Machine


def of(machine: Machine) -> Iterator[str]:
    """What can't be true together, each in a sentence."""
    yield from _kernels(machine)
    yield from _modules(machine)
    yield from _gpus(machine)
    yield from _spaces(machine)
    yield from _firmware(machine)


def _kernels(machine: Machine) -> Iterator[str]:
    running = machine.running_kernel
    if not running:
        yield "no kernel runs"
    elif machine.tree.names(f"/lib/modules/{running}") is None:
        yield f"the kernel {running} runs, and has no folder below /lib/modules"
    if not machine.kernels():
        yield "there is no kernel in /boot that could be started"
    if machine.booted > machine.clock:
        yield "it was started after now"


def _modules(machine: Machine) -> Iterator[str]:
    for name, item in machine.loaded.items():
        magic = item.module.vermagic
        if magic and magic.split()[0] != machine.running_kernel:
            yield f"{name} is loaded, and built for {magic.split()[0]}, which doesn't run"
        for used in item.users:
            if used not in machine.loaded:
                yield f"{name} is loaded without {used}, on which it rests"
    if "nvidia" in machine.loaded and "nouveau" in machine.loaded and machine.gpus:
        yield "nvidia and nouveau are loaded at once, and both want every GPU"


def _gpus(machine: Machine) -> Iterator[str]:
    places = [gpu.bus_id for gpu in machine.gpus]
    for place in sorted({item for item in places if places.count(item) > 1}):
        yield f"two devices are at {place}"
    count = sum(gpu.pci_class != "068000" for gpu in machine.gpus)
    numbers = [job.pid for job in machine.jobs]
    for job in machine.jobs:
        for index in job.gpus:
            if index >= count:
                yield f"the job {job.command!r} holds GPU {index}, and there are {count}"
        if job.gpus and "nvidia" not in machine.loaded:
            yield f"the job {job.command!r} holds a GPU, and no driver is loaded"
        if numbers.count(job.pid) > 1:
            yield f"two jobs have the process id {job.pid}"


def _spaces(machine: Machine) -> Iterator[str]:
    for mount, size in machine.spaces.items():
        if machine.used(mount) > size:
            yield f"{mount} holds more than its {size} bytes"
    if "/" not in machine.spaces:
        yield "there is no file system at /"


def _firmware(machine: Machine) -> Iterator[str]:
    firmware = machine.firmware
    if not firmware.efi and (firmware.secure_boot or firmware.enrolled or firmware.pending):
        yield "Secure Boot or its keys without UEFI"
    if firmware.pending and not firmware.password:
        yield "a key waits to be enrolled, and no password was given for it"
