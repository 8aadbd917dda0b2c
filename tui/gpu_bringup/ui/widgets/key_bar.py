"""The bottom line: the keys that work now, and no others."""

from __future__ import annotations

from rich.cells import cell_len
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr

_FIRST = ("next", "back", "apply", "confirm")
_LAST = ("help", "leave")


class KeyBar(Static):
    """Reads the screen's active bindings whenever they change; translated when it is drawn.

    A screen's ``idle_actions()`` names actions whose key would only say why it does nothing now.
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
        found: dict[str, tuple[str, str]] = {}
        idle: frozenset[str] = getattr(self.screen, "idle_actions", frozenset)()
        for key, active in self.screen.active_bindings.items():
            binding = active.binding
            if (
                binding.show
                and active.enabled
                and binding.description
                and binding.action not in idle
            ):
                shown = (binding.key_display or key, tr(binding.description))
                found.setdefault(binding.action, shown)
        first = [found[action] for action in _FIRST if action in found]
        last = [found[action] for action in _LAST if action in found]
        middle = [entry for action, entry in found.items() if action not in (*_FIRST, *_LAST)]
        return [*first, *middle, *last]

    def show(self) -> None:
        if not self.is_mounted or not self.screen.is_current:
            return
        entries = self.entries()
        width = self.content_region.width
        # Where there is no room, those in the middle go first: n, b, ? and q stay.
        while len(entries) > 4 and self._width(entries) > width:
            entries.pop(-3)
        parts = [Content.assemble((key, "bold $text-accent"), f" {text}") for key, text in entries]
        self.update(Content("  ").join(parts))

    @staticmethod
    def _width(entries: list[tuple[str, str]]) -> int:
        return sum(cell_len(key) + cell_len(text) + 1 for key, text in entries) + 2 * len(entries)
