"""Step 3: the chosen driver, why, and what else there would be."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from gpu_bringup import engine
from gpu_bringup.engine import Explained, Situation
from gpu_bringup.i18n import tr
from gpu_bringup.model.catalogue import Scenario
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.choice_text import explained_detail, reason_items, target_card
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.guide_text import guide_detail, has_guide
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import hanging, paragraphs


class RecommendationPage(Page):
    """Asks the engine anew when an answer was changed."""

    STEP = "recommendation"
    BINDINGS = [Binding("e", "explain", "All candidates"), Binding("g", "guide", "Guide")]

    DEFAULT_CSS = """
    RecommendationPage #target { height: auto; max-height: 60%; margin-bottom: 1; }
    """

    def compose(self) -> ComposeResult:
        yield Static(id="target")
        with Horizontal():
            yield ItemList(id="reasons")
            yield WhyPane()

    def enter(self) -> None:
        if self.wizard.situation is not None:
            self._show()
            return
        wizard, facts = self.wizard, self.wizard.facts
        if facts is None:
            self.query_one("#target", Static).update(
                tr("The server was not looked at yet: go back.")
            )
            return
        self.query_one("#target", Static).update(tr("Weighing the candidates ..."))
        answers = wizard.answers

        def weigh() -> Situation:
            return engine.examine(wizard.host, facts, answers, wizard.catalogue)

        def weighed(outcome: Outcome[Situation]) -> None:
            # An answer may have been changed meanwhile: then this result is nobody's.
            if wizard.answers is not answers:
                return
            if outcome.value is None:
                text = Content.styled(str(outcome.error), "bold $text-error")
                self.query_one("#target", Static).update(text)
                self.query_one("#reasons", ItemList).show([])
                return
            wizard.situation = outcome.value
            self._show()
            self.post_message(self.Changed())

        background.start(self, weigh, weighed, "weigh")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "explain":
            situation = self.wizard.situation
            return situation is not None and situation.recommendation is not None
        return has_guide(self._scenario()) if action == "guide" else True

    def action_explain(self) -> None:
        wizard, facts, situation = self.wizard, self.wizard.facts, self.wizard.situation
        if situation is None or situation.recommendation is None:
            return
        recommendation, answers = situation.recommendation, wizard.answers

        def look() -> Explained:
            return engine.explain_choice(facts, answers, wizard.catalogue, recommendation)

        def looked(outcome: Outcome[Explained]) -> None:
            if outcome.value is not None and wizard.situation is situation:
                self.app.push_screen(DetailScreen(explained_detail(outcome.value)))

        background.start(self, look, looked, "explain")

    def action_guide(self) -> None:
        scenario = self._scenario()
        if scenario is not None and has_guide(scenario):
            self.app.push_screen(DetailScreen(guide_detail(scenario, self.wizard.catalogue)))

    def _scenario(self) -> Scenario | None:
        return self.wizard.catalogue.scenarios.get(self.wizard.answers.scenario)

    def blocked(self) -> str:
        situation = self.wizard.situation
        if situation is None:
            return tr("there is no recommendation yet; go back and look at the answers")
        return ""

    def help(self) -> Detail:
        return Detail(
            tr("Choice: which driver, and why"),
            paragraphs(
                [
                    tr(
                        "Every driver that this system can get was held against every rule: the GPU, the "
                        "kernel, how long the branch is supported, the framework, Secure Boot. What no rule "
                        "forbids was put in order; the first is the choice."
                    ),
                    tr(
                        "ok: the rule is kept. AGAINST: it is not. unknown: nobody can say from here; the "
                        "trial build (the next step) finds out. Lines with ! are to be read before going on."
                    ),
                    tr(
                        "Enter opens a line: the whole reason with its source. g shows what a widely "
                        "followed selection guide of 2024-25 named here, and what has changed since. "
                        "b changes an answer."
                    ),
                ]
            ),
        )

    def _show(self) -> None:
        situation = self.wizard.situation
        if situation is None or situation.recommendation is None:
            return
        recommendation = situation.recommendation
        self.wizard.stale.discard(self.STEP)
        width = self.content_size.width or self.app.size.width
        self.query_one("#target", Static).update(hanging(target_card(recommendation), width))
        reasons = self.query_one("#reasons", ItemList)
        reasons.show(reason_items(recommendation, self.wizard.catalogue))
        self.show_why(reasons)
