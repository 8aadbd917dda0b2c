"""Which board a PCI id or a name stands for: an index over the catalogue's boards and chips.

A board of the long list (``gpus.toml``) carries everything the rules need. One that only the compact
table of chips names becomes a ``Gpu`` when it is asked for, with what follows from its chip.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.catalogue import Gpu

if TYPE_CHECKING:
    from gpu_bringup.model.boards import Chip
    from gpu_bringup.model.catalogue import Architecture, Catalogue

_ROW = re.compile(r"^([0-9a-f]{4})(?::([0-9a-f]{4}))?(?:/(\d{3}))? (.+)$")
_FAMILIES = ("geforce", "quadro", "tesla", "titan")
# The suffix of a vGPU type: what it is cut to and for whom (A applications, B desktops, C compute,
# Q workstations), with the MIG slice before it where there is one: "A100-3-20C", "GRID T4-16Q".
_VGPU = re.compile(r"^(?:NVIDIA |GRID )*[\w .]+?(?:-[1-7])?-\d{1,3}[ABCQ](?:ME)?$", re.IGNORECASE)


def is_vgpu_name(name: str) -> bool:
    """Is this the name of a slice of a board ("NVIDIA L40S-8Q"), not of a whole one?"""
    return _VGPU.match(name.strip()) is not None


@lru_cache(maxsize=8192)
def plain(text: str) -> str:
    """A name without case, spaces, dashes and the maker: what two ways to write it share."""
    return re.sub(r"[^a-z0-9:]", "", text.lower()).removeprefix("nvidia")


@lru_cache(maxsize=128)
def _rows(boards: str) -> dict[str, tuple[str, str]]:
    """Device id, or "device:subsystem device" -> (name, first branch or empty)."""
    found = {}
    for line in boards.splitlines():
        match = _ROW.match(line)
        if match:
            key = f"{match[1]}:{match[2]}" if match[2] else match[1]
            found[key] = (match[4], match[3] or "")
    return found


class BoardIndex:
    """Answers to "which board is this", without a walk over all of them.

    Args:
        catalogue: where the boards, chips and architectures are.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._by_id: dict[str, list[Gpu]] = {}
        for gpu in catalogue.gpus:
            for pci_id in gpu.pci_ids:
                self._by_id.setdefault(pci_id, []).append(gpu)
        self._names: dict[str, str | Gpu] = {}
        self._written: list[tuple[str, str]] = []

    def listed(self, pci_id: str, subsystem: str) -> Gpu | None:
        """The board of the long list; of several with one id, the one of that subsystem."""
        same = self._by_id.get(pci_id, ())
        for gpu in same:
            if subsystem and subsystem in gpu.subsystem_ids:
                return gpu
        whole = [gpu for gpu in same if not gpu.subsystem_ids]
        return next(iter(whole or same), None)

    def by_id(self, pci_id: str, subsystem: str = "") -> Gpu | None:
        """The board with that PCI id, from either table."""
        slice_of = self._compact(pci_id, subsystem) if subsystem else None
        if slice_of is not None and is_vgpu_name(slice_of.name):
            return slice_of
        return self.listed(pci_id, subsystem) or self._compact(pci_id, subsystem)

    def by_name(self, name: str) -> Gpu | None:
        """The board of that name, however it is written."""
        if not self._names:
            self._collect_names()
        wanted = plain(name)
        for known in (wanted, *(f"{family}{wanted}" for family in _FAMILIES)):
            found = self._names.get(known)
            if found is not None:
                return self._compact_key(found) if isinstance(found, str) else found
        return None

    def names(self) -> tuple[tuple[str, str], ...]:
        """(a name or alias as it is written, the board's name), each board once or more."""
        if not self._names:
            self._collect_names()
        return tuple(self._written)

    def chip(self, pci_id: str) -> Chip | None:
        """The chip whose block of ids this one is in."""
        device = device_of(pci_id)
        for chip in self._catalogue.chips:
            if any(first <= device <= last for first, last in chip.pci_ranges):
                return chip
        return None

    def architecture(self, pci_id: str) -> Architecture | None:
        """The architecture of a listed board, else the one whose range the id is in."""
        gpu = self.listed(pci_id, "")
        if gpu is not None:
            return self._catalogue.architectures.get(gpu.architecture)
        device = device_of(pci_id)
        for architecture in self._catalogue.architectures.values():
            if any(first <= device <= last for first, last in architecture.pci_ranges):
                return architecture
        return None

    def _compact_key(self, key: str) -> Gpu | None:
        device, _, subsystem = key.partition(":")
        return self._compact(f"10de:{device}", f"10de:{subsystem}" if subsystem else "")

    def _compact(self, pci_id: str, subsystem: str) -> Gpu | None:
        chip = self.chip(pci_id)
        architecture = self._catalogue.architectures.get(chip.architecture) if chip else None
        if chip is None or architecture is None:
            return None
        device = pci_id.partition(":")[2]
        rows = _rows(chip.boards)
        row = rows.get(f"{device}:{subsystem.partition(':')[2]}") or rows.get(device)
        if row is None:
            return None
        return Gpu(
            id=f"pci-{device}",
            name=row[0],
            aliases=(),
            pci_ids=(pci_id,),
            architecture=architecture.id,
            compute_capability=chip.compute_capability,
            first_driver=rows.get(device, row)[1] or None,
            open_modules=architecture.open_modules,
            fabric=chip.fabric,
            memory_gb=None,
            data_centre=False,
            sources=chip.sources,
        )

    def _collect_names(self) -> None:
        # The long list first: its names and aliases mean its boards.
        for gpu in self._catalogue.gpus:
            for name in (gpu.id, gpu.name, *gpu.aliases, *gpu.pci_ids):
                self._names.setdefault(plain(name), gpu)
            self._written += ((name, gpu.name) for name in (gpu.name, *gpu.aliases))
        # Of several chips whose boards bear one name (GeForce GT 730) the newest is meant.
        for chip in sorted(self._catalogue.chips, key=lambda item: item.pci_ranges, reverse=True):
            for key, (name, _) in _rows(chip.boards).items():
                device, _, subsystem = key.partition(":")
                listed = self.listed(f"10de:{device}", f"10de:{subsystem}")
                if is_vgpu_name(name):
                    continue
                self._names.setdefault(plain(name), listed or key)
                if listed is None:
                    self._written.append((name, name))


@lru_cache(maxsize=4)
def index_of(catalogue: Catalogue) -> BoardIndex:
    """The index of a catalogue, built once."""
    return BoardIndex(catalogue)


def device_of(pci_id: str) -> int:
    """The number of the device in a PCI id of vendor 10de; -1 for everything else."""
    vendor, _, device = pci_id.partition(":")
    if vendor != "10de" or not re.fullmatch(r"[0-9a-f]{4}", device):
        return -1
    return int(device, 16)
