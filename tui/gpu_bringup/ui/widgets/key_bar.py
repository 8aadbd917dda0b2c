"""The bottom line: the keys that work now, and no others."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.keys import Hint, hints

_FIRST = ("next", "back", "apply", "confirm", "take_over", "answer", "stop")
_LATE = ("top", "toggle_wrap", "search_again")
"""What is left out first where there is no room."""
_LAST = ("help", "leave")


class KeyBar(Static):
    """Reads the screen's active bindings whenever they change; translated when it is drawn.

    Where there is no room for all, those in the middle go, and the help, which has them all, says so.
    """

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; }
    """

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.show())
        self.call_after_refresh(self.show)

    def on_resize(self) -> None:
        self.show()

    def entries(self) -> list[tuple[str, str]]:
        """(key, what it does) of each binding that is shown and works now, in order."""
        return [(hint.shown, hint.text) for hint in self._ordered()]

    def _ordered(self) -> list[Hint]:
        found = {hint.action: hint for hint in reversed(hints(self.screen)) if hint.in_bar}
        found = dict(reversed(found.items()))
        middle = [found[a] for a in found if a not in (*_FIRST, *_LATE, *_LAST)]
        first, late, last = (
            [found[action] for action in group if action in found]
            for group in (_FIRST, _LATE, _LAST)
        )
        return [*first, *middle, *late, *last]

    def show(self) -> None:
        if not self.is_mounted or not self.screen.is_current:
            return
        entries = self.entries()
        width = self.content_region.width
        if self._width(entries) > width and any(text == tr("Help") for _, text in entries):
            more = [(key, tr("All keys") if text == tr("Help") else text) for key, text in entries]
            entries = more
        while len(entries) > 4 and self._width(entries) > width:
            entries.pop(-3)
        parts = [Content.assemble((key, "bold $text-accent"), f" {text}") for key, text in entries]
        self.update(Content("  ").join(parts))

    @staticmethod
    def _width(entries: list[tuple[str, str]]) -> int:
        texts = sum(cell_len(key) + cell_len(text) + 1 for key, text in entries)
        return texts + 2 * (len(entries) - 1)
