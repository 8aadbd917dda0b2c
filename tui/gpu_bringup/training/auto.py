"""Lets the engine's own plan solve a lesson, headless: look, plan, take the steps, restart, look again.

It does what a careful operator does with the wizard: nothing that stops work before the jobs have
ended and the maintenance window is open, and no step more where only hands help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.lesson import HANDED_OVER
from gpu_bringup.training import rules
from gpu_bringup.training.simulation import PASSWORD

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Plan, Step
    from gpu_bringup.training.exercise import Exercise
    from gpu_bringup.training.rules import Judgement
    from gpu_bringup.training.scoring import Score

ROUNDS = 6
"""Looks at the host at the most: a plan, its reboot, and what can only be seen after it."""
_MINUTE = 60.0
_LONGEST_WAIT = 48 * 3600.0


@dataclass
class Solution:
    """What the engine did."""

    lesson: str
    steps: list[Step] = field(default_factory=list)
    """In the order in which they were taken."""
    judgement: Judgement | None = None
    score: Score | None = None
    why_not: str = ""
    """Why it ended before it was solved."""

    @property
    def solved(self) -> bool:
        return self.judgement is not None and self.judgement.solved

    def to_json(self, simulated_seconds: float) -> dict[str, Any]:
        """The document of ``train LESSON --auto --json`` (its first keys are fixed by contract)."""
        return {
            "schema": 1,
            "lesson": self.lesson,
            "solved": self.solved,
            "steps": [step.to_json() for step in self.steps],
            "simulated_seconds": round(simulated_seconds),
            "score": self.score.to_json() if self.score else {},
            "judgement": self.judgement.to_json() if self.judgement else {},
            "why_not": self.why_not,
        }


def solve(exercise: Exercise) -> Solution:
    """Solve an exercise with the engine's own plans."""
    found = Solution(exercise.lesson.id)
    for _ in range(ROUNDS):
        situation = exercise.situation()
        if situation.plan.empty:
            break
        found.why_not = _take(exercise, situation.plan, found)
        if found.why_not:
            break
    if exercise.lesson.solved.ends == HANDED_OVER and exercise.situation().plan.blocked:
        # Nothing is left that a command could mend: the plan says what only hands can do.
        exercise.hand_over()
    found.judgement = exercise.judgement()
    found.score = exercise.score()
    if not found.solved and not found.why_not:
        told = exercise.situation().plan.blocked
        found.why_not = " ".join(told) or found.judgement.words
    return found


def _take(exercise: Exercise, plan: Plan, found: Solution) -> str:
    """Take a plan's steps; returns why it could not go on, empty where it could."""
    if any(step.stops_workloads or step.reboot for step in plan.steps):
        _wait_for_quiet(exercise)
        if exercise.situation().plan != plan:
            # What ran has ended meanwhile, so that another way is open now.
            plan = exercise.situation().plan
    run = exercise.run(plan)
    state = run.take(lambda text, secret: PASSWORD if secret else "y")
    done = {
        event["step"]
        for event in run.seen
        if event["event"] == "step-ended" and event["state"] == "done"
    }
    found.steps += [step for step in plan.steps if step.id in done]
    if state == "reboot":
        exercise.reboot(PASSWORD)
    elif state != "done":
        return str(run.seen[-1].get("message", state))
    return ""


def _wait_for_quiet(exercise: Exercise) -> None:
    """Let the jobs end and the maintenance window open."""
    window = exercise.lesson.solved.window
    waited = 0.0
    while waited < _LONGEST_WAIT:
        machine = exercise.machine
        busy = any(job.important for job in machine.jobs)
        if not busy and rules.inside(window, machine.clock % 86400):
            return
        if busy and not any(job.ends for job in machine.jobs if job.important):
            return
        step = 15 * _MINUTE
        exercise.wait(step)
        waited += step
