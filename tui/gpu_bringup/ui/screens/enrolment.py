"""Where the enrolment of the signing key stands: the proof, the next thing to do, and its keys."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import Static

from gpu_bringup import enrolling
from gpu_bringup.i18n import tr
from gpu_bringup.ui import enrol_text
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.state import Wizard


class EnrolmentScreen(FullScreen["str | None"]):
    """Returns "again" or "rehearse"; None: left."""

    BINDINGS = [
        Binding("r", "rehearse", "Rehearse the screens"),
        Binding("a", "again", "Ask the firmware again"),
        Binding("escape,q", "close", "Back", key_display="Esc"),
    ]

    DEFAULT_CSS = """
    EnrolmentScreen .title { height: 1; padding: 0 1; background: $primary-background; }
    EnrolmentScreen VerticalScroll { padding: 0 1; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        assert wizard.facts is not None
        self._wizard = wizard
        self._report = enrolling.enrolment(wizard.facts, wizard.catalogue)

    def contents(self) -> ComposeResult:
        yield Static(tr("Secure Boot: the signing key"), classes="title", markup=False)
        with VerticalScroll():
            yield Static(enrol_text.report_text(self._report))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "again":
            return enrol_text.can_ask_again(self._report) and not self._wizard.recorded
        if action == "rehearse":
            return enrol_text.concerns(self._report) or enrol_text.can_ask_again(self._report)
        return True

    def action_rehearse(self) -> None:
        self.dismiss("rehearse")

    def action_again(self) -> None:
        self.dismiss("again")

    def action_close(self) -> None:
        self.dismiss(None)
