"""Chips and systems of the catalogue: what places a board by its PCI id, and what connects boards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chip:
    """A chip, the PCI ids that are its own, and the names of its boards in a compact form."""

    id: str
    """Its code name: "GH100"."""
    architecture: str
    """Id of its architecture."""
    pci_ranges: tuple[tuple[int, int], ...]
    """Device ids (first, last) of vendor 10de that are this chip's."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    compute_capability: str = ""
    """Such as "9.0"; empty: not known, or a chip without CUDA."""
    boards: str = ""
    """Its boards, one a line: "2783 NAME"; "2783/550 NAME" where R550 is the first branch whose list
    of supported boards was seen to name it; "1e30:129e NAME" for a subsystem's device id."""
    fabric: str = "none"
    """NVLink fabric of a board that only this table knows: "none" or "unknown"."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class System:
    """A machine or baseboard whose GPUs share an NVLink fabric."""

    id: str
    """Short name, unique."""
    name: str
    """Name for people."""
    gpus: tuple[str, ...]
    """Ids of the boards that it is built with."""
    gpu_count: int
    """GPUs in one operating system (a compute tray of a rack, not the rack)."""
    fabric: str
    """"none", "fabricmanager", "fabricmanager+nvlsm", "imex"."""
    switch_ids: tuple[str, ...]
    """PCI ids of its NVSwitches; empty: none on the PCI bus of the host."""
    switches: int | None
    """NVSwitches on the PCI bus of the host; None: not known."""
    services: tuple[str, ...]
    """Services that must run on the host before CUDA works on all GPUs."""
    modules: tuple[str, ...]
    """Kernel modules besides NVIDIA's that its services need."""
    first_branch: str
    """First driver branch with its boards."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class ArchiveFabric:
    """Which software of an NVLink fabric a distribution's own archive has, in its driver's version."""

    os_id: str
    """ID of /etc/os-release."""
    has: tuple[str, ...]
    """Of "fabricmanager", "nvlsm", "imex"; empty: none of them."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
