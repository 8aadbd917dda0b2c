"""Step 4: the driver is compiled against this server's kernels before anything is changed."""

from __future__ import annotations

import threading
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from gpu_bringup import engine
from gpu_bringup.engine import Situation
from gpu_bringup.i18n import tr
from gpu_bringup.model.target import Recommendation
from gpu_bringup.model.trial import TrialEvent
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.trial_text import log_of, trial_items
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.progress_line import ProgressLine
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import paragraphs


class ProofPage(Page):
    """Runs the trial builds in the background; they can be stopped and begun again."""

    STEP = "proof"
    BINDINGS = [
        Binding("s", "begin", "Start the trial build"),
        Binding("x", "stop", "Stop it"),
        Binding("l", "log", "Log"),
    ]

    DEFAULT_CSS = """
    ProofPage #proof { height: auto; max-height: 50%; margin-bottom: 1; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(wizard)
        self._cancelled: threading.Event | None = None
        self._problem = ""

    def compose(self) -> ComposeResult:
        yield Static(id="proof")
        yield ProgressLine(id="proof-progress")
        with Horizontal(id="trial-box"):
            yield ItemList(id="trials")
            yield WhyPane()

    @property
    def running(self) -> bool:
        return self._cancelled is not None

    @property
    def needed(self) -> bool:
        """Is there a driver to be proven, and a host to do it on?"""
        plan = self.wizard.plan
        return plan is not None and engine.installs_driver(plan) and not self.wizard.recorded

    def enter(self) -> None:
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "begin":
            return self.needed and not self.running and not self._is_proven
        if action == "stop":
            return self.running
        if action == "log":
            return bool(self._log())
        return True

    @property
    def _is_proven(self) -> bool:
        """A refusal may have been mended since: the trial can be begun again."""
        return self.wizard.proven is not None and self.wizard.proven.chosen is not None

    def blocked(self) -> str:
        if self.running:
            return tr("the trial build is under way; x stops it")
        if self.needed and self.wizard.proven is None:
            return tr("press s: the driver is proven first, so that nothing is installed in vain")
        if self.needed and not self._is_proven:
            return tr("no driver could be proven: s tries again, or go back and choose differently")
        return ""

    def help(self) -> Detail:
        return Detail(
            tr("Proof: a trial build"),
            paragraphs(
                [
                    tr(
                        "Tables of which driver fits which kernel are out of date the day they are written. "
                        "So the chosen driver's modules are compiled here, against each kernel that this "
                        "server can boot, in a folder of their own. Nothing is installed and nothing on the "
                        "server is changed."
                    ),
                    tr(
                        "If they don't compile, the next candidate is tried and the reason shown. The log of "
                        "each build is kept: l opens it. x stops; s begins again."
                    ),
                    tr("It downloads the packages (some hundred MB) and takes a few minutes."),
                ]
            ),
        )

    def action_begin(self) -> None:
        wizard = self.wizard
        situation, facts = wizard.situation, wizard.facts
        if not self.needed or self.running or situation is None or facts is None:
            return
        recommendation = situation.recommendation
        assert recommendation is not None
        cancelled = self._cancelled = threading.Event()
        self._problem = ""
        wizard.trials.clear()
        answers = wizard.answers

        def report(event: TrialEvent) -> None:
            background.hand_over(self, lambda: self._reported(event, cancelled))

        def prove() -> tuple[Recommendation, Situation]:
            proven = engine.prove(
                wizard.host,
                facts,
                answers,
                wizard.catalogue,
                recommendation,
                report=report,
                cancelled=cancelled,
            )
            return proven, engine.situation(wizard.host, facts, wizard.catalogue, proven)

        background.start(self, prove, lambda outcome: self._proven(outcome, cancelled), "prove")
        self._show()

    def action_stop(self) -> None:
        if self._cancelled is not None:
            self._cancelled.set()
            self.query_one("#proof", Static).update(tr("Stopping the trial build ..."))

    def action_log(self) -> None:
        from gpu_bringup.ui.screens.log import LogScreen

        if path := self._log():
            self.app.push_screen(LogScreen(Path(path)))

    def _log(self) -> str:
        chosen = self.query_one("#trials", ItemList).chosen
        return log_of(self.wizard.trials, chosen.id if chosen else "")

    def _reported(self, event: TrialEvent, cancelled: threading.Event) -> None:
        if self._cancelled is not cancelled:
            return
        if event.kind == "progress":
            text = tr("compiling for {kernel}").format(kernel=event.kernel)
            self.query_one(ProgressLine).progress(event.fraction, text)
            return
        self.wizard.trials.append(event)
        where = f" ({event.kernel})" if event.kernel else ""
        self.query_one(ProgressLine).progress(None, f"{event.text}{where}")
        self._show_trials()

    def _proven(
        self, outcome: Outcome[tuple[Recommendation, Situation]], cancelled: threading.Event
    ) -> None:
        if self._cancelled is not cancelled:
            return
        self._cancelled = None
        if outcome.error is not None:
            self._problem = str(outcome.error)
        elif outcome.value is not None and cancelled.is_set():
            self._problem = tr("Stopped as you wished. Nothing was changed; s begins again.")
        elif outcome.value is not None:
            self.wizard.proven, self.wizard.situation = outcome.value
            self.wizard.stale.discard(self.STEP)
        self._show()
        self.post_message(self.Changed())

    def _show(self) -> None:
        self.query_one(ProgressLine).display = self.running
        self.query_one("#proof", Static).update(self._sentence())
        self._show_trials()
        self.refresh_bindings()
        self.screen.refresh_bindings()

    def _show_trials(self) -> None:
        items = self.query_one("#trials", ItemList)
        items.show(trial_items(self.wizard.trials))
        self.query_one("#trial-box").display = bool(self.wizard.trials)
        self.show_why(items)

    def _sentence(self) -> Content:
        wizard = self.wizard
        plan = wizard.plan
        if self.running:
            return Content.styled(
                tr(
                    "Compiling the driver in a folder of its own. Nothing on this server is changed."
                ),
                "bold",
            )
        if self._problem:
            return Content.styled(self._problem, "bold $text-warning")
        if wizard.proven is not None:
            return self._result(wizard.proven)
        if plan is None or not engine.installs_driver(plan):
            return Content(tr("No proof is needed: the plan doesn't install a driver. n goes on."))
        if wizard.recorded:
            return Content(
                tr(
                    "This is a record: nothing can be compiled here. On the server itself the driver is "
                    "proven at this point, by compiling it against each of its kernels before anything "
                    "is changed. n goes on."
                )
            )
        target = wizard.situation.context.target if wizard.situation else None
        kernels = ", ".join(target.kernels) if target else ""
        return Content(
            tr(
                "Before anything is changed, the chosen driver is compiled against {kernels} in a folder "
                "of its own. It downloads the packages and takes a few minutes. s starts it."
            ).format(kernels=kernels or tr("this server's kernels"))
        )

    def _result(self, proven: Recommendation) -> Content:
        if proven.chosen is None:
            why = " ".join(dict.fromkeys(reason.detail for reason in proven.refusal))
            told = tr("No candidate could be proven: {why} s tries again once that is mended.")
            return Content.styled(told.format(why=why), "bold $text-error")
        driver = proven.chosen.target.driver
        return Content.styled(
            tr("Proven: {driver} ({flavour} modules). n goes on to the plan.").format(
                driver=driver.version, flavour=driver.flavour.value
            ),
            "bold $text-success",
        )
