"""Rules about the boards: branch, release, flavour of the modules, boards of several kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.guests import slices
from gpu_bringup.rules.lifecycle import ended
from gpu_bringup.rules.subject import (
    Board,
    Candidate,
    Subject,
    join,
    month,
    ok,
    unknown,
    urls,
    violated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from gpu_bringup.model.target import Reason


def first_driver(board: Board) -> str:
    """Oldest driver version, or branch, known to serve the board; empty: not known."""
    if board.gpu is not None and board.gpu.first_driver:
        return board.gpu.first_driver
    return board.architecture.first_branch if board.architecture is not None else ""


def gpu_branch(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The branch must know the board's architecture, and still serve it."""
    branch = branch_of(candidate.version)
    for board in subject.boards:
        where = urls(subject.catalogue, board.sources)
        first = first_driver(board)
        if board.architecture is None:
            yield unknown(
                "gpu-branch",
                f"{board.name} is in no list of this catalogue, and its PCI id is in no known "
                "architecture's range: whether "
                f"R{branch} drives it can only be seen by trying.",
                where,
            )
            continue
        last = board.last_branch
        placed = (
            "" if board.gpu is not None else f" (placed as {board.architecture.name} by its PCI id)"
        )
        if last is not None and int(branch) > int(last):
            own = last != board.architecture.last_branch
            whom = "this board" if own else board.architecture.name
            yield violated(
                "gpu-branch",
                f"{board.name}{placed} is {board.architecture.name}, and R{last} is the last branch for "
                f"{whom}; {candidate.version} is R{branch}.",
                where,
            )
        elif first and int(branch) < int(branch_of(first)):
            yield violated(
                "gpu-branch",
                f"{board.name}{placed} needs R{branch_of(first)} or newer; "
                f"{candidate.version} is R{branch}.",
                where,
            )
        elif first:
            yield ok(
                "gpu-branch",
                f"{board.name}{placed} needs R{branch_of(first)} or newer"
                + (f" and is served up to R{last}" if last else "")
                + f"; {candidate.version} is R{branch}.",
                where,
            )
        else:
            yield unknown(
                "gpu-branch",
                f"The first driver branch for {board.name}{placed} isn't known; "
                f"{candidate.version} is R{branch}.",
                where,
            )


