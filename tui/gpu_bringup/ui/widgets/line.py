"""One line of text that is drawn only when it changes."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Line(Static):
    """A ``Static`` of one row: setting the same text again costs nothing."""

    DEFAULT_CSS = "Line { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }"

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._shown = Content("")

    def show(self, text: Content | str) -> None:
        """Show this text."""
        content = text if isinstance(text, Content) else Content(text)
        if content != self._shown or content.spans != self._shown.spans:
            self._shown = content
            self.update(content, layout=False)
