"""Step 5: every step with its commands, time and risk; the one place where going on is confirmed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gpu_bringup import engine
from gpu_bringup.errors import RefusedError
from gpu_bringup.export.plans import export
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.run.store import Estimate, makes_room
from gpu_bringup.ui import background, enrol_flow, enrol_text
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.plan_text import plan_headline, plan_items
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen, Way
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.undo_text import cannot_text, kept_text, no_room
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import WARN, hanging, lines, paragraphs, section

_ENDINGS = {"shell": "sh", "markdown": "md", "ansible": "yml", "json": "json"}


class ReviewPage(Page):
    """Shows the plan. Nothing is changed before it is confirmed here."""

    STEP = "review"
    BINDINGS = [
        Binding("a", "apply", "Take the steps"),
        Binding("c", "commands", "Commands"),
        Binding("s", "save", "Save the plan"),
        Binding("e", "rehearse", "Rehearse MOK"),
    ]

    DEFAULT_CSS = """
    ReviewPage #plan-head { height: auto; max-height: 50%; margin-bottom: 1; }
    ReviewPage ItemList { text-overflow: ellipsis; }
    ReviewPage.-commands ItemList { text-wrap: wrap; }
    ReviewPage.-commands WhyPane { display: none; }
    """

    class Confirmed(Message):
        """The operator said yes to the plan; ``keep``: and to keeping the old packages for undo."""

        def __init__(self, plan: Plan, *, keep: bool = True) -> None:
            super().__init__()
            self.plan = plan
            self.keep = keep

    def __init__(self, wizard: Wizard) -> None:
        super().__init__(wizard)
        self._commands = False
        self._counted: tuple[Plan, Estimate | None] | None = None
        """What is kept for undo, and the plan for which that was looked up."""
        self._asked = False
        """The operator wants to take the steps and waits for that."""

    def compose(self) -> ComposeResult:
        yield Static(id="plan-head")
        with Horizontal():
            yield ItemList(id="plan")
            yield WhyPane()

    def enter(self) -> None:
        self.wizard.stale.discard(self.STEP)
        self._asked = False
        self._count()
        self._show()

    def _count(self) -> None:
        """Look up what is kept for undo: up to a second, in a thread."""
        wizard, plan = self.wizard, self.wizard.plan
        if plan is None or plan.empty or wizard.recorded or self._known(plan):
            return

        def counted(outcome: Outcome[Estimate | None]) -> None:
            if self.wizard.plan is not plan:
                return
            if outcome.error is not None:
                self.notify(str(outcome.error), severity="warning", timeout=10)
            self._counted = plan, outcome.value
            self._show_head()
            asked, self._asked = self._asked, False
            # Whoever left this page meanwhile, or opened something, doesn't wait any more.
            if asked and self.wizard.current == self.STEP and self.screen.is_current:
                self.action_apply()

        background.start(self, lambda: engine.keeping(wizard.host, plan), counted, "keeping")

    def _known(self, plan: Plan) -> bool:
        return self._counted is not None and self._counted[0] is plan

    def _kept(self, plan: Plan) -> Estimate | None:
        return self._counted[1] if self._counted is not None and self._known(plan) else None

    def on_resize(self) -> None:
        if self._commands:
            self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        plan = self.wizard.plan
        if action == "apply":
            return plan is not None and not plan.empty and not self.wizard.recorded
        if action == "rehearse":
            return enrol_text.asked_by(plan)
        if action in ("commands", "save"):
            return plan is not None and not plan.empty
        return True

    def blocked(self) -> str:
        plan = self.wizard.plan
        if plan is None:
            return tr("there is no plan yet; go back")
        if not plan.empty and not self.wizard.recorded:
            return tr("press a to take the steps, s to save them, or q to leave all as it is")
        return ""

    def help(self) -> Detail:
        return Detail(
            tr("Review: what would be done"),
            paragraphs(
                [
                    tr(
                        "These steps make every layer of the ladder hold, in this order. Nothing was "
                        "changed so far, and nothing is before you say yes."
                    ),
                    tr(
                        "c shows the exact commands below each step, Enter everything about one: why, risk, "
                        "the files it writes, how it is taken back. s saves the plan as a shell script or a "
                        "document, to take the steps yourself or have them approved."
                    ),
                    tr(
                        "Before the first change the packages that are replaced or removed are kept, so "
                        "that gpu-bringup undo needs no network. What no undo takes back is named above "
                        "the steps."
                    ),
                    tr(
                        "a takes the steps. They run on their own: if the connection breaks, they go on, and "
                        "starting gpu-bringup again shows them. A reboot is never started for you."
                    ),
                    tr(
                        "e, where the plan enrols a signing key: rehearses the screens that the firmware "
                        "will show on the console at the next boot."
                    ),
                ]
            ),
        )

    def _show(self) -> None:
        plan = self.wizard.plan
        items = self.query_one("#plan", ItemList)
        self._show_head()
        rows = plan_items(plan, self._commands) if plan is not None else []
        if self._commands:
            # A command that goes on in the next row shows by its indent that it does.
            width = self.content_size.width - items.styles.scrollbar_size_vertical - 1
            rows = [replace(row, line=hanging(row.line, width)) for row in rows]
        items.show(rows)
        self.show_why(items)
        self.screen.refresh_bindings()

    def _show_head(self) -> None:
        self.query_one("#plan-head", Static).update(self._head(self.wizard.plan))

    def _head(self, plan: Plan | None) -> Content:
        if plan is None:
            return Content(tr("There is no plan yet: go back to the recommendation."))
        rows: list[Content] = []
        if self.wizard.recorded:
            rows.append(
                Content.styled(
                    tr(
                        "This is a record: nothing can be changed. s saves the commands for the server "
                        "itself, c shows them."
                    )
                    if not plan.empty
                    else tr("This is a record: nothing can be changed."),
                    f"bold {WARN}",
                )
            )
        if plan.empty and not plan.blocked:
            rows.append(
                Content.styled(
                    tr("Nothing to do: every layer that can be judged here holds already."),
                    "bold $text-success",
                )
            )
        elif plan.empty:
            rows.append(Content.styled(tr("There are no steps that could mend this."), "bold"))
        else:
            rows.append(plan_headline(plan))
        if not plan.empty:
            kept = kept_text(self._kept(plan), makes_room=makes_room(plan))
            rows += [part for part in (kept, cannot_text(engine.irrevocable(plan))) if part]
        rows += [Content.styled(f"! {text}", WARN) for text in plan.blocked]
        situation = self.wizard.situation
        rows += [
            Content.styled(f"! {note}", WARN) for note in (situation.notes if situation else ())
        ]
        if plan.first_boot:
            rungs = ", ".join(plan.first_boot)
            rows.append(
                Content(tr("Seen only at that kernel's first boot: {rungs}.").format(rungs=rungs))
            )
        return lines(rows)

    def action_commands(self) -> None:
        self._commands = not self._commands
        self.set_class(self._commands, "-commands")
        self._show()

    def action_rehearse(self) -> None:
        enrol_flow.rehearse(self.screen, self.wizard)

    def action_apply(self) -> None:
        plan = self.wizard.plan
        if plan is None or plan.empty or self.wizard.recorded:
            return
        if not self._known(plan):
            self._asked = True
            self.notify(tr("Looking what is kept for undo ..."), timeout=3)
            self._count()
            return
        kept = self._kept(plan)
        full = no_room(kept, makes_room=makes_room(plan))
        risks = lines(
            f"{number}. {step.risk}" for number, step in enumerate(plan.steps, 1) if step.risk
        )
        about = paragraphs(
            [
                plan_headline(plan),
                cannot_text(engine.irrevocable(plan)),
                kept_text(kept, makes_room=makes_room(plan)),
                section(tr("Risks"), risks),
                tr("It can be stopped between steps, and taken back with gpu-bringup undo."),
            ]
        )
        count = len(plan.steps)
        yes = tr("yes, take 1 step now") if count == 1 else tr("yes, take {count} steps now")
        means = tr("this server is changed")
        if full:
            yes = tr("yes, take them without keeping the old packages")
            means = tr("undo then brings old versions back only while a repository has them")
        ways = (
            Way("no", tr("no, go back to the plan"), tr("nothing is changed")),
            Way("yes", yes.format(count=count), means),
        )

        def answered(chosen: str | None) -> None:
            if chosen == "yes":
                self.post_message(self.Confirmed(plan, keep=not full))

        self.app.push_screen(ChooseScreen(tr("Take these steps now?"), about, ways), answered)

    def action_save(self) -> None:
        plan = self.wizard.plan
        if plan is None or plan.empty:
            return
        ways = (
            Way("shell", tr("shell script"), tr("the commands, in order, each with its reason")),
            Way("markdown", tr("Markdown document"), tr("to read, to approve, to keep")),
            Way("ansible", tr("Ansible playbook"), ""),
            Way("json", tr("JSON"), tr("for programs")),
        )

        def chosen(form: str | None) -> None:
            if form is not None:
                self._ask_file(plan, form)

        self.app.push_screen(ChooseScreen(tr("Save the plan as what?"), "", ways), chosen)

    def _ask_file(self, plan: Plan, form: str) -> None:
        def written(name: str | None) -> None:
            if name is not None:
                self.notify(tr("The plan is in {path}").format(path=Path(name).absolute()))

        def write(name: str) -> str:
            try:
                Path(name).write_text(export(plan, form), encoding="utf-8")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                return tr("it can't be written there: {reason}").format(reason=reason)
            except RefusedError as error:
                return str(error)
            return ""

        self.app.push_screen(
            AskScreen(
                tr("In which file?"),
                tr("A file of that name is replaced."),
                text=f"gpu-bringup-plan.{_ENDINGS[form]}",
                check=write,
            ),
            written,
        )
