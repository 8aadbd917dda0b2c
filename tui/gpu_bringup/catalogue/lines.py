"""Finds the line of an entry's key in the text of its file: TOML readers forget it.

Only a mistake needs it. It knows tables as people write them (``[[gpu]]``, ``key = value``); where it
doesn't find the key it names the line of the table, and where it doesn't find that, none.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*\[\[?\s*([\w.\"'-]+)\s*\]\]?")
_STEP = re.compile(r"\.([\w-]+)|\[(\d+)\]")


def line_of(text: str, kind: str, number: int, path: str) -> int | None:
    """The line of a key, counted from 1; None: not found.

    Args:
        kind: name of the entry's table ("gpu").
        number: which of the file's tables of that name it is, counted from 1.
        path: the key within the entry (".drivers[0].flavour"); empty: the entry itself.
    """
    rows = _rows(text)
    start = _nth(rows, 0, len(rows), kind, number)
    if start is None:
        return None
    end = _end(rows, start, kind)
    found, table = start, kind
    steps = [match.groups() for match in _STEP.finditer(path)]
    for place, (key, _) in enumerate(steps):
        if key is None:
            continue
        index = steps[place + 1][1] if place + 1 < len(steps) else None
        inner = _nth(rows, start + 1, end, f"{table}.{key}", int(index or 0) + 1)
        if inner is not None:
            table = f"{table}.{key}"
            start = found = inner
            end = _end(rows, inner, table)
            continue
        line = re.compile(rf"^\s*[\"']?{re.escape(key)}[\"']?\s*=")
        for row in range(start + 1, end):
            if _HEADER.match(rows[row]):
                break
            if line.match(rows[row]):
                return row + 1
        break
    return found + 1


def _rows(text: str) -> list[str]:
    """The lines, without those that are inside a text of several lines."""
    rows, inside = [], ""
    for row in text.split("\n"):
        rows.append("" if inside else row)
        for mark in ('"""', "'''"):
            if row.count(mark) % 2 and inside in ("", mark):
                inside = "" if inside else mark
                break
    return rows


def _nth(rows: list[str], start: int, end: int, name: str, number: int) -> int | None:
    for row in range(start, end):
        match = _HEADER.match(rows[row])
        if match and match[1] == name:
            number -= 1
            if number == 0:
                return row
    return None


def _end(rows: list[str], start: int, name: str) -> int:
    """The row after the last one of the table and of those inside it."""
    for row in range(start + 1, len(rows)):
        match = _HEADER.match(rows[row])
        if match and not match[1].startswith(f"{name}."):
            return row
    return len(rows)
