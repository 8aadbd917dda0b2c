"""Measured bandwidths, held against what the model and its link should do. Pure.

Memory: the vendor's figure of the board. A plain device copy reaches about 85 to 90 % of it (H200:
4.24 of 4.8 TB/s, measured). Link: PCI Express lanes times generation, less encoding; pinned copies
reach about 85 % (H200, generation 5 x16: 55 of 63 GB/s, measured).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_bringup.model.gpu_facts import CudaDevice
    from gpu_bringup.model.unknown import Fact

ENOUGH = 0.6
"""Share of the expected figure below which something is wrong: far from what measuring varies."""

# Bytes a second and lane, one direction: 8, 16, 32, 64 GT/s with 128b/130b encoding.
_LANE = {3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    cause: str
    """Id of the cause, should it be too low."""
    words: str
    enough: bool | None
    """None: nothing to hold it against."""


def _figure(cause: str, what: str, measured: float, expected: float | None) -> Figure:
    words = f"{what} {measured / 1e9:.0f} GB/s"
    if not expected:
        return Figure(cause, words, None)
    share = measured / expected
    return Figure(cause, f"{words}, {share:.0%} of {expected / 1e9:.0f} GB/s", share >= ENOUGH)


def judge(
    device: CudaDevice,
    *,
    memory_bandwidth_gbs: float | None,
    generation: Fact[int],
    width: Fact[int],
) -> tuple[Figure, ...]:
    """The figures of one GPU.

    Args:
        memory_bandwidth_gbs: the board's figure from the catalogue, GB/s; None: not known.
        generation, width: what the PCI Express link can be at its best, not what it is now: a link
            that came up too narrow must show.
    """
    link = None
    if isinstance(generation, int) and isinstance(width, int) and generation in _LANE:
        link = _LANE[generation] * width
    figures = []
    if isinstance(device.memory_bandwidth, float):
        expected = memory_bandwidth_gbs * 1e9 if memory_bandwidth_gbs else None
        figures.append(_figure("gpu-memory-slow", "memory", device.memory_bandwidth, expected))
    if isinstance(device.host_to_device, float):
        figures.append(_figure("host-link-slow", "to the GPU", device.host_to_device, link))
    if isinstance(device.device_to_host, float):
        figures.append(_figure("host-link-slow", "from the GPU", device.device_to_host, link))
    return tuple(figures)
