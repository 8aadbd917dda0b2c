"""A plan as plain text for a terminal, and as JSON."""

from __future__ import annotations

import json
import shlex
import textwrap
from typing import TYPE_CHECKING

from gpu_bringup.export.words import (
    Short,
    facts_of,
    nothing_words,
    one_line,
    shell_line,
    short_of,
    summary,
    target_line,
)

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Plan, Step

_WIDTH = 78


def _wrapped(label: str, text: str) -> list[str]:
    words = one_line(text)
    if not words:
        return []
    lead = f"   {label}{' ' if label == '-' else ': '}" if label else "   "
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _step(number: int, step: Step, short: Short | None) -> list[str]:
    lines = [f"{number}. {one_line(step.title)}  [{step.rung}]"]
    lines += _wrapped("", step.why)
    lines += _wrapped("Cost", facts_of(step))
    lines += _wrapped("Risk", step.risk)
    lines += _wrapped("You will see", step.expect)
    for write in step.writes:
        count = len(write.content.splitlines())
        plural = "line" if count == 1 else "lines"
        lines.append(f"   write {write.path} (mode {write.mode:04o}, {count} {plural})")
    for command in step.commands:
        # Never broken into lines: an operator copies it.
        lines.append(f"   {'#' if command.root else '$'} {shell_line(command, short)}")
    if step.undo or step.writes:
        lines.append("   To take it back:")
        lines += [f"     put back as it was, or remove: {write.path}" for write in step.writes]
        for command in step.undo:
            lines.append(f"     {'#' if command.root else '$'} {shell_line(command, short)}")
    return lines


def to_text(plan: Plan) -> str:
    """The plan to read: numbered steps, exact commands ("#" as root, "$" as anybody)."""
    lines: list[str] = []
    target = target_line(plan)
    if target:
        lines += [f"Target: {target}", ""]
    if plan.empty:
        lines += [nothing_words(plan), ""] if plan.blocked else [nothing_words(plan)]
    else:
        lines += [f"{summary(plan)}.", ""]
        short = short_of(plan)
        if short is not None:
            lines += [
                f'"{short.name}" below is always called in full as (# as root, $ as anybody):'
            ]
            lines += [f"   # {shlex.join(short.words)} ...", ""]
        for number, step in enumerate(plan.steps, 1):
            lines += [*_step(number, step, short), ""]
    if plan.blocked:
        lines.append("Only a person can do:")
        for reason in plan.blocked:
            lines += _wrapped("-", reason)
    if plan.first_boot:
        lines.append(f"Seen only when the prepared kernel runs: {', '.join(plan.first_boot)}.")
    return "\n".join(lines).rstrip() + "\n"


def to_json(plan: Plan) -> str:
    """The plan's JSON document (CONTRACTS: ``plan``), indented, with a line end."""
    return json.dumps(plan.to_json(), indent=2, ensure_ascii=False) + "\n"
