"""mokutil's question for the one-time password: what it is for, asked once, typed twice."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import Input, Static

from gpu_bringup.i18n import tr
from gpu_bringup.signing.rehearsal import LONGEST_PASSWORD, password_advice
from gpu_bringup.ui.screens.ask import Answer
from gpu_bringup.ui.screens.base import Dialog


class EnrolPasswordScreen(Dialog["str | None"]):
    """Returns the password once both fields agree; None: no answer. It is kept nowhere."""

    BINDINGS = [
        Binding("escape", "close", "Cancel", key_display="Esc"),
        Binding("tab,shift+tab", "other", "Other field", key_display="Tab"),
    ]

    DEFAULT_CSS = """
    EnrolPasswordScreen .question { text-style: bold; }
    EnrolPasswordScreen Input { height: 1; border: none; background: $boost; padding: 0 1; }
    EnrolPasswordScreen Input:focus { border: none; }
    EnrolPasswordScreen .field { margin-top: 1; }
    EnrolPasswordScreen .advice { color: $text-warning; margin-top: 1; min-height: 2; }
    EnrolPasswordScreen .note { color: $muted; }
    """

    def contents(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(
                tr("Choose a one-time password for the firmware"), classes="question", markup=False
            )
            yield Static(
                tr(
                    "It proves at the console, after the reboot, that you are the one who asked. You type "
                    "it there once more, unseen, on a US keyboard layout; afterwards it is worthless. It "
                    "goes to mokutil only; it is never logged or saved. Remember it until then."
                ),
                classes="note",
                markup=False,
            )
            yield Static(tr("One-time password"), classes="field", markup=False)
            yield Answer(password=True, select_on_focus=False, id="first")
            yield Static(tr("The same again"), classes="field", markup=False)
            yield Answer(password=True, select_on_focus=False, id="second")
            yield Static("", classes="advice", markup=False)

    def on_mount(self) -> None:
        self.query_one("#first", Input).focus()
        self._say(tr("Digits and plain letters do best, eight or more."))

    def on_input_changed(self, event: Input.Changed) -> None:
        first, second = self._typed()
        if event.input.id == "first" or not second:
            good = tr("That will do at the console.") if first else ""
            self._say(password_advice(first) or good if first else "")
        elif not first.startswith(second):
            self._say(tr("The two differ."))
        else:
            self._say(tr("The two agree.") if first == second else "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        first, second = self._typed()
        if not first or len(first) > LONGEST_PASSWORD:
            self.query_one("#first", Input).focus()
            self._say(password_advice(first))
        elif event.input.id == "first" and not second:
            self.query_one("#second", Input).focus()
        elif first != second:
            field = self.query_one("#second", Input)
            with field.prevent(Input.Changed):
                field.value = ""
            field.focus()
            self._say(tr("The two differ: type the second one again."))
        else:
            self._clear()
            self.dismiss(first)

    def _typed(self) -> tuple[str, str]:
        return self.query_one("#first", Input).value, self.query_one("#second", Input).value

    def _say(self, text: str) -> None:
        self.query_one(".advice", Static).update(text)

    def _clear(self) -> None:
        for field in self.query(Input):
            field.value = ""

    def action_other(self) -> None:
        """To the other field."""
        first = self.query_one("#first", Input)
        (self.query_one("#second", Input) if first.has_focus else first).focus()

    def action_close(self) -> None:
        self._clear()
        self.dismiss(None)
