"""Points for an attempt, out of 100, and what took them. Pure.

The weights are this project's own choice: what would have cost a real server most costs most here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_bringup.model.lesson import STRENGTHS

HINT_COST = {"weak": 3, "medium": 7, "strong": 15}
SOLUTION_LEAVES = 20
"""Points that are left at the most once the solution was looked at."""
REBOOT_COST = 10
JOB_COST = 25
RISK_COST = 5
DESTROYED_COST = 30
BACK_COST = 2
WRONG_ANSWER_COST = 2
_QUALITY = ((95, 5), (80, 4), (60, 3), (40, 2))


@dataclass(frozen=True, slots=True)
class Tally:
    """What was counted in an attempt."""

    commands: int = 0
    reboots: int = 0
    needless_reboots: int = 0
    killed_jobs: int = 0
    destroyed: tuple[str, ...] = ()
    """Paths that are gone and should not be."""
    risks: tuple[str, ...] = ()
    """Needless risks that were taken, each in a sentence."""
    hints: tuple[str, ...] = ()
    """Strengths of the hints that were given."""
    solution_seen: bool = False
    steps_back: int = 0
    questions: int = 0
    wrong_answers: int = 0
    simulated_seconds: float = 0.0
    seconds: float = 0.0
    """Of the operator's own time."""

    def to_json(self) -> dict[str, Any]:
        return {
            "commands": self.commands,
            "reboots": self.reboots,
            "needless_reboots": self.needless_reboots,
            "killed_jobs": self.killed_jobs,
            "destroyed": list(self.destroyed),
            "risks": list(self.risks),
            "hints": {word: self.hints.count(word) for word in STRENGTHS},
            "solution_seen": self.solution_seen,
            "steps_back": self.steps_back,
            "questions": self.questions,
            "wrong_answers": self.wrong_answers,
            "simulated_seconds": round(self.simulated_seconds),
            "seconds": round(self.seconds),
        }


@dataclass(frozen=True, slots=True)
class Score:
    """What an attempt is worth."""

    solved: bool
    points: int
    """0 to 100; 0 where it isn't solved."""
    quality: int
    """0 to 5, as the review queue wants it."""
    taken: tuple[tuple[str, int], ...]
    """(what for, points that it cost)."""
    tally: Tally

    def to_json(self) -> dict[str, Any]:
        return {
            "solved": self.solved,
            "points": self.points,
            "quality": self.quality,
            "taken": [{"for": text, "points": cost} for text, cost in self.taken],
            **self.tally.to_json(),
        }


def score(tally: Tally, *, solved: bool) -> Score:
    """What the attempt is worth."""
    taken = tuple((text, cost) for text, cost in _costs(tally) if cost)
    points = max(0, 100 - sum(cost for _, cost in taken)) if solved else 0
    return Score(solved, points, quality(points, solved=solved), taken, tally)


def _costs(tally: Tally) -> list[tuple[str, int]]:
    rows = [
        (_count(count, f"{word} hint"), HINT_COST[word] * count)
        for word in STRENGTHS
        if (count := tally.hints.count(word))
    ]
    rows += [
        (_count(tally.needless_reboots, "needless reboot"), REBOOT_COST * tally.needless_reboots),
        (_count(tally.killed_jobs, "killed job"), JOB_COST * tally.killed_jobs),
        (_count(len(tally.destroyed), "loss"), DESTROYED_COST * len(tally.destroyed)),
        (_count(len(tally.risks), "needless risk"), RISK_COST * len(tally.risks)),
        (_count(tally.steps_back, "step back"), BACK_COST * tally.steps_back),
        (_count(tally.wrong_answers, "wrong answer"), WRONG_ANSWER_COST * tally.wrong_answers),
    ]
    if tally.solution_seen:
        left = 100 - sum(cost for _, cost in rows)
        rows.append(("the solution was looked at", max(0, left - SOLUTION_LEAVES)))
    return rows


def _count(number: int, what: str) -> str:
    plural = {"step back": "steps back", "loss": "losses"}.get(what, f"{what}s")
    return f"{number} {what if number == 1 else plural}"


def quality(points: int, *, solved: bool) -> int:
    """0 to 5 for the review queue: 3 and more counts as known."""
    if not solved:
        return 0
    return next((grade for least, grade in _QUALITY if points >= least), 1)
