"""MokManager's screens drawn for practice, with the words beside them. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.signing.rehearsal import WINDOW_SECONDS
from gpu_bringup.signing.report import Report
from gpu_bringup.signing.walk import FIRST, PASSWORD, Walk
from gpu_bringup.ui.words import MUTED, WARN, heading, lines, paragraphs

WIDTH = 76
"""Cells of the drawn screen: it fits into 80 columns."""
_BYTES_A_ROW = 10
_CHOSEN = "reverse"
"""MokManager marks by colour alone; the > is for terminals without."""


def fingerprint_rows(fingerprint: str) -> list[str]:
    """The twenty bytes of a SHA-1, ten a row; empty: it isn't known yet."""
    found = fingerprint.upper().split(":") if fingerprint else []
    return [
        ":".join(found[begin : begin + _BYTES_A_ROW])
        for begin in range(0, len(found), _BYTES_A_ROW)
    ]


def _box(title: str, rows: list[Content | str]) -> Content:
    inner = WIDTH - 2
    edge = "─" * inner
    drawn: list[Content | str] = [f"┌{edge}┐", f"│{title.center(inner)}│", f"├{edge}┤"]
    for row in rows:
        text = row if isinstance(row, Content) else Content(row)
        drawn.append(Content.assemble("│", text.pad_right(max(0, inner - text.cell_length)), "│"))
    drawn.append(f"└{edge}┘")
    return lines(drawn)


def screen_text(walk: Walk, report: Report, seconds: int | None) -> Content:
    """What the console would show now.

    Args:
        seconds: what is left of the first screen's time; None: the clock doesn't run.
    """
    screen = walk.screen
    blank = ""
    if walk.missed:
        return _box("", [blank, "   (the system starts)", blank])
    if walk.viewing:
        sums = fingerprint_rows(report.fingerprint) or [tr("(known once the key is there)")]
        name = report.subject or tr("(this host's key)")
        return _box(
            "View key 0",
            [blank, f"   Subject: CN={name}"[: WIDTH - 2], "   SHA-1 fingerprint:",
             *(f"     {row}" for row in sums), blank],
        )  # fmt: skip
    if walk.at == FIRST:
        left = WINDOW_SECONDS if seconds is None else seconds
        inner = WIDTH - 2
        return _box(
            screen.title,
            [blank, "Press any key to perform MOK management".center(inner), blank,
             f"Booting in {left} seconds".center(inner), blank],
        )  # fmt: skip
    if walk.at == PASSWORD:
        return _box("Enroll the key(s)?", [blank, "   Password: ", blank])
    rows = [
        Content.styled(f"> {choice} ", _CHOSEN)
        if number == walk.cursor
        else Content(f"  {choice} ")
        for number, choice in enumerate(screen.choices)
    ]
    return _box(screen.title, [blank, *(Content.assemble("   ", row) for row in rows), blank])


def beside(walk: Walk, seconds: int | None) -> Content:
    """What to press here and why, or what the wrong key would have done."""
    if walk.missed:
        again = tr("Press a key to begin at the first screen again.")
        return paragraphs([Content.styled(walk.said, WARN), Content.styled(again, "bold")])
    if walk.viewing:
        told = tr("Compare it with the fingerprint above. Any key goes back.")
        return Content.styled(told, "bold")
    said = Content.styled(walk.said, WARN) if walk.said else Content("")
    press = Content.assemble((tr("Press: "), "bold"), (walk.screen.keys, "bold"))
    parts: list[Content | str] = [said, press, walk.screen.why]
    if walk.at == PASSWORD:
        parts.insert(1, _typed(walk.typed))
    if walk.at == FIRST and seconds is None:
        parts.append(
            Content.styled(tr("The seconds stand still here; c lets them count down."), MUTED)
        )
    if walk.screen.wrong and not walk.said:
        parts.append(Content.styled(walk.screen.wrong, MUTED))
    return lines([part for part in parts if not isinstance(part, Content) or part.plain])


def _typed(count: int) -> Content:
    text = tr("Typed so far: {count}. Any word will do here; it is not kept.").format(count=count)
    return Content.styled(text, MUTED)


def head(walk: Walk, report: Report) -> Content:
    """Which screen it is, and the key that it is about."""
    if walk.over:
        where = tr("Rehearsal: done")
    else:
        where = tr("Rehearsal: screen {at} of {count}. Nothing of this machine is changed.").format(
            at=walk.at + 1, count=len(walk.screens)
        )
    if not report.fingerprint:
        key = tr("This host's signing key is made in the run; its fingerprint is shown then.")
    else:
        key = tr("Your key's SHA-1: {sum}").format(sum=report.fingerprint.upper())
    return lines([Content.styled(where, "bold"), Content.styled(key, MUTED)])


def end_text(walk: Walk, report: Report) -> Content:
    """After the last screen: that was all, and where it will be seen."""
    return paragraphs(
        [
            Content.styled(tr("This is all."), "bold $text-success"),
            walk.said,
            tr(
                "In earnest the machine restarts now and the kernel takes the driver. Start gpu-bringup "
                "again then: it shows the proof."
            ),
            lines([heading(tr("Where you will see these screens")), *report.console_words]),
        ]
    )
