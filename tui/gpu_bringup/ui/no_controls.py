"""Nothing that a record or a log holds may steer the terminal: control characters are not drawn."""

from __future__ import annotations

import re

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

# C0 and C1 controls and DEL (ECMA-48): what a terminal obeys instead of showing it.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class NoControls(LineFilter):
    """Takes control characters out of whatever is about to be drawn."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments without them; Textual's own control segments stay."""
        return [
            Segment(_CONTROLS.sub("", segment.text), segment.style)
            if segment.control is None and _CONTROLS.search(segment.text)
            else segment
            for segment in segments
        ]
