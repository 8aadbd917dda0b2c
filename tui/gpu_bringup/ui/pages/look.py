"""Step 1: what this machine is, and how its ladder stands."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from gpu_bringup import engine
from gpu_bringup.engine import Situation
from gpu_bringup.i18n import tr
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.ladder import State
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import (
    ASIDE,
    MUTED,
    lines,
    paragraphs,
    state_mark,
    state_meaning,
    state_word,
)


class LookPage(Page):
    """Looks at the host in the background; the ladder fills in without moving."""

    STEP = "look"
    BINDINGS = [Binding("r", "look_again", "Look again")]

    DEFAULT_CSS = """
    LookPage #host { height: 2; color: $text; margin: 0; }
    LookPage #verdict { height: auto; min-height: 2; max-height: 6; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(wizard)
        self._finished: set[str] = set()
        self._looking = False

    def on_mount(self) -> None:
        # The first picture is painted before the ladder is imported and the host is asked.
        self.call_after_refresh(self.action_look_again)

    def compose(self) -> ComposeResult:
        yield Static(tr("Looking at this server ..."), id="host")
        with Horizontal():
            yield ItemList(id="ladder")
            yield WhyPane()
        yield Static(id="verdict")

    def on_resize(self) -> None:
        self._show_host()

    def enter(self) -> None:
        if self.wizard.situation is not None:
            self._show()

    def blocked(self) -> str:
        if self._looking:
            return tr("still looking at this server; a moment")
        return "" if self.wizard.situation is not None else tr("press r to look at it again")

    def help(self) -> Detail:
        marks = lines(
            Content.assemble(
                (f"{state_mark(state)} {state_word(state)}: ", "bold"), state_meaning(state)
            )
            for state in State
        )
        return Detail(
            tr("Look: what this server is"),
            paragraphs(
                [
                    tr(
                        "A working GPU server is a ladder of 17 layers, each resting on those below. "
                        "Each was looked at; nothing was changed. The lowest broken layer is the root "
                        "cause: the ones above that don't hold follow from it."
                    ),
                    marks,
                    tr(
                        "Arrows choose a layer, Enter opens it: what it is, the evidence, the causes."
                    ),
                    tr("r looks again, n goes on to the questions."),
                ]
            ),
        )

    def action_look_again(self) -> None:
        if self._looking:
            return
        self._looking = True
        self._finished.clear()
        wizard = self.wizard
        self._show_looking()

        app = self.app

        def observer_done(name: str, seconds: float) -> None:
            background.hand_over(app, lambda: self._seen(name))

        def look() -> tuple[Facts, Situation]:
            facts = engine.observe(wizard.host, done=observer_done)
            situation = engine.examine(wizard.host, facts, wizard.answers, wizard.catalogue)
            return facts, situation

        background.start(self, look, self._looked, "look")

    def _seen(self, name: str) -> None:
        self._finished.add(name)
        if self._looking and self.is_mounted:
            self._show_looking()

    def _show_looking(self) -> None:
        from gpu_bringup.ui.ladder_text import FEEDS, looking_items

        if self.wizard.situation is None:
            self.query_one("#ladder", ItemList).show(looking_items(frozenset(self._finished)))
        observers = {name for names in FEEDS.values() for name in names}
        self.query_one("#verdict", Static).update(
            Content.styled(
                tr(
                    "Looking at this server: {done} of {all} looks done. Nothing is changed."
                ).format(done=len(self._finished & observers), all=len(observers)),
                ASIDE,
            )
        )

    def _looked(self, outcome: Outcome[tuple[Facts, Situation]]) -> None:
        self._looking = False
        if not self.is_mounted:
            return
        if outcome.value is None:
            text = str(outcome.error).replace("\n", " ")
            self.query_one("#verdict", Static).update(Content.styled(text, "bold $text-error"))
            return
        self.wizard.looked(*outcome.value)
        self.wizard.done.add(self.STEP)
        self._show()
        self.post_message(self.Changed())

    def _show(self) -> None:
        from gpu_bringup.ui.ladder_text import ladder_items, verdict_text

        situation = self.wizard.situation
        if situation is None:
            return
        self._show_host()
        ladder = self.query_one("#ladder", ItemList)
        ladder.show(ladder_items(situation.report))
        self.show_why(ladder)
        steps = len(situation.plan.steps)
        what = (
            tr("{count} steps would mend it: n goes on.").format(count=steps)
            if steps
            else tr("n goes on.")
        )
        self.query_one("#verdict", Static).update(
            lines([verdict_text(situation.report), Content.styled(what, MUTED)])
            if self.app.size.width >= 100 or situation.report.verdict != "broken"
            else Content("  ").join([verdict_text(situation.report), Content.styled(what, MUTED)])
        )

    def _show_host(self) -> None:
        if self.wizard.facts is not None:
            from gpu_bringup.ui.host_text import host_card

            wide = self.app.size.width >= 100
            self.query_one("#host", Static).update(
                host_card(self.wizard.facts, self.wizard.catalogue, wide)
            )
