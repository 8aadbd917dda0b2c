"""A text on a screen of its own: a rung, a reason, a step, the help."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.screens.base import FullScreen


class Text(VerticalScroll):
    """A text that says how it is scrolled, where it is longer than the screen."""

    BINDINGS = [
        Binding("up", "scroll_up", "Scroll", key_display="Up/Down"),
        Binding("down", "scroll_down", "Scroll", show=False),
    ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not action.startswith("scroll_") or self.max_scroll_y > 0

    def watch_virtual_size(self) -> None:
        self.refresh_bindings()


class DetailScreen(FullScreen[None]):
    """Shows a text; arrows scroll, Esc goes back."""

    BINDINGS = [
        Binding("escape,q,enter,b", "close", "Back", key_display="Esc"),
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
        with Text():
            yield Static(self._detail.body, id="detail-text")

    def on_mount(self) -> None:
        self.query_one(Text).focus()

    def action_close(self) -> None:
        self.dismiss(None)
