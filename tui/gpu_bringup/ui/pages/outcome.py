"""Step 6, when a run ended otherwise than well: what happened, what it means, the ways on."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui import enrol_flow, enrol_text
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.log_tail import LogTail
from gpu_bringup.ui.outcome_text import meaning, title, ways
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.choose import Ways
from gpu_bringup.ui.screens.log import LogScreen
from gpu_bringup.ui.words import BAD, OK, WARN, heading, paragraphs

_LAST_BYTES = 64 * 1024


class OutcomePage(Page):
    """Shows the end of a run with numbered ways on."""

    STEP = "outcome"
    BINDINGS = [Binding("l", "log", "Full log"), Binding("r,e", "rehearse", "Rehearse MOK")]

    DEFAULT_CSS = """
    OutcomePage #what { height: auto; max-height: 50%; margin-bottom: 1; }
    OutcomePage.-enrolling #what { max-height: 70%; }
    OutcomePage #tail { height: 1fr; min-height: 3; border-top: solid $panel-lighten-2; }
    OutcomePage #ways-title { height: 1; }
    OutcomePage #ways { height: auto; max-height: 60%; }
    """

    class Chosen(Message):
        """The operator chose a way on: "resume", "undo", "check", "stop", "plan"."""

        def __init__(self, way: str) -> None:
            super().__init__()
            self.way = way

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="what", can_focus=False):
            yield Static(id="what-text")
        yield Static(id="ways-title")
        yield VerticalScroll(id="ways", can_focus=False)
        with VerticalScroll(id="tail", can_focus=False):
            yield Static(id="tail-text", markup=False)

    def show(self, model: RunModel) -> None:
        """Show how a run ended."""
        self._model = model
        ended = model.ended or {}
        state = str(ended.get("state", "failed"))
        style = {"done": OK, "failed": BAD, "lost": BAD, "not-started": BAD}.get(
            state, f"bold {WARN}"
        )
        enrolling = state == "reboot" and enrol_text.asked_in(model)
        self.set_class(enrolling, "-enrolling")
        message = str(ended.get("message", ""))
        report = enrol_flow.report_of(self.wizard) if enrolling else None
        comes = enrol_text.what_comes(report) if enrolling else Content("")
        self.query_one("#what-text", Static).update(
            paragraphs(
                [
                    Content.styled(title(state, self.wizard.undoing), f"bold {style}"),
                    message if not enrolling else "",
                    comes,
                    meaning(state, model),
                ]
            )
        )
        self.query_one("#ways-title", Static).update(heading(tr("What you can do")))
        box = self.query_one("#ways", VerticalScroll)
        box.remove_children()
        choice = Ways(
            ways(state, self.wizard.undoing, bool(model.log), enrolling=enrolling),
            width=self.app.size.width,
            brief=self.app.size.height < 30,
        )
        box.mount(choice)
        self.call_after_refresh(choice.focus)
        last = self._last_lines(10) if state in ("failed", "lost") else []
        tail = self.query_one("#tail", VerticalScroll)
        tail.display = bool(last)
        text = Content("\n").join([heading(tr("Last lines of its output")), *last])
        self.query_one("#tail-text", Static).update(text)
        self.screen.refresh_bindings()

    def first_focus(self) -> None:
        for choice in self.query(Ways):
            choice.focus()

    def blocked(self) -> str:
        return tr("choose one of the ways on")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "rehearse":
            return self.has_class("-enrolling")
        return action != "log" or self._log() is not None

    def help(self) -> Detail:
        return Detail(
            tr("The run has ended"),
            paragraphs(
                [
                    tr(
                        "What was done stays done and is written in the run's journal, so that it can be "
                        "gone on with or taken back, now or later, here or with gpu-bringup apply and undo."
                    ),
                    tr("Numbers or arrows choose a way on, Enter takes it. l shows the whole log."),
                ]
            ),
        )

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option.id == "log":
            self.action_log()
        elif event.option.id == "rehearse":
            self.action_rehearse()
        elif event.option.id:
            self.post_message(self.Chosen(event.option.id))

    def action_rehearse(self) -> None:
        enrol_flow.rehearse(self.screen, self.wizard)

    def _log(self) -> Path | None:
        follower = self.wizard.follower
        model: RunModel | None = getattr(self, "_model", None)
        if follower is None or model is None or not model.log:
            return None
        return follower.folder / model.log

    def _last_lines(self, count: int) -> list[Content]:
        path = self._log()
        if path is None:
            return []
        found = [line for line in LogTail(path, last=_LAST_BYTES).read_all() if line.strip()]
        return [Content.from_rich_text(Text.from_ansi(line)) for line in found[-count:]]

    def action_log(self) -> None:
        path = self._log()
        if path is not None:
            self.app.push_screen(LogScreen(path))
