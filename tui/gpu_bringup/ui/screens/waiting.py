"""The first page where a run is there already: what was done, what is left, and the ways on."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static

from gpu_bringup import engine, enrolling
from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.run.history import RunInfo
from gpu_bringup.run.launch import check_resumable
from gpu_bringup.run.take_over import Seat, started_by
from gpu_bringup.signing.report import Report
from gpu_bringup.ui import background, enrol_flow, enrol_text, waiting_text
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.enrol_text import asked_in, begun_in
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.screens.choose import Ways
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.screens.log import LogScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.waiting_run import model_of
from gpu_bringup.ui.words import hanging, heading, lines


class WaitingScreen(FullScreen["str | None"]):
    """Returns "attach", "resume", "undo" or "again" (ask the firmware); None: it is left for now.

    Args:
        found: the run.
        wizard: whose host is looked at for the proof, where the run asked for an enrolment.
    """

    BINDINGS = [Binding("escape,q", "close", "Leave it for now", key_display="Esc")]

    DEFAULT_CSS = """
    WaitingScreen #waiting-title { height: 1; padding: 0 1; background: $primary-background; }
    WaitingScreen #waiting-told { padding: 0 1; margin: 0 0 1 0; max-width: 100; }
    WaitingScreen #waiting-steps { height: auto; max-height: 1fr; padding: 0 1; }
    WaitingScreen #waiting-proof { height: auto; padding: 0 1; }
    WaitingScreen #waiting-heading, WaitingScreen Ways { padding: 0 1; }
    WaitingScreen #waiting-heading { margin-top: 1; }
    """

    def __init__(self, found: RunInfo, wizard: Wizard | None = None) -> None:
        super().__init__()
        self._found = found
        self._wizard = wizard
        self._report: Report | None = None
        self._model = model_of(found)
        self._rebooted = found.state != "reboot" or _resumable(found.folder)
        if self._rebooted:
            self._model.rebooted()

    def contents(self) -> ComposeResult:
        found, model, size = self._found, self._model, self.app.size
        who = waiting_text.begun(*started_by(found.folder))
        brief = size.height < 30
        yield Static(waiting_text.title(found.state), id="waiting-title", markup=False)
        yield Static(waiting_text.told(found.state, model, who, self._rebooted), id="waiting-told")
        with VerticalScroll(id="waiting-steps", can_focus=False):
            yield Static(waiting_text.steps_left(model, brief=brief))
        yield Static(id="waiting-proof")
        yield Static(heading(tr("What you can do")), id="waiting-heading")
        if not self._proves:
            yield self._ways()

    @property
    def _proves(self) -> bool:
        """Did the run ask for an enrolment that can be seen now?"""
        if self._found.state in ("failed", "cancelled"):
            return self._wizard is not None and begun_in(self._model)
        waited = self._found.state == "reboot" and self._rebooted
        return self._wizard is not None and waited and asked_in(self._model)

    def _ways(self) -> Ways:
        found, model, size = self._found, self._model, self.app.size
        brief = size.height < 30 and (len(model.steps) > 3 or self._report is not None)
        ways = waiting_text.ways(
            found.state,
            model,
            rebooted=self._rebooted,
            watched_by=Seat(found.folder).other(),
            report=self._report,
        )
        return Ways(ways, width=size.width, brief=brief)

    def on_mount(self) -> None:
        for ways in self.query(Ways):
            ways.focus()
        wizard = self._wizard
        if self._proves and wizard is not None:
            shown = self.query_one("#waiting-proof", Static)
            shown.update(tr("Looking whether the firmware took the key ..."))
            # The ways on depend on it: they come with it.
            background.start(
                self,
                lambda: enrolling.enrolment(engine.observe(wizard.host), wizard.catalogue),
                self._seen,
                "proof-of-enrolment",
            )

    def _seen(self, outcome: Outcome[Report]) -> None:
        report = self._report = outcome.value
        shown = self.query_one("#waiting-proof", Static)
        if report is None:
            shown.update(Content.styled(str(outcome.error), "bold $text-error"))
        else:
            parts = [enrol_text.headline(report)]
            if self._found.state == "reboot" or self.app.size.height >= 30:
                # Before the reboot nothing is proven: few rows go to what to do.
                parts.append(enrol_text.proof_lines(report))
            following = enrol_text.next_text(report)
            if following.plain and not enrol_text.can_ask_again(report):
                parts.append(following)
            shown.update(hanging(lines(parts), self.app.size.width - 3))
            if self.app.size.height < 30:
                # What counts now is the key; the steps have had their turn.
                self.query_one("#waiting-steps").display = False
            else:
                shown.styles.margin = (1, 0, 0, 0)
        ways = self._ways()
        self.mount(ways, after="#waiting-heading")
        ways.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id == "log":
            self.app.push_screen(LogScreen(self._found.folder / self._model.log))
        elif event.option.id == "rehearse" and self._wizard is not None:
            enrol_flow.rehearse(self, self._wizard)
        elif event.option.id == "console" and self._report is not None:
            body = enrol_text.no_console_text(self._report)
            self.app.push_screen(DetailScreen(Detail(tr("The console"), body)))
        else:
            self.dismiss(None if event.option.id == "leave" else event.option.id)

    def action_close(self) -> None:
        self.dismiss(None)


def _resumable(folder: Path) -> bool:
    try:
        check_resumable(folder)
    except BringupError:
        return False
    return True
