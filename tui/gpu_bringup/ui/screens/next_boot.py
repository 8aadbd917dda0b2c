"""Will it survive the next boot? The same table and verdict as ``gpu-bringup check --next-boot``."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gpu_bringup import engine
from gpu_bringup.i18n import tr
from gpu_bringup.next_boot import NextBoot
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.next_boot_text import next_boot_text
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.state import Wizard


class NextBootScreen(FullScreen[None]):
    """Looks into each kernel's initramfs in the background, then shows the table."""

    BINDINGS = [Binding("escape,q,s", "close", "Back", key_display="Esc")]

    DEFAULT_CSS = """
    NextBootScreen .title { height: 1; padding: 0 1; background: $primary-background; }
    NextBootScreen VerticalScroll { padding: 0 1; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self._wizard = wizard

    def contents(self) -> ComposeResult:
        yield Static(tr("Will it survive the next boot?"), classes="title", markup=False)
        with VerticalScroll():
            yield Static(tr("Reading each kernel's initramfs ... nothing is changed."), id="table")

    def on_mount(self) -> None:
        wizard, facts = self._wizard, self._wizard.facts
        if facts is None:
            self.query_one("#table", Static).update(tr("This server was not looked at yet."))
            return
        background.start(
            self,
            lambda: engine.next_boot(wizard.host, facts, wizard.catalogue),
            self._judged,
            "next-boot",
        )

    def _judged(self, outcome: Outcome[NextBoot]) -> None:
        shown = self.query_one("#table", Static)
        if outcome.value is None:
            shown.update(Content.styled(str(outcome.error), "bold $text-error"))
        else:
            shown.update(next_boot_text(outcome.value))

    def action_close(self) -> None:
        self.dismiss(None)
