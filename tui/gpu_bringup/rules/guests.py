"""Rules about GPUs that a hypervisor cuts into slices (NVIDIA vGPU)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import Candidate, Subject, join, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.target import Reason

_SOURCES = ("gfd-vgpu", "nvml-virtualization")


def slices(subject: Subject) -> Reason | None:
    """Why no driver of a public repository serves a vGPU; None: there is none among the boards."""
    names = dict.fromkeys(board.name for board in subject.boards if board.vgpu)
    if not names:
        return None
    return violated(
        "vgpu-guest",
        f"{join(names)} is a vGPU, a slice that the hypervisor cuts from a board: it works with the "
        "GRID guest driver of the host's vGPU release alone, which comes from NVIDIA's licensing "
        "portal and from no public repository. Ask whoever runs the hypervisor for the guest driver "
        "(.run, .deb or .rpm) that belongs to its vGPU manager; any other driver finds no GPU here. A "
        "GPU that is passed through whole needs no such driver.",
        urls(subject.catalogue, _SOURCES),
    )


def vgpu_guest(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A vGPU is driven by the GRID guest driver of its host's vGPU release, by nothing else.

    A slice cut by MIG is one too; a GPU that was passed through whole is not, it takes the same
    driver as on bare metal.
    """
    names = dict.fromkeys(board.name for board in subject.boards if board.vgpu)
    if names:
        yield violated(
            "vgpu-guest",
            f"{join(names)} is a vGPU: only the GRID guest driver of its host's vGPU release drives it.",
            urls(subject.catalogue, _SOURCES),
        )
