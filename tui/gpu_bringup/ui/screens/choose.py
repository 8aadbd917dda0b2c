"""A question with a few answers: numbers or arrows, Enter takes, Esc leaves it as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from gpu_bringup.ui.screens.base import Dialog
from gpu_bringup.ui.widgets.marked_list import MarkedList
from gpu_bringup.ui.words import MUTED

_AROUND = 7
"""Rows of the dialog that are neither its text nor its answers: borders, question, key line, one
label that goes on in a second row."""
_LEAST_ABOUT = 4


@dataclass(frozen=True, slots=True)
class Way:
    """One answer."""

    id: str
    label: str
    about: str = ""


class Ways(MarkedList):
    """Numbered answers.

    Args:
        width: columns of the terminal.
        brief: leave out what there is to say about each, where rows are scarce.
    """

    BINDINGS = [
        Binding("enter", "select", "Take it"),
        *(
            Binding(f"{number}", f"pick({number})", "Take it", show=False)
            for number in range(1, 10)
        ),
    ]

    DEFAULT_CSS = """
    Ways { height: auto; max-height: 16; }
    """

    def __init__(
        self, ways: Sequence[Way], *, width: int, chosen: str = "", brief: bool = False
    ) -> None:
        lines = [self._line(number, way, width, brief) for number, way in enumerate(ways, 1)]
        super().__init__(*(Option(line, id=way.id) for line, way in zip(lines, ways, strict=True)))
        self._ids = [way.id for way in ways]
        self._chosen = chosen

    @staticmethod
    def _line(number: int, way: Way, width: int, brief: bool) -> Content:
        line = Content.assemble((f"{number}  ", "bold"), way.label)
        # Wrapped here, so that what follows stands below the label and not below its number.
        room = max(30, min(width, 96) - 15)
        for row in () if brief else textwrap.wrap(way.about, room):
            line += Content.styled(f"\n   {row}", MUTED)
        return line

    def on_mount(self) -> None:
        if self._chosen in self._ids:
            self.highlighted = self._ids.index(self._chosen)
        elif self._ids:
            self.highlighted = 0

    def shown_key(self, action: str) -> str:
        """The numbers that there are stand beside Enter."""
        return f"Enter/1-{len(self._ids)}" if action == "select" and len(self._ids) > 1 else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return action != "pick" or parameters[0] in range(1, len(self._ids) + 1)

    def action_pick(self, number: int) -> None:
        """Take the answer of this number."""
        self.highlighted = number - 1
        self.action_select()


class ChooseScreen(Dialog["str | None"]):
    """Returns the id of the chosen answer; None: left as it was."""

    BINDINGS = [
        Binding("escape,q", "close", "Leave it", key_display="Esc"),
        Binding("pagedown", "read(1)", "Read on", key_display="PgDn", priority=True),
        Binding("pageup", "read(-1)", "Read back", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    ChooseScreen .question { text-style: bold; }
    ChooseScreen .about { margin-bottom: 1; height: auto; }
    """

    def __init__(
        self, question: str, about: Content | str, ways: Sequence[Way], *, chosen: str = ""
    ) -> None:
        super().__init__()
        self._question = question
        self._about = about
        self._ways = ways
        self._chosen = chosen

    def contents(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._question, classes="question", markup=False)
            # Every answer must be seen: on few rows what is said about each goes first, and what is
            # said above them scrolls.
            width, height = self.app.size
            rows = sum(2 if way.about else 1 for way in self._ways)
            brief = height < 30 and rows > 7
            with VerticalScroll(classes="about", can_focus=False) as about:
                about.styles.max_height = max(
                    _LEAST_ABOUT, height - _AROUND - (len(self._ways) if brief else rows)
                )
                yield Static(self._about, markup=False)
            yield Ways(self._ways, width=width, chosen=self._chosen, brief=brief)

    def on_mount(self) -> None:
        self.query_one(Ways).focus()
        self.call_after_refresh(self.refresh_bindings)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        # Only where there is more to read than is seen.
        return action != "read" or any(box.max_scroll_y for box in self.query(".about"))

    def action_read(self, pages: int) -> None:
        """Scroll what is said above the answers."""
        about = self.query_one(".about", VerticalScroll)
        step = max(1, about.size.height - 1)
        about.scroll_relative(y=pages * step, animate=False, immediate=True)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option.id)

    def action_close(self) -> None:
        self.dismiss(None)
