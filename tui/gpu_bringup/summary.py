"""A host in a few words: for the JSON of ``check``, the wizard's header and reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.lookup import architecture_of, gpu_by_pci
from gpu_bringup.ladder.base import relevant_kernels
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts, PciDevice


def gpu_name(device: PciDevice, facts: Facts, catalogue: Catalogue) -> str:
    """The board's name: the catalogue's, else NVML's, else its PCI id."""
    known = gpu_by_pci(catalogue, device.pci_id, device.subsystem_id)
    if known is not None:
        return known.name
    if isinstance(facts.nvml, NvmlFacts):
        for gpu in facts.nvml.gpus:
            if gpu.bus_id.lower().endswith(device.bus_id.lower()):
                return gpu.name
    architecture = architecture_of(catalogue, device.pci_id)
    if architecture is not None:
        return f"{architecture.name} GPU {device.pci_id}"
    return f"NVIDIA device {device.pci_id}"


def _gpu(device: PciDevice, facts: Facts, catalogue: Catalogue) -> dict[str, Any]:
    known = gpu_by_pci(catalogue, device.pci_id, device.subsystem_id)
    architecture = architecture_of(catalogue, device.pci_id)
    return {
        "bus_id": device.bus_id,
        "pci_id": device.pci_id,
        "name": gpu_name(device, facts, catalogue),
        "architecture": architecture.name if architecture else "unknown",
        "compute_capability": known.compute_capability if known else "unknown",
    }


def host_json(facts: Facts, catalogue: Catalogue) -> dict[str, Any]:
    """The ``host`` object of ``check --json`` (fixed by contract)."""
    system = facts.os
    running = facts.kernels.running
    state = facts.secure_boot.state
    gpus = () if isinstance(facts.pci.gpus, Unknown) else facts.pci.gpus
    return {
        "os": {
            "id": "unknown" if isinstance(system, Unknown) else system.id,
            "version": "unknown" if isinstance(system, Unknown) else system.version,
            "name": "unknown" if isinstance(system, Unknown) else system.name,
        },
        "kernel": {
            "running": "unknown" if isinstance(running, Unknown) else running,
            "bootable": [
                release
                for release in relevant_kernels(facts)
                if (kernel := facts.kernel(release)) is not None and kernel.bootable
            ],
        },
        "secure_boot": "unknown" if isinstance(state, Unknown) else state.value,
        "gpus": [_gpu(device, facts, catalogue) for device in gpus],
    }


def host_line(facts: Facts, catalogue: Catalogue) -> str:
    """One line: system, kernel, GPUs, Secure Boot."""
    data = host_json(facts, catalogue)
    names: dict[str, int] = {}
    for gpu in data["gpus"]:
        names[gpu["name"]] = names.get(gpu["name"], 0) + 1
    gpus = ", ".join(f"{count} x {name}" for name, count in names.items()) or "no NVIDIA GPU seen"
    return (
        f"{data['os']['name']} · kernel {data['kernel']['running']} · {gpus} · "
        f"Secure Boot {data['secure_boot']}"
    )
