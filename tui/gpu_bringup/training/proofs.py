"""Is a lesson sound? Its host is made, its ladder climbed, and the engine and its own solution solve it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError
from gpu_bringup.model.ladder import State
from gpu_bringup.training import auto, contradictions, simulation
from gpu_bringup.training.events import Log
from gpu_bringup.training.exercise import Exercise
from gpu_bringup.training.shell import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library

_INSTALLS = frozenset({"apt-get", "apt", "dnf", "yum"})


def problems(
    library: Library, catalogue: Catalogue, lessons: Iterable[Lesson]
) -> Iterator[InputError]:
    """What is wrong with these lessons, the first thing of each; names file, line and key."""
    for lesson in lessons:
        place = library.places[lesson.id]
        try:
            _prove(library, catalogue, lesson)
        except InputError as error:
            yield error if error.file else place.fault(error.message)


def _prove(library: Library, catalogue: Catalogue, lesson: Lesson) -> None:
    place = library.places[lesson.id]
    machine = simulation.build(library, lesson)
    for text in contradictions.of(machine):
        raise place.fault(f"the host's state contradicts itself: {text}", ".host")
    unknown = unknown_packages(lesson, simulation.package_names(machine))
    for number, name in unknown:
        raise place.fault(
            f"there is no package {name!r} in this host's archives", f".solution[{number}]"
        )
    with tempfile.TemporaryDirectory(prefix="gpu-bringup-lesson-") as folder:
        exercise = _exercise(library, catalogue, lesson, Path(folder) / "plan")
        report = exercise.situation().report
        root = report.root_cause
        if report.verdict != "broken" or root is None:
            raise place.fault("nothing is broken on this host: every rung holds", ".host")
        if root.id not in lesson.rungs:
            raise place.fault(
                f"the lowest broken rung is {root.id}, of which the lesson doesn't speak", ".rungs"
            )
        if exercise.judgement().solved:
            raise place.fault("it is solved before anything was done", ".solved")
        for number, item in enumerate(lesson.expect):
            if report.rung(item.rung).state is State.SKIPPED:
                raise place.fault(
                    f"a question is asked about {item.rung}, which doesn't apply to this host",
                    f".expect[{number}].rung",
                )
        found = auto.solve(exercise)
        if not found.solved:
            raise place.fault(f"the plan doesn't solve it: {found.why_not}", ".solved")
        if lesson.solution:
            _follow(library, catalogue, lesson, Path(folder) / "solution")


def _exercise(library: Library, catalogue: Catalogue, lesson: Lesson, folder: Path) -> Exercise:
    log = Log.begin(folder, lesson=lesson.id, mode="shell", operator="validate")
    return Exercise(library, lesson, catalogue, log, "validate")


def _follow(library: Library, catalogue: Catalogue, lesson: Lesson, folder: Path) -> None:
    """Type the lesson's own solution into a console.

    Raises:
        InputError: it doesn't solve it.
    """
    place = library.places[lesson.id]
    exercise = _exercise(library, catalogue, lesson, folder)
    console = Console(exercise)
    said: list[str] = []
    for number, line in enumerate(lesson.solution):
        said.clear()
        status = console.run(
            line, lambda kind, text: said.append(text), simulation.usual_answer
        ).status
        if status == 127:
            raise place.fault(
                f"{line!r}: there is no such command on this host", f".solution[{number}]"
            )
    judgement = exercise.judgement()
    if not judgement.solved:
        last = f" (last: {said[-1][:200]})" if said else ""
        raise place.fault(
            f"its own solution doesn't solve it: {judgement.words}{last}", ".solution"
        )


def unknown_packages(lesson: Lesson, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    """(number of the command, package) for what a solution installs and no archive has."""
    from gpu_bringup.training.told import simple_commands

    for number, line in enumerate(lesson.solution):
        for words in simple_commands(line):
            if words[0] not in _INSTALLS or "install" not in words:
                continue
            for word in words[words.index("install") + 1 :]:
                name = word.split("=")[0].split("/")[0]
                literal = not any(mark in word for mark in "$*?`")
                if not word.startswith("-") and literal and name not in known:
                    yield number, name
