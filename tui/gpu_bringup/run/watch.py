"""Follows one running command: log, progress, prompts, answers, and how it is stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpu_bringup.hosts.base import Exited, Lines, Partial, Prompt, Session
from gpu_bringup.hosts.lines import strip_colours
from gpu_bringup.run.output import CommandLog, waiting_for

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Command
    from gpu_bringup.run.progress import ProgressReader

_EVERY = 1.0
"""Seconds between two looks at the progress."""

Note = Callable[..., None]
"""Writes a journal event; never raises."""


class Watch:
    """One command while it runs.

    Args:
        session: of the command.
        log: gets its lines.
        reader: reads its progress; None: it shows none.
        note: writes journal events.
        where: fields that every event carries (step, command).
    """

    def __init__(
        self,
        session: Session,
        command: Command,
        log: CommandLog,
        reader: ProgressReader | None,
        note: Note,
        where: dict[str, Any],
    ) -> None:
        self.command = command
        self._session = session
        self._log = log
        self._reader = reader
        self._note = note
        self._where = where
        self._lock = threading.Lock()
        self._asked = False
        self._partial = ""
        self._waiting = ""
        self._over = threading.Event()

    def follow(self) -> int:
        """Follow it to its end; returns its exit status."""
        ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        ticker.start()
        status = 0
        try:
            for event in self._session:
                if isinstance(event, Prompt):
                    with self._lock:
                        self._asked = True
                    self._note("prompt", text=event.text, secret=event.secret, **self._where)
                    continue
                self._close_prompt(answered=False)
                if isinstance(event, Lines):
                    self._lines(event.lines)
                elif isinstance(event, Partial):
                    self._look(event.text)
                elif isinstance(event, Exited):
                    status = event.status
        finally:
            self._over.set()
            ticker.join()
        return status

    def answer(self, text: str) -> bool:
        """Answer the open prompt; returns False where there is none. The answer is kept nowhere."""
        if not self._close_prompt(answered=True):
            return False
        self._session.send(text)
        return True

    def stop(self, grace: float) -> None:
        """Ask the command to stop, and more firmly after each ``grace`` seconds. Returns at once."""

        def ask() -> None:
            for _ in range(3):
                self._session.interrupt()
                if self._over.wait(grace):
                    return

        threading.Thread(target=ask, name="stop", daemon=True).start()

    def _lines(self, lines: tuple[str, ...]) -> None:
        self._log.add(lines)
        self._partial = ""
        for line in lines:
            plain = strip_colours(line)
            if self._reader is not None:
                with self._lock:
                    self._reader.line(plain)
            self._wait(plain)

    def _look(self, partial: str) -> None:
        plain = strip_colours(partial)
        self._partial = plain
        if self._reader is not None:
            with self._lock:
                self._reader.partial(plain)
        self._wait(plain)

    def _wait(self, line: str) -> None:
        if not self.command.package_manager:
            return
        reason = waiting_for(line)
        if reason and reason != self._waiting:
            self._waiting = reason
            self._note("waiting", reason=reason, **self._where)

    def _close_prompt(self, *, answered: bool) -> bool:
        with self._lock:
            was_open, self._asked = self._asked, False
        if was_open:
            self._note("prompt-closed", answered=answered, **self._where)
        return was_open

    def _tick(self) -> None:
        started = time.monotonic()
        told: tuple[float | None, str] = (None, "")
        while not self._over.wait(_EVERY):
            if self._reader is None:
                fraction, text, remaining = None, self._partial, None
            else:
                with self._lock:
                    progress = self._reader.now(time.monotonic() - started)
                fraction, text = progress.fraction, progress.text
                remaining = progress.remaining_seconds
            rounded = None if fraction is None else round(fraction, 3)
            if (rounded, text) == told or not (text or rounded):
                continue
            told = (rounded, text)
            self._note(
                "progress", sync=False, fraction=rounded, text=text[:200],
                remaining_seconds=remaining, **self._where,
            )  # fmt: skip
