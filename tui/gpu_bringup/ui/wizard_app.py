"""The wizard as a Textual application: theme, size classes, and what holds on every screen."""

from __future__ import annotations

import gc
import os
import select
import threading
from collections.abc import Sequence

from textual import events
from textual.app import App
from textual.filter import LineFilter
from textual.screen import Screen

from gpu_bringup.ui.closing import TORN_DOWN
from gpu_bringup.ui.no_controls import NoControls
from gpu_bringup.ui.plain_glyphs import PlainGlyphs
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.style import BASIC, BASIC_VARIABLES, CSS, DARK
from gpu_bringup.ui.terminal import MIN_COLUMNS, MIN_ROWS, Terminal

_LOOK_SECONDS = 1.0


def hung_up(descriptor: int) -> bool:
    """Is nobody on the other side of this terminal any more?"""
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(found & (select.POLLHUP | select.POLLNVAL) for _, found in poll.poll(0))


class WizardApp(App[int]):
    """Returns the wizard's exit status."""

    TITLE = "gpu-bringup"
    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-few-columns"), (MIN_COLUMNS, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-few-rows"), (MIN_ROWS, "-short"), (30, "-tall"), (34, "-high")]

    def __init__(self, wizard: Wizard, terminal: Terminal | None = None) -> None:
        how = terminal or Terminal(basic=wizard.basic)
        # Decided before anything is drawn: a later switch leaves letters on their own colour.
        super().__init__(ansi_color=how.basic or None)
        self.wizard = wizard
        self._glyphs: list[LineFilter] = [NoControls()]
        if how.basic:
            self._glyphs.append(PlainGlyphs(ascii_only=how.ascii_only))
        self.register_theme(DARK)
        self.theme = BASIC if how.basic else DARK.name
        self.set_class(how.basic, "-basic")

    def _handle_exception(self, error: Exception) -> None:
        """Whatever a handler, a timer or a callback of any widget raised.

        While the wizard closes, its widgets go before their last messages come (see ``closing``).
        """
        if isinstance(error, TORN_DOWN) and (self._exit or not self.is_running):
            return
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        """A fault of this program ends the wizard; ``run_wizard`` raises it, nothing is drawn of it.

        Textual would print a traceback with the values of local variables, an answer among them.
        """
        self._close_messages_no_wait()

    @property
    def fault(self) -> Exception | None:
        """What ended the wizard, where it was a fault of this program."""
        return self._exception

    def get_line_filters(self) -> Sequence[LineFilter]:
        return [*super().get_line_filters(), *self._glyphs]

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {**super().get_theme_variable_defaults(), **BASIC_VARIABLES}

    async def action_quit(self) -> None:
        """Ctrl-Q is q: it asks as well where a run is under way."""
        await self._leave()

    def action_help_quit(self) -> None:
        """Ctrl-C closes what lies on top."""
        self.call_later(self._leave)

    async def _leave(self) -> None:
        for action in ("close", "leave"):
            if await self.run_action(action, self.screen):
                return

    def on_mount(self) -> None:
        self.push_screen(self.first_screen())
        # ``run_wizard`` switched it off for the start.
        self.call_after_refresh(gc.enable)
        if not self.is_headless:
            self.set_interval(_LOOK_SECONDS, self._look_at_terminal)

    def _look_at_terminal(self) -> None:
        """End where the terminal is gone and nobody sent a hangup; a run goes on by itself.

        Reading from such a terminal returns at once, for ever: that would keep a processor busy.
        """
        if not hung_up(0):
            return
        # Giving the terminal back can't succeed, and may wait for it.
        last = threading.Timer(_LOOK_SECONDS * 3, os._exit, (1,))
        last.daemon = True
        last.start()
        self.exit(1)

    def first_screen(self) -> Screen[None]:
        """The screen that it begins with."""
        return WizardScreen(self.wizard)

    @property
    def too_small(self) -> bool:
        """Does the overlay hide what keys would do?"""
        return self.size.width < MIN_COLUMNS or self.size.height < MIN_ROWS

    async def on_event(self, event: events.Event) -> None:
        # Nobody shall press what isn't seen.
        if isinstance(event, events.Key) and self.too_small and event.key != "ctrl+c":
            event.stop()
            return
        await super().on_event(event)
