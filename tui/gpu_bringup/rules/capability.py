"""Which CUDA versions compile for a board: by its architecture and its compute capability."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import compute_capability
from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Architecture, Catalogue
    from gpu_bringup.rules.subject import Board


def cuda_span(catalogue: Catalogue, board: Board) -> tuple[str, str]:
    """(first, last) CUDA version that compiles for a board; empty: no bound known.

    Chips of one architecture differ: 8.6 came with CUDA 11.1 where 8.0 came with 11.0, 12.1 with 12.9
    where 10.0 came with 12.8. So the toolkits' own table narrows what the architecture says.
    """
    if board.architecture is None:
        return "", ""
    capability = board.gpu.compute_capability if board.gpu is not None else ""
    if not capability and board.pci_id:
        capability = compute_capability(catalogue, board.pci_id)
    return _span(catalogue, board.architecture, capability)


@lru_cache(maxsize=256)
def _span(catalogue: Catalogue, architecture: Architecture, capability: str) -> tuple[str, str]:
    low, high = architecture.first_cuda, architecture.last_cuda or ""
    if not capability or not low:
        return low, high
    mine = driver_key(capability)
    known = sorted(catalogue.toolkits, key=lambda toolkit: driver_key(toolkit.version))
    able = [
        toolkit.version
        for toolkit in known
        if driver_key(toolkit.cc_min) <= mine <= driver_key(toolkit.cc_max)
    ]
    if not able:
        return low, high
    # The oldest and newest toolkits on record say nothing about what was before and comes after them.
    if able[0] != known[0].version:
        low = max(low, able[0], key=driver_key)
    if able[-1] != known[-1].version:
        high = min(high or able[-1], able[-1], key=driver_key)
    return low, high
