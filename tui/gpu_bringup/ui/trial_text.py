"""Trial builds in words: a line a candidate and a line a kernel. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.trial import TrialEvent
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.words import BAD, MUTED, OK, WARN, column, paragraphs, section


def trial_items(events: Sequence[TrialEvent]) -> list[Item]:
    """What happened, in order; a candidate's later events stand below it."""
    items = []
    for index, event in enumerate(events):
        if event.kind == "candidate":
            line = Content.styled(event.candidate, "bold")
        elif event.kind == "result":
            word, style = (tr("compiles"), OK) if event.passed else (tr("DOES NOT COMPILE"), BAD)
            line = Content.assemble((f"  {word}", style), f" {event.kernel}: {event.text}")
        elif event.kind == "rejected":
            line = Content.assemble((f"  {tr('next candidate')}", WARN), f": {event.text}")
        elif event.kind == "chosen":
            line = Content.assemble((f"  {tr('chosen')}", OK), f": {event.text}")
        else:
            where = f" ({event.kernel})" if event.kernel else ""
            line = Content.styled(f"  {event.text}{where}", MUTED)
        items.append(Item(f"e{index}", line, _detail(event)))
    return items


def _detail(event: TrialEvent) -> Detail:
    return Detail(
        column(event.candidate, 60).rstrip(),
        paragraphs(
            [
                section(tr("Kernel"), event.kernel),
                event.text,
                section(tr("Log (l opens it)"), event.log),
            ]
        ),
    )


def log_of(events: Sequence[TrialEvent], item_id: str) -> str:
    """The log of a line of ``trial_items``, else the newest one; empty: there is none."""
    if item_id.startswith("e") and int(item_id[1:]) < len(events):
        log = events[int(item_id[1:])].log
        if log:
            return log
    return next((event.log for event in reversed(events) if event.log), "")
