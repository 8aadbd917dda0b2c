"""Follows a run by reading its folder: from any process, as often and as late as one likes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from gpu_bringup.run import control, lock
from gpu_bringup.run.journal import NAME, SCHEMA, Event, now, parse_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_EVERY = 0.1
_LOST = (
    "The process that takes the steps is gone before the run's end (killed, out of memory, power "
    "cut). What was done stays done and is in the journal."
)


class Follower:
    """A run, as seen from outside.

    Args:
        folder: the run's folder.
        offset: where in the journal to begin, in bytes (a resumed run begins at its resumption).
    """

    def __init__(self, folder: Path, offset: int = 0) -> None:
        self.folder = folder
        self.run_id = folder.name
        self._offset = offset
        self._ended: Event | None = None

    def poll(self) -> list[Event]:
        """The journal's new events; returns at once. A line half written is left for next time."""
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(self.folder / NAME, flags), "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self._offset += end
        events = [event for line in data[:end].split(b"\n") if line and (event := parse_line(line))]
        if events:
            self._ended = events[-1] if events[-1]["event"] == "run-ended" else None
        return events

    def events(self, timeout: float | None = None) -> Iterator[Event]:
        """Events until ``run-ended``, waiting for each.

        Where the worker died, the last one is a made-up ``run-lost`` with "text" and "hint".

        Args:
            timeout: seconds to wait for the next event; then it stops, and may be called again.
        """
        waited_since = time.monotonic()
        while True:
            # Asked before the poll: what a worker wrote before its end is then read for sure.
            alive = self.alive()
            events = self.poll()
            yield from events
            if events:
                waited_since = time.monotonic()
            if self._ended is not None:
                return
            if not events and not alive:
                yield self._lost()
                return
            if timeout is not None and time.monotonic() - waited_since >= timeout:
                return
            if not events:
                time.sleep(_EVERY)

    def wait(self, timeout: float | None = None) -> Event | None:
        """Wait for the end; returns run-ended or run-lost, None when ``timeout`` seconds passed."""
        until = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return None
            for event in self.events(_EVERY * 2):
                if event["event"] == "run-lost":
                    return event
            if self._ended is not None:
                return self._ended

    def alive(self) -> bool:
        """Does the worker live?"""
        return lock.is_held(lock.worker_lock(self.folder))

    def output(self, log: str, offset: int = 0, limit: int = 1_000_000) -> tuple[bytes, int]:
        """New bytes of a command's log ("log" of its events), at most ``limit`` of them.

        A negative ``offset`` begins that many bytes before the end.

        Returns:
            (bytes, offset to ask with next time).
        """
        try:
            with (self.folder / log).open("rb") as file:
                if offset < 0:
                    size = file.seek(0, 2)
                    offset = max(0, size + offset)
                file.seek(offset)
                data = file.read(limit)
        except OSError:
            return b"", max(0, offset)
        return data, offset + len(data)

    def answer(self, text: str) -> None:
        """Answer the prompt that is open.

        Raises:
            RefusedError: nothing is asked.
            HostError: the worker can't be reached.
        """
        control.request(self.folder, {"answer": text})

    def cancel(self) -> None:
        """Ask the run to stop at the next safe place; returns at once.

        Raises:
            HostError: the worker can't be reached.
        """
        control.request(self.folder, {"cancel": True})

    def _lost(self) -> dict[str, Any]:
        hint = f"Resume the run {self.run_id}: finished commands are not run again."
        return {
            "schema": SCHEMA, "time": now(), "event": "run-lost", "text": _LOST, "hint": hint,
            "worker_log": str(self.folder / "worker.log"),
        }  # fmt: skip
