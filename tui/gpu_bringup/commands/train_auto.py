"""``gpu-bringup train LESSON --auto``: the engine's own plan solves it, headless."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import duration, paint, print_json, show, wrap
from gpu_bringup.errors import ExitCode
from gpu_bringup.training import auto
from gpu_bringup.training.exercise import Exercise

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library

OPERATOR = "auto"
"""Its exercises are kept apart from everybody's, and count for nobody."""


def solve(found: Library, lesson: Lesson, arguments: argparse.Namespace, as_json: bool) -> int:
    """Solve it; exit status 0 when it is solved."""
    catalogue = engine.load_catalogue(getattr(arguments, "profiles", None))
    exercise = Exercise.begin(found, lesson, catalogue, OPERATOR, "wizard")
    solution = auto.solve(exercise)
    seconds = exercise.tally.simulated_seconds
    if as_json:
        print_json(solution.to_json(seconds))
    else:
        show(paint(f"TRAINING: {lesson.title}", "bold"))
        for number, step in enumerate(solution.steps, 1):
            show(wrap(f"{number}. {step.title}", 2, hang=3))
        show()
        colour = "green" if solution.solved else "red"
        assert solution.judgement is not None
        show(paint(solution.judgement.words, colour, "bold"))
        show(f"  {duration(seconds)} on the simulated server")
        if solution.why_not:
            show(wrap(solution.why_not, 2))
    return ExitCode.OK if solution.solved else ExitCode.FAILED
