"""Reads a run from its folder: what its journal and its commands' logs say since the last look."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass
from typing import Any

from gpu_bringup.i18n import tr
from gpu_bringup.run.follow import Follower
from gpu_bringup.ui.log_tail import LogTail
from gpu_bringup.ui.run_model import RunModel

_ALIVE_EVERY = 1.0
"""Seconds of silence after which it is asked whether the run's process lives."""
_ATTACHED_BYTES = 256 * 1024
"""How much of a running command's log is shown when one comes back to it."""


@dataclass(frozen=True, slots=True)
class News:
    """What came since the last look; empty mostly."""

    kinds: tuple[str, ...]
    """The events' names, in order."""
    lines: tuple[str, ...]
    """Output, with a heading before each step and the command's line before its own."""


class RunWatch:
    """One run, looked at again and again. Knows no widget.

    Args:
        follower: the run.
        model: takes its events.
    """

    def __init__(self, follower: Follower, model: RunModel) -> None:
        self._follower = follower
        self._model = model
        self._tail: LogTail | None = None
        self._heard = time.monotonic()

    @property
    def has_output(self) -> bool:
        """Has a command been started?"""
        return self._tail is not None

    def look(self) -> News:
        """Take what came. A process that is gone ends the model as ``lost``."""
        kinds: list[str] = []
        lines: list[str] = []
        self._take(self._follower.poll(), kinds, lines)
        now = time.monotonic()
        if kinds:
            self._heard = now
        elif self._model.ended is None and now - self._heard >= _ALIVE_EVERY:
            self._heard = now
            if not self._follower.alive():
                # What it wrote between the last look and its end comes first.
                self._take(self._follower.poll(), kinds, lines)
                if self._model.ended is None:
                    self._model.take({"event": "run-lost", "text": _lost()})
        lines += self._output()
        return News(tuple(kinds), tuple(lines))

    def _take(self, events: list[dict[str, Any]], kinds: list[str], lines: list[str]) -> None:
        for event in events:
            kind = str(event.get("event", ""))
            kinds.append(kind)
            if kind == "command-started":
                # The rest of the one before it.
                lines += self._output()
            self._model.take(event)
            if kind == "command-started":
                path = self._follower.folder / self._model.log
                self._tail = LogTail(path, last=_ATTACHED_BYTES)
                lines.append(f"\x1b[36m$ {shlex.join(self._model.argv)}\x1b[0m")
            elif kind == "step-started":
                lines += ["", f"\x1b[1m== {event.get('title', '')}\x1b[0m"]

    def _output(self) -> list[str]:
        return self._tail.read() if self._tail is not None else []


def _lost() -> str:
    return tr(
        "The process that takes the steps is gone before the run's end (killed, out of memory, power "
        "cut). What was done stays done and is in the journal."
    )
