"""Counts what happened in an exercise, from its log alone. Pure."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from gpu_bringup.training.events import standing
from gpu_bringup.training.scoring import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gpu_bringup.training.events import Event

LONGEST_PAUSE = 600.0
"""Seconds between two actions that count as work at the most: who goes to lunch loses nothing."""
_OWN = frozenset({"line", "command"})


def tally(events: Sequence[Event]) -> Tally:
    """What is to be counted.

    Reboots, killed jobs and losses of actions that were stepped back don't count; the commands, the
    risks and the hints do, because one has learnt from them what one has learnt.
    """
    counted = standing(events)
    questions = [event for event in events if event["event"] == "question"]
    return Tally(
        commands=sum(event["event"] in _OWN for event in events),
        reboots=sum(_number(event, "reboots") for event in counted),
        needless_reboots=sum(_number(event, "needless") for event in counted),
        killed_jobs=sum(len(_texts(event, "killed")) for event in counted),
        destroyed=tuple(_all(counted, "destroyed")),
        risks=tuple(_all(events, "risks")),
        hints=tuple(str(e.get("strength")) for e in events if e["event"] == "hint"),
        solution_seen=any(event["event"] == "solution" for event in events),
        steps_back=sum(event["event"] == "back" for event in events),
        questions=len(questions),
        wrong_answers=sum(event.get("right") is False for event in questions),
        simulated_seconds=sum(float(event.get("seconds") or 0) for event in counted),
        seconds=worked(events),
    )


def outside_window(events: Sequence[Event]) -> tuple[str, ...]:
    """What was interrupted outside of the maintenance window, each in words."""
    return tuple(dict.fromkeys(_all(standing(events), "outside")))


def handed_over(events: Sequence[Event]) -> bool:
    """Has the operator said that nothing more is to be tried?"""
    return any(event["event"] == "handed-over" for event in events)


def worked(events: Sequence[Event]) -> float:
    """Seconds of the operator's own time."""
    times = [datetime.fromisoformat(event["time"].replace("Z", "+00:00")) for event in events]
    pauses = ((after - before).total_seconds() for before, after in pairwise(times))
    return sum(min(LONGEST_PAUSE, max(0.0, pause)) for pause in pauses)


def _number(event: Event, key: str) -> int:
    value: Any = event.get(key)
    return int(value) if isinstance(value, (int, bool)) else 0


def _texts(event: Event, key: str) -> list[str]:
    value = event.get(key)
    return [str(item) for item in value] if isinstance(value, list) else []


def _all(events: Sequence[Event], key: str) -> Iterator[str]:
    for event in events:
        yield from _texts(event, key)
