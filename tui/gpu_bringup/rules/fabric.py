"""Rules about the NVLink fabric: what a machine with NVSwitches needs besides the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.target import Reason

_SOFTWARE = {
    "fabricmanager": ("fabricmanager",),
    "fabricmanager+nvlsm": ("fabricmanager", "nvlsm"),
    "imex": ("imex",),
}
_NAMES = {"fabricmanager": "Fabric Manager", "nvlsm": "NVLSM", "imex": "nvidia-imex"}


def fabric_kind(subject: Subject) -> str:
    """What the NVLink fabric of this machine needs: "none", "fabricmanager",
    "fabricmanager+nvlsm" or "imex".

    NVSwitches and NVLink-5 bridges that were seen (or seen to be absent) outrank the board's entry,
    because an SXM board also comes without switches (4-GPU boards, one GPU passed to a guest).
    """
    kinds = {board.fabric for board in subject.boards}
    if "imex" in kinds:
        return "imex"
    if subject.nvlink5 or ("fabricmanager+nvlsm" in kinds and subject.nvlink5 is not False):
        return "fabricmanager+nvlsm"
    if subject.nvswitches:
        return "fabricmanager"
    if subject.nvswitches is None and ("fabricmanager" in kinds or _whole_baseboard(subject)):
        return "fabricmanager"
    return "none"


def _whole_baseboard(subject: Subject) -> bool:
    """Eight SXM boards that were named make an HGX or DGX baseboard, which has NVSwitches."""
    return any(b.fabric == "nvswitch-board" and b.count >= 8 for b in subject.boards)


def fabric(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """NVSwitch systems need Fabric Manager of exactly the driver's version."""
    kind = fabric_kind(subject)
    boards = [b for b in subject.boards if b.fabric not in ("none", "unknown")] or list(
        subject.boards
    )
    names = join(dict.fromkeys(board.name for board in boards))
    where = urls(subject.catalogue, (s for board in boards for s in board.sources))
    version = candidate.version
    seen = bool(subject.nvswitches) or subject.nvlink5 is True
    unless = "" if seen else " (on boards with NVSwitch; a board without one needs none)"
    if kind == "fabricmanager":
        yield ok(
            "fabric",
            f"{names} needs Fabric Manager of exactly version {version}{unless}: without it CUDA "
            "fails with error 802 on every GPU.",
            where,
        )
    elif kind == "fabricmanager+nvlsm":
        yield ok(
            "fabric",
            f"{names} needs Fabric Manager of exactly version {version} and NVLSM{unless}, with "
            "mlx5_core and ib_umad loaded: NVLink 5 switches are reached through ConnectX bridges.",
            where,
        )
    elif kind == "imex":
        yield ok(
            "fabric",
            f"{names} needs nvidia-imex of version {version} on the compute tray; Fabric Manager runs "
            "on the switch trays.",
            where,
        )
    else:
        yield from _fabric_not_known(subject, version)


def _fabric_not_known(subject: Subject, version: str) -> Iterator[Reason]:
    for board in subject.boards:
        where = urls(subject.catalogue, board.sources)
        if board.fabric == "nvswitch-board" and subject.nvswitches is None:
            yield unknown(
                "fabric",
                f"{board.name} comes on baseboards with NVSwitch (HGX and DGX with 8 GPUs) and without. "
                f"With it, Fabric Manager of exactly version {version} is needed, else CUDA fails with "
                "error 802; this is seen once the board is there.",
                where,
            )
        elif board.fabric == "unknown" and not subject.nvswitches:
            yield unknown(
                "fabric",
                f"Whether {board.name} sits on an NVSwitch fabric isn't known; none was seen.",
                where,
            )


def fabric_source(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The place that the driver comes from must have the fabric's software too, in its version.

    Fabric Manager refuses to start beside another version of the driver, so it can't be taken from
    elsewhere: Debian's archive has none, Ubuntu's has no NVLSM.
    """
    if candidate.source_kind != "distribution":
        return
    wanted = _SOFTWARE.get(fabric_kind(subject), ())
    archive = next(
        (a for a in subject.catalogue.archives if a.os_id == subject.distribution.os_id), None
    )
    missing = [name for name in wanted if archive is not None and name not in archive.has]
    if archive is None or not missing:
        return
    yield violated(
        "fabric-source",
        f"The archive of {subject.distribution.name} has no {join(_NAMES[name] for name in missing)}, "
        f"which this machine's NVLink fabric needs in the driver's version ({candidate.version}): take "
        "driver and fabric software from NVIDIA's repository.",
        urls(subject.catalogue, archive.sources),
    )
