"""Facts that the driver itself tells: what NVML and CUDA say of each GPU.

Sizes are bytes, bandwidths bytes a second, times seconds, temperatures degrees Celsius.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpu_bringup.model.unknown import Fact, Unknown

_NOT_LOOKED = Unknown("not looked at")


@dataclass(frozen=True, slots=True)
class NvmlGpu:
    """One GPU, as NVML tells of it."""

    index: int
    bus_id: str
    name: str
    memory_total: Fact[int] = _NOT_LOOKED
    compute_capability: str = ""
    ecc_enabled: Fact[bool] = _NOT_LOOKED
    ecc_uncorrected: Fact[int] = _NOT_LOOKED
    remapped_pending: Fact[bool] = _NOT_LOOKED
    remapped_failed: Fact[bool] = _NOT_LOOKED
    remapped_rows: Fact[int] = _NOT_LOOKED
    pcie_width: Fact[int] = _NOT_LOOKED
    pcie_width_max: Fact[int] = _NOT_LOOKED
    pcie_generation: Fact[int] = _NOT_LOOKED
    pcie_generation_max: Fact[int] = _NOT_LOOKED
    temperature: Fact[int] = _NOT_LOOKED
    """Degrees Celsius."""
    persistence: Fact[bool] = _NOT_LOOKED
    mig: Fact[bool] = _NOT_LOOKED
    gsp_firmware: Fact[str] = _NOT_LOOKED
    fabric_state: Fact[str] = _NOT_LOOKED
    """"not-supported", "not-started", "in-progress", "completed"."""
    fabric_status: Fact[int] = _NOT_LOOKED
    nvlinks_active: Fact[int] = _NOT_LOOKED
    processes: Fact[int] = _NOT_LOOKED


@dataclass(frozen=True, slots=True)
class NvmlFacts:
    """What NVML answered."""

    driver_version: str
    cuda_version: str
    """Highest CUDA version the driver serves, "13.0"."""
    gpus: tuple[NvmlGpu, ...]
    failed: tuple[str, ...] = ()
    """GPUs that NVML counts but can't read, with its own words: "GPU 2: GPU is lost"."""
    library_version: str = ""
    """Driver version in NVML's own ("13.580.159.04" -> "580.159.04"); empty: not told."""


@dataclass(frozen=True, slots=True)
class CudaDevice:
    """One GPU, as CUDA tells of it."""

    index: int
    name: str = ""
    compute_capability: str = ""
    kernel_correct: Fact[bool] = _NOT_LOOKED
    jit_seconds: Fact[float] = _NOT_LOOKED
    memory_bandwidth: Fact[float] = _NOT_LOOKED
    """Bytes a second, device memory, read and write together."""
    host_to_device: Fact[float] = _NOT_LOOKED
    device_to_host: Fact[float] = _NOT_LOOKED
    error: str = ""


@dataclass(frozen=True, slots=True)
class CudaPeer:
    """One direction of peer access between two GPUs."""

    source: int
    target: int
    possible: bool
    correct: Fact[bool] = _NOT_LOOKED
    bandwidth: Fact[float] = _NOT_LOOKED
    error: str = ""


@dataclass(frozen=True, slots=True)
class CudaFacts:
    """What libcuda answered."""

    init: int
    """Result of cuInit; 0 is success."""
    driver_version: str = ""
    device_count: int = 0
    library: str = ""
    """The libcuda that was loaded."""
    devices: tuple[CudaDevice, ...] = ()
    peers: tuple[CudaPeer, ...] = ()
    error: str = ""
    """What went wrong after cuInit, in the driver's words."""
    notes: tuple[str, ...] = ()
    """What of the answer could not be read."""
