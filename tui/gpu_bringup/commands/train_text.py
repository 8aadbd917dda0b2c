"""The smaller parts of ``gpu-bringup train``: what can be broken, breaking it, lessons from records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import paint, print_json, say, show, usable_output, wrap
from gpu_bringup.errors import ExitCode, HostError, InputError
from gpu_bringup.training import library, proofs, simulation
from gpu_bringup.training.exercise import Exercise

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library


def show_faults(as_json: bool) -> int:
    """What lessons can be made of, and what ``--break`` can break."""
    builders, faults = simulation.known_builders(), simulation.known_faults()
    if as_json:
        print_json(
            {
                "schema": 1,
                "builders": [item.to_json() for item in builders],
                "faults": [item.to_json() for item in faults],
            }
        )
        return ExitCode.OK
    for title, items in (("Builders: the host of a lesson", builders), ("Faults", faults)):
        show(paint(title, "bold"))
        for item in items:
            words = " ".join(f"[{name}=...]" for name in item.parameters)
            show(wrap(f"{item.name} {words}".rstrip(), 2, hang=4))
            show(wrap(item.text, 6))
        show()
    show('In a lesson: builder = "NAME KEY=VALUE", faults = ["NAME KEY=VALUE", ...].')
    return ExitCode.OK


def break_exercise(
    found: Library, lesson: Lesson, operator: str, arguments: argparse.Namespace
) -> int:
    """Break the running exercise of an operator further."""
    catalogue = engine.load_catalogue(getattr(arguments, "profiles", None))
    exercise = Exercise.resume(found, lesson, catalogue, operator)
    title = exercise.damage(arguments.fault)
    show(wrap(f"TRAINING: broken in {operator}'s exercise of {lesson.id}: {title}"))
    return ExitCode.OK


def lesson_from(source: str, fault: str, output: Path | None, extra: Path | None) -> int:
    """Write a lesson that puts an operator before what a record or a run shows."""
    from gpu_bringup.training import from_record

    usable_output(output)
    catalogue = engine.load_catalogue(extra)
    made = from_record.lesson_text(source, catalogue, fault)
    if output is None or str(output) == "-":
        show(made.text.rstrip("\n"))
    else:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(made.text, encoding="utf-8")
        except OSError as error:
            raise HostError(f"{output} can't be written: {error.strerror}") from error
        say(f"Written: {output}")
        for problem in _wrong(output, catalogue):
            say(wrap(f"! {problem.message}"))
    for note in made.notes:
        say(wrap(f"! {note}"))
    return ExitCode.OK


def _wrong(path: Path, catalogue: Catalogue) -> list[InputError]:
    """What is wrong with a lesson that was made."""
    found = library.examine(path)
    own = [item for item in found.lessons.values() if found.places[item.id].file == str(path)]
    return list(proofs.problems(found, catalogue, own))
