"""Takes turns with other heavy work on the same machine, by a lock file that both know."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITS = (600.0, 20.0)
"""Seconds to wait for the first turn at most, and for each after one that never came.

Then the work goes on beside the other, with less of the processor.
"""
LENGTH = 60.0
"""Seconds after which a turn takes no more work in."""
PAUSE = 0.5
"""Seconds in which whoever waits can take the lock."""


class Turns:
    """Some pieces of work at a time share one turn; ``path`` empty: everything at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._at_work = 0
        self._began = 0.0
        self._starved = False
        self._change = threading.Condition()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Do a piece of work, when it is its turn."""
        if not self._path:
            yield
            return
        with self._change:
            while self._at_work and time.monotonic() - self._began > LENGTH:
                self._change.wait()
            if not self._at_work:
                self._take()
            self._at_work += 1
        try:
            yield
        finally:
            with self._change:
                self._at_work -= 1
                if not self._at_work:
                    os.close(self._descriptor)
                    time.sleep(PAUSE)
                self._change.notify_all()

    def _take(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        until = time.monotonic() + WAITS[self._starved]
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.setpriority(os.PRIO_PROCESS, 0, 0)
                self._starved = False
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    os.setpriority(os.PRIO_PROCESS, 0, 5)
                    self._starved = True
                    break
                time.sleep(0.05)
        self._began = time.monotonic()
