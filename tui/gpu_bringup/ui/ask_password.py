"""sudo's question for the operator's password, put on the screen for a thread that waits for it."""

from __future__ import annotations

import queue
from collections.abc import Callable

from textual.dom import DOMNode

from gpu_bringup.i18n import tr
from gpu_bringup.ui import background
from gpu_bringup.ui.screens.ask import AskScreen


def password_asker(owner: DOMNode) -> Callable[[str], str | None]:
    """What the engine calls, in its own thread, when sudo wants a password; None: no answer."""

    def ask(prompt: str) -> str | None:
        answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        background.hand_over(owner, lambda: _put(owner, prompt, answers))
        return answers.get()

    return ask


def _put(owner: DOMNode, prompt: str, answers: queue.SimpleQueue[str | None]) -> None:
    owner.app.push_screen(
        AskScreen(
            prompt.strip() or tr("sudo asks for your password"),
            tr("It goes to sudo only; it is never logged or saved."),
            secret=True,
        ),
        answers.put,
    )
