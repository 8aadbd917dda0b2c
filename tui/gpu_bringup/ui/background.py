"""Work beside the screen: a daemon thread that hands its result over as a message.

Textual's own thread workers keep a program from ending while a sick driver or a build holds them;
daemon threads don't.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from textual.dom import DOMNode

from gpu_bringup.errors import BringupError
from gpu_bringup.i18n import tr
from gpu_bringup.ui.closing import while_open

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of it: exactly one of the two is set, or ``value`` is what it returned."""

    value: T | None = None
    error: BringupError | None = None


def hand_over(owner: DOMNode, call: Callable[[], object]) -> None:
    """From any thread: run ``call`` in the screen's own, soon; nothing when ``owner`` is gone."""
    try:
        owner.app.call_later(while_open(owner, call))
    except RuntimeError:
        # The program is ending: nobody is left to be told.
        return


def start(
    owner: DOMNode, work: Callable[[], T], done: Callable[[Outcome[T]], object], name: str
) -> None:
    """Do ``work`` in a thread; ``done`` is called with its outcome in the screen's thread.

    Args:
        owner: who wants it; where that is gone by then, ``done`` isn't called.
    """

    def body() -> None:
        outcome: Outcome[T] | None = None
        try:
            outcome = Outcome(value=work())
        except BringupError as error:
            outcome = Outcome(error=error)
        finally:
            result = outcome or Outcome(error=_fault())
            hand_over(owner, lambda: done(result))

    threading.Thread(target=body, name=f"ui-{name}", daemon=True).start()


def _fault() -> BringupError:
    kind, error, _ = sys.exc_info()
    return BringupError(
        tr("An unexpected fault of this program: {kind}: {error}").format(
            kind=kind.__name__ if kind else "?", error=error
        ),
        meaning=tr("Nothing further was done. A run that was started goes on by itself."),
        hint=tr("The same without a screen: gpu-bringup check, plan and apply. Please report it."),
    )
