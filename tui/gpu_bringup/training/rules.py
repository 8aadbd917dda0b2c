"""Is the exercise solved, and as it must be? Pure: from the ladder's verdict and what was counted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.ladder import State
from gpu_bringup.model.lesson import HANDED_OVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.ladder import LadderReport
    from gpu_bringup.model.lesson import Solved
    from gpu_bringup.training.scoring import Tally


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule about how, and whether it was kept."""

    id: str
    kept: bool
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"rule": self.id, "kept": self.kept, "text": self.text}


@dataclass(frozen=True, slots=True)
class Judgement:
    """How an exercise stands."""

    solved: bool
    """Mended (or handed over in time), and every rule kept."""
    mended: bool
    """Does the ladder hold as far as the lesson wants it?"""
    broken: tuple[str, ...]
    """Ids of the rungs that should hold and don't, lowest first."""
    rules: tuple[Rule, ...]
    handed_over: bool = False

    @property
    def words(self) -> str:
        """In a sentence or two."""
        wrong = [rule.text for rule in self.rules if not rule.kept]
        if self.solved:
            return "Solved."
        if not self.mended and self.handed_over:
            return "Handed over, but this is not one to give up: a command still helps here."
        if self.mended:
            return f"It works again, but not as it should be reached: {'; '.join(wrong)}."
        verb = "don't" if len(self.broken) > 1 else "doesn't"
        return f"Not yet: {', '.join(self.broken) or 'nothing'} {verb} hold."

    def to_json(self) -> dict[str, Any]:
        return {
            "solved": self.solved,
            "mended": self.mended,
            "broken": list(self.broken),
            "handed_over": self.handed_over,
            "rules": [rule.to_json() for rule in self.rules],
            "text": self.words,
        }


_BAD = (State.BROKEN, State.BLOCKED)


def judge(
    solved: Solved,
    report: LadderReport,
    tally: Tally,
    *,
    handed_over: bool = False,
    outside: Sequence[str] = (),
    missing: Sequence[str] = (),
) -> Judgement:
    """Hold an exercise against what its lesson wants.

    Args:
        report: the ladder as it stands.
        tally: what was counted.
        handed_over: the operator said that nothing more is to be tried.
        outside: what was interrupted outside of the maintenance window, each in words.
        missing: those of ``solved.keeps`` that are gone.
    """
    broken = tuple(
        rung.id
        for rung in report.rungs
        if (rung.state in _BAD and not solved.holds)
        or (rung.id in solved.holds and rung.state is not State.OK)
    )
    mended = handed_over if solved.ends == HANDED_OVER else not broken
    rules = tuple(_rules(solved, tally, outside, missing))
    good = mended and all(rule.kept for rule in rules)
    return Judgement(good, mended, broken, rules, handed_over)


def _rules(
    solved: Solved, tally: Tally, outside: Sequence[str], missing: Sequence[str]
) -> list[Rule]:
    found = []
    if solved.most_reboots is not None:
        most = solved.most_reboots
        words = "no reboot" if most == 0 else f"at most {most} reboot{'s' if most > 1 else ''}"
        found.append(Rule("reboots", tally.reboots <= most, f"{words} ({tally.reboots} so far)"))
    if solved.keeps_jobs:
        kept = not tally.killed_jobs
        found.append(Rule("jobs", kept, f"no running job killed ({tally.killed_jobs} so far)"))
    if solved.keeps or missing:
        text = (
            f"nothing destroyed ({', '.join(missing)} is gone)" if missing else "nothing destroyed"
        )
        found.append(Rule("keeps", not missing, text))
    if solved.window:
        text = f"work is interrupted between {solved.window.replace('-', ' and ')} only"
        if outside:
            text += f" ({'; '.join(outside)})"
        found.append(Rule("window", not outside, text))
    if solved.most_minutes is not None:
        minutes = tally.simulated_seconds / 60
        text = f"within {solved.most_minutes} minutes ({minutes:.0f} so far)"
        found.append(Rule("minutes", minutes <= solved.most_minutes, text))
    return found


def inside(window: str, seconds_of_day: float) -> bool:
    """Is this time of the day (seconds since midnight) inside of "22:00-23:30"? Empty: always."""
    if not window:
        return True
    match = re.fullmatch(r"(\d\d):(\d\d)-(\d\d):(\d\d)", window)
    if match is None:
        return False
    numbers = [int(part) for part in match.groups()]
    begin, end = numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]
    minute = seconds_of_day / 60
    if begin <= end:
        return begin <= minute < end
    return minute >= begin or minute < end
