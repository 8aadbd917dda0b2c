"""A text on a screen of its own: a rung, a reason, a step, the help."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.screens.base import FullScreen


class DetailScreen(FullScreen[None]):
    """Shows a text; arrows scroll, Esc goes back."""

    BINDINGS = [
        Binding("escape,q,enter,b", "close", "Back", key_display="Esc"),
        Binding("up,down", "nothing", "Scroll", key_display="Up/Down"),
    ]

    DEFAULT_CSS = """
    DetailScreen #detail-title { height: 1; padding: 0 1; background: $primary-background; }
    DetailScreen VerticalScroll { padding: 1 2; scrollbar-size-vertical: 1; }
    DetailScreen #detail-text { max-width: 96; }
    """

    def __init__(self, detail: Detail) -> None:
        super().__init__()
        self._detail = detail

    def contents(self) -> ComposeResult:
        yield Static(self._detail.title, id="detail-title", markup=False)
        with VerticalScroll():
            yield Static(self._detail.body, id="detail-text")

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_close(self) -> None:
        self.dismiss(None)
