"""The log of an exercise: append-only JSON lines. What was done is the truth; the machine follows from it.

Two terminals may append: the trainee's, and an instructor's that breaks something meanwhile. Each line
is written at once under a lock and is on the disk before the next action begins.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError, InputError
from gpu_bringup.training import storage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA = 1
NAME = "exercise.jsonl"
_LARGEST = 50_000_000
_ANEW = "Begin anew: gpu-bringup train LESSON --again puts this file aside."

Event = dict[str, Any]

ACTIONS = frozenset({"line", "command", "write", "remove", "reboot", "wait", "break"})
"""Events that change the machine: replayed in order they give it back."""


def now() -> str:
    """ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


class Log:
    """One exercise's log file, as one process knows it. See ``begin`` and ``load``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._offset = 0
        self._taken = 0

    @classmethod
    def begin(cls, folder: Path, **fields: Any) -> Log:
        """A new log in this folder; an older one is put aside with a number.

        Raises:
            HostError: it can't be written.
        """
        storage.private_folder(folder)
        path = folder / NAME
        with storage.locked(path):
            if path.exists():
                number = 1
                while (folder / f"exercise-{number}.jsonl").exists():
                    number += 1
                path.replace(folder / f"exercise-{number}.jsonl")
        log = cls(path)
        log.append("started", **fields)
        return log

    @classmethod
    def load(cls, folder: Path) -> Log:
        """The log that is in this folder.

        Raises:
            InputError: there is none, or a line of it is none of ours; names the line.
            HostError: it can't be read.
        """
        log = cls(folder / NAME)
        log._read()
        if not log.events or log.events[0]["event"] != "started":
            raise InputError(
                "there is no exercise",
                file=str(log.path),
                hint="gpu-bringup train LESSON begins one.",
            )
        log._taken = len(log.events)
        return log

    def append(self, event: str, **fields: Any) -> bool:
        """Write one event down; False where somebody else's came between, which ``foreign`` gives.

        Raises:
            HostError: it can't be written.
        """
        entry: Event = {"schema": SCHEMA, "time": now(), "event": event, **fields}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage.locked(self.path):
            self._read()
            alone = self._taken == len(self.events)
            try:
                descriptor = os.open(self.path, flags, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(line.encode("utf-8", "backslashreplace"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise storage.unwritable(self.path, error) from error
            self._read()
        if alone:
            self._taken = len(self.events)
        return alone

    def foreign(self) -> list[Event]:
        """The events from the first of somebody else's on, each once."""
        self._read()
        found = self.events[self._taken :]
        self._taken = len(self.events)
        return found

    def _read(self) -> None:
        """Take over what was appended; a line that isn't finished is left for next time.

        Raises:
            InputError: a line is no event.
            HostError: it can't be read.
        """
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with os.fdopen(os.open(self.path, flags), "rb") as file:
                file.seek(self._offset)
                data = file.read(_LARGEST)
        except FileNotFoundError:
            return
        except OSError as error:
            raise HostError(f"{self.path} can't be read: {error.strerror}") from error
        end = data.rfind(b"\n") + 1
        first = len(self.events) + 1
        found = [self._event(line, first + n) for n, line in enumerate(data[:end].splitlines())]
        self._offset += end
        self.events += found

    def _event(self, line: bytes, number: int) -> Event:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        known = isinstance(event, dict) and isinstance(event.get("event"), str)
        if not known or event.get("schema") != SCHEMA:
            raise InputError(
                "this line is no event of an exercise, or one of another version",
                file=str(self.path),
                place=f"line {number}",
                meaning="The exercise can't be gone on with; your progress is in another file.",
                hint=_ANEW,
            )
        return dict(event)


def standing(events: Sequence[Event]) -> list[Event]:
    """The actions that count: without those that were stepped back. What an instructor broke stays."""
    kept: list[Event] = []
    for event in events:
        if event["event"] in ACTIONS:
            kept.append(event)
        elif event["event"] == "back":
            own = [number for number, item in enumerate(kept) if item["event"] != "break"]
            if own:
                kept.pop(own[-1])
    return kept
