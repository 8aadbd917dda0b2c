"""A progress bar of plain characters, with what is being done and the time that is left."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.export.words import duration
from gpu_bringup.i18n import tr
from gpu_bringup.ui.widgets.line import Line
from gpu_bringup.ui.words import ASIDE, MUTED

_CELLS = 20


def progress_text(fraction: float | None, text: str, remaining: float | None) -> Content:
    """ "[#####...............] 25 %  unpacking x  about 3 min left"; honest where unknown."""
    if fraction is None:
        return Content.styled(text or tr("working; how far it is can't be told"), MUTED)
    filled = round(max(0.0, min(1.0, fraction)) * _CELLS)
    left = (
        tr("about {time} left").format(time=duration(round(remaining)))
        if remaining is not None
        else ""
    )
    return Content.assemble(
        "[",
        ("#" * filled, ASIDE),
        ("." * (_CELLS - filled), MUTED),
        f"] {fraction:4.0%}  ",
        text,
        ("   " if text and left else "") + left,
    )


class ProgressLine(Line):
    """One line of progress."""

    def progress(
        self, fraction: float | None, text: str = "", remaining: float | None = None
    ) -> None:
        """``fraction`` 0 to 1 (None: not known); ``remaining`` in seconds (None: not known)."""
        self.show(progress_text(fraction, text, remaining))
