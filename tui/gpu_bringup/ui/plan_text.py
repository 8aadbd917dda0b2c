"""A plan in words: a line a step, its commands, and everything about one step. Pure."""

from __future__ import annotations

import shlex

from textual.content import Content

from gpu_bringup.export.words import duration, shell_line, size, summary
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.words import MUTED, WARN, lines, paragraphs, section

_SHOWN_LINES = 40
"""Lines of a file to be written that a detail shows."""


def command_line(command: Command, *, environment: bool = True) -> str:
    """ "sudo apt-get install ..." as an operator would type it.

    Args:
        environment: with the variables that are set for it; exact, but long.
    """
    text = shell_line(command) if environment else shlex.join(command.argv)
    return f"sudo {text}" if command.root else text


def plan_headline(plan: Plan) -> Content:
    """ "6 steps, about 8 min, 1 reboot, 412 MB to download, 1.9 GB on disk"."""
    parts = [summary(plan)]
    download = sum(step.download_bytes or 0 for step in plan.steps)
    disk = sum(step.installed_bytes or 0 for step in plan.steps)
    if download:
        parts.append(tr("{size} to download").format(size=size(download)))
    if disk:
        parts.append(tr("{size} on disk").format(size=size(disk)))
    if any(step.stops_workloads for step in plan.steps):
        parts.append(tr("GPU work is stopped"))
    return Content.styled(", ".join(parts), "bold")


def step_notes(step: Step) -> str:
    """What a line of the list adds to a step's title: time, size, reboot."""
    parts = [duration(step.estimate_seconds)]
    if step.download_bytes:
        parts.append(size(step.download_bytes))
    if step.reboot:
        parts.append(tr("REBOOT"))
    if step.stops_workloads:
        parts.append(tr("stops GPU work"))
    if step.risk:
        parts.append(tr("risk"))
    return ", ".join(parts)


def plan_items(plan: Plan, commands: bool) -> list[Item]:
    """The steps; with ``commands`` each is followed by what it really does."""
    items = []
    for number, step in enumerate(plan.steps, 1):
        style = WARN if step.reboot or step.stops_workloads else MUTED
        line = Content.assemble(
            (f"{number:>2}  ", MUTED), (step.title, "bold"), (f"  {step_notes(step)}", style)
        )
        detail = step_detail(step)
        items.append(Item(step.id, line, detail))
        if commands:
            told = [f"write {write.path} (mode {write.mode:04o})" for write in step.writes]
            told += [f"$ {command_line(command, environment=False)}" for command in step.commands]
            items += [
                Item(f"{step.id}/{index}", Content.styled(f"      {text}", "$text-accent"), detail)
                for index, text in enumerate(told)
            ]
    return items


def step_detail(step: Step) -> Detail:
    """Why, what exactly, what it risks, how it is taken back."""
    effort = [tr("about {time}").format(time=duration(step.estimate_seconds))]
    if step.download_bytes:
        effort.append(tr("{size} to download").format(size=size(step.download_bytes)))
    if step.installed_bytes:
        effort.append(tr("{size} on disk").format(size=size(step.installed_bytes)))
    if step.reboot:
        effort.append(tr("needs a reboot, which you start yourself"))
    if step.stops_workloads:
        effort.append(tr("stops the programs that use the GPUs"))
    commands = lines(f"$ {command_line(command)}" for command in step.commands)
    undo = lines(f"$ {command_line(command)}" for command in step.undo)
    if not step.undo:
        undo = Content(
            tr("The files it wrote are put back as they were.")
            if step.writes
            else tr("There is nothing to take back, or nothing that can be.")
        )
    return Detail(
        step.title,
        paragraphs(
            [
                section(tr("Why"), step.why),
                section(tr("Risk"), Content.styled(step.risk, WARN)),
                section(tr("What you will see"), step.expect),
                section(tr("Effort"), ", ".join(effort)),
                section(tr("Commands"), commands),
                *(_write(write.path, write.mode, write.content) for write in step.writes),
                section(tr("How it is taken back"), undo),
            ]
        ),
    )


def _write(path: str, mode: int, content: str) -> Content:
    rows = content.rstrip("\n").split("\n")
    shown = rows[:_SHOWN_LINES]
    if len(rows) > len(shown):
        shown.append(tr("... and {count} more lines").format(count=len(rows) - len(shown)))
    title = tr("Writes {path} (mode {mode})").format(path=path, mode=f"{mode:04o}")
    return section(title, lines(Content.styled(row, MUTED) for row in shown))
