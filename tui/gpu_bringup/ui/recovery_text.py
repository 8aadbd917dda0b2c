"""The ways on in words: the broken rung opened, each way with its price. Pure."""

from __future__ import annotations

import shlex

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.model.ladder import LadderReport, State
from gpu_bringup.recover.way import Recovery, Way
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.words import MUTED, WARN, lines, paragraphs, section

_EVIDENCE = 3
"""Lines of evidence of the first cause that the page shows; the ladder has them all."""


def cause_text(report: LadderReport) -> Content:
    """The broken rung: which, why, on what evidence, and what follows from it."""
    root = report.root_cause
    if root is None:
        return Content("")
    title = next(rung.title for rung in RUNGS if rung.id == root.id)
    rows = [
        Content.assemble(
            ("X ", "bold $text-error"), (f"{title}: ", "bold $text-error"), root.summary
        )
    ]
    for cause in root.causes[:1]:
        rows.append(
            Content.assemble(
                (f"  {cause.title}", "bold"),
                (f" ({cause.cause}, {cause.confidence:.0%} {tr('sure')})", MUTED),
            )
        )
        rows += [
            Content.assemble((f"  {item.source}: ", MUTED), item.text)
            for item in cause.evidence[:_EVIDENCE]
        ]
    for other in root.causes[1:2]:
        rows.append(
            Content.styled(
                tr("  Or: {title} ({sure})").format(
                    title=other.title, sure=f"{other.confidence:.0%}"
                ),
                MUTED,
            )
        )
    count = sum(1 for rung in report.rungs if rung.state is State.BLOCKED)
    if count:
        rows.append(
            Content.styled(
                tr("  1 layer above doesn't hold because of it.")
                if count == 1
                else tr("  {count} layers above don't hold because of it.").format(count=count),
                MUTED,
            )
        )
    return lines(rows)


def way_about(way: Way) -> str:
    """What a way costs, for the line below its title."""
    return way.cost[:1].upper() + way.cost[1:] + "."


def in_use_text(recovery: Recovery, way: Way) -> Content:
    """What the way stops; empty where it stops nothing."""
    if not way.stops:
        return Content("")
    return lines(Content.styled(text, WARN) for text in way.stops)


def way_detail(recovery: Recovery, way: Way) -> Detail:
    """All about a way: what, price, what stops, the commands and the way back."""
    commands: list[str] = []
    back: list[str] = []
    for step in way.plan.steps:
        commands += [f"write {write.path}" for write in step.writes]
        commands += [f"$ sudo {shlex.join(command.argv)}" for command in step.commands]
        if step.reboot:
            commands.append(tr("(you reboot the server)"))
        back += [f"$ sudo {shlex.join(command.argv)}" for command in step.undo]
    not_here = lines(f"{title}: {reason}" for title, reason in recovery.not_here)
    return Detail(
        way.title,
        paragraphs(
            [
                way.what,
                section(tr("Cost"), way_about(way)),
                section(tr("Risk"), Content.styled(way.risk, WARN)),
                section(tr("What it stops"), in_use_text(recovery, way)),
                section(tr("Commands"), lines(commands)),
                section(tr("How it is taken back"), lines(back)),
                section(tr("By hand"), lines(way.plan.blocked)),
                section(tr("What this server does not offer"), not_here),
            ]
        ),
    )
