"""Step 7: the ladder once more, each GPU proving itself; what was done, and what to watch."""

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
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.gpu_text import gpu_items
from gpu_bringup.ui.ladder_text import ladder_items, looking_items
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.verify_text import end_text
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import ASIDE, paragraphs


class VerifyPage(Page):
    """Looks at the host again, deeply: seconds for each GPU."""

    STEP = "verify"
    BINDINGS = [Binding("r", "verify", "Verify again")]

    DEFAULT_CSS = """
    VerifyPage #end { height: auto; max-height: 40%; margin-bottom: 1; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(wizard)
        self._looking = False
        self._finished: set[str] = set()

    def compose(self) -> ComposeResult:
        yield Static(id="end")
        with Horizontal():
            yield ItemList(id="verified")
            yield WhyPane()

    def enter(self) -> None:
        if self.wizard.after is None:
            self.action_verify()
        else:
            self._show()

    def blocked(self) -> str:
        return tr("this is the last step; q leaves the wizard")

    def help(self) -> Detail:
        return Detail(
            tr("Verify: does it really work?"),
            paragraphs(
                [
                    tr(
                        "The ladder is climbed again. On every GPU a small program is compiled by the driver "
                        "and run, its result is checked, memory and host link are measured, and data is "
                        "written from GPU to GPU and read back. That takes seconds for each GPU and "
                        "disturbs programs that are using them only a little."
                    ),
                    tr("Enter opens a line. r verifies again. q leaves the wizard."),
                ]
            ),
        )

    def action_verify(self) -> None:
        if self._looking:
            return
        self._looking = True
        self._finished.clear()
        wizard = self.wizard
        recommendation = wizard.situation.recommendation if wizard.situation else None

        def seen(name: str, seconds: float) -> None:
            background.hand_over(self, lambda: self._seen(name))

        def look() -> tuple[Facts, Situation]:
            facts = engine.observe(wizard.host, deep=True, done=seen)
            if recommendation is None:
                return facts, engine.examine(wizard.host, facts, wizard.answers, wizard.catalogue)
            after = engine.situation(wizard.host, facts, wizard.catalogue, recommendation)
            return facts, after

        self.query_one("#end", Static).update(
            Content.styled(tr("Looking at the server again; each GPU proves itself ..."), ASIDE)
        )
        self.query_one("#verified", ItemList).show(looking_items(frozenset()))
        background.start(self, look, self._looked, "verify")

    def _seen(self, name: str) -> None:
        self._finished.add(name)
        if self._looking:
            self.query_one("#verified", ItemList).show(looking_items(frozenset(self._finished)))

    def _looked(self, outcome: Outcome[tuple[Facts, Situation]]) -> None:
        self._looking = False
        if outcome.value is None:
            text = Content.styled(str(outcome.error), "bold $text-error")
            self.query_one("#end", Static).update(text)
            return
        self.wizard.facts, self.wizard.after = outcome.value
        self.wizard.done.add(self.STEP)
        self.wizard.stale.discard(self.STEP)
        self._show()
        self.post_message(self.Changed())

    def _show(self) -> None:
        after = self.wizard.after
        if after is None:
            return
        self.query_one("#end", Static).update(end_text(self.wizard, after))
        items = self.query_one("#verified", ItemList)
        items.show([*gpu_items(after.facts, self.wizard.catalogue), *ladder_items(after.report)])
        root = after.report.root_cause
        if root is not None:
            items.go_to(root.id)
        self.show_why(items)
