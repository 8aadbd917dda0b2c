"""A lesson of the training: a broken server, its story, and what counts as having mended it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

LEVELS = ("first-day", "beginner", "intermediate", "advanced", "expert")
"""From somebody's first day to somebody who is called when nobody else knows."""
STRENGTHS = ("weak", "medium", "strong")
"""Of hints: where to look, what to look for, what to do."""
HEALTHY, HANDED_OVER = "healthy", "handed-over"
"""How a lesson ends well: the ladder holds, or the operator stops in time and hands the server over."""


@dataclass(frozen=True, slots=True)
class HostState:
    """The server that the lesson is about."""

    builder: str = ""
    """Name of a builder of the simulated host and its parameters: ``debian13 gpus=2``."""
    faults: tuple[str, ...] = ()
    """What is then broken, in this order, each with its parameters: ``boot-full free_mb=3``."""
    record: str = ""
    """Instead of a builder: the name of a host record, in the folder of the lesson's file."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the server is for, as one would answer the wizard's questions."""

    scenario: str = "long-term-stable"
    framework: str = ""
    """"vllm" or "vllm:0.33.0"; empty: none named."""
    cuda: str = ""
    """The CUDA release that its programs need ("13.0"); empty: none named."""
    driver: str = ""
    flavour: str = ""


@dataclass(frozen=True, slots=True)
class Solved:
    """What counts as solved, and how it must not be reached."""

    ends: str = HEALTHY
    """"healthy": the rungs hold; "handed-over": nothing more is to be tried, and the operator says so."""
    holds: tuple[str, ...] = ()
    """Ids of the rungs that must hold; empty: each that can be judged."""
    most_reboots: int | None = None
    """So many reboots at the most; None: as many as one likes."""
    keeps_jobs: bool = True
    """No running job may be killed."""
    keeps: tuple[str, ...] = ()
    """Files and folders that must still be there at the end (data, other people's kernels)."""
    window: str = ""
    """"22:00-23:30": the hours of the host's clock in which work may be interrupted; empty: always."""
    most_minutes: int | None = None
    """Simulated minutes at the most; None: as long as it takes."""
    why: str = ""
    """Why it must be reached in this way, in words for the operator."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A hint in three strengths."""

    weak: str
    """Where to look."""
    medium: str
    """What to look for there."""
    strong: str
    """What to do, with the command."""
    rung: str = ""
    """It is given while this rung is the lowest broken one; empty: where no other fits."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """A question of the guided mode: what will this rung show?"""

    rung: str
    question: str
    choices: tuple[str, ...]
    answer: int
    """Number of the right choice, counted from 1."""
    because: str
    """Why, told after the answer."""


@dataclass(frozen=True, slots=True)
class Debrief:
    """What to take along about one rung."""

    rung: str
    text: str


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson: a broken server to practise on."""

    id: str
    title: str
    """In one line."""
    level: str
    minutes: int
    """What it takes a person, about."""
    rungs: tuple[str, ...]
    """Ids of the rungs that it is about, the broken one first."""
    story: str
    """How the operator comes to this server; blank lines make paragraphs."""
    goals: tuple[str, ...]
    """What one can do afterwards."""
    host: HostState
    solved: Solved
    hint: tuple[Hint, ...]
    debrief: tuple[Debrief, ...]
    """Rung by rung: what was so, why, and how one sees it next time."""
    solution: tuple[str, ...]
    """Commands for the shell that solve it, in order, for "look at the solution"."""
    sources: tuple[str, ...]
    """Ids of the sources that the lesson rests on."""
    expect: tuple[Expectation, ...] = ()
    """Questions of the guided mode; a rung without one gets a general one."""
    wish: Wish = field(default_factory=Wish)
    """What the server is for."""
    after: tuple[str, ...] = ()
    """Ids of lessons that are better done before."""
    notes: str = ""
    """For the trainer."""

    @property
    def order(self) -> int:
        """Place of its level, from 0."""
        return LEVELS.index(self.level)

    def to_json(self) -> dict[str, Any]:
        """As ``train --list`` has it, without what depends on the operator."""
        return {
            "id": self.id,
            "title": self.title,
            "level": self.level,
            "minutes": self.minutes,
            "rungs": list(self.rungs),
        }


@dataclass(frozen=True, slots=True)
class CommandHelp:
    """What a command does on a real server, for ``explain`` in the exercise's shell."""

    command: str
    """The command, perhaps with its first words: ``dkms status``. The longest one that fits counts."""
    does: str
    """What it does, in a sentence or two."""
    changes: str = ""
    """What it changes on a real server; empty: it only looks."""
    risk: str = ""
    """What may go wrong, and what that costs."""
    undo: str = ""
    """How it is taken back; empty where nothing is changed, or where the risk says that it can't."""
    sources: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = field(default=())
    """(option or argument, what it means) worth knowing."""
