"""Step 1: what this machine is, and how its ladder stands."""

from __future__ import annotations

import shlex
from dataclasses import replace

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from gpu_bringup import engine
from gpu_bringup.engine import Situation
from gpu_bringup.i18n import tr
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.ladder import State
from gpu_bringup.model.plan import Plan
from gpu_bringup.recover.way import Recovery, Way
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.screens import choose
from gpu_bringup.ui.screens.choose import Ways
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import (
    ASIDE,
    MUTED,
    hanging,
    lines,
    paragraphs,
    state_mark,
    state_meaning,
    state_word,
)


class LookPage(Page):
    """Looks at the host in the background; the ladder fills in without moving."""

    STEP = "look"
    BINDINGS = [
        Binding("l,escape", "ways", "The ways", key_display="l"),
        *(
            Binding(f"{number}", f"point({number})", "To a way", show=False)
            for number in range(1, 10)
        ),
        Binding("e", "enrolment", "Signing key"),
        Binding("d", "decide", "Decide"),
        Binding("s", "next_boot", "Next boot"),
        Binding("l", "ladder", "Ladder"),
        Binding("i", "about", "About"),
        Binding("r", "look_again", "Look again"),
    ]

    class AskAgain(Message):
        """The firmware shall be asked once more, by these steps."""

        def __init__(self, plan: Plan) -> None:
            super().__init__()
            self.plan = plan

    class Chosen(Message):
        """The operator chose a way on from a broken server."""

        def __init__(self, way: Way) -> None:
            super().__init__()
            self.way = way

    DEFAULT_CSS = """
    LookPage #cause, LookPage #ways { display: none; height: auto; }
    LookPage #cause { max-height: 9; margin-bottom: 1; }
    LookPage.-recover #ways { display: block; }
    LookPage.-recover #cause { display: block; }
    LookPage.-recover #ladder-row { display: none; }
    LookPage.-recover.-ladder #ladder-row { display: block; }
    LookPage.-recover.-ladder #cause { display: none; }
    LookPage.-recover.-ladder #ways { display: none; }
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
        with Horizontal(id="ladder-row"):
            yield ItemList(id="ladder")
            yield WhyPane()
        yield Static(id="cause")
        yield Vertical(id="ways")
        yield Static(id="verdict")

    def on_resize(self) -> None:
        self._show_host()
        self._show()

    def enter(self) -> None:
        if self.wizard.situation is not None:
            self._show()

    def first_focus(self) -> None:
        if self.has_class("-recover") and not self.has_class("-ladder"):
            for ways in self.query(Ways):
                ways.focus()
                return
        super().first_focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("ladder", "about"):
            return self.has_class("-recover") and not self.has_class("-ladder")
        if action in ("ways", "point"):
            if not (self.has_class("-recover") and self.has_class("-ladder")):
                return False
            recovery = self.wizard.recovery
            count = len(recovery.ways) if recovery is not None else 0
            return action == "ways" or parameters[0] in range(1, count + 1)
        if action == "look_again":
            return not self._looking
        if action == "enrolment":
            return not self._looking and self._asked_firmware()
        if action == "next_boot":
            return self.wizard.facts is not None
        if action == "decide":
            situation = self.wizard.situation
            from gpu_bringup.recover import door

            return situation is not None and door.would_decide(situation) is not None
        return True

    def shown_key(self, action: str) -> str:
        """The numbers that there are."""
        recovery = self.wizard.recovery
        return f"1-{len(recovery.ways)}" if action == "point" and recovery is not None else ""

    def action_ladder(self) -> None:
        """The whole ladder instead of the ways on."""
        self._turn(True)

    def action_ways(self) -> None:
        """Back from the ladder to the ways on."""
        self._turn(False)

    def action_point(self, number: int) -> None:
        """From the ladder to a way: under the cursor, not taken, because it wasn't seen yet."""
        self._turn(False)
        for ways in self.query(Ways):
            ways.highlighted = number - 1

    def _turn(self, ladder: bool) -> None:
        self.set_class(ladder, "-ladder")
        self._show()
        self.first_focus()
        self.screen.refresh_bindings()

    def action_about(self) -> None:
        """All about the way under the cursor."""
        from gpu_bringup.ui.recovery_text import way_detail
        from gpu_bringup.ui.screens.detail import DetailScreen

        recovery = self.wizard.recovery
        for ways in self.query(Ways):
            number = ways.highlighted
            if recovery is not None and number is not None:
                self.app.push_screen(DetailScreen(way_detail(recovery, recovery.ways[number])))

    def action_decide(self) -> None:
        """Ask the one command that separates the causes that remain."""
        from gpu_bringup.recover import door

        situation, host = self.wizard.situation, self.wizard.host
        if situation is None:
            return

        def done(outcome: Outcome[door.Decision | None]) -> None:
            decision = outcome.value
            if decision is None:
                return
            command = shlex.join(decision.asked.argv)
            if not decision.cause:
                told = (
                    tr("It did not decide: {command}")
                    if decision.answered
                    else tr("It could not be asked here: {command}")
                )
                self.notify(told.format(command=command), timeout=8)
                return
            self.wizard.situation = replace(situation, report=decision.report)
            self.notify(tr("Decided by: {command}").format(command=command), timeout=8)
            self._show()

        background.start(self, lambda: door.decide(host, situation), done, "decide")

    # Textual calls the base class's handler as well: that one sees to the ladder's lines.
    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        recovery = self.wizard.recovery
        if isinstance(event.option_list, Ways) and recovery is not None:
            event.stop()
            way = recovery.way(event.option.id or "")
            if way is not None:
                self.post_message(self.Chosen(way))

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
                    tr("s says whether the driver will survive the next boot, kernel by kernel."),
                    tr("e, after an enrolment was asked for: the signing key, proven or missed."),
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

        def observer_done(name: str, seconds: float) -> None:
            background.hand_over(self, lambda: self._seen(name))

        def look() -> tuple[Facts, Situation, Recovery | None]:
            from gpu_bringup.recover import door

            facts = engine.observe(wizard.host, done=observer_done)
            situation = engine.examine(wizard.host, facts, wizard.answers, wizard.catalogue)
            return facts, situation, door.recovery_of_known(wizard.host, situation)

        background.start(self, look, self._looked, "look")

    def action_next_boot(self) -> None:
        if self.wizard.facts is None:
            return
        from gpu_bringup.ui.screens.next_boot import NextBootScreen

        self.app.push_screen(NextBootScreen(self.wizard))

    def _asked_firmware(self) -> bool:
        if self.wizard.situation is None:
            return False
        from gpu_bringup.ui import enrol_flow

        return enrol_flow.worth_showing(self.wizard)

    def action_enrolment(self) -> None:
        """The proof of the enrolment, or what is missing for it."""

        from gpu_bringup.ui import enrol_flow

        def begin(plan: Plan) -> None:
            self.post_message(self.AskAgain(plan))

        enrol_flow.show(self.screen, self.wizard, begin)

    def _seen(self, name: str) -> None:
        self._finished.add(name)
        if self._looking:
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

    def _looked(self, outcome: Outcome[tuple[Facts, Situation, Recovery | None]]) -> None:
        self._looking = False
        if outcome.value is None:
            text = str(outcome.error).replace("\n", " ")
            self.query_one("#verdict", Static).update(Content.styled(text, "bold $text-error"))
            return
        self.wizard.looked(*outcome.value)
        self.wizard.done.add(self.STEP)
        self.call_later(self._show_ways)
        self._show()
        root = outcome.value[1].report.root_cause
        if root is not None and self.wizard.recovery is not None:
            # The cursor, and with it the pane, stands at what mending starts with.
            self.query_one("#ladder", ItemList).go_to(root.id)
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
        if self.wizard.recovery is not None:
            from gpu_bringup.ui.recovery_text import cause_text

            width = self.query_one("#cause").container_size.width or self.app.size.width
            self.query_one("#cause", Static).update(
                hanging(cause_text(situation.report), width - 1)
            )
        steps = len(situation.plan.steps)
        what = (
            tr("{count} steps would mend it: n goes on.").format(count=steps)
            if steps
            else tr("n goes on.")
        )
        if self.wizard.recovery is not None and not self.has_class("-ladder"):
            what = tr("A number takes a way, i tells all about it, l shows the ladder.")
            if self._asked_firmware():
                what = f"{what} {tr('e shows how far the signing key is.')}"
        elif self.wizard.recovery is not None:
            what = tr("l goes back to the ways on.")
        if self.wizard.recovery is not None and not self.has_class("-ladder"):
            # The cause stands above already.
            self.query_one("#verdict", Static).update(Content.styled(what, MUTED))
            return
        verdict = verdict_text(situation.report)
        gap = "  " if verdict.plain.endswith((".", "?", "!")) else ".  "
        self.query_one("#verdict", Static).update(
            lines([verdict, Content.styled(what, MUTED)])
            if self.app.size.width >= 100 or situation.report.verdict != "broken"
            else Content(gap).join([verdict, Content.styled(what, MUTED)])
        )

    async def _show_ways(self) -> None:
        """Put the numbered ways on the page, or take them off."""
        recovery = self.wizard.recovery
        box = self.query_one("#ways", Vertical)
        await box.remove_children()
        self.set_class(recovery is not None, "-recover")
        if recovery is not None:
            from gpu_bringup.recover import door

            told = tr("The ways on from here")
            situation = self.wizard.situation
            if situation is not None and not self.wizard.recorded:
                before = door.reminded(situation.report)
                told = f"{told}. {before.words}" if before is not None else told
            brief = self.app.size.height < 30 and len(recovery.ways) > 4
            ways = [choose.Way(way.id, way.title, self._price(way)) for way in recovery.ways]
            title = Static(told, classes="ways-title")
            await box.mount(title, Ways(ways, width=self.app.size.width, brief=brief))
        if self.wizard.current == self.STEP:
            # Else the keys of a page that isn't seen would work.
            self.first_focus()
        self._show()
        self.screen.refresh_bindings()

    @staticmethod
    def _price(way: Way) -> str:
        """What a way costs; where no step of this program mends it, what is to be done instead."""
        from gpu_bringup.ui.recovery_text import way_about

        if way.plan.empty and way.plan.blocked:
            return tr("No step of gpu-bringup mends it: {why}").format(why=way.plan.blocked[0])
        return way_about(way)

    def _show_host(self) -> None:
        if self.wizard.facts is not None:
            from gpu_bringup.ui.host_text import host_card

            wide = self.app.size.width >= 100
            self.query_one("#host", Static).update(
                host_card(self.wizard.facts, self.wizard.catalogue, wide)
            )
