"""Ask NVML about every GPU and print one JSON object (the "nvml" object of a host record).

Run as a child process with a deadline: ``python -m gpu_bringup.probes.nvml``. A value that NVML
doesn't give is left out, so that it stays unknown. UUIDs and serial numbers are never asked for.
"""

from __future__ import annotations

import ctypes
import json
import sys
from collections.abc import Callable
from typing import Any

import pynvml


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _fabric(handle: Any) -> dict[str, int]:
    info = pynvml.c_nvmlGpuFabricInfo_t()
    pynvml.nvmlDeviceGetGpuFabricInfo(handle, ctypes.byref(info))
    return {"state": int(info.state), "status": int(info.status)}


def _nvlinks(handle: Any) -> int:
    active = 0
    for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
        try:
            active += int(pynvml.nvmlDeviceGetNvLinkState(handle, link))
        except pynvml.NVMLError:
            break
    return active


def _questions(handle: Any) -> dict[str, Callable[[], Any]]:
    pci = pynvml.nvmlDeviceGetPciInfo(handle)
    bits = pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED
    return {
        "name": lambda: _text(pynvml.nvmlDeviceGetName(handle)),
        "pci_bus_id": lambda: _text(pci.busId),
        "pci_device_id": lambda: f"{pci.pciDeviceId:08x}",
        "pci_subsystem_id": lambda: f"{pci.pciSubSystemId:08x}",
        "architecture": lambda: int(pynvml.nvmlDeviceGetArchitecture(handle)),
        "compute_capability": lambda: list(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
        "memory_total": lambda: int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        "ecc": lambda: list(pynvml.nvmlDeviceGetEccMode(handle)),
        "ecc_uncorrected": lambda: int(
            pynvml.nvmlDeviceGetTotalEccErrors(handle, bits, pynvml.NVML_VOLATILE_ECC)
        ),
        "remapped_rows": lambda: list(pynvml.nvmlDeviceGetRemappedRows(handle)),
        "pcie_gen": lambda: int(pynvml.nvmlDeviceGetCurrPcieLinkGeneration(handle)),
        "pcie_gen_max": lambda: int(pynvml.nvmlDeviceGetMaxPcieLinkGeneration(handle)),
        "pcie_width": lambda: int(pynvml.nvmlDeviceGetCurrPcieLinkWidth(handle)),
        "pcie_width_max": lambda: int(pynvml.nvmlDeviceGetMaxPcieLinkWidth(handle)),
        "temperature": lambda: int(
            pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
        ),
        "persistence": lambda: int(pynvml.nvmlDeviceGetPersistenceMode(handle)),
        "mig": lambda: list(pynvml.nvmlDeviceGetMigMode(handle)),
        "gsp_firmware": lambda: _text(pynvml.nvmlDeviceGetGspFirmwareVersion(handle)),
        "processes": lambda: len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        "fabric": lambda: _fabric(handle),
        "nvlinks_active": lambda: _nvlinks(handle),
    }


def _gpu(index: int) -> dict[str, Any]:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    answers: dict[str, Any] = {"index": index}
    for key, ask in _questions(handle).items():
        # Not every GPU and driver answers every question; a missing key means "unknown".
        try:
            answers[key] = ask()
        except (pynvml.NVMLError, AttributeError, UnicodeDecodeError):
            continue
    return answers


def ask() -> dict[str, Any]:
    """Everything NVML says, or ``{"error": text, "code": number}`` where it can't be asked."""
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        gpus: list[dict[str, Any]] = []
        failed: list[dict[str, Any]] = []
        for index in range(count):
            try:
                gpus.append(_gpu(index))
            except pynvml.NVMLError as error:
                failed.append({"index": index, "error": _text(error)})
        result: dict[str, Any] = {
            "driver_version": _text(pynvml.nvmlSystemGetDriverVersion()),
            "nvml_version": _text(pynvml.nvmlSystemGetNVMLVersion()),
            "cuda_driver_version": int(pynvml.nvmlSystemGetCudaDriverVersion()),
            "gpus": gpus,
        }
        if failed:
            result["failed"] = failed
        return result
    except pynvml.NVMLError as error:
        return {"error": _text(error), "code": int(error.value)}


if __name__ == "__main__":
    json.dump(ask(), sys.stdout)
