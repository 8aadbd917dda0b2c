"""Step 6: the steps are taken; their output as it comes, and the running one explained."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from gpu_bringup import engine
from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.run.follow import Follower
from gpu_bringup.ui import background, enrol_flow, enrol_text, run_text
from gpu_bringup.ui.ask_password import password_asker
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.run_model import RunModel, now_seconds
from gpu_bringup.ui.run_seat import RunSeat
from gpu_bringup.ui.run_watch import RunWatch
from gpu_bringup.ui.screens.choose import ChooseScreen, Way
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.screens.log import LogScreen, ask_search
from gpu_bringup.ui.second_answer import SecondAnswer, question
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.widgets.line import Line
from gpu_bringup.ui.widgets.progress_line import ProgressLine
from gpu_bringup.ui.widgets.run_steps import RunSteps, explanation, steps_text
from gpu_bringup.ui.widgets.tail_view import TailView
from gpu_bringup.ui.words import paragraphs

_SHOWN_EVERY = 1.0
"""Seconds between two drawings of times and bars when nothing happens: clocks show seconds."""
_CHANGE_KEYS = frozenset({"step-started", "prompt", "prompt-closed", "cancel-requested"})
"""Events after which other keys work."""


class RunPage(Page):
    """Follows a run. The run is a process of its own: this page may go and come back."""

    STEP = "run"
    BINDINGS = [
        Binding("x", "stop", "Stop"),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("l", "log", "Full log"),
        Binding("d", "details", "Steps and why"),
        Binding("i", "answer", "Answer"),
        Binding("t", "take_over", "Take over"),
        Binding("e", "rehearse", "Rehearse MOK"),
    ]

    DEFAULT_CSS = """
    RunPage #run-notice { color: $text-warning; }
    RunPage #run-command { color: $text-accent; }
    RunPage #run-state { color: $muted; }
    RunPage #run-begun { color: $muted; display: none; }
    """

    class Ended(Message):
        """The run has ended, or its process is gone."""

        def __init__(self, model: RunModel) -> None:
            super().__init__()
            self.model = model

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(wizard)
        self.model = RunModel()
        self._watch: RunWatch | None = None
        self._timer: Timer | None = None
        self._shown_at = 0.0
        self._asked: tuple[str, bool] | None = None
        self._second = SecondAnswer()
        self._starting = False
        self._seat: RunSeat | None = None
        self._dialog: Screen[str | None] | None = None
        """The question that was put last; taken off where it is no longer this terminal's."""

    def compose(self) -> ComposeResult:
        with Horizontal():
            with Vertical():
                yield Line(id="run-head")
                yield Line(id="run-mode")
                yield Line(id="run-begun")
                yield Line(id="run-command")
                yield ProgressLine(id="run-progress")
                yield Line(id="run-notice")
                yield TailView(id="run-output")
                yield Line(id="run-state")
            yield RunSteps()

    def first_focus(self) -> None:
        self.query_one(TailView).focus()

    def enter(self) -> None:
        self._show()

    @property
    def running(self) -> bool:
        return self.wizard.run_state == "running"

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "take_over":
            return (
                self.running and self.watching and self._seat is not None and self._seat.reachable
            )
        if action == "stop":
            free = not self.model.stopping and not self.model.at_reboot
            return self.running and free and not self.watching
        if action == "log":
            return bool(self.model.log)
        if action == "answer":
            return self.running and self.model.prompt is not None and not self.watching
        if action == "rehearse":
            return enrol_text.asked_by(self.model.plan)
        if action == "search":
            return self._watch is not None and self._watch.has_output
        return True

    def blocked(self) -> str:
        if self._starting or self.running:
            return tr("the steps are being taken; x stops them, q leaves them running")
        if self.wizard.recorded or self.wizard.plan is None or self.wizard.plan.empty:
            return ""
        return (
            "" if self.wizard.run_state == "done" else tr("go back to the plan and press a there")
        )

    def help(self) -> Detail:
        return run_text.help_text()

    # --- the run

    def begin(self, plan: Plan, *, undoing: bool = False, keep: bool = True) -> None:
        """Start taking the steps of a plan.

        Args:
            undoing: it takes an earlier run back.
            keep: keep the packages that it replaces or removes, for undo.
        """
        wizard, ask = self.wizard, password_asker(self)
        label = "undo" if undoing else wizard.host.label
        prelude: list[dict[str, object]] = [
            {"event": "trial", **event.to_json()} for event in wizard.trials
        ]
        family = wizard.situation.context.family if wizard.situation else None
        mend = family.manager.mend() if family else ()
        self._clear(undoing)

        def take() -> Follower:
            shown = [] if undoing else prelude
            return engine.apply(
                plan, label=label, prelude=shown, mend=mend, ask=ask, old_packages=keep
            )

        background.start(self, take, self._begun_here, "apply")
        self._show()

    def resume(self, run_id: str) -> None:
        """Go on with a run that broke off, failed or waited for a reboot."""
        from gpu_bringup.run.start import resume_run

        ask = password_asker(self)
        self._clear(self.wizard.undoing)

        def go_on() -> Follower:
            # From its beginning, so that the steps that are done are shown as done.
            return Follower(resume_run(run_id, ask=ask).folder)

        background.start(self, go_on, self._started, "resume")
        self._show()

    def attach(self, follower: Follower) -> None:
        """Show a run that is under way."""
        self._clear(False)
        self._started(Outcome(value=follower))

    def _clear(self, undoing: bool) -> None:
        self.model = RunModel()
        self._watch = None
        self._starting = True
        self.wizard.undoing = undoing
        self.wizard.run_state = ""
        self.query_one(TailView).clear()

    def _begun_here(self, outcome: Outcome[Follower]) -> None:
        self._started(outcome, own=True)

    def _started(self, outcome: Outcome[Follower], *, own: bool = False) -> None:
        self._starting = False
        if outcome.value is None:
            assert outcome.error is not None
            self.wizard.run_state = "failed"
            self.model.ended = {
                "event": "run-ended",
                "state": "not-started",
                "message": str(outcome.error),
            }
            self.post_message(self.Ended(self.model))
            return
        self.wizard.follower = outcome.value
        self.wizard.run_state = "running"
        self._sit_down(outcome.value.folder, own)
        self._watch = RunWatch(outcome.value, self.model)
        # Looked at as often as it is drawn: what comes in between is seen together.
        self._timer = self.set_interval(self.query_one(TailView).frame_seconds, self._poll)
        self.post_message(self.Changed())

    def _poll(self) -> None:
        watch, model = self._watch, self.model
        if watch is None or not self.running:
            return
        log = model.log
        news = watch.look()
        if news.lines:
            self.query_one(TailView).add_lines(news.lines)
            self._show_place()
        if "command-started" in news.kinds:
            self._second.forget()
        if log != model.log or not _CHANGE_KEYS.isdisjoint(news.kinds):
            self.screen.refresh_bindings()
        now = time.monotonic()
        if news.kinds or model.ended is not None or now - self._shown_at >= _SHOWN_EVERY:
            self._shown_at = now
            self._may()
            self._show()
        if model.ended is not None:
            self._finish()
        elif model.prompt is None:
            self._asked = None
        elif self._asked is None and not self.watching:
            self.action_answer()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._second.forget()
        self._stand_up()
        assert self.model.ended is not None
        self.wizard.run_state = str(self.model.ended.get("state", "failed"))
        if self.wizard.run_state == "done" and not self.wizard.undoing:
            self.wizard.done.add(self.STEP)
        self.post_message(self.Changed())
        self.post_message(self.Ended(self.model))

    # --- what is shown

    def _show(self) -> None:
        model, now = self.model, now_seconds()
        head = run_text.head(self.wizard, model, now, starting=self._starting)
        self.query_one("#run-head", Line).show(head)
        mode = self._seat.mode() if self.running and self._seat is not None else ""
        self.query_one("#run-mode", Line).show(mode)
        told = self.query_one("#run-begun", Line)
        told.display = self.running and self.watching
        told.show(tr("It was {begun}.").format(begun=self._seat.begun) if self._seat else "")
        command = f"$ {shlex.join(model.argv)}" if model.argv else ""
        self.query_one("#run-command", Line).show(command)
        text = model.text
        if self.running:
            self.query_one(ProgressLine).progress(
                model.overall(), text, model.remaining_seconds(now)
            )
        notice = run_text.notice(model, watching=self.watching)
        self.query_one("#run-notice", Line).show(notice)
        self._show_place()
        self.query_one(RunSteps).show(model, now)

    def _show_place(self) -> None:
        view = self.query_one(TailView)
        place = run_text.place(view.taken, following=view.following, log=self.model.log)
        self.query_one("#run-state", Line).show(place)

    # --- who answers it

    @property
    def watching(self) -> bool:
        """Does somebody else answer this run?"""
        return self._seat is not None and self._seat.watching

    def _sit_down(self, folder: Path, own: bool) -> None:
        self._stand_up()
        self._seat = RunSeat(folder, own=own)
        if self._seat.problem:
            self.notify(self._seat.problem, severity="warning", timeout=10)

    def _stand_up(self) -> None:
        if self._seat is not None:
            self._seat.leave()

    def on_unmount(self) -> None:
        self._stand_up()

    def _may(self) -> bool:
        """May this terminal control the run? Looked at right before it does."""
        if self._seat is None or not self._seat.lost():
            return not self.watching
        dialog, self._dialog = self._dialog, None
        if dialog is not None and dialog.is_current:
            dialog.dismiss(None)
        told = tr("{name} has taken this run over. You only watch it now; t takes it back.")
        name = self._seat.other or tr("another terminal")
        self.notify(told.format(name=name), severity="warning", timeout=10)
        self.screen.refresh_bindings()
        return False

    def action_take_over(self) -> None:
        seat = self._seat
        if seat is None:
            return

        def answered(chosen: str | None) -> None:
            if chosen != "yes" or not self.running:
                return
            try:
                seat.take_over()
            except BringupError as error:
                self.notify(str(error), severity="error", timeout=10)
                return
            self._asked = None
            self._show()
            self.screen.refresh_bindings()

        ways = (
            Way("no", tr("no, only watch"), tr("nothing changes")),
            Way("yes", tr("yes, take over"), tr("you answer and stop it; the other one watches")),
        )
        self.app.push_screen(
            ChooseScreen(tr("Take this run over?"), seat.question(), ways), answered
        )

    # --- keys

    def action_answer(self) -> None:
        prompt, follower = self.model.prompt, self.wizard.follower
        if prompt is None or follower is None or not self._may():
            return
        text, secret = prompt
        self._asked = prompt

        def answered(answer: str | None) -> None:
            if answer is None:
                # It stays unanswered until "i": otherwise the question would come back at once.
                self.screen.refresh_bindings()
                return
            if not self._may():
                return
            # The next question may come before this page has seen a moment without one.
            self.model.prompt = self._asked = None
            try:
                follower.answer(answer)
                self._second.keep(text, answer, self.model)
            except BringupError as error:
                self.notify(str(error), severity="warning")

        kept = self._second.take(text)
        if kept is not None:
            answered(kept)
            return
        self._dialog = question(self.model, text, secret=secret)
        self.app.push_screen(self._dialog, answered)

    def action_stop(self) -> None:
        follower = self.wizard.follower
        if follower is None:
            return
        ways = (
            Way("no", tr("no, let it go on"), ""),
            Way(
                "yes",
                tr("yes, stop at the next safe point"),
                tr("what is done stays done; it can be gone on with, or taken back"),
            ),
        )

        def answered(chosen: str | None) -> None:
            if chosen != "yes" or not self._may():
                return
            try:
                follower.cancel()
            except BringupError as error:
                self.notify(str(error), severity="warning")

        self._dialog = ChooseScreen(
            tr("Stop the run?"),
            tr(
                "A package manager or a module build is never killed: that would leave something half "
                "installed. The run stops when the command that is running is through."
            ),
            ways,
        )
        self.app.push_screen(self._dialog, answered)

    def action_search(self) -> None:
        ask_search(self.screen, self.query_one(TailView))

    def action_log(self) -> None:
        follower = self.wizard.follower
        if follower is not None and self.model.log:
            self.app.push_screen(LogScreen(follower.folder / self.model.log))

    def action_rehearse(self) -> None:
        enrol_flow.rehearse(self.screen, self.wizard)

    def action_details(self) -> None:
        body = paragraphs([steps_text(self.model, now_seconds()), explanation(self.model)])
        self.app.push_screen(DetailScreen(Detail(tr("The steps, and why this one is taken"), body)))
