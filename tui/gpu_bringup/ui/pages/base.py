"""What all pages share. A page shows a step of the wizard; the screen around it moves between them."""

from __future__ import annotations

from typing import ClassVar

from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList

from gpu_bringup.i18n import tr
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane


class Page(Vertical):
    """One step.

    ``enter`` is called each time it is shown, ``blocked`` before the screen goes on.
    """

    STEP: ClassVar[str] = ""

    DEFAULT_CSS = "Page { padding: 0 1; height: 1fr; }"

    class Changed(Message):
        """Something that rail, header or keys show has changed."""

    class GoTo(Message):
        """The page asks to be left for another step."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(id=f"page-{self.STEP}")
        self.wizard = wizard

    def enter(self) -> None:
        """The page is on the screen now."""

    def blocked(self) -> str:
        """Why one can't go on from here yet; empty: one can."""
        return ""

    def help(self) -> Detail:
        """What this step is for and what its keys do."""
        return Detail(tr("Help"), Content(""))

    def first_focus(self) -> None:
        """Put the cursor where an operator expects it."""
        for widget in self.query(ItemList):
            if widget.display:
                widget.focus()
                return

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if isinstance(event.option_list, ItemList):
            self.show_why(event.option_list)

    def show_why(self, items: ItemList) -> None:
        """Show beside the list what its line under the cursor means."""
        for pane in self.query(WhyPane):
            pane.show(items.detail)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        if isinstance(event.option_list, ItemList) and event.option.id:
            event.stop()
            self.open_item(event.option_list, event.option.id)

    def open_item(self, items: ItemList, item_id: str) -> None:
        """Enter on a line: its whole text, unless the page has something better."""
        from gpu_bringup.ui.screens.detail import DetailScreen

        item = items.item(item_id)
        if item is not None and item.detail is not None:
            self.app.push_screen(DetailScreen(item.detail))
