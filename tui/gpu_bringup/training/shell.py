"""The exercise's console: what a line does, for a plain terminal and for a screen alike.

Words of its own come first (``hint``, ``check``, ``back``, …); everything else goes to the simulated host.
It never raises for what a trainee types: whatever it is, there is an answer in words.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import BringupError
from gpu_bringup.hosts.base import Prompt
from gpu_bringup.model.ladder import RUNG_IDS, State
from gpu_bringup.training import told
from gpu_bringup.training.filters import FILTERS
from gpu_bringup.training.interpreter import BUILT_INS, Ask, Interpreter

if TYPE_CHECKING:
    from gpu_bringup.training.exercise import Exercise

OUTPUT, TEACH, STATE, RUNG = "output", "teach", "state", "rung"
"""Kinds of lines: of a command, of the teacher, about how the exercise stands, of a rung."""
RUNG_HEAD = 38
"""Columns of a rung's line before its summary."""
_WORDS = {
    State.OK: "holds",
    State.BROKEN: "BROKEN",
    State.BLOCKED: "follows",
    State.UNKNOWN: "unknown",
    State.SKIPPED: "not here",
}
"""The states in the words of ``gpu-bringup check``."""

Show = Callable[[str, str], None]
"""Gets (kind, line)."""

WORDS: dict[str, str] = {
    "help": "these words, and the commands of this server",
    "story": "how you come to this server, and what is wanted",
    "check": "climb the ladder: what holds, and is it solved?",
    "hint": "a hint; each time a stronger one",
    "plan": "the steps that the wizard would take from here",
    "apply": "take them, as the wizard does",
    "explain": "explain COMMAND: what it would have done on a real server",
    "back": "take your last action back",
    "again": "start from the beginning",
    "wait": "wait 30m, wait 2h or wait 22:00: let time pass on the server",
    "handover": "say that nothing more is to be tried here, and hand the server over",
    "solution": "show the commands that solve it (20 points at the most then)",
    "score": "what it would be worth now",
    "quit": "leave; gpu-bringup train LESSON goes on where you were",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a line."""

    status: int = 0
    """Exit status of the command; 0 for words of the console."""
    leave: bool = False
    solved: bool = False
    """Has this line brought the exercise to its end?"""


class Console:
    """A console of an exercise.

    Args:
        exercise: which one.
    """

    def __init__(self, exercise: Exercise) -> None:
        self.exercise = exercise
        self._shell = Interpreter(exercise.host, exercise.programs)

    @property
    def prompt(self) -> str:
        """What stands before each line; TRAINING is in it."""
        place = self._shell.folder.replace("/root", "~", 1)
        return f"TRAINING root@{self.exercise.machine.name}:{place}# "

    def run(self, line: str, show: Show, ask: Ask) -> Answer:
        """Take one line.

        Args:
            show: gets what it prints, as it comes.
            ask: answers what a command asks.
        """
        for text in self.exercise.poll():
            show(TEACH, text)
        words = _split(line)
        if not words:
            return Answer()
        try:
            own = self._own(words, line, show, ask)
            if own is not None:
                return own
            return self._command(line, show, ask)
        except BringupError as error:
            for text in (error.message, error.meaning, error.hint):
                if text:
                    show(TEACH, text)
            return Answer(status=2)

    def complete(self, line: str) -> tuple[str, ...]:
        """What the last word of a line may become, sorted."""
        before, _, word = line.rpartition(" ")
        if not before.strip() or before.strip().split()[-1] in ("sudo", "explain", "|", "&&", ";"):
            known = {*WORDS, *self.exercise.programs(), *BUILT_INS, *FILTERS}
            return tuple(sorted(name for name in known if name.startswith(word)))
        if "/" in word:
            return self._paths(word)
        first = before.split()[0]
        names = set(self.exercise.arguments(first if first != "sudo" else before.split()[-1]))
        return tuple(sorted(name for name in names if name.startswith(word)))

    def _paths(self, word: str) -> tuple[str, ...]:
        folder, _, start = word.rpartition("/")
        names = self.exercise.host.list_dir(folder or "/")
        if not isinstance(names, tuple):
            return ()
        found = []
        for name in names:
            if name.startswith(start):
                path = f"{folder}/{name}"
                inside = isinstance(self.exercise.host.list_dir(path), tuple)
                found.append(f"{path}/" if inside else path)
        return tuple(found)

    # --- words of its own

    def _own(self, words: list[str], line: str, show: Show, ask: Ask) -> Answer | None:
        word, rest = words[0], words[1:]
        if word in ("quit", "exit", "logout", "q"):
            return Answer(leave=True)
        if word == "help":
            self._help(show)
        elif word == "story":
            for text in story(self.exercise):
                show(STATE, text)
        elif word == "check" and not rest:
            return self._check(show)
        elif word in ("plan", "apply") and not rest:
            self._plan(show, ask if word == "apply" else None)
        elif word == "hint":
            given = self.exercise.hint()
            more = " (Type hint again for a stronger one.)" if given.stronger else ""
            show(TEACH, f"{given.text}{more}")
        elif word in ("explain", "man"):
            self._explain(line.strip().partition(" ")[2], show)
        elif word == "back":
            done = self.exercise.back()
            show(STATE, "Your last action is taken back." if done else "Nothing to take back.")
        elif word == "again":
            self.exercise.again()
            show(STATE, "The server is as it was in the beginning.")
        elif word == "wait":
            self._wait(" ".join(rest), show)
        elif word in ("handover", "hand-over"):
            self.exercise.hand_over()
            return self._check(show)
        elif word == "solution":
            for text in self.exercise.solution():
                show(TEACH, f"  {text}")
        elif word == "score":
            score = self.exercise.score()
            show(STATE, f"{score.points} points" if score.solved else "Not solved yet: 0 points.")
            for text, cost in score.taken:
                show(STATE, f"  -{cost} {text}")
        else:
            return None
        return Answer()

    def _help(self, show: Show) -> None:
        show(STATE, "Words of the training:")
        for word, text in WORDS.items():
            show(STATE, f"  {word:<9} {text}")
        show(STATE, "Commands of this server:")
        show(STATE, f"  {' '.join(sorted({*self.exercise.programs(), *FILTERS}))}")
        show(STATE, "Pipes, && and ;, > and >>, $(...), wildcards and cd work as in bash.")

    def _check(self, show: Show) -> Answer:
        from gpu_bringup.ladder.ladder import RUNGS

        report = self.exercise.situation().report
        for rung in RUNGS:
            result = report.rung(rung.id)
            show(RUNG, f"  {rung.title:<25} {_WORDS[result.state]:<9} {result.summary}")
        judgement = self.exercise.judgement()
        show(STATE, judgement.words)
        for rule in judgement.rules:
            show(STATE, f"  {'kept  ' if rule.kept else 'BROKEN'} {rule.text}")
        if any(not rule.kept for rule in judgement.rules):
            show(TEACH, f"{self.exercise.lesson.solved.why} back takes an action back.")
        if not judgement.solved or self.exercise.over:
            return Answer()
        self._finish(show)
        return Answer(solved=True)

    def _finish(self, show: Show) -> None:
        score = self.exercise.finish()
        show(STATE, f"Solved with {score.points} of 100 points.")
        for text, cost in score.taken:
            show(STATE, f"  -{cost} {text}")
        for item in sorted(self.exercise.lesson.debrief, key=lambda d: RUNG_IDS.index(d.rung)):
            show(TEACH, f"{item.rung}: {item.text}")

    def _plan(self, show: Show, ask: Ask | None) -> None:
        """Show the plan; with ``ask`` take it."""
        plan = self.exercise.situation().plan
        for number, step in enumerate(plan.steps if ask is None else (), 1):
            show(STATE, f"{number}. {step.title}")
            show(TEACH, step.why)
        for text in plan.blocked:
            show(TEACH, text)
        if plan.empty:
            show(STATE, "There is no step that a program could take here.")
        if ask is None or plan.empty:
            return

        def told(event: dict[str, Any]) -> None:
            if event["event"] == "step-started":
                show(STATE, f"{event['index']}/{event['count']} {event['title']}")
            elif event["event"] == "command-started":
                show(OUTPUT, f"$ {shlex.join(event['argv'])}")

        asked = ask
        run = self.exercise.run(plan)
        state = run.take(lambda text, secret: asked(Prompt(text, secret)), told)
        if state == "reboot":
            show(STATE, "A reboot is due now: reboot.")
        elif state != "done":
            show(TEACH, str(run.seen[-1].get("message", state)))

    def _explain(self, line: str, show: Show) -> None:
        if not line.strip():
            show(TEACH, "explain COMMAND: for example explain dkms autoinstall")
            return
        found = self.exercise.explain(line)
        for item in found:
            for text in item.lines():
                show(TEACH, text)
        if not found:
            names = sorted({entry.split()[0] for entry in self.exercise.library.commands})
            show(TEACH, f"Nothing is known of that. There is help for: {', '.join(names)}.")

    def _wait(self, text: str, show: Show) -> None:
        seconds = waiting_time(text, self.exercise.machine.clock)
        if seconds is None:
            show(TEACH, f"{WORDS['wait']}.")
            return
        self.exercise.wait(seconds)
        show(STATE, f"It is {self.exercise.clock} on the server now.")

    # --- commands of the server

    def _command(self, line: str, show: Show, ask: Ask) -> Answer:
        commands = told.simple_commands(line)
        for words in commands:
            if told.is_disaster(words):
                self.exercise.disaster(line)
                show(TEACH, told.lesson_of_disaster(words))
                show(TEACH, "Nothing was deleted here: this is the exercise in which one may.")
                return Answer(status=1)
        known = {*self.exercise.programs(), *FILTERS, *BUILT_INS, "sudo", "xargs", "tee"}
        status = self._shell.run(line, lambda text: show(OUTPUT, text), ask)
        unknown = [words[0] for words in commands if words[0] not in known]
        if status == 127 or unknown:
            for name in unknown[:1]:
                show(TEACH, self._instead(name, known))
        return Answer(status)

    def _instead(self, name: str, known: set[str]) -> str:
        near = difflib.get_close_matches(name, known, 3, 0.7)
        if near:
            return f"This server has no '{name[:40]}'. Did you mean {' or '.join(near)}?"
        return f"This server has no '{name[:40]}'. help lists what there is."


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return line.split()


def story(exercise: Exercise) -> tuple[str, ...]:
    """The story in paragraphs, the goals, and how it must be reached."""
    lesson = exercise.lesson
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", lesson.story.strip())]
    rules = [lesson.solved.why] if lesson.solved.why else []
    return (
        f"TRAINING: {lesson.title}",
        *paragraphs,
        "Goals:",
        *(f"- {goal}" for goal in lesson.goals),
        *rules,
        f"It is {exercise.clock} on the server. This is a simulation: no real server is touched.",
    )


def waiting_time(text: str, clock: float) -> float | None:
    """Seconds that "30m", "2h", "45s", "10" (minutes) or "22:00" means; None: it means nothing."""
    found = re.fullmatch(r"(\d{1,4})\s*([smh]?)(?:in|inutes?|ec|ours?)?", text.strip())
    if found:
        return int(found[1]) * {"s": 1.0, "m": 60.0, "h": 3600.0, "": 60.0}[found[2]]
    at = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text.strip())
    if at is None:
        return None
    wanted = int(at[1]) * 3600 + int(at[2]) * 60
    return (wanted - clock % 86400) % 86400
