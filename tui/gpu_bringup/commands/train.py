"""``gpu-bringup train``: lessons on simulated hosts. Nothing of this machine is changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.commands.output import paint, print_json, say, show, usable_output, wrap
from gpu_bringup.errors import ExitCode, HostError, InputError
from gpu_bringup.training import library, progress, report, storage

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.training.library import Library
    from gpu_bringup.training.progress import Progress


def run(arguments: argparse.Namespace) -> int:
    """List, report, solve, break, make a lesson, or practise."""
    as_json = bool(getattr(arguments, "json", False))
    operator = storage.operator_name(getattr(arguments, "operator", None) or "")
    if arguments.report:
        return _report(arguments, as_json)
    found = library.load(getattr(arguments, "profiles", None))
    if arguments.faults:
        from gpu_bringup.commands.train_text import show_faults

        return show_faults(as_json)
    if arguments.from_record:
        from gpu_bringup.commands.train_text import lesson_from

        extra = getattr(arguments, "profiles", None)
        return lesson_from(arguments.from_record, arguments.fault or "", arguments.output, extra)
    if arguments.list or not arguments.lesson:
        return _list(found, progress.load(operator), as_json)
    lesson = found.lesson(arguments.lesson)
    if arguments.auto:
        from gpu_bringup.commands.train_auto import solve

        return solve(found, lesson, arguments, as_json)
    if arguments.fault is not None:
        from gpu_bringup.commands.train_text import break_exercise

        return break_exercise(found, lesson, operator, arguments)
    from gpu_bringup.commands.train_shell import practise

    return practise(found, lesson, operator, arguments)


def lesson_json(found: Library, done: Progress, today: date) -> list[dict[str, Any]]:
    """The lessons as ``train --list --json`` has them (the first six keys are fixed by contract)."""
    due = done.due(today)
    return [
        {
            **lesson.to_json(),
            "solved": done.solved(lesson.id),
            "best": done.best(lesson.id),
            "attempts": len(done.of(lesson.id)),
            "due": lesson.id in due,
            "goals": list(lesson.goals),
            "after": list(lesson.after),
        }
        for lesson in found.lessons.values()
    ]


def _list(found: Library, done: Progress, as_json: bool) -> int:
    rows = lesson_json(found, done, date.today())
    if as_json:
        print_json({"schema": 1, "operator": done.operator, "lessons": rows})
        return ExitCode.OK
    show(paint("TRAINING: lessons on simulated hosts", "bold"))
    width = max((len(row["id"]) for row in rows), default=0)
    level = ""
    for row in rows:
        if row["level"] != level:
            level = row["level"]
            show()
            show(paint(level, "bold"))
        mark = "due   " if row["due"] else "solved" if row["solved"] else "      "
        points = f"{row['best']:>3}" if row["best"] is not None else "   "
        words = f"{row['id']:<{width}}  {row['minutes']:>3} min  {row['title']}"
        show(f"  {paint(mark, 'yellow' if row['due'] else 'green')} {points}  {words}")
    show()
    show("gpu-bringup train LESSON begins one; due: it is time to do it once more.")
    return ExitCode.OK


def _report(arguments: argparse.Namespace, as_json: bool) -> int:
    output: Path | None = arguments.output
    usable_output(output)
    problems: tuple[InputError, ...] = ()
    if getattr(arguments, "operator", None):
        everybody: tuple[Progress, ...] = (
            progress.load(storage.operator_name(arguments.operator)),
        )
    else:
        everybody, problems = progress.load_all()
    lessons = library.load(getattr(arguments, "profiles", None)).lessons
    today = date.today()
    sheets = [report.sheet(item, lessons, today) for item in everybody]
    form = "json" if as_json else arguments.format or "markdown"
    if form == "json" and output is None:
        print_json(report.as_json(sheets, today))
    else:
        _write(_text(form, sheets, today), output)
    for problem in problems:
        say(f"gpu-bringup: {problem.message}")
        say(wrap(f"{problem.meaning} {problem.hint}", 2))
    return ExitCode.BAD_INPUT if problems else ExitCode.OK


def _text(form: str, sheets: list[report.Sheet], today: date) -> str:
    if form != "json":
        return report.WRITERS[form](sheets, today)
    import json

    return json.dumps(report.as_json(sheets, today), indent=2, ensure_ascii=False) + "\n"


def _write(text: str, output: Path | None) -> None:
    if output is None or str(output) == "-":
        show(text.rstrip("\n"))
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HostError(f"{output} can't be written: {error.strerror}") from error
    say(f"Written: {output}")
