"""A rule about GPUs that talk to each other: GeForce boards of some generations can't over PCIe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import Candidate, Subject, join, ok, urls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.target import Reason

_SOURCES = ("nccl-1127", "accelerate-2328")
_WITHOUT = ("ada", "blackwell")
"""Generations of GeForce that are reported to get no peer-to-peer access over PCIe."""


def peer_to_peer(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Several GeForce boards: their data goes through the host's memory. A note, never a ground.

    Known from reports of users and of Hugging Face Accelerate only; no document of NVIDIA's was read
    that says so, hence the wording.
    """
    alone = [
        board
        for board in subject.boards
        if board.name.startswith("GeForce")
        and board.architecture is not None
        and board.architecture.id in _WITHOUT
    ]
    if not alone or sum(board.count for board in subject.boards) < 2:
        return
    yield ok(
        "peer-to-peer",
        f"{join(dict.fromkeys(board.name for board in alone))}: users report that the driver gives "
        "GeForce RTX 40 and 50 boards no peer-to-peer access over PCIe, so that NCCL moves data through "
        "the host's memory. It works, slower than between data-centre boards; no setting of the driver "
        "changes it.",
        urls(subject.catalogue, _SOURCES),
    )
