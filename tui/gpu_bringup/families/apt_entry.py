"""One entry of apt's sources, whichever of the two formats it is written in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One package source of apt's."""

    types: tuple[str, ...]
    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    enabled: bool = True


Wanted = Callable[[Entry], tuple[str, ...]]
"""Which components to add to an entry; empty: leave it alone."""


class SourceSyntaxError(ValueError):
    """A source file that can't be understood; never shown as such, see ``apt_sources.Edited``."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


def line_end(line: str) -> tuple[str, str]:
    """(text, line end) of one line: the end is newline, CR newline or nothing."""
    text = line.rstrip("\r\n")
    return text, line[len(text) :]


def lines_of(text: str) -> list[str]:
    """Lines with their ends; only a newline ends a line (a form feed or U+2028 doesn't)."""
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines
