"""``gpu-bringup train LESSON --shell``: the exercise's console on a plain terminal."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import beside, clean, paint, show, wrap
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.training.exercise import Exercise
from gpu_bringup.training.shell import OUTPUT, RUNG, RUNG_HEAD, TEACH, Console, story

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from gpu_bringup.hosts.base import Prompt
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library

_HISTORY_LINES = 1000


def practise(found: Library, lesson: Lesson, operator: str, arguments: argparse.Namespace) -> int:
    """Practise until the end of the input; exit status 0 when the exercise is solved then."""
    catalogue = engine.load_catalogue(getattr(arguments, "profiles", None))
    exercise = _exercise(found, lesson, catalogue, operator, again=bool(arguments.again))
    console = Console(exercise)
    exercise.host.speed = float(arguments.speed)
    for text in story(exercise):
        show(wrap(text, hang=2 if text.startswith("- ") else 0))
    show()
    show("help lists the words; check tells how it stands; quit leaves.")
    read = _reader(console, exercise.folder / "history")
    solved = exercise.over
    while True:
        try:
            line = read(console.prompt)
        except KeyboardInterrupt:
            show()
            continue
        except EOFError:
            show()
            break
        try:
            answer = console.run(line, _print, _ask)
        except KeyboardInterrupt:
            show("^C")
            continue
        solved = solved or answer.solved
        if answer.leave:
            break
    if not solved:
        show(f"Left as it is: gpu-bringup train {lesson.id} --shell goes on.")
    return ExitCode.OK if solved else ExitCode.FAILED


def _exercise(
    found: Library, lesson: Lesson, catalogue: Catalogue, operator: str, *, again: bool
) -> Exercise:
    """The exercise that is under way, else a new one."""
    if not again:
        try:
            exercise = Exercise.resume(found, lesson, catalogue, operator)
        except InputError as error:
            if "no exercise" not in error.message:
                raise
        else:
            if not exercise.over:
                show("You go on where you were (--again begins anew).")
                return exercise
    return Exercise.begin(found, lesson, catalogue, operator, "shell")


def _print(kind: str, line: str) -> None:
    if kind == OUTPUT:
        show(line)
    elif kind == RUNG:
        head, mark = line[:28], line[28:RUNG_HEAD]
        colour = {"holds": "green", "BROKEN": "red", "follows": "yellow"}.get(mark.strip(), "dim")
        show(beside(f"{head}{mark}", line[RUNG_HEAD:], f"{head}{paint(mark, colour)}"))
    elif kind == TEACH:
        show(paint(wrap(line, hang=2), "yellow"))
    else:
        show(paint(wrap(line, hang=2), "cyan") if not line.startswith(" ") else line)


def _ask(prompt: Prompt) -> str | None:
    text = clean(prompt.text)
    if not sys.stdin.isatty():
        sys.stdout.write(f"{text}\n")
        line = sys.stdin.readline()
        return line.rstrip("\n") if line else None
    try:
        if prompt.secret:
            return getpass.getpass(f"{text} (TRAINING: make one up) ")
        return input(f"{text} ")
    except (EOFError, KeyboardInterrupt):
        return None


class _Reader:
    """Reads lines from a terminal with history and completion, or from whatever the input is."""

    def __init__(self, console: Console, history: Path) -> None:
        self._console = console
        self._found: tuple[str, ...] = ()
        self._terminal = sys.stdin.isatty()
        if self._terminal:
            with contextlib.suppress(ImportError):
                self._set_up(history)

    def _set_up(self, history: Path) -> None:
        import atexit
        import readline

        readline.set_history_length(_HISTORY_LINES)
        readline.set_completer_delims(" \t\n;|&>")
        readline.set_completer(self._complete)
        readline.parse_and_bind("tab: complete")
        with contextlib.suppress(OSError):
            readline.read_history_file(history)

        def keep() -> None:
            with contextlib.suppress(OSError):
                os.close(os.open(history, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
                readline.write_history_file(history)

        atexit.register(keep)

    def _complete(self, text: str, number: int) -> str | None:
        if number == 0:
            import readline

            before = readline.get_line_buffer()[: readline.get_endidx()]
            self._found = self._console.complete(before)
        return self._found[number] if number < len(self._found) else None

    def __call__(self, prompt: str) -> str:
        if self._terminal:
            return input(prompt)
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        # In a script's output the commands should stand beside what they print.
        show(f"{prompt}{line.rstrip()}")
        return line.rstrip("\n")


def _reader(console: Console, history: Path) -> _Reader:
    return _Reader(console, history)
