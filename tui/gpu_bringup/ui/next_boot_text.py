"""The table of the next boot as styled text. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.next_boot import BAD as BROKEN
from gpu_bringup.next_boot import COLUMNS, NOT_NEEDED, UNKNOWN, KernelRow, NextBoot
from gpu_bringup.next_boot import OK as GOOD
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, lines, paragraphs

_STYLES = {GOOD: OK, BROKEN: BAD, UNKNOWN: ASIDE, NOT_NEEDED: MUTED}
_MARKS = {GOOD: "+", BROKEN: "X", UNKNOWN: "?", NOT_NEEDED: "-"}
_VERDICTS = {"yes": OK, "no": BAD, "unknown": ASIDE}


def _title(column: str) -> str:
    return {
        "headers": tr("headers"),
        "module": tr("module"),
        "signature": tr("signature"),
        "initramfs": tr("initramfs"),
        "unblocked": tr("other drivers"),
    }[column]


def _roles(row: KernelRow) -> str:
    words = []
    if row.once:
        words.append(tr("next boot only"))
    if row.default is True:
        words.append(tr("default"))
    if row.running:
        words.append(tr("running"))
    return ", ".join(words)


def _kernel(row: KernelRow) -> Content:
    roles = _roles(row)
    head = Content.assemble((row.release, "bold"), (f"  {roles}" if roles else "", MUTED))
    cells = [
        Content.assemble(
            (f"  {_MARKS[row.cell(name).state]} ", _STYLES[row.cell(name).state]),
            (f"{_title(name):<14} ", MUTED),
            (row.cell(name).text, _STYLES[row.cell(name).state]),
        )
        for name in COLUMNS
    ]
    return lines([head, *cells])


def next_boot_text(found: NextBoot) -> Content:
    """The verdict first, then each kernel with what speaks for and against it."""
    verdict = Content.styled(found.sentence, _VERDICTS[found.verdict])
    advice = [Content.styled(found.advice, MUTED)] if found.advice else []
    return paragraphs([lines([verdict, *advice]), *(_kernel(row) for row in found.rows)])
