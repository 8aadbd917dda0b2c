"""What lies over everything while the terminal is too small; what is below stays as it is."""

from __future__ import annotations

from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.terminal import MIN_COLUMNS, MIN_ROWS


class TooSmall(Static):
    """Shown by CSS classes that follow the terminal's size."""

    DEFAULT_CSS = """
    TooSmall {
        display: none;
        layer: small;
        width: 100%;
        height: 100%;
        background: $background;
        content-align: center middle;
        text-align: center;
    }
    """

    def on_mount(self) -> None:
        self.on_resize()

    def on_resize(self) -> None:
        width, height = self.app.size
        self.update(
            tr(
                "needs at least {columns}x{rows}, has {width}x{height}\n\n"
                "Make the window larger; nothing is lost, and a run goes on."
            ).format(columns=MIN_COLUMNS, rows=MIN_ROWS, width=width, height=height)
        )
