"""What can still be said where no recommendation is possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of
from gpu_bringup.rules.describe import boards_of
from gpu_bringup.rules.gpu import first_driver
from gpu_bringup.rules.lifecycle import ended
from gpu_bringup.rules.subject import join, month, ok, unknown, urls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Branch, Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.target import Reason
    from gpu_bringup.rules.subject import Board


def still_holds(facts: Facts | None, answers: Answers, catalogue: Catalogue) -> tuple[Reason, ...]:
    """What the boards alone decide, whatever the system is: branches and flavour. Empty: nothing.

    Raises:
        InputError: a board that was named doesn't exist.
    """
    boards = boards_of(facts, answers, catalogue)
    if isinstance(boards, Unknown) or not boards:
        return ()
    names = join(board.name for board in boards)
    where = urls(catalogue, (source for board in boards for source in board.sources))
    if any(board.architecture is None for board in boards):
        return (unknown("gpu-branch", f"Which branches drive {names} isn't known either.", where),)
    today = answers.today or catalogue.as_of
    fitting = [
        branch
        for branch in catalogue.branches.values()
        if not ended(branch, today) and _serves(branch, boards)
    ]
    if not fitting:
        return ()
    told = join((_told(branch) for branch in fitting), "or")
    return (
        ok(
            "gpu-branch",
            f"What holds on any system: {names} is driven by {told}; {_flavour(boards)}.",
            where,
        ),
    )


def _serves(branch: Branch, boards: Sequence[Board]) -> bool:
    number = int(branch.id)
    for board in boards:
        first = first_driver(board)
        last = board.architecture.last_branch if board.architecture is not None else None
        if (first and number < int(branch_of(first))) or (last and number > int(last)):
            return False
        if board.open_modules == "unsupported" and Flavour.PROPRIETARY not in branch.flavours:
            return False
    return True


def _told(branch: Branch) -> str:
    if branch.end_of_support is None:
        return f"R{branch.id} (its end of support isn't known)"
    return f"R{branch.id} (supported until {month(branch.end_of_support)})"


def _flavour(boards: Sequence[Board]) -> str:
    wishes = {board.open_modules for board in boards}
    if {"required", "unsupported"} <= wishes:
        return "but no one flavour of the modules serves them all"
    if "required" in wishes:
        return "it needs the open modules"
    if "unsupported" in wishes:
        return "it needs the proprietary modules"
    if "unknown" in wishes:
        return "which flavour of the modules it takes isn't known"
    return "either flavour of the modules works, the open one is NVIDIA's default"
