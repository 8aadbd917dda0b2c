"""The pane beside a list: what the line under the cursor means. Only where there is room."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.ui.details import Detail


class WhyPane(VerticalScroll, can_focus=False):
    """Shows one ``Detail``; the whole of it opens with Enter."""

    DEFAULT_CSS = """
    WhyPane {
        display: none;
        width: 40%;
        min-width: 30;
        max-width: 60;
        border-left: solid $panel-lighten-2;
        padding: 0 1;
        scrollbar-size-vertical: 1;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        # Made here: a list beside it may have a line under its cursor before this pane is composed.
        self._text = Static(id="why-text")

    def compose(self) -> ComposeResult:
        yield self._text

    def show(self, detail: Detail | None) -> None:
        """Show a text, from its beginning; None: nothing."""
        if detail is None:
            self._text.update("")
            return
        self._text.update(Content.styled(detail.title, "bold") + Content("\n\n") + detail.body)
        if self.is_mounted:
            self.scroll_home(animate=False)
