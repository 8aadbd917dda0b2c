"""What NVML and libcuda answer on a simulated machine, as their probes write it down."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Gpu, Machine

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_CUDA_OF_BRANCH = ((610, 13030), (590, 13010), (580, 13000), (575, 12090), (570, 12080),
                   (565, 12070), (560, 12060), (555, 12050), (550, 12040), (545, 12030),
                   (535, 12020), (530, 12010), (525, 12000), (520, 11080), (515, 11070),
                   (470, 11040))  # fmt: skip
"""CUDA version that a driver branch brings (CUDA release notes, table of driver versions)."""


def library_version(machine: Machine, stem: str) -> str | None:
    """Version of the library that the linker finds ("libcuda.so"); None: there is none."""
    real = machine.tree.resolve(f"{LIBRARIES}/{stem}.1")
    if not machine.tree.exists(real):
        return None
    match = re.search(r"\.so\.(\d+\.\d+(?:\.\d+)?)$", real)
    return match[1] if match else ""


def cuda_of(driver: str) -> int:
    """The CUDA version that a driver brings, as cuDriverGetVersion numbers it."""
    branch = int(driver.split(".")[0]) if driver else 0
    return next((cuda for first, cuda in _CUDA_OF_BRANCH if branch >= first), 11040)


def visible(machine: Machine) -> tuple[Gpu, ...]:
    """GPUs that the loaded driver drives."""
    return tuple(gpu for gpu in machine.gpus if gpu.pci_class != "068000" and not gpu.fallen_off)


def nvml(machine: Machine) -> dict[str, Any] | None:
    """The record's "nvml" object; None: there is no libnvidia-ml."""
    library = library_version(machine, "libnvidia-ml.so")
    if library is None:
        return None
    loaded = machine.loaded.get("nvidia")
    if loaded is None:
        return {"error": "Driver Not Loaded"}
    driver = loaded.module.version
    if driver != library:
        return {"error": "Driver/library version mismatch"}
    lost = [
        {"index": index, "error": "GPU is lost"}
        for index, gpu in enumerate(g for g in machine.gpus if g.pci_class != "068000")
        if gpu.fallen_off
    ]
    answer: dict[str, Any] = {
        "driver_version": driver,
        "nvml_version": f"{cuda_of(driver) // 1000}.{driver}",
        "cuda_driver_version": cuda_of(driver),
        "gpus": [_gpu(machine, index, gpu, driver) for index, gpu in enumerate(visible(machine))],
    }
    if lost:
        answer["failed"] = lost
    return answer


def _gpu(machine: Machine, index: int, gpu: Gpu, driver: str) -> dict[str, Any]:
    fabric = any(other.pci_class == "068000" for other in machine.gpus)
    manager = machine.units.get("nvidia-fabricmanager.service")
    answer: dict[str, Any] = {
        "index": index,
        "name": gpu.name,
        "architecture": gpu.architecture,
        "compute_capability": list(gpu.capability),
        "memory_total": gpu.memory,
        "pci_bus_id": f"0000{gpu.bus_id.upper()}",
        "pci_device_id": f"{gpu.device}10de",
        "ecc": [1, 1],
        "ecc_uncorrected": 0,
        "remapped_rows": [0, 0, 0, 0],
        "mig": [0, 0],
        "pcie_gen": 5,
        "pcie_width": 16,
        "pcie_gen_max": 5,
        "pcie_width_max": 16,
        "temperature": 34,
        "persistence": int(_runs(machine, "nvidia-persistenced.service")),
        "gsp_firmware": driver,
        "processes": sum(1 for job in machine.jobs if index in job.gpus),
    }
    if fabric:
        done = manager is not None and manager.running
        answer["fabric"] = {"state": 3 if done else 1, "status": 0}
    return answer


def _runs(machine: Machine, unit: str) -> bool:
    found = machine.units.get(unit)
    return found is not None and found.running


def cuda(machine: Machine, *, deep: bool = False) -> dict[str, Any] | None:
    """The record's "cuda" object; None: there is no libcuda."""
    library = library_version(machine, "libcuda.so")
    if library is None:
        return None
    loaded = machine.loaded.get("nvidia")
    answer: dict[str, Any] = {"loaded_from": [machine.tree.resolve(f"{LIBRARIES}/libcuda.so.1")]}
    if loaded is None:
        return {**answer, "cuInit": 100}
    if loaded.module.version != library:
        return {**answer, "cuInit": 803}
    gpus = visible(machine)
    if not gpus:
        return {**answer, "cuInit": 100}
    if any(gpu.pci_class == "068000" for gpu in machine.gpus) and not _runs(
        machine, "nvidia-fabricmanager.service"
    ):
        return {**answer, "cuInit": 802}
    if "nvidia_uvm" not in machine.loaded:
        return {**answer, "cuInit": 999}
    answer |= {
        "cuInit": 0,
        "driver_version": cuda_of(library),
        "device_count": len(gpus),
        "device_count_result": 0,
    }
    if deep:
        answer["devices"] = [
            {
                "index": index,
                "name": gpu.name,
                "compute_capability": list(gpu.capability),
                "kernel_correct": True,
            }
            for index, gpu in enumerate(gpus)
        ]
    return answer
