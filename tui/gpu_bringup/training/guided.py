"""The guided way: each rung explained, and asked about before it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.model.ladder import State
from gpu_bringup.model.lesson import Expectation

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import LadderReport, RungResult
    from gpu_bringup.model.lesson import Lesson

CHOICES = (
    "It holds",
    "It is broken: something here must be mended",
    "It can't hold yet, because something below is broken",
    "It doesn't apply to this server, or can't be known from here",
)
_PLACE = {State.OK: 1, State.BROKEN: 2, State.BLOCKED: 3, State.UNKNOWN: 4, State.SKIPPED: 4}
_WORDS = {
    State.OK: "It holds",
    State.BROKEN: "It is broken",
    State.BLOCKED: "It follows from what is broken below",
    State.UNKNOWN: "It can't be known from here",
    State.SKIPPED: "It doesn't apply here",
}


@dataclass(frozen=True, slots=True)
class GuidedRung:
    """One rung of the guided way."""

    id: str
    title: str
    teaches: str
    """What this layer is, for somebody who has never seen it."""
    holds_when: str
    question: Expectation
    """To be asked before ``result`` is shown."""
    result: RungResult
    about: bool
    """Is the lesson about this rung, or is it asked about all the same?"""

    def right(self, choice: int) -> bool:
        """Is this the right choice (counted from 1)?"""
        return choice == self.question.answer


def rungs(lesson: Lesson, report: LadderReport) -> tuple[GuidedRung, ...]:
    """The ladder from below, with a question for each rung."""
    own: dict[str, Expectation] = {}
    for item in lesson.expect:
        own.setdefault(item.rung, item)
    return tuple(
        GuidedRung(
            rung.id,
            rung.title,
            rung.teaches,
            rung.holds_when,
            own.get(rung.id) or _general(rung.id, rung.title, report.rung(rung.id)),
            report.rung(rung.id),
            rung.id in own or rung.id in lesson.rungs,
        )
        for rung in RUNGS
    )


def _general(rung_id: str, title: str, result: RungResult) -> Expectation:
    return Expectation(
        rung=rung_id,
        question=f"{title}: what do you expect?",
        choices=CHOICES,
        answer=_PLACE[result.state],
        because=f"{_WORDS[result.state]}: {result.summary}",
    )
