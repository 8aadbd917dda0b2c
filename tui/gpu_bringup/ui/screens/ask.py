"""A question that is answered by typing. A secret is handed on and kept nowhere."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.screens.base import Dialog

Check = Callable[[str], str]
"""Says what is wrong with an answer; empty: nothing."""


class Answer(Input):
    """The field; its Enter stands in the bottom line."""

    BINDINGS = [Binding("enter", "submit", "Send it")]


class AskScreen(Dialog["str | None"]):
    """Returns what was typed; None: no answer.

    Args:
        question: what is asked.
        note: what becomes of the answer.
        secret: nothing typed is shown.
        text: what stands there already.
        check: refuses an answer with a sentence.
    """

    BINDINGS = [
        Binding("escape", "close", "Cancel", key_display="Esc"),
    ]

    DEFAULT_CSS = """
    AskScreen .question { text-style: bold; }
    AskScreen Input { height: 1; border: none; background: $boost; padding: 0 1; margin: 1 0; }
    AskScreen Input:focus { border: none; }
    AskScreen .problem { color: $text-error; display: none; }
    AskScreen .note { color: $muted; }
    """

    def __init__(
        self,
        question: str,
        note: str = "",
        *,
        secret: bool = False,
        text: str = "",
        check: Check | None = None,
    ) -> None:
        super().__init__()
        self._question = question
        self._note = note
        self._secret = secret
        self._text = "" if secret else text
        self._check = check

    def contents(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(self._question, classes="question", markup=False)
            yield Answer(self._text, password=self._secret, select_on_focus=False)
            yield Static("", classes="problem", markup=False)
            yield Static(self._note, classes="note", markup=False)
            yield Static(tr("Enter sends it, Esc doesn't answer."), classes="note", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        problem = self._check(event.value) if self._check else ""
        if problem:
            shown = self.query_one(".problem", Static)
            shown.update(problem)
            shown.display = True
            return
        field = self.query_one(Input)
        answer = event.value
        # Nothing of it stays behind in a widget, its history or an undo buffer.
        field.value = ""
        self.dismiss(answer)

    def action_close(self) -> None:
        self.query_one(Input).value = ""
        self.dismiss(None)
