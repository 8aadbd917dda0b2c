"""Which tuning advice applies to a target, and which settings of a host do nothing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.advice import NoEffect
from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpu_bringup.model.advice import Advice, Setting, VoidSetting
    from gpu_bringup.model.target import Target
    from gpu_bringup.rules.subject import Board


def _architecture(board: Board) -> str:
    if board.gpu is not None:
        return board.gpu.architecture
    return board.architecture.id if board.architecture is not None else ""


def capabilities(board: Board) -> tuple[str, ...]:
    """Compute capabilities that the board may have: one where it is known, else its architecture's."""
    if board.gpu is not None and board.gpu.compute_capability:
        return (board.gpu.compute_capability,)
    return board.architecture.compute_capabilities if board.architecture is not None else ()


def _lowest(board: Board) -> tuple[int, ...]:
    return min((driver_key(item) for item in capabilities(board)), default=())


def _boards_fit(advice: Advice, boards: Sequence[Board]) -> bool:
    """Do the GPUs fit? A GPU that nothing is known of fits only advice that asks for nothing."""
    if advice.architectures and not any(_architecture(b) in advice.architectures for b in boards):
        return False
    if advice.data_centre and not all(b.gpu is not None and b.gpu.data_centre for b in boards):
        return False
    wanted = advice.compute_capabilities
    if wanted and not all(
        capabilities(b) and all(item in wanted for item in capabilities(b)) for b in boards
    ):
        return False
    floor, below = driver_key(advice.cc_min), driver_key(advice.cc_below)
    # Half a tensor-parallel group that lacks FP8 is no FP8: every GPU must have it.
    if floor and not all(_lowest(b) and _lowest(b) >= floor for b in boards):
        return False
    return not below or any(_lowest(b) and _lowest(b) < below for b in boards)


def applies(
    advice: Advice,
    target: Target,
    boards: Sequence[Board],
    frameworks: Sequence[str],
    scenario: str,
) -> bool:
    """Does this piece of advice apply?"""
    asks_boards = bool(
        advice.architectures
        or advice.data_centre
        or advice.compute_capabilities
        or advice.cc_min
        or advice.cc_below
    )
    return (
        (not asks_boards or bool(boards))
        and sum(board.count for board in boards) >= advice.min_gpus
        and (not advice.frameworks or any(name in advice.frameworks for name in frameworks))
        and (not advice.scenarios or scenario in advice.scenarios)
        and (not advice.fabrics or target.fabric in advice.fabrics)
        and (not advice.containers or target.containers)
        and (not advice.flavour or target.driver.flavour.value == advice.flavour)
        and _boards_fit(advice, boards)
    )


def advise(
    target: Target,
    boards: Sequence[Board],
    frameworks: Sequence[str],
    scenario: str,
    *,
    entries: Iterable[Advice],
) -> tuple[Advice, ...]:
    """The advice that applies, most widely useful first.

    Args:
        target: what shall stand on the host.
        boards: its GPUs.
        frameworks: ids of the frameworks that shall run ("vllm"); empty: not told.
        scenario: id of the scenario.
        entries: the catalogue's advice.
    """
    fitting = [item for item in entries if applies(item, target, boards, frameworks, scenario)]
    # What was asked for by name comes before what holds for everybody.
    return tuple(sorted(fitting, key=lambda item: (item.priority, not item.frameworks, item.id)))


def without_effect(
    settings: Iterable[Setting], void: Iterable[VoidSetting]
) -> tuple[NoEffect, ...]:
    """The settings among these that do nothing. No fault: told once, with what to use instead."""
    known = {item.name: item for item in void}
    return tuple(NoEffect(item, known[item.name]) for item in settings if item.name in known)
