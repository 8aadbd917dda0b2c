"""A list of one-line items that keeps its place when its lines change."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.widgets.option_list import Option

from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.widgets.marked_list import MarkedList


class ItemList(MarkedList):
    """Shows items; arrows move, Enter opens."""

    BINDINGS = [Binding("enter", "select", "Open", key_display="Enter")]

    DEFAULT_CSS = """
    ItemList {
        height: 1fr;
        text-wrap: nowrap;
        text-overflow: ellipsis;
        & > .option-list--option-disabled { color: $text-primary; text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._items: dict[str, Item] = {}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "select" or self.chosen is not None

    def show(self, items: Sequence[Item]) -> None:
        """Show these items; where only texts changed, nothing moves."""
        ids = [item.id for item in items]
        if ids == list(self._items):
            for item in items:
                if item.line != self._items[item.id].line:
                    self.replace_option_prompt(item.id, item.line)
            self._items = {item.id: item for item in items}
            return
        kept = self.chosen
        self._items = {item.id: item for item in items}
        self.clear_options()
        self.add_options(
            [Option(item.line, id=item.id, disabled=item.detail is None) for item in items]
        )
        wanted = kept.id if kept is not None and kept.id in self._items else None
        first = wanted or next((item.id for item in items if item.detail is not None), None)
        if first is not None:
            self.highlighted = self.get_option_index(first)
        self.refresh_bindings()

    @property
    def chosen(self) -> Item | None:
        """The item under the cursor."""
        option = self.highlighted_option
        return self._items.get(option.id or "") if option is not None else None

    @property
    def detail(self) -> Detail | None:
        """What there is to say about the item under the cursor."""
        return self.chosen.detail if self.chosen is not None else None

    def go_to(self, item_id: str) -> None:
        """Put the cursor on an item; nothing where there is none of this id."""
        if item_id in self._items:
            self.highlighted = self.get_option_index(item_id)

    def item(self, item_id: str) -> Item | None:
        return self._items.get(item_id)
