"""The wizard's main screen: header, rail, the page of the current step, and the way between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.dom import NoScreen
from textual.widgets import ContentSwitcher

from gpu_bringup import engine
from gpu_bringup.errors import BringupError, ExitCode
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.closing import is_open
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.keys import keys_text
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.pages.look import LookPage
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.screens.choose import ChooseScreen, Way
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.steps import STEPS, index_of
from gpu_bringup.ui.undo_text import cannot_text
from gpu_bringup.ui.widgets.host_bar import HostBar
from gpu_bringup.ui.widgets.step_rail import Crumbs, StepRail
from gpu_bringup.ui.words import lines, paragraphs, section

if TYPE_CHECKING:
    from gpu_bringup.recover.reminder import Reminder


def _page(step: str) -> Callable[[Wizard], Page]:
    """The page of a step; imported when it is first shown, so that the first picture comes soon."""
    if step == "questions":
        from gpu_bringup.ui.pages.questions import QuestionsPage

        return QuestionsPage
    if step == "recommendation":
        from gpu_bringup.ui.pages.recommendation import RecommendationPage

        return RecommendationPage
    if step == "proof":
        from gpu_bringup.ui.pages.proof import ProofPage

        return ProofPage
    if step == "review":
        from gpu_bringup.ui.pages.review import ReviewPage

        return ReviewPage
    if step == "run":
        from gpu_bringup.ui.pages.run import RunPage

        return RunPage
    if step == "outcome":
        from gpu_bringup.ui.pages.outcome import OutcomePage

        return OutcomePage
    if step == "verify":
        from gpu_bringup.ui.pages.verify import VerifyPage

        return VerifyPage
    return LookPage


class WizardScreen(FullScreen[None]):
    """Moves between the steps; back and forward lose nothing."""

    BINDINGS = [
        Binding("n,right", "next", "Next", key_display="n"),
        Binding("b,left", "back", "Back", key_display="b"),
        Binding("question_mark,f1", "help", "Help", key_display="?"),
        Binding("q", "leave", "Quit"),
        Binding("ctrl+c", "leave", "Quit", show=False, priority=True),
    ]

    DEFAULT_CSS = """
    WizardScreen #middle { height: 1fr; }
    WizardScreen ContentSwitcher { width: 1fr; height: 1fr; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self.wizard = wizard

    def contents(self) -> ComposeResult:
        yield HostBar(self.wizard)
        yield Crumbs()
        with Horizontal(id="middle"):
            yield StepRail()
            with ContentSwitcher(initial="page-look"):
                yield LookPage(self.wizard)

    def on_mount(self) -> None:
        self._refresh_frame()
        self.page("look").first_focus()
        if not self.wizard.recorded:
            self.call_after_refresh(self._offer_unfinished)

    def page(self, step: str) -> Page:
        """The page of a step that was shown before."""
        return self.query_one(f"#page-{step}", Page)

    @property
    def shown(self) -> Page:
        """The page on the screen."""
        current = self.query_one(ContentSwitcher).current or "page-look"
        return self.query_one(f"#{current}", Page)

    async def go(self, step: str) -> Page:
        """Show a step's page ("outcome" is the run's end).

        Raises:
            NoScreen: the wizard is closing; nothing is mounted any more, and waiting for it would last.
        """
        if not is_open(self):
            raise NoScreen(f"{self!r} is closing")
        switcher = self.query_one(ContentSwitcher)
        if not self.query(f"#page-{step}"):
            await switcher.mount(_page(step)(self.wizard))
        page = self.page(step)
        switcher.current = page.id
        self.wizard.current = "run" if step == "outcome" else step
        page.enter()
        page.first_focus()
        self._refresh_frame()
        return page

    def _refresh_frame(self) -> None:
        self.query_one(HostBar).show()
        self.query_one(Crumbs).show(self.wizard)
        self.query_one(StepRail).show(self.wizard)
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "back":
            return self.wizard.current != STEPS[0].id
        if action == "next":
            return self.wizard.current != STEPS[-1].id
        return True

    def idle_actions(self) -> frozenset[str]:
        """Actions whose key works, but would only say why it can't be done now."""
        idle = {"next"} if self.shown.blocked() else set()
        if self.wizard.run_state == "running" and self.wizard.current == "run":
            idle.add("back")
        return frozenset(idle)

    # --- keys

    async def action_next(self) -> None:
        page, wizard = self.shown, self.wizard
        reason = page.blocked()
        if reason:
            self.notify(reason, timeout=4)
            return
        wizard.done.add(wizard.current)
        wizard.stale.discard(wizard.current)
        following = STEPS[index_of(wizard.current) + 1].id
        nothing_to_run = wizard.recorded or wizard.plan is None or wizard.plan.empty
        if following == "run" and nothing_to_run:
            following = "verify"
        await self.go(following)

    async def action_back(self) -> None:
        wizard = self.wizard
        if wizard.run_state == "running" and wizard.current == "run":
            self.notify(tr("the steps are being taken; x stops them, q leaves them running"))
            return
        before = STEPS[max(0, index_of(wizard.current) - 1)].id
        if before == "run" and wizard.follower is None:
            before = "review"
        await self.go(before)

    def action_help(self) -> None:
        page = self.shown.help()
        body = paragraphs([section(tr("The keys that work here now"), keys_text(self)), page.body])
        self.app.push_screen(DetailScreen(Detail(page.title, body)))

    def action_leave(self) -> None:
        if self.wizard.run_state != "running":
            self.app.exit(self._status())
            return
        ways = (
            Way("no", tr("no, stay here"), ""),
            Way("yes", tr("yes, leave"), tr("the run goes on; gpu-bringup shows it again")),
        )

        def answered(chosen: str | None) -> None:
            if chosen == "yes":
                self.app.exit(int(ExitCode.OK))

        about = tr("The steps are taken by a process of their own and go on without this screen.")
        self.app.push_screen(ChooseScreen(tr("Leave the wizard?"), about, ways), answered)

    def _status(self) -> int:
        state = self.wizard.run_state
        if state == "reboot":
            return int(ExitCode.REBOOT_NEEDED)
        if state in ("failed", "lost", "cancelled"):
            return int(ExitCode.FAILED)
        return int(ExitCode.OK)

    # --- what pages say

    def on_page_changed(self) -> None:
        self._refresh_frame()

    async def on_look_page_chosen(self, event: LookPage.Chosen) -> None:
        from gpu_bringup.recover.way import LATER, MEND
        from gpu_bringup.ui.recover_flow import ask
        from gpu_bringup.ui.recovery_text import way_detail

        way, recovery = event.way, self.wizard.recovery
        if recovery is None:
            return
        if way.id == MEND:
            await self.action_next()
        elif self.wizard.recorded:
            detail = way_detail(recovery, way)
            told = Content.styled(
                tr("This is a record: nothing can be changed here. Run this on the server."),
                "bold $text-warning",
            )
            self.app.push_screen(
                DetailScreen(Detail(detail.title, paragraphs([told, detail.body])))
            )
        elif way.id == LATER:
            self._put_off()
        else:
            ask(self, recovery, way, self._begin_way)

    def on_look_page_ask_again(self, event: LookPage.AskAgain) -> None:
        self._begin_way(event.plan)

    def _begin_way(self, plan: Plan, *, keep: bool = True) -> None:
        async def begin() -> None:
            from gpu_bringup.ui.pages.run import RunPage

            page = await self.go("run")
            assert isinstance(page, RunPage)
            page.begin(plan, keep=keep)

        self.call_later(begin)

    def _put_off(self) -> None:
        from gpu_bringup.recover import door

        situation, host = self.wizard.situation, self.wizard.host
        if situation is None:
            return

        def done(outcome: Outcome[Reminder]) -> None:
            if outcome.value is None:
                self.notify(str(outcome.error), severity="error", timeout=10)
                return
            self.notify(
                tr("Nothing was changed. The record of this server is {path}").format(
                    path=outcome.value.record
                ),
                timeout=10,
            )

        background.start(self, lambda: door.put_off(host, situation.report), done, "put-off")

    async def on_review_page_confirmed(self, event: object) -> None:
        from gpu_bringup.ui.pages.review import ReviewPage
        from gpu_bringup.ui.recover_flow import before_plan

        assert isinstance(event, ReviewPage.Confirmed)
        self.wizard.done.add("review")
        keep = event.keep
        before_plan(
            self, self.wizard.host, event.plan, lambda plan: self._begin_way(plan, keep=keep)
        )

    async def on_run_page_ended(self, event: object) -> None:
        from gpu_bringup.ui.pages.outcome import OutcomePage
        from gpu_bringup.ui.pages.run import RunPage

        assert isinstance(event, RunPage.Ended)
        state = (event.model.ended or {}).get("state")
        self.wizard.after = None
        if state == "done" and not self.wizard.undoing:
            await self.go("verify")
            return
        page = await self.go("outcome")
        assert isinstance(page, OutcomePage)
        page.show(event.model)

    async def on_outcome_page_chosen(self, event: object) -> None:
        from gpu_bringup.ui.pages.outcome import OutcomePage

        assert isinstance(event, OutcomePage.Chosen)
        if event.way == "stop":
            self.app.exit(self._status())
        elif event.way == "plan":
            await self.go("review")
        elif event.way == "check":
            await self._look_again()
        elif event.way == "resume":
            await self._resume()
        elif event.way == "undo" and self.wizard.follower is not None:
            self._offer_undo(self.wizard.follower.run_id)

    async def _look_again(self) -> None:
        page = await self.go("look")
        assert isinstance(page, LookPage)
        self.wizard.situation = None
        self.wizard.run_state = ""
        page.action_look_again()

    async def _resume(self) -> None:
        from gpu_bringup.ui.pages.run import RunPage

        follower = self.wizard.follower
        page = await self.go("run")
        assert isinstance(page, RunPage)
        if follower is not None:
            page.resume(follower.run_id)

    # --- a run that is there already, and the way back of one

    def _offer_unfinished(self) -> None:
        from gpu_bringup.ui.waiting_run import waiting_run

        try:
            found = waiting_run()
        except BringupError as error:
            self.notify(str(error), severity="warning", timeout=10)
            return
        if found is None:
            return
        from gpu_bringup.ui.screens.waiting import WaitingScreen

        run_id = found.run_id

        async def answered(chosen: str | None) -> None:
            if chosen in ("attach", "resume"):
                await self._take_up(run_id, resume=chosen == "resume")
            elif chosen == "undo":
                self._offer_undo(run_id)
            elif chosen == "again":
                from gpu_bringup.ui import enrol_flow

                enrol_flow.ask_again(self, self.wizard, self._begin_way)

        self.app.push_screen(WaitingScreen(found, self.wizard), answered)

    async def _take_up(self, run_id: str, *, resume: bool) -> None:
        from gpu_bringup.run.start import attach
        from gpu_bringup.ui.pages.run import RunPage

        page = await self.go("run")
        assert isinstance(page, RunPage)
        if resume:
            page.resume(run_id)
            return
        follower = attach(run_id)
        if follower is not None:
            page.attach(follower)

    def _offer_undo(self, run_id: str) -> None:
        try:
            plan = engine.undo(run_id)
        except BringupError as error:
            self.notify(str(error), severity="error", timeout=10)
            return
        if plan.empty:
            self.notify(tr("There is nothing to take back: this run changed nothing yet."))
            return
        steps = lines(f"{number}. {step.title}" for number, step in enumerate(plan.steps, 1))
        about = paragraphs([cannot_text(plan.blocked), steps])
        ways = (
            Way("no", tr("no, keep all as it is"), ""),
            Way("yes", tr("yes, take these steps"), tr("this server is changed")),
        )

        async def answered(chosen: str | None) -> None:
            from gpu_bringup.ui.pages.run import RunPage

            if chosen == "yes":
                page = await self.go("run")
                assert isinstance(page, RunPage)
                page.begin(plan, undoing=True)

        self.app.push_screen(ChooseScreen(tr("Take this run back?"), about, ways), answered)
