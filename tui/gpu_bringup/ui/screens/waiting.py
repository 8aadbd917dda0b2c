"""The first page where a run is there already: what was done, what is left, and the ways on."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.widgets import OptionList, Static

from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.history import RunInfo
from gpu_bringup.run.launch import check_resumable
from gpu_bringup.run.take_over import Seat, started_by
from gpu_bringup.ui import waiting_text
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.screens.choose import Ways
from gpu_bringup.ui.screens.log import LogScreen
from gpu_bringup.ui.words import heading


class WaitingScreen(FullScreen["str | None"]):
    """Returns "attach", "resume" or "undo"; None: it is left for now.

    Args:
        found: the run.
    """

    BINDINGS = [Binding("escape,q", "close", "Leave it for now", key_display="Esc")]

    DEFAULT_CSS = """
    WaitingScreen #waiting-title { height: 1; padding: 0 1; background: $primary-background; }
    WaitingScreen #waiting-told { padding: 0 1; margin: 0 0 1 0; max-width: 100; }
    WaitingScreen #waiting-steps { height: auto; max-height: 1fr; padding: 0 1; }
    WaitingScreen #waiting-heading, WaitingScreen Ways { padding: 0 1; }
    WaitingScreen #waiting-heading { margin-top: 1; }
    """

    def __init__(self, found: RunInfo) -> None:
        super().__init__()
        self._found = found
        self._model = RunModel()
        for event in Follower(found.folder).poll():
            self._model.take(event)
        self._rebooted = found.state != "reboot" or _resumable(found.folder)

    def contents(self) -> ComposeResult:
        found, model, size = self._found, self._model, self.app.size
        who = waiting_text.begun(*started_by(found.folder))
        brief = size.height < 30
        ways = waiting_text.ways(
            found.state, model, rebooted=self._rebooted, watched_by=Seat(found.folder).other()
        )
        yield Static(waiting_text.title(found.state), id="waiting-title", markup=False)
        yield Static(waiting_text.told(found.state, model, who, self._rebooted), id="waiting-told")
        with VerticalScroll(id="waiting-steps", can_focus=False):
            yield Static(waiting_text.steps_left(model, brief=brief))
        yield Static(heading(tr("What you can do")), id="waiting-heading")
        yield Ways(ways, width=size.width, brief=brief and len(model.steps) > 3)

    def on_mount(self) -> None:
        self.query_one(Ways).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id == "log":
            self.app.push_screen(LogScreen(self._found.folder / self._model.log))
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
