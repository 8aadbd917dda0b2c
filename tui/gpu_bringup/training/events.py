"""The log of an exercise: append-only JSON lines. What was done is the truth; the machine follows from it.

Two terminals may append: the trainee's, and an instructor's that breaks something meanwhile. Each line
is written at once under a lock and is on the disk before the next action begins.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gpu_bringup.errors import HostError, InputError
from gpu_bringup.training import storage

SCHEMA = 1
NAME = "exercise.jsonl"
_LARGEST = 50_000_000

Event = dict[str, Any]

ACTIONS = frozenset({"command", "write", "remove", "reboot", "break", "wait"})
"""Events that change the machine: replayed in order they give it back, and one can be stepped back."""


def now() -> str:
    """ISO 8601, UTC, seconds."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


@dataclass
class Log:
    """One exercise's log file, as one process knows it."""

    path: Path
    events: list[Event]
    _offset: int = 0

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
        log = cls(path, [])
        log.append("started", **fields)
        return log

    @classmethod
    def load(cls, folder: Path) -> Log:
        """The log that is in this folder.

        Raises:
            InputError: there is none, or a line of it is none of ours; names the line.
            HostError: it can't be read.
        """
        log = cls(folder / NAME, [])
        log.news()
        if not log.events or log.events[0]["event"] != "started":
            raise InputError(
                "there is no exercise",
                file=str(log.path),
                hint="gpu-bringup train LESSON begins one.",
            )
        return log

    def append(self, event: str, **fields: Any) -> Event:
        """Write one event down.

        Raises:
            HostError: it can't be written.
        """
        entry: Event = {"schema": SCHEMA, "time": now(), "event": event, **fields}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with storage.locked(self.path):
            foreign = self.news()
            try:
                descriptor = os.open(self.path, flags, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(line.encode("utf-8", "backslashreplace"))
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise storage.unwritable(self.path, error) from error
            self.news()
        self._unseen.extend(foreign)
        return self.events[-1]

    def __post_init__(self) -> None:
        self._unseen: list[Event] = []

    def foreign(self) -> list[Event]:
        """What somebody else has appended since this was asked last."""
        found = [*self._unseen, *self.news()]
        self._unseen = []
        return found

    def news(self) -> list[Event]:
        """Read what was appended; a line that isn't finished is left for next time.

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
            return []
        except OSError as error:
            raise HostError(f"{self.path} can't be read: {error.strerror}") from error
        end = data.rfind(b"\n") + 1
        found = [
            self._event(line, len(self.events) + number)
            for number, line in enumerate(data[:end].splitlines(), 1)
        ]
        self._offset += end
        self.events += found
        return found

    def _event(self, line: bytes, number: int) -> Event:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise InputError(
                "this line is no event of an exercise",
                file=str(self.path),
                place=f"line {number}",
                meaning="The exercise can't be gone on with; your progress is in another file.",
                hint="Begin anew: gpu-bringup train LESSON --again puts this file aside.",
            )
        if event.get("schema") != SCHEMA:
            raise InputError(
                f"schema {str(event.get('schema'))[:20]} is none of this version's",
                file=str(self.path),
                place=f"line {number}",
                hint="Begin anew: gpu-bringup train LESSON --again puts this file aside.",
            )
        return event


def standing(events: list[Event]) -> list[Event]:
    """The actions that count: without those that were stepped back."""
    kept: list[Event] = []
    for event in events:
        if event["event"] in ACTIONS:
            kept.append(event)
        elif event["event"] == "back" and kept:
            kept.pop()
    return kept
