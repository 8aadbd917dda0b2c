"""What every command needs: its table, plain answers, wrong options."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.work import Program

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

Run = Callable[["Machine", tuple[str, ...]], Program]
TABLE: dict[str, Run] = {}
"""Every command by its name."""


def program(*names: str) -> Callable[[Run], Run]:
    """Register a command under its names."""

    def register(run: Run) -> Run:
        for name in names:
            TABLE[name] = run
        return run

    return register


def said(lines: str | Iterable[str], status: int = 0) -> Program:
    """A command that only prints."""
    yield from lines.splitlines() if isinstance(lines, str) else lines
    return status


def split(argv: Sequence[str], *with_value: str) -> tuple[dict[str, str], list[str]]:
    """(options, other words): "--name=value", "--name value" and "-k value" of those named."""
    options: dict[str, str] = {}
    words: list[str] = []
    waiting = ""
    for word in argv:
        if waiting:
            options[waiting] = word
            waiting = ""
        elif word.startswith("--") and "=" in word:
            key, _, value = word.partition("=")
            options[key] = value
        elif word in with_value:
            waiting = word
        elif word.startswith("-") and len(word) > 1:
            options[word] = ""
        else:
            words.append(word)
    if waiting:
        options[waiting] = ""
    return options, words
