"""A list whose cursor is seen without colours too."""

from __future__ import annotations

from rich.style import Style
from textual.strip import Strip
from textual.widgets import OptionList

_REVERSE = Style(reverse=True)


class MarkedList(OptionList):
    """In basic mode the line under the cursor is reversed, whatever colours its words have."""

    DEFAULT_CSS = """
    MarkedList {
        border: none;
        padding: 0;
        background: transparent;
        scrollbar-size-vertical: 1;
        &:focus { border: none; background-tint: transparent; }
    }
    """

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if not self.has_focus or not self.app.has_class("-basic"):
            return strip
        first = next(iter(strip), None)
        meta = first.style.meta if first is not None and first.style is not None else {}
        if self.highlighted is not None and meta.get("option") == self.highlighted:
            return strip.apply_style(_REVERSE)
        return strip
