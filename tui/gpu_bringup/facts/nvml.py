"""What NVML says of the driver and of each GPU: the record's "nvml" object, made into facts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.gpu_facts import NvmlFacts, NvmlGpu
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_FABRIC_STATES = ("not-supported", "not-started", "in-progress", "completed")
"""nvmlGpuFabricState_t, 0 to 3 (NVML API reference)."""
_MISSING = Unknown("NVML does not give it for this GPU")
_DRIVER = re.compile(r"\d{3}\.\d+(?:\.\d+)*")
_BUS = re.compile(r"[0-9a-fA-F]{4,8}(?::[0-9a-fA-F]{2}){2}\.[0-9a-fA-F]")
_VGPU = re.compile(r"-\d+[ABCQ](ME)?$")
"""vGPU types are named BOARD-MEMORYSERIES, such as "A100-40C" (vGPU software user guide)."""


def cuda_version(number: int) -> str:
    """13000 -> "13.0"; empty for 0."""
    return f"{number // 1000}.{number % 1000 // 10}" if number > 0 else ""


def normal_bus_id(bus_id: str) -> str:
    """ "00000000:00:06.0" -> "0000:00:06.0", as sysfs names the device."""
    domain, separator, rest = bus_id.lower().partition(":")
    if not separator or rest.count(":") != 1:
        return bus_id.lower()
    return f"{int(domain, 16):04x}:{rest}"


def _int(value: Any) -> Fact[int]:
    return value if isinstance(value, int) and not isinstance(value, bool) else _MISSING


def _flag(value: Any) -> Fact[bool]:
    return bool(value) if isinstance(value, int) else _MISSING


def _pick(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and len(value) > index else None


def capability(value: Any) -> str:
    """[9, 0] -> "9.0"; empty where it is something else."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, int) for part in value):
        return f"{value[0]}.{value[1]}"
    return ""


def _fabric_state(value: Any) -> Fact[str]:
    if isinstance(value, int) and 0 <= value < len(_FABRIC_STATES):
        return _FABRIC_STATES[value]
    return _MISSING


def parse_gpu(raw: dict[str, Any], index: int) -> NvmlGpu:
    """One element of "gpus"; whatever is missing or of another kind is Unknown."""
    fabric = raw.get("fabric")
    fabric = fabric if isinstance(fabric, dict) else {}
    firmware, bus = raw.get("gsp_firmware"), raw.get("pci_bus_id")
    rows = raw.get("remapped_rows")
    corrected, uncorrected = _int(_pick(rows, 0)), _int(_pick(rows, 1))
    remapped: Fact[int] = (
        _MISSING
        if isinstance(corrected, Unknown) or isinstance(uncorrected, Unknown)
        else corrected + uncorrected
    )
    return NvmlGpu(
        index=raw["index"] if isinstance(raw.get("index"), int) else index,
        bus_id=normal_bus_id(bus) if isinstance(bus, str) and _BUS.fullmatch(bus) else "",
        name=str(raw.get("name", "")),
        memory_total=_int(raw.get("memory_total")),
        compute_capability=capability(raw.get("compute_capability")),
        ecc_enabled=_flag(_pick(raw.get("ecc"), 0)),
        ecc_uncorrected=_int(raw.get("ecc_uncorrected")),
        remapped_pending=_flag(_pick(rows, 2)),
        remapped_failed=_flag(_pick(rows, 3)),
        remapped_rows=remapped,
        pcie_width=_int(raw.get("pcie_width")),
        pcie_width_max=_int(raw.get("pcie_width_max")),
        pcie_generation=_int(raw.get("pcie_gen")),
        pcie_generation_max=_int(raw.get("pcie_gen_max")),
        temperature=_int(raw.get("temperature")),
        persistence=_flag(raw.get("persistence")),
        mig=_flag(_pick(raw.get("mig"), 0)),
        gsp_firmware=firmware if isinstance(firmware, str) and firmware else _MISSING,
        fabric_state=_fabric_state(fabric.get("state")),
        fabric_status=_int(fabric.get("status")),
        nvlinks_active=_int(raw.get("nvlinks_active")),
        processes=_int(raw.get("processes")),
    )


def _failed(value: Any) -> tuple[str, ...]:
    """The record's "failed" list in words; an entry of another kind is shown as it is."""
    told = []
    for item in value if isinstance(value, list) else ():
        known = isinstance(item, dict)
        index = item.get("index", "?") if known else "?"
        error = item.get("error", "no reason given") if known else item
        told.append(f"GPU {index}: {error}")
    return tuple(told)


def _library(value: Any) -> str:
    """The driver's version behind CUDA's major one; empty: another form."""
    match = (
        re.fullmatch(r"\d{1,2}\.(\d{3}\.\d+(?:\.\d+)?)", value) if isinstance(value, str) else None
    )
    return match[1] if match else ""


def parse_nvml(raw: dict[str, Any]) -> Fact[NvmlFacts]:
    """The record's "nvml" object; Unknown with NVML's own words where it reports an error."""
    if "error" in raw:
        return Unknown(str(raw["error"]))
    gpus = raw.get("gpus")
    if not isinstance(gpus, list) or not all(isinstance(item, dict) for item in gpus):
        return Unknown("NVML's answer has no list of GPUs")
    number, version = raw.get("cuda_driver_version"), raw.get("driver_version")
    return NvmlFacts(
        driver_version=version if isinstance(version, str) and _DRIVER.fullmatch(version) else "",
        cuda_version=cuda_version(number) if isinstance(number, int) else "",
        gpus=tuple(parse_gpu(item, index) for index, item in enumerate(gpus)),
        failed=_failed(raw.get("failed")),
        library_version=_library(raw.get("nvml_version")),
    )


def is_vgpu(name: str) -> bool:
    """Is this the name of a virtual GPU's type?"""
    return _VGPU.search(name) is not None


def observe(host: Host) -> Fact[NvmlFacts | None]:
    raw = host.nvml()
    if raw is None or isinstance(raw, Unknown):
        return raw
    return parse_nvml(raw)
