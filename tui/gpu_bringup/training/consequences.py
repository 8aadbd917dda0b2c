"""What an action has led to, from what the machine noted meanwhile: the fields of its event. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpu_bringup.training import risks, rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.hosts.simulated.machine import Event, Machine

_INTERRUPTS = {
    "reboot": "the server was restarted",
    "job-killed": "a job was killed",
    "unit-stopped": "a service was stopped",
    "module-unloaded": "a module was unloaded",
}
"""Kinds of events that interrupt work -> what they do, in words."""


def of(
    before: Machine, after: Machine, *, line: str = "", window: str = "", needed: bool = True
) -> dict[str, Any]:
    """The fields that tell what an action has led to; what is nothing is left out.

    Args:
        line: what was typed; empty: nobody typed it.
        window: the maintenance window of the lesson.
        needed: did the plan ask for a reboot when this began?
    """
    news = after.events[len(before.events) :]
    reboots = sum(event.kind == "reboot" for event in news)
    fields: dict[str, Any] = {
        "seconds": round(after.clock - before.clock, 1),
        "reboots": reboots,
        "needless": 0 if needed else reboots,
        "killed": [event.what for event in news if event.kind == "job-killed"],
        "destroyed": [event.what for event in news if event.kind == "destroyed"],
        "outside": _outside(news, window),
        "risks": list(risks.risks(line)) if line else [],
    }
    return {key: value for key, value in fields.items() if value}


def _outside(news: Sequence[Event], window: str) -> list[str]:
    return [
        f"{_INTERRUPTS[event.kind]} at {clock_words(event.time)}"
        for event in news
        if event.kind in _INTERRUPTS and not rules.inside(window, event.time % 86400)
    ]


def clock_words(clock: float) -> str:
    """The time of the day by the machine's clock, which is UTC: "22:05"."""
    return datetime.fromtimestamp(clock, timezone.utc).strftime("%H:%M")
