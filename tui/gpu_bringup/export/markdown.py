"""A plan as Markdown, for a change ticket or a runbook."""

from __future__ import annotations

import re
import shlex
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
    from gpu_bringup.model.plan import Command, Plan, Step


def _escaped(text: str) -> str:
    """Running text in which no character has a meaning to Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", one_line(text))


def _fenced(content: str, language: str = "") -> list[str]:
    """A fenced block; the fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", content.rstrip("\n"), fence, ""]


def _code(text: str) -> str:
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    mark = "`" * (longest + 1)
    return f"{mark} {text} {mark}" if longest else f"`{text}`"


def _commands(commands: tuple[Command, ...], short: Short | None) -> str:
    return "\n".join(
        f"sudo {shell_line(command, short)}" if command.root else shell_line(command)
        for command in commands
    )


def _step(number: int, step: Step, short: Short | None) -> list[str]:
    lines = [f"## {number}. {_escaped(step.title)}", "", _escaped(step.why), ""]
    lines += [f"*Rung `{step.rung}`; {facts_of(step)}.*", ""]
    if step.risk:
        lines += [f"**Risk:** {_escaped(step.risk)}", ""]
    if step.expect:
        lines += [f"**You will see:** {_escaped(step.expect)}", ""]
    for write in step.writes:
        lines += [f"Write {_code(one_line(write.path))} (mode {write.mode:04o}):", ""]
        lines += _fenced(write.content)
    if step.commands:
        lines += _fenced(_commands(step.commands, short), "sh")
    if step.undo or step.writes:
        lines += ["To take it back:", ""]
        for write in step.writes:
            lines.append(f"- put back as it was, or remove: {_code(one_line(write.path))}")
        lines += [""] if step.writes else []
    if step.undo:
        lines += _fenced(_commands(step.undo, short), "sh")
    return lines


def to_markdown(plan: Plan) -> str:
    """The plan as a Markdown document."""
    lines = ["# GPU bring-up plan", ""]
    target = target_line(plan)
    if target:
        lines += [f"**Target:** {_escaped(target)}", ""]
    if plan.empty:
        lines += [nothing_words(plan), ""]
    else:
        lines += [f"{summary(plan)}.", ""]
    short = short_of(plan)
    if short is not None:
        lines += [f"{_code(short.name)} below is always called as:", ""]
        lines += _fenced(f"sudo {shlex.join(short.words)} ...", "sh")
    for number, step in enumerate(plan.steps, 1):
        lines += _step(number, step, short)
    if plan.blocked:
        lines += ["## Only a person can do", ""]
        lines += [f"- {_escaped(reason)}" for reason in plan.blocked] + [""]
    if plan.first_boot:
        rungs = ", ".join(f"`{rung}`" for rung in plan.first_boot)
        lines += [f"Seen only when the prepared kernel runs: {rungs}.", ""]
    return "\n".join(lines).rstrip() + "\n"
