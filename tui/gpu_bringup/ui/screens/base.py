"""What all screens share: the overlay for a terminal that is too small, and the bottom line."""

from __future__ import annotations

from typing import TypeVar

from textual.app import ComposeResult
from textual.screen import ModalScreen, Screen

from gpu_bringup.ui.widgets.key_bar import KeyBar
from gpu_bringup.ui.widgets.too_small import TooSmall

T = TypeVar("T")


class FullScreen(Screen[T]):
    """A screen of its own."""

    CSS = "FullScreen { layers: default small; }"

    def compose(self) -> ComposeResult:
        yield from self.contents()
        yield KeyBar()
        yield TooSmall()

    def contents(self) -> ComposeResult:
        """What the screen shows above the line of keys."""
        yield from ()


class Dialog(ModalScreen[T]):
    """A question over the screen below it."""

    DEFAULT_CSS = """
    Dialog { layers: default small; align: center middle; background: $background 60%; }
    Dialog > .box {
        width: 90%;
        max-width: 96;
        height: auto;
        max-height: 100%;
        background: $surface;
        border: round $primary;
        padding: 0 1;
    }
    """

    def compose(self) -> ComposeResult:
        yield from self.contents()
        yield KeyBar()
        yield TooSmall()

    def contents(self) -> ComposeResult:
        """The box."""
        yield from ()
