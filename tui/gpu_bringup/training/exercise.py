"""One exercise: a simulated machine, everything that was done to it, and how it stands.

The log is the truth (see ``events``): the machine is what the lesson's host becomes when its actions are
replayed. A second terminal can therefore look on, and break something; a closed terminal loses nothing.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.errors import InputError, RefusedError
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.lesson import STRENGTHS
from gpu_bringup.training import (
    consequences,
    guided,
    progress,
    risks,
    rules,
    scoring,
    simulation,
    storage,
    tallying,
    told,
)
from gpu_bringup.training.events import Log, now, standing
from gpu_bringup.training.recording import PractiseHost
from gpu_bringup.training.runs import PractiseRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.lesson import Hint, Lesson
    from gpu_bringup.model.plan import Plan, Step
    from gpu_bringup.training.events import Event
    from gpu_bringup.training.guided import GuidedRung
    from gpu_bringup.training.library import Library
    from gpu_bringup.training.rules import Judgement
    from gpu_bringup.training.scoring import Score, Tally
    from gpu_bringup.training.told import Told

MODES = ("guided", "wizard", "shell")
LABEL = "TRAINING"


@dataclass(frozen=True, slots=True)
class GivenHint:
    """A hint that was given."""

    text: str
    strength: str
    """"weak", "medium" or "strong"."""
    stronger: bool
    """Is there a stronger one?"""


def folder_of(operator: str, lesson_id: str) -> Path:
    """The folder of an operator's exercise."""
    return storage.training_folder() / "exercises" / storage.operator_name(operator) / lesson_id


def answers_of(lesson: Lesson, machine: Machine) -> Answers:
    """The lesson's wish as the wizard's answers, judged as of the machine's own day."""
    wish = lesson.wish
    return Answers(
        scenario=wish.scenario,
        framework=wish.framework,
        cuda=wish.cuda,
        driver=wish.driver,
        flavour=wish.flavour,
        today=datetime.fromtimestamp(machine.clock, timezone.utc).date(),
    )


def look(lesson: Lesson, machine: Machine, catalogue: Catalogue) -> engine.Situation:
    """Facts, ladder and plan of a simulated machine, as the engine sees every host."""
    host = simulation.host_of(machine)
    facts = engine.observe(host)
    recommendation = engine.recommend(facts, answers_of(lesson, machine), catalogue, builds=())
    return engine.situation(host, facts, catalogue, recommendation)


