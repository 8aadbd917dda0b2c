"""A whole log file, read in pieces; follows it while it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.app import ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.log_tail import LogTail
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.widgets.tail_view import TailView

_KEPT = 100_000
_EVERY = 0.1


class LogScreen(FullScreen[None]):
    """Shows a log; ``/`` searches, ``w`` wraps, End follows."""

    BINDINGS = [
        Binding("escape,q,l", "close", "Back", key_display="Esc"),
        Binding("slash", "search", "Search", key_display="/"),
    ]

    DEFAULT_CSS = (
        "LogScreen #log-title { height: 1; padding: 0 1; background: $primary-background; }"
    )

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._tail = LogTail(path)

    def contents(self) -> ComposeResult:
        yield Static(str(self._path), id="log-title", markup=False)
        yield TailView(kept=_KEPT)

    def on_mount(self) -> None:
        self.query_one(TailView).focus()
        self._read()
        self.set_interval(_EVERY, self._read)

    def _read(self) -> None:
        lines = self._tail.read()
        if lines:
            self.query_one(TailView).add_lines(lines)

    def action_search(self) -> None:
        ask_search(self, self.query_one(TailView))

    def action_close(self) -> None:
        self.dismiss(None)


def ask_search(screen: Screen[Any], view: TailView) -> None:
    """Ask for a text and go to its last occurrence in ``view``."""

    def found(text: str | None) -> None:
        if text is None:
            return
        count = view.search(text)
        if text:
            screen.notify(tr("{count} lines have it").format(count=count), timeout=3)

    screen.app.push_screen(
        AskScreen(tr("Search in the output"), tr("An empty text ends the search.")), found
    )
