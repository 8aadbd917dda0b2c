"""The ladder in words: a line for each rung, and the whole truth about one. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.ladder.base import Rung
from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.model.ladder import Cause, Evidence, LadderReport, RungResult, State
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.words import (
    MUTED,
    STATE_STYLES,
    WARN,
    column,
    lines,
    links,
    paragraphs,
    section,
    state_mark,
    state_meaning,
    state_word,
)

_TITLE, _WORD = 26, 9

FEEDS: dict[str, tuple[str, ...]] = {
    "gpu": ("pci", "log"),
    "platform": ("platform", "storage"),
    "packages": ("packages", "traces"),
    "kernel": ("kernels",),
    "headers": ("kernels",),
    "compiler": ("kernels",),
    "nouveau": ("modules", "pci"),
    "module": ("modules", "packages"),
    "signature": ("secure-boot", "modules"),
    "loaded": ("modules",),
    "devices": ("devices",),
    "libraries": ("libraries",),
    "nvml": ("nvml",),
    "fabric": ("services", "nvml"),
    "cuda": ("cuda", "toolkit"),
    "containers": ("containers",),
    "guard": ("packages", "kernels"),
}
"""Rung -> observers that it is judged by, for showing what has been looked at so far."""


def looking_items(finished: frozenset[str]) -> list[Item]:
    """The ladder while the host is looked at: every rung has its line from the beginning."""
    items = []
    for rung in RUNGS:
        seen = all(name in finished for name in FEEDS[rung.id])
        word = tr("looked") if seen else tr("looking")
        line = Content.assemble(
            ("  ", MUTED), column(rung.title, _TITLE), (column(word, _WORD), MUTED)
        )
        items.append(Item(rung.id, line, Detail(rung.title, _definition(rung))))
    return items


def ladder_items(report: LadderReport) -> list[Item]:
    """The ladder with its verdicts, lowest rung first."""
    found = {result.id: result for result in report.rungs}
    root = report.root_cause
    return [
        Item(
            rung.id,
            rung_line(rung, found[rung.id], report.not_yet(found[rung.id])),
            rung_detail(
                rung,
                found[rung.id],
                root is found[rung.id],
                not_yet=report.not_yet(found[rung.id]),
            ),
        )
        for rung in RUNGS
    ]


def rung_line(rung: Rung, result: RungResult, not_yet: bool = False) -> Content:
    """One line: mark, title, state and summary; ``not_yet``: nothing is broken, only not set up."""
    style = WARN if not_yet else STATE_STYLES[result.state]
    word = tr("not yet") if not_yet else state_word(result.state)
    return Content.assemble(
        ("o " if not_yet else f"{state_mark(result.state)} ", style),
        column(rung.title, _TITLE),
        (column(word, _WORD), style),
        (result.summary, MUTED if result.state is State.SKIPPED else ""),
    )


def _definition(rung: Rung) -> Content:
    return paragraphs(
        [section(tr("What it is"), rung.teaches), section(tr("It holds when"), rung.holds_when)]
    )


def _evidence(items: tuple[Evidence, ...]) -> Content:
    return lines([Content.assemble((item.source, "bold"), f": {item.text}") for item in items])


def _cause(cause: Cause) -> Content:
    return lines(
        part
        for part in (
            Content.assemble(
                (cause.title, "bold $text-error"),
                (f"  {cause.cause}, {cause.confidence:.0%} {tr('sure')}", MUTED),
            ),
            _evidence(cause.evidence),
            links(cause.sources),
        )
        if part.plain
    )


def rung_detail(
    rung: Rung, result: RungResult, is_root: bool = False, *, not_yet: bool = False
) -> Detail:
    """What a rung is, how it stands, on what evidence, and why."""
    word = f"{state_mark(result.state)} {state_word(result.state)}"
    style = STATE_STYLES[result.state]
    told = state_meaning(result.state)
    if not_yet:
        word, style = f"o {tr('not yet')}", WARN
        told = tr("Nothing is broken here: this layer only isn't set up yet.")
    state = Content.assemble((word, style), f"  {result.summary}")
    meaning = Content.styled(told, MUTED)
    start = (
        tr("Set-up starts here.") if not_yet else tr("This is the root cause: mending starts here.")
    )
    root = Content.styled(start, "bold $text-warning") if is_root else Content("")
    causes = Content("\n\n").join([_cause(cause) for cause in result.causes])
    return Detail(
        rung.title,
        paragraphs(
            [
                state,
                meaning,
                root,
                section(tr("Why"), causes),
                section(tr("Evidence"), _evidence(result.evidence)),
                _definition(rung),
            ]
        ),
    )


def verdict_text(report: LadderReport) -> Content:
    """The report in a sentence, in the words of ``gpu-bringup check``."""
    if report.verdict == "healthy":
        return Content.styled(
            tr("Healthy: every layer that applies here holds."), "bold $text-success"
        )
    root = report.root_cause
    if root is None:
        return Content.styled(
            tr("Not known to be healthy: some layers could not be looked at."), "bold $text-accent"
        )
    title = next(rung.title for rung in RUNGS if rung.id == root.id)
    if report.fresh and report.not_yet(root):
        return Content.assemble(
            (tr("Not set up yet. "), "bold $text-warning"),
            tr("Set-up starts at: {title}.").format(title=title),
        )
    return Content.assemble(
        (tr("Root cause: {title}. ").format(title=title), "bold $text-error"),
        root.causes[0].title if root.causes else root.summary,
    )
