"""mokutil asks for the one-time password twice; the operator is asked once, in one dialog."""

from __future__ import annotations

import re

from gpu_bringup.i18n import tr
from gpu_bringup.ui.enrol_text import STEP
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.base import Dialog
from gpu_bringup.ui.screens.enrol_password import EnrolPasswordScreen

_AGAIN = re.compile(r"password\s+again", re.IGNORECASE)
"""mokutil's second prompt: "input password again: " (mokutil 0.6.0)."""


class SecondAnswer:
    """Holds the password from the first prompt to the second, and not a prompt longer."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: str | None = None

    def keep(self, prompt: str, answer: str, model: RunModel) -> None:
        """An answer was sent; kept only where the same is asked for once more."""
        first = enrolment_prompt(model, prompt, secret=True) and not _AGAIN.search(prompt)
        self._kept = answer if first else None

    def take(self, prompt: str) -> str | None:
        """The answer to this prompt, where it is the second one; forgotten in any case."""
        kept, self._kept = self._kept, None
        return kept if _AGAIN.search(prompt) else None

    def forget(self) -> None:
        self._kept = None


def enrolment_prompt(model: RunModel, prompt: str, *, secret: bool) -> bool:
    """Is this mokutil's question for the one-time password?"""
    current = model.current
    asks = current is not None and current.id == STEP and "password" in prompt.lower()
    return secret and asks


def question(model: RunModel, prompt: str, *, secret: bool) -> Dialog[str | None]:
    """The dialog for a command's question."""
    if enrolment_prompt(model, prompt, secret=secret):
        if not _AGAIN.search(prompt):
            return EnrolPasswordScreen()
        return AskScreen(
            tr("The same one-time password again"),
            tr("mokutil compares the two. It is never logged or saved; the console asks for it."),
            secret=True,
        )
    note = (
        tr("It goes to the command only; it is never logged or saved.")
        if secret
        else tr("The command waits for it.")
    )
    return AskScreen(prompt.strip() or tr("An answer"), note, secret=secret)
