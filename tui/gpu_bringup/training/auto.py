"""Lets the engine's own plan solve a lesson, headless: look, plan, take the steps, restart, look again.

It does what a careful operator does with the wizard: nothing that stops work before the jobs have
ended and the maintenance window is open, and no step more where only hands help.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.explain.repair import steps as repair_steps
from gpu_bringup.failures.loader import load as load_failures
from gpu_bringup.model.lesson import HANDED_OVER
from gpu_bringup.model.plan import Plan
from gpu_bringup.recover.door import recovery
from gpu_bringup.recover.way import RELOAD
from gpu_bringup.training import rules
from gpu_bringup.training.simulation import PASSWORD

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command, Step
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
    by_hand = False
    for _ in range(ROUNDS):
        if exercise.situation().plan.empty:
            if by_hand or exercise.lesson.solved.ends == HANDED_OVER:
                break
            by_hand = True
        plan = _best_plan(exercise)
        if plan.empty:
            break
        found.why_not = _take(exercise, plan, found)
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


def _best_plan(exercise: Exercise) -> Plan:
    """What a careful operator takes: the plan; a reload where no reboot is left; the repair by hand."""
    plan = exercise.situation().plan
    if plan.empty:
        return _by_hand(exercise)
    if any(step.stops_workloads or step.reboot for step in plan.steps):
        _wait_for_quiet(exercise)
        # What ran has ended meanwhile, so that another way may be open now.
        plan = exercise.situation().plan
    most = exercise.lesson.solved.most_reboots
    if plan.needs_reboot and most is not None and exercise.tally.reboots >= most:
        way = recovery(exercise.host, exercise.situation()).way(RELOAD)
        if way is not None:
            return way.plan
    return plan


def _by_hand(exercise: Exercise) -> Plan:
    """The root cause's own repair, where the plan leaves it to a person (``plan.blocked`` names it)."""
    situation = exercise.situation()
    root = situation.report.root_cause
    family = situation.context.family
    failure = load_failures().get(root.causes[0].cause) if root and root.causes else None
    if failure is None or family is None:
        return Plan({}, ())
    known = set(exercise.programs())
    values = {"kernel": exercise.machine.running_kernel}
    steps = (
        replace(step, commands=tuple(c for c in step.commands if _can_be_typed(c, known)))
        for step in repair_steps(failure, values, family.id)
    )
    return Plan({}, tuple(step for step in steps if step.commands))


def _can_be_typed(command: Command, known: set[str]) -> bool:
    return command.argv[0] in known and command.argv[0] not in ("sh", "bash")


def _take(exercise: Exercise, plan: Plan, found: Solution) -> str:
    """Take a plan's steps; returns why it could not go on, empty where it could."""
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
