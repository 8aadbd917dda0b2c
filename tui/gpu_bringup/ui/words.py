"""Words, marks and colours of states: a colour never stands alone. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import set_cell_size
from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.ladder import State
from gpu_bringup.model.target import Verdict

OK, BAD, WARN, ASIDE, MUTED = (
    "$text-success",
    "bold $text-error",
    "$text-warning",
    "$text-accent",
    "$muted",
)
"""Styles by meaning; the theme says which colours these are."""

STATE_STYLES = {
    State.OK: OK,
    State.BROKEN: BAD,
    State.BLOCKED: WARN,
    State.UNKNOWN: ASIDE,
    State.SKIPPED: MUTED,
}
_STATE_MARKS = {
    State.OK: "+",
    State.BROKEN: "X",
    State.BLOCKED: "^",
    State.UNKNOWN: "?",
    State.SKIPPED: "-",
}
VERDICT_STYLES = {Verdict.OK: OK, Verdict.VIOLATED: BAD, Verdict.UNKNOWN: ASIDE}


def state_word(state: State) -> str:
    """The same words as ``gpu-bringup check`` prints."""
    return {
        State.OK: tr("holds"),
        State.BROKEN: tr("BROKEN"),
        State.BLOCKED: tr("follows"),
        State.UNKNOWN: tr("unknown"),
        State.SKIPPED: tr("not here"),
    }[state]


def state_mark(state: State) -> str:
    """One ASCII character for a state, readable without colours and by any console."""
    return _STATE_MARKS[state]


def state_meaning(state: State) -> str:
    """What the word of a state means, for people who see it the first time."""
    return {
        State.OK: tr("This layer was looked at and is as it should be."),
        State.BROKEN: tr(
            "This layer isn't as it should be. The lowest broken one is mended first."
        ),
        State.BLOCKED: tr("It doesn't hold either, but because a layer below it is broken."),
        State.UNKNOWN: tr("It could not be found out; the evidence says why."),
        State.SKIPPED: tr("It doesn't apply to this host, or is seen later."),
    }[state]


def verdict_word(verdict: Verdict) -> str:
    """The same words as ``gpu-bringup recommend`` prints."""
    return {
        Verdict.OK: tr("ok"),
        Verdict.VIOLATED: tr("AGAINST"),
        Verdict.UNKNOWN: tr("unknown"),
    }[verdict]


def column(text: str, width: int) -> str:
    """``text`` cut or filled to ``width`` cells, wide characters counted as two."""
    return set_cell_size(text, width)


def paragraphs(parts: Iterable[Content | str]) -> Content:
    """Parts, each a paragraph, a blank line between them; empty ones are left out."""
    kept = [part if isinstance(part, Content) else Content(part) for part in parts]
    return Content("\n\n").join([part for part in kept if part.plain])


def lines(parts: Iterable[Content | str]) -> Content:
    """Parts, a line each."""
    return Content("\n").join(
        [part if isinstance(part, Content) else Content(part) for part in parts]
    )


def hanging(text: Content, width: int) -> Content:
    """Wrap each line at ``width`` cells so that what follows stands below where the line begins.

    A line that is indented hangs two cells further, so that a wrapped one is told from a new one.
    """
    rows: list[Content] = []
    for line in text.split("\n", allow_blank=True):
        indent = len(line.plain) - len(line.plain.lstrip(" "))
        hang = indent + 2
        first, *rest = line.wrap(max(20, width)) or [line]
        rows.append(first)
        if rest:
            left = line[len(first.plain) :]
            left = left[len(left.plain) - len(left.plain.lstrip(" ")) :]
            rows += [Content(" " * hang) + row for row in left.wrap(max(20, width - hang))]
    return lines(rows)


def heading(text: str) -> Content:
    """A heading within a text."""
    return Content.styled(text, "bold $text-primary")


def section(title: str, body: Content | str) -> Content:
    """A heading with its text; empty where there is no text."""
    text = body if isinstance(body, Content) else Content(body)
    return lines([heading(title), text]) if text.plain else Content("")


def links(sources: Iterable[str]) -> Content:
    """Addresses, a line each."""
    return lines([Content.styled(source, MUTED) for source in sources])


def clock(seconds: float) -> str:
    """ "0:07", "12:34", "1:02:03"."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    if hours:
        return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{rest // 60}:{rest % 60:02d}"