def gpu_release(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The point release must be at least the first whose supported list names the board.

    A later release may leave a board out again, where it was made from older sources: the newest
    such release, and what lies between, is no release to promise.
    """
    key = driver_key(candidate.version)
    for board in subject.boards:
        first = board.gpu.first_driver if board.gpu is not None else None
        if board.gpu is None or not first or "." not in first:
            continue
        where = urls(subject.catalogue, board.sources)
        without = [v for v in board.gpu.not_listed if branch_of(v) == branch_of(candidate.version)]
        if without and key >= min(driver_key(version) for version in without):
            yield violated(
                "gpu-release",
                f"{board.name} is in NVIDIA's supported list of {first}, but no longer in that of "
                f"{join(without)}: whether {candidate.version} drives it isn't known. A newer branch "
                "that lists it is safe.",
                where,
            )
        elif key >= driver_key(first):
            yield ok(
                "gpu-release",
                f"{board.name} is in NVIDIA's supported list from {first}; {candidate.version} is "
                "not older.",
                where,
            )
        elif branch_of(candidate.version) == branch_of(first):
            yield violated(
                "gpu-release",
                f"{board.name} needs {first} or newer; {candidate.version} is older.",
                where,
            )


def gpu_flavour(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Open modules need a GSP (Turing or newer); Blackwell and Grace boards take nothing else."""
    chosen = candidate.flavour
    for board in subject.boards:
        where = urls(subject.catalogue, board.sources)
        family = board.architecture.name if board.architecture is not None else "unknown"
        wish = board.open_modules
        if wish == "required" and chosen is not Flavour.OPEN:
            yield violated(
                "gpu-flavour",
                f"{board.name} ({family}) works with the open modules only; this is the "
                "proprietary flavour.",
                where,
            )
        elif chosen is Flavour.OPEN and _not_yet_open(board, candidate):
            since = board.gpu.open_first if board.gpu is not None else ""
            yield violated(
                "gpu-flavour",
                f"{board.name} ({family}) is in NVIDIA's lists for the open modules from {since} on; "
                f"{candidate.version} is older, so it needs the proprietary ones.",
                where,
            )
        elif wish == "unsupported" and chosen is Flavour.OPEN:
            yield violated(
                "gpu-flavour",
                f"{board.name} ({family}) has no GSP that the open modules could drive: it needs the "
                "proprietary ones (open starts at Turing).",
                where,
            )
        elif wish == "unknown":
            yield unknown(
                "gpu-flavour",
                f"Which modules {board.name} takes isn't known; boards newer than Hopper have needed "
                "the open ones, so those are tried first.",
                where,
            )
        elif wish == "required":
            yield ok("gpu-flavour", f"{board.name} ({family}) needs the open modules.", where)
        elif wish == "unsupported":
            yield ok(
                "gpu-flavour", f"{board.name} ({family}) needs the proprietary modules.", where
            )
        elif chosen is Flavour.OPEN:
            yield ok(
                "gpu-flavour",
                f"{board.name} ({family}) works with the open modules, NVIDIA's default since R560.",
                where,
            )
        else:
            yield ok(
                "gpu-flavour",
                f"{board.name} ({family}) works with either flavour; NVIDIA's default since R560 is "
                "the open one.",
                where,
            )


def _not_yet_open(board: Board, candidate: Candidate) -> bool:
    since = board.gpu.open_first if board.gpu is not None else None
    return bool(since) and driver_key(candidate.version) < driver_key(since or "")


def conflict(subject: Subject) -> Reason | None:
    """Why no driver at all, or none that can be had here, serves these boards, or None."""
    return slices(subject) or mixture(subject) or too_old(subject)


def too_old(subject: Subject) -> Reason | None:
    """A board whose last branch is older than everything that is on offer for this system."""
    offered = {int(package.branch) for package in subject.distribution.drivers}
    for board in subject.boards:
        last = board.last_branch
        if last is None or not offered:
            continue
        branch = subject.catalogue.branches.get(last)
        day = branch.end_of_support if branch is not None else None
        if min(offered) <= int(last):
            if not subject.answers.driver and _all_ended(subject, offered, int(last)):
                return _last_has_ended(subject, board, last, day)
            continue
        over = f", whose support ended in {month(day)}," if day else ", which ended long ago,"
        family = f" is {board.architecture.name}" if board.architecture is not None else ""
        return violated(
            "gpu-branch",
            f"{board.name}{family}: R{last}{over} is the last driver branch for it, and nothing known "
            f"for {subject.distribution.name} has that branch. Such a board gets no fixes any more; "
            "replace it, or keep it on a system that is isolated and as old as its driver.",
            urls(subject.catalogue, board.sources),
        )
    return None


def _all_ended(subject: Subject, offered: set[int], last: int) -> bool:
    """Are all branches that are on offer and could serve the board past their end on that day?"""
    known = subject.catalogue.branches
    fitting = [known.get(str(number)) for number in offered if number <= last]
    return all(branch is not None and ended(branch, subject.today) for branch in fitting)


def _last_has_ended(subject: Subject, board: Board, last: str, day: date | None) -> Reason:
    family = f" is {board.architecture.name}" if board.architecture is not None else ""
    since = f"in {month(day)}" if day is not None else "long ago"
    return violated(
        "gpu-branch",
        f"{board.name}{family}: R{last} is the last driver branch for it, and its support ended {since}. "
        "Such a board gets no fixes any more: replace it, or keep it on an isolated system with the "
        f"last driver (--driver {last}).",
        urls(subject.catalogue, board.sources),
    )


def mixture(subject: Subject) -> Reason | None:
    """Why no driver serves these boards together, or None.

    One kernel has one NVIDIA module, so one branch and one flavour must serve every board.
    """
    boards = subject.boards
    where = urls(subject.catalogue, (s for board in boards for s in board.sources))
    need_open = [b.name for b in boards if b.open_modules == "required"]
    need_closed = [b.name for b in boards if b.open_modules == "unsupported"]
    if need_open and need_closed:
        return violated(
            "mixed-gpus",
            f"{join(need_open)} needs the open modules, {join(need_closed)} needs the proprietary "
            "ones, and a kernel loads one NVIDIA module: they cannot share a system. Put them into "
            "two machines, or pass one kind through to a virtual machine with vfio-pci.",
            where,
        )
    lasts = [(int(b.last_branch), b) for b in boards if b.last_branch]
    firsts = [(int(branch_of(first_driver(b))), b) for b in boards if first_driver(b)]
    if lasts and firsts:
        last, oldest = min(lasts, key=lambda item: item[0])
        first, newest = max(firsts, key=lambda item: item[0])
        if first > last:
            return violated(
                "mixed-gpus",
                f"{newest.name} needs R{first} or newer, but R{last} is the last branch for "
                f"{oldest.name}: no driver serves both. Put them into two machines, or pass one kind "
                "through to a virtual machine with vfio-pci.",
                where,
            )
    return None


def mixed_gpus(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Different boards in one machine: say what the common ground is."""
    if len(subject.boards) < 2:
        return
    against = mixture(subject)
    if against is not None:
        yield against
        return
    where = urls(subject.catalogue, (s for board in subject.boards for s in board.sources))
    names = join(board.name for board in subject.boards)
    closed = [board for board in subject.boards if board.open_modules == "unsupported"]
    if closed:
        last = min((b.last_branch for b in closed if b.last_branch), key=int, default=None)
        yield ok(
            "mixed-gpus",
            f"{names} share one driver: the proprietary modules, because of "
            f"{join(board.name for board in closed)}"
            + (f", and nothing newer than R{last}." if last else "."),
            where,
        )
    else:
        yield ok("mixed-gpus", f"{names} can share one driver.", where)
