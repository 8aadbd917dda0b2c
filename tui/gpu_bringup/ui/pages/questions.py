"""Step 2: four questions with sensible answers already given."""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.catalogue import Scenario
from gpu_bringup.ui import question_text
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.guide_text import guide_detail, has_guide
from gpu_bringup.ui.pages.base import Page
from gpu_bringup.ui.question_text import NAMED, Question, questions
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.why_pane import WhyPane
from gpu_bringup.ui.words import MUTED, lines, paragraphs, section


@dataclass(frozen=True, slots=True)
class _Row:
    question: Question

    def item(self, number: int) -> Item:
        question = self.question
        line = lines(
            [
                Content.assemble((f"{number}  {question.title}", "bold")),
                Content.assemble("   ", (f"> {question.answer}", "$text-accent")),
                Content.styled(f"   {question.about}", MUTED),
                *([Content.styled(f"   {question.changed}", MUTED)] if question.changed else []),
                Content(""),
            ]
        )
        options = lines(
            Content.assemble((f"- {way.label}", "bold"), f": {way.about}" if way.about else "")
            for way in question.ways
        )
        body = paragraphs(
            [
                section(tr("Why we ask"), question.why),
                section(tr("What the guide of 2024-25 named"), question.guide),
                section(tr("The answers"), options),
            ]
        )
        return Item(question.id, line, Detail(question.title, body))


class QuestionList(ItemList):
    """Enter changes the answer."""

    BINDINGS = [Binding("enter", "select", "Change")]

    def shown_key(self, action: str) -> str:
        """The numbers of the questions stand beside Enter."""
        return "Enter/1-4" if action == "select" else ""


class QuestionsPage(Page):
    """Enter on a question changes its answer; n goes on with what stands there."""

    STEP = "questions"
    BINDINGS = [
        *(Binding(f"{number}", f"pick({number})", "Change", show=False) for number in range(1, 5)),
        Binding("g", "guide", "Guide"),
    ]

    DEFAULT_CSS = """
    QuestionsPage #ask { height: 2; color: $muted; }
    QuestionsPage QuestionList { text-overflow: ellipsis; }
    """

    def compose(self) -> ComposeResult:
        yield Static(
            tr("The answers below are what suits most servers. Enter changes one, n goes on."),
            id="ask",
        )
        with Horizontal():
            yield QuestionList(id="questions")
            yield WhyPane()

    def enter(self) -> None:
        asked = questions(self.wizard)
        items = self.query_one("#questions", QuestionList)
        items.show([_Row(question).item(number) for number, question in enumerate(asked, 1)])
        self.show_why(items)

    def help(self) -> Detail:
        return Detail(
            tr("Questions: what this server is for"),
            paragraphs(
                [
                    tr(
                        "The answers decide which driver is recommended. Nothing is changed by them, and "
                        "you can come back: an answer that is changed later only means that the steps "
                        "after it are looked at again."
                    ),
                    *(
                        section(f"{number}. {question.title}", question.why)
                        for number, question in enumerate(questions(self.wizard), 1)
                    ),
                ]
            ),
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return has_guide(self._scenario()) if action == "guide" else True

    def action_guide(self) -> None:
        scenario = self._scenario()
        if scenario is not None and has_guide(scenario):
            self.app.push_screen(DetailScreen(guide_detail(scenario, self.wizard.catalogue)))

    def _scenario(self) -> Scenario | None:
        return self.wizard.catalogue.scenarios.get(self.wizard.answers.scenario)

    def action_pick(self, number: int) -> None:
        """Change the answer to the question of this number."""
        self._ask(number - 1)

    def open_item(self, items: ItemList, item_id: str) -> None:
        ids = [question.id for question in questions(self.wizard)]
        self._ask(ids.index(item_id))

    def _ask(self, index: int) -> None:
        question = questions(self.wizard)[index]
        items = self.query_one("#questions", QuestionList)
        items.highlighted = index

        def answered(chosen: str | None) -> None:
            if chosen is None:
                return
            if chosen == NAMED:
                self._ask_text(question)
            elif chosen == SourceKind.LOCAL.value:
                self._ask_folder()
            else:
                self._take(question, chosen)

        self.app.push_screen(
            ChooseScreen(question.title, question.why, question.ways, chosen=question.chosen),
            answered,
        )

    def _ask_text(self, question: Question) -> None:
        wizard = self.wizard

        def answered(text: str | None) -> None:
            if text is not None:
                self._take(question, text.strip())

        self.app.push_screen(
            AskScreen(
                question.named,
                question.named_note,
                text=question.text,
                check=lambda text: question_text.problem(wizard, question.id, text.strip()),
            ),
            answered,
        )

    def _ask_folder(self) -> None:
        def answered(text: str | None) -> None:
            if text is not None and self.wizard.answer(
                source=SourceKind.LOCAL, local_packages=text.strip()
            ):
                self.enter()
                self.post_message(self.Changed())

        self.app.push_screen(
            AskScreen(
                tr("In which folder of this server are the packages?"),
                tr("A full path, such as /srv/packages."),
                text=self.wizard.answers.local_packages,
                check=lambda text: (
                    "" if text.strip().startswith("/") else tr("a full path begins with /")
                ),
            ),
            answered,
        )

    def _take(self, question: Question, value: str) -> None:
        changed = self.wizard.answer(**question_text.change(question.id, value))
        self.enter()
        self.screen.refresh_bindings()
        if changed:
            self.post_message(self.Changed())
