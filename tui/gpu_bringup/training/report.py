"""The report for the trainer: who has practised what, how well, and what comes back when. Pure."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date

    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.progress import Attempt, Progress

FORMS = ("markdown", "html", "json")
_NEVER = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """How one lesson stands with one operator."""

    lesson: str
    title: str
    level: str
    solved: bool
    best: int | None
    attempts: int
    minutes: float
    """Of the operator's time, all attempts together."""
    commands: int
    """In the best attempt."""
    hints: int
    """In the best attempt, all strengths."""
    needless: int
    """Needless reboots and risks, killed jobs and losses, all attempts together."""
    last: str
    """The day of the last attempt; empty: none."""
    due: str
    """The day on which it should be done again; empty: never done."""

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The report on one operator."""

    operator: str
    rows: tuple[Row, ...]
    due: tuple[str, ...]
    """Lessons that are due today or before."""

    @property
    def solved(self) -> int:
        return sum(row.solved for row in self.rows)

    @property
    def passed(self) -> bool:
        """Was every lesson solved?"""
        return bool(self.rows) and all(row.solved for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        return {
            "operator": self.operator,
            "solved": self.solved,
            "lessons": len(self.rows),
            "passed": self.passed,
            "due": list(self.due),
            "rows": [row.to_json() for row in self.rows],
        }


def sheet(progress: Progress, lessons: Mapping[str, Lesson], today: date) -> Sheet:
    """How every lesson stands with this operator, those of lessons that are gone too."""
    gone = dict.fromkeys(item.lesson for item in progress.attempts if item.lesson not in lessons)
    known = [(item.id, item.title, item.level) for item in lessons.values()]
    rows = tuple(
        _row(progress, lesson_id, title, level)
        for lesson_id, title, level in (*known, *((name, name, "gone") for name in gone))
    )
    return Sheet(progress.operator, rows, progress.due(today))


def _row(progress: Progress, lesson_id: str, title: str, level: str) -> Row:
    attempts = progress.of(lesson_id)
    best = max((item for item in attempts if item.solved), key=lambda a: a.points, default=None)
    due = progress.reviews[lesson_id].due if lesson_id in progress.reviews else None
    return Row(
        lesson=lesson_id,
        title=title,
        level=level,
        solved=best is not None,
        best=best.points if best else None,
        attempts=len(attempts),
        minutes=round(sum(_number(item, "seconds") for item in attempts) / 60, 1),
        commands=int(_number(best, "commands")),
        hints=_hints(best),
        needless=sum(_needless(item) for item in attempts),
        last=attempts[-1].ended[:10] if attempts else "",
        due=due.isoformat() if due else "",
    )


def _number(attempt: Attempt | None, key: str) -> float:
    value = attempt.score.get(key, 0) if attempt else 0
    return float(value) if isinstance(value, (int, float)) else 0.0


def _hints(attempt: Attempt | None) -> int:
    hints = attempt.score.get("hints") if attempt else None
    return sum(int(value) for value in hints.values()) if isinstance(hints, dict) else 0


def _needless(attempt: Attempt) -> int:
    lists = (attempt.score.get(key) for key in ("risks", "destroyed"))
    counted = sum(len(item) for item in lists if isinstance(item, list))
    return counted + int(_number(attempt, "needless_reboots") + _number(attempt, "killed_jobs"))


_HEADINGS = (
    "Lesson", "Level", "Solved", "Best", "Attempts", "Minutes", "Commands", "Hints", "Needless",
    "Last", "Again",
)  # fmt: skip
_LEGEND = (
    "Best: points of 100. Commands and hints: in the best attempt. Needless: needless reboots and "
    "risks, killed jobs and losses, in all attempts. Again: the day on which it should be practised "
    "once more. All of it was practised on simulated hosts."
)


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.title,
        row.level,
        "yes" if row.solved else "no",
        str(row.best) if row.best is not None else _NEVER,
        str(row.attempts or _NEVER),
        f"{row.minutes:g}" if row.attempts else _NEVER,
        str(row.commands) if row.solved else _NEVER,
        str(row.hints) if row.solved else _NEVER,
        str(row.needless) if row.attempts else _NEVER,
        row.last or _NEVER,
        row.due or _NEVER,
    )


def _verdict(item: Sheet) -> str:
    words = f"{item.solved} of {len(item.rows)} lessons solved"
    if item.passed:
        words = f"Every lesson solved ({len(item.rows)})"
    due = f"; due for another round: {', '.join(item.due)}" if item.due else ""
    return f"{words}{due}."


def as_json(sheets: Sequence[Sheet], today: date) -> dict[str, Any]:
    """The report as a document."""
    return {
        "schema": 1,
        "training": True,
        "date": today.isoformat(),
        "operators": [item.to_json() for item in sheets],
    }


def as_markdown(sheets: Sequence[Sheet], today: date) -> str:
    """The report as Markdown (tables as in GitHub Flavored Markdown)."""
    parts = [f"# GPU Bring-up: TRAINING report, {today.isoformat()}", ""]
    for item in sheets:
        parts += [f"## {_escaped(item.operator)}", "", _escaped(_verdict(item)), ""]
        parts += [f"| {' | '.join(_HEADINGS)} |", f"|{'---|' * len(_HEADINGS)}"]
        parts += [f"| {' | '.join(map(_escaped, _cells(row)))} |" for row in item.rows]
        parts.append("")
    return "\n".join([*parts, _LEGEND, ""])


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", " ".join(text.split()))


_STYLE = (
    "body{font:16px/1.5 sans-serif;margin:2em auto;max-width:70em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{border:1px solid #999;padding:.3em .6em;"
    "text-align:left}td.n{text-align:right}.banner{border:2px solid;padding:.5em 1em;font-weight:bold}"
    "@media print{section{break-after:page}}"
)


def as_html(sheets: Sequence[Sheet], today: date) -> str:
    """The report as one HTML page without anything from elsewhere, a section an operator, to print."""
    text = html.escape
    sections = []
    for item in sheets:
        rows = "".join(
            f"<tr>{''.join(_cell(cell) for cell in _cells(row))}</tr>\n" for row in item.rows
        )
        heads = "".join(f'<th scope="col">{text(word)}</th>' for word in _HEADINGS)
        sections.append(
            f"<section><h2>{text(item.operator)}</h2>\n<p>{text(_verdict(item))}</p>\n"
            f"<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></section>\n"
        )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>GPU Bring-up: training report, {today.isoformat()}</title>\n"
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>GPU Bring-up: training report</h1>\n"
        f'<p class="banner">TRAINING, as of {today.isoformat()}</p>\n{"".join(sections)}'
        f"<p>{text(_LEGEND)}</p>\n</body></html>\n"
    )


def _cell(value: str) -> str:
    number = re.fullmatch(r"-|[\d.]+", value)
    return f'<td class="n">{value}</td>' if number else f"<td>{html.escape(value)}</td>"


WRITERS: dict[str, Callable[[Sequence[Sheet], date], str]] = {
    "markdown": as_markdown,
    "html": as_html,
}