class Exercise:
    """An exercise that is under way. Begin it with ``begin``, go on with it with ``resume``.

    Args:
        library: the lessons.
        lesson: which one.
        catalogue: what the engine recommends by.
        log: what was done so far.
        operator: who practises.
    """

    def __init__(
        self, library: Library, lesson: Lesson, catalogue: Catalogue, log: Log, operator: str
    ) -> None:
        self.library = library
        self.lesson = lesson
        self.catalogue = catalogue
        self.operator = operator
        self._log = log
        self._first = simulation.build(library, lesson)
        self._told: list[str] = []
        self._situation: engine.Situation | None = None
        self.host = PractiseHost(self._first.copy(), self._acted)
        self._replay()

    # --- beginning

    @classmethod
    def begin(
        cls,
        library: Library,
        lesson: Lesson,
        catalogue: Catalogue,
        operator: str,
        mode: str = "shell",
    ) -> Exercise:
        """Start a lesson from its beginning; an exercise of before is put aside.

        Raises:
            InputError: the lesson's host can't be made, or the mode is none.
            HostError: its folder can't be written.
        """
        if mode not in MODES:
            raise InputError(f"{mode!r} is none of {', '.join(MODES)}")
        simulation.build(library, lesson)
        folder = folder_of(operator, lesson.id)
        log = Log.begin(folder, lesson=lesson.id, mode=mode, operator=operator)
        return cls(library, lesson, catalogue, log, operator)

    @classmethod
    def resume(
        cls, library: Library, lesson: Lesson, catalogue: Catalogue, operator: str
    ) -> Exercise:
        """Go on with the exercise of this lesson.

        Raises:
            InputError: there is none, or its log is damaged.
        """
        return cls(library, lesson, catalogue, Log.load(folder_of(operator, lesson.id)), operator)

    # --- how it stands

    @property
    def folder(self) -> Path:
        """Where its log and the logs of its runs are."""
        return self._log.path.parent

    @property
    def mode(self) -> str:
        return str(self._log.events[0].get("mode", "shell"))

    @property
    def machine(self) -> Machine:
        """The machine as it is now: look at it only."""
        return self.host.machine

    @property
    def clock(self) -> str:
        """The time of the day on the machine: "21:40"."""
        return consequences.clock_words(self.machine.clock)

    @property
    def over(self) -> bool:
        """Was it brought to its end?"""
        return any(event["event"] == "finished" for event in self._log.events)

    @property
    def tally(self) -> Tally:
        """What was counted so far."""
        return tallying.tally(self._log.events)

    @property
    def steps(self) -> int:
        """How many actions can be stepped back."""
        return sum(event["event"] != "break" for event in standing(self._log.events))

    def situation(self) -> engine.Situation:
        """Facts, ladder and plan of the machine as it is now."""
        if self._situation is None:
            self._situation = look(self.lesson, self.machine, self.catalogue)
        return self._situation

    def judgement(self) -> Judgement:
        """Is it solved, and as it must be?"""
        missing = tuple(
            path for path in self.lesson.solved.keeps if not self.machine.tree.exists(path)
        )
        return rules.judge(
            self.lesson.solved,
            self.situation().report,
            self.tally,
            handed_over=tallying.handed_over(self._log.events),
            outside=tallying.outside_window(self._log.events),
            missing=missing,
        )

    def score(self) -> Score:
        """What it would be worth if it ended now."""
        return scoring.score(self.tally, solved=self.judgement().solved)

    def guided(self) -> tuple[GuidedRung, ...]:
        """The ladder from below for the guided way, with a question for each rung."""
        return guided.rungs(self.lesson, self.situation().report)

    # --- doing

    def run(self, plan: Plan) -> PractiseRun:
        """A run of the plan on the simulated host; not begun yet (``start`` or ``take``)."""
        number = 1
        while (self.folder / "runs" / f"run-{number}").exists():
            number += 1
        family = self.situation().context.family
        mend = family.manager.mend() if family else ()
        return PractiseRun(self.host, plan, self.folder / "runs" / f"run-{number}", mend=mend)

    def reboot(self, password: str = "") -> tuple[str, ...]:
        """Restart the machine; returns what its console shows.

        Args:
            password: for MokManager's screens, where a key waits to be enrolled; empty: nobody is
                at the console.
        """
        return self.host.restart(password)

    def wait(self, seconds: float) -> None:
        """Let time pass on the machine."""
        self.host.wait(seconds)

    def back(self) -> bool:
        """Take the last action back; False: there is none."""
        if not self.steps:
            return False
        self._log.append("back")
        self._rebuilt()
        return True

    def again(self) -> None:
        """Start from the beginning; what was done so far is put aside."""
        fields = {key: self._log.events[0].get(key) for key in ("lesson", "mode", "operator")}
        self._log = Log.begin(self.folder, **fields)
        self._rebuilt()

    def poll(self) -> tuple[str, ...]:
        """What somebody else has done to the machine meanwhile (an instructor), in words."""
        self._take_over()
        told, self._told = tuple(self._told), []
        return told

    def damage(self, text: str) -> str:
        """Break something further, as an instructor; returns what it was.

        Raises:
            InputError: there is no such fault, or it doesn't fit this machine.
        """
        title = simulation.damage(self.machine.copy(), text)
        self._log.append("break", fault=text, title=title)
        self._rebuilt()
        return title

    # --- learning

    def hint(self) -> GivenHint:
        """The next hint for where it stands: each time a stronger one."""
        root = self.situation().report.root_cause
        hint = self._hint_for(root.id if root else "")
        given = sum(
            event["event"] == "hint" and event.get("rung") == hint.rung
            for event in self._log.events
        )
        strength = STRENGTHS[min(given, len(STRENGTHS) - 1)]
        self._log.append("hint", rung=hint.rung, strength=strength)
        return GivenHint(getattr(hint, strength), strength, strength != STRENGTHS[-1])

    def _hint_for(self, rung: str) -> Hint:
        hints = {hint.rung: hint for hint in self.lesson.hint}
        return hints.get(rung) or hints.get("") or self.lesson.hint[0]

    def solution(self) -> tuple[str, ...]:
        """The lines that solve it: the lesson's own, else what the plan would do from here."""
        self._log.append("solution")
        if self.lesson.solution:
            return self.lesson.solution
        return tuple(line for step in self.situation().plan.steps for line in _lines_of(step))

    def explain(self, line: str) -> tuple[Told, ...]:
        """What each command of a line would have done on a real server."""
        return told.explain(self.library, line)

    def programs(self) -> tuple[str, ...]:
        """The commands that the server has."""
        return simulation.programs(self.machine)

    def arguments(self, program: str) -> tuple[str, ...]:
        """What may stand after a command, for completion: packages, modules, services, kernels."""
        return simulation.arguments(self.machine, program)

    def disaster(self, line: str) -> None:
        """Write down that a line was typed that would have destroyed the system; it is not done."""
        self._log.append("disaster", line=line, risks=list(risks.risks(line)))

    def answered(self, rung: GuidedRung, choice: int) -> bool:
        """Write a guided question's answer down; was it right?"""
        right = rung.right(choice)
        self._log.append("question", rung=rung.id, choice=choice, right=right)
        return right

    def hand_over(self) -> Judgement:
        """Say that nothing more is to be tried here."""
        self._log.append("handed-over")
        return self.judgement()

    def finish(self) -> Score:
        """Bring it to its end, solved or given up, and write it into the operator's progress.

        Raises:
            RefusedError: it was ended before.
            InputError: the progress file is damaged; says where the attempt was kept.
        """
        if self.over:
            raise RefusedError("this exercise is over", hint="Start it again to practise more.")
        score = self.score()
        self._log.append("finished", score=score.to_json())
        attempt = progress.Attempt(self.lesson.id, now(), self.mode, score.to_json())
        progress.record(self.operator, attempt)
        return score

    # --- how the log and the machine stay one

    def _acted(self, kind: str, fields: dict[str, Any], before: Machine) -> None:
        """The host was changed: write down what was done and what came of it."""
        self._situation = None
        line = str(fields.get("line") or " ".join(fields.get("argv", ())))
        needed = True
        if self.machine.boot != before.boot:
            plan = look(self.lesson, before.copy(), self.catalogue).plan
            needed = plan.needs_reboot or bool(before.firmware.pending)
        came = consequences.of(
            before, self.machine, line=line, window=self.lesson.solved.window, needed=needed
        )
        if not self._log.append(kind, **fields, **came):
            # Somebody else was quicker: the order in the log counts.
            self._take_over()
        elif "after" in fields:
            # A command that was broken off: the machine is where its replay leaves it.
            self._rebuilt()

    def _take_over(self) -> None:
        """Bring the machine to where the log is, where somebody else has written into it."""
        news = self._log.foreign()
        if not news:
            return
        self._rebuilt()
        self._told += [
            f"Something on this server has changed ({event.get('title', 'the instructor')})."
            for event in news
            if event["event"] == "break"
        ]

    def _rebuilt(self) -> None:
        self._situation = None
        self._replay()

    def _replay(self) -> None:
        machine = self._first.copy()
        for event in standing(self._log.events):
            _again(machine, event)
        self.host.put(machine)


def _again(machine: Machine, event: Event) -> None:
    """Do once more to a machine what an event says."""
    if event["event"] == "break":
        simulation.damage(machine, str(event["fault"]))
    else:
        simulation.redo(machine, event)


def _lines_of(step: Step) -> Iterator[str]:
    """A step as lines for a shell; files that it writes as comments."""
    yield f"# {step.title}"
    for write in step.writes:
        if write.content.startswith("#!"):
            yield f"# {write.path}: a script of gpu-bringup's own"
            continue
        yield f"# {write.path} gets:"
        yield from (f"#   {line}" for line in write.content.splitlines() if line[:1] != "#")
    for command in step.commands:
        yield shlex.join(command.argv)
    if step.reboot:
        yield "reboot"
