"""What undo will have, and what it can't take back, told before anything is done. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from gpu_bringup.export.words import size
from gpu_bringup.i18n import tr
from gpu_bringup.ui.words import BAD, WARN, lines

if TYPE_CHECKING:
    from gpu_bringup.run.store import Estimate

_MISSING_SHOWN = 3


def no_room(kept: Estimate | None, *, makes_room: bool) -> bool:
    """Would the run stop at once, because what is kept for undo doesn't fit?

    Args:
        makes_room: the plan frees space first; what fits then is seen after that.
    """
    return kept is not None and bool(kept.packages) and kept.too_big and not makes_room


def kept_text(kept: Estimate | None, *, makes_room: bool) -> Content:
    """What is kept before the first change, with its size; empty where nothing is."""
    if kept is None or not kept.packages:
        return Content("")
    count = tr("1 old package") if kept.packages == 1 else tr("{count} old packages")
    told = count.format(count=kept.packages) + (f", {size(kept.bytes)}" if kept.bytes else "")
    if no_room(kept, makes_room=makes_room):
        text = tr("! No room to keep {what} for undo: {free} are free.")
        return Content.styled(text.format(what=told, free=size(kept.free)), BAD)
    text = tr("Kept for undo first: {what} ({free} free).").format(what=told, free=size(kept.free))
    rows = [Content(text)]
    rows += [
        Content.styled(
            tr("! {name} {version} is in no repository any more: undo can't bring it back.").format(
                name=name, version=version
            ),
            WARN,
        )
        for name, version in kept.missing[:_MISSING_SHOWN]
    ]
    more = len(kept.missing) - _MISSING_SHOWN
    if more > 0:
        rows.append(Content.styled(tr("! ... and {count} more").format(count=more), WARN))
    return lines(rows)


def cannot_text(told: Sequence[str]) -> Content:
    """What no undo takes back."""
    return lines(
        Content.styled(tr("! Can't be undone: {what}").format(what=text), WARN) for text in told
    )
