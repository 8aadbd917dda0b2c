"""MokManager's screens, walked through for practice before they come in earnest."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from gpu_bringup import engine, enrolling
from gpu_bringup.i18n import tr
from gpu_bringup.signing.rehearsal import WINDOW_SECONDS
from gpu_bringup.signing.report import Report
from gpu_bringup.signing.walk import FIRST, PASSWORD, Walk
from gpu_bringup.ui import background, rehearsal_text
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.state import Wizard


class RehearsalScreen(FullScreen[None]):
    """Takes the keys that MokManager takes; wrong ones are allowed and say what they would do."""

    BINDINGS = [
        Binding("enter", "take", "Go on", key_display="Enter"),
        Binding("down", "down", "Next entry", key_display="Down"),
        Binding("up", "up", "Entry before", key_display="Up"),
        Binding("backspace", "rub", "Take a letter back", show=False),
        Binding("c", "clock", "Count down"),
        Binding("r", "again", "Once more"),
        Binding("escape", "close", "Leave the rehearsal", key_display="Esc"),
    ]

    DEFAULT_CSS = """
    RehearsalScreen #rehearsal-head { height: 2; padding: 0 1; background: $primary-background; }
    RehearsalScreen #rehearsal-screen { height: auto; padding: 0 1; }
    RehearsalScreen #rehearsal-beside { height: 1fr; padding: 0 2; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self._wizard = wizard
        self.report: Report | None = None
        self.walk = Walk(())
        self._seconds: int | None = None
        self._timer: Timer | None = None

    def contents(self) -> ComposeResult:
        yield Static(id="rehearsal-head")
        yield Static(id="rehearsal-screen")
        with VerticalScroll(id="rehearsal-beside", can_focus=False):
            yield Static(id="rehearsal-text")

    def on_mount(self) -> None:
        wizard = self._wizard
        if wizard.facts is not None:
            self._know(enrolling.enrolment(wizard.facts, wizard.catalogue))
        known = self.report is not None and bool(self.report.fingerprint)
        if not known and not wizard.recorded:
            # The run may have made the key since the look.
            background.start(
                self,
                lambda: enrolling.enrolment(engine.observe(wizard.host), wizard.catalogue),
                self._seen,
                "rehearsal",
            )

    def _seen(self, outcome: Outcome[Report]) -> None:
        if outcome.value is not None:
            self._know(outcome.value)

    def _know(self, report: Report) -> None:
        if self.report is None:
            self.walk = Walk(report.screens)
        else:
            self.walk.screens = report.screens
        self.report = report
        self._show()

    def _show(self) -> None:
        walk, report = self.walk, self.report
        if report is None:
            return
        self.query_one("#rehearsal-head", Static).update(rehearsal_text.head(walk, report))
        shown = self.query_one("#rehearsal-screen", Static)
        shown.display = not walk.over
        if not walk.over:
            shown.update(rehearsal_text.screen_text(walk, report, self._seconds))
        text = (
            rehearsal_text.end_text(walk, report)
            if walk.over
            else rehearsal_text.beside(walk, self._seconds)
        )
        self.query_one("#rehearsal-text", Static).update(text)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        walk = self.walk
        if self.report is None:
            return action == "close"
        if action == "clock":
            return self._clock_may_start
        if action == "again":
            return walk.over
        if action in ("take", "down", "up", "rub"):
            typing = walk.at == PASSWORD
            fits = typing == (action == "rub")
            return not walk.over and (action == "take" or (fits and not walk.anything))
        return True

    @property
    def _clock_may_start(self) -> bool:
        return self.walk.at == FIRST and not self.walk.missed and self._timer is None

    def on_key(self, event: events.Key) -> None:
        """Characters: the password's, and any key where any key goes on."""
        if self.report is None or self.walk.over or event.character is None:
            return
        if not event.is_printable or (event.character == "c" and self._clock_may_start):
            return
        event.stop()
        self._press(event.character)

    def shown_key(self, action: str) -> str:
        """Where any key goes on, the line of keys says so."""
        return tr("any key") if action == "take" and self.walk.anything else ""

    def action_take(self) -> None:
        """Enter."""
        self._press("enter")

    def action_down(self) -> None:
        """To the next entry."""
        self._press("down")

    def action_up(self) -> None:
        """To the entry before."""
        self._press("up")

    def action_rub(self) -> None:
        """Take the last letter back."""
        self._press("backspace")

    def _press(self, key: str) -> None:
        self.walk.press(key)
        self._stop_clock()
        self._show()

    def action_clock(self) -> None:
        """Let the first screen's seconds run, as they will."""
        self._seconds = WINDOW_SECONDS
        self._timer = self.set_interval(1.0, self._tick)
        self._show()

    def _tick(self) -> None:
        if self._seconds is None:
            return
        self._seconds -= 1
        if self._seconds <= 0:
            self._stop_clock()
            self.walk.run_out()
        self._show()

    def _stop_clock(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self._seconds = None

    def action_again(self) -> None:
        """From the first screen."""
        self.walk = Walk(self.walk.screens)
        self._show()

    def on_unmount(self) -> None:
        self.walk.forget()

    def action_close(self) -> None:
        self.walk.forget()
        self.dismiss(None)
