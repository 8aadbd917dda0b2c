"""A wizard that is closing, and what still arrives for it: events, timers, results of threads.

Textual takes an application's widgets down while its message queues still hold messages. What runs
then finds no widgets: those errors mean nothing and are dropped, here and nowhere else. Where the
application lives on, the same error is a fault of this program and ends it.
"""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ScreenStackError
from textual.css.query import NoMatches
from textual.dom import DOMNode, NoScreen
from textual.widget import MountError

TORN_DOWN = (NoMatches, NoScreen, ScreenStackError, MountError)
"""What widgets raise whose tree is taken down."""


def is_open(node: DOMNode) -> bool:
    """Is this widget on a screen of an application that goes on?"""
    return node.is_attached and node.app.is_running


def while_open(node: DOMNode, call: Callable[[], object]) -> Callable[[], None]:
    """``call``, for later: nothing where ``node`` is gone by then, or goes meanwhile."""

    def guarded() -> None:
        if not is_open(node):
            return
        try:
            call()
        except TORN_DOWN:
            if is_open(node):
                raise

    return guarded
