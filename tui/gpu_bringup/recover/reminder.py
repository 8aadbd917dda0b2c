"""Mend it later: a record of the host as it is, and a reminder that the next look shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_bringup.model.ladder import LadderReport

_NAME = "put-off.json"
RECORD = "put-off-record.json"


@dataclass(frozen=True, slots=True)
class Reminder:
    """What was put off."""

    when: str
    """Local time, as people write it ("2026-11-22 21:04")."""
    rung: str
    cause: str
    title: str
    """The cause in a line."""
    record: str
    """Path of the record that was written then; empty: none could be."""

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "when": self.when,
            "rung": self.rung,
            "cause": self.cause,
            "title": self.title,
            "record": self.record,
        }

    @property
    def words(self) -> str:
        """The reminder for a screen."""
        return f"Put off on {self.when}: {self.title} ({self.cause})."


def reminder_of(report: LadderReport, when: str, record: str) -> Reminder:
    """What to be reminded of: the root cause of a broken report."""
    root = report.root_cause
    first = root.causes[0] if root is not None and root.causes else None
    return Reminder(
        when,
        root.id if root is not None else "",
        first.cause if first is not None else "unknown",
        first.title if first is not None else (root.summary if root is not None else ""),
        record,
    )


def make_folder(state: Path) -> None:
    """Make sure of the folder.

    Raises:
        HostError: it can't be made.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"{state} can't be made: {error.strerror}",
            meaning="Nothing was changed on this server; there is no reminder.",
            hint="Set GPU_BRINGUP_STATE to a folder that can be written.",
        ) from error


def keep(state: Path, reminder: Reminder) -> Path:
    """Write the reminder; an older one is replaced.

    Raises:
        HostError: it can't be written.
    """
    make_folder(state)
    path = state / _NAME
    try:
        path.write_text(json.dumps(reminder.to_json(), indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise HostError(
            f"{path} can't be written: {error.strerror}",
            meaning="Nothing was changed on this server; there is no reminder.",
            hint="Make room there, or set GPU_BRINGUP_STATE to a folder that can be written.",
        ) from error
    return path


def load(state: Path) -> Reminder | None:
    """The reminder; None: there is none, or it can't be read."""
    try:
        data = json.loads((state / _NAME).read_text(encoding="utf-8"))
        texts = [data[key] for key in ("when", "rung", "cause", "title", "record")]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Reminder(*texts) if all(isinstance(text, str) for text in texts) else None


def forget(state: Path) -> None:
    """Remove the reminder: what it was about is mended. No error where there is none."""
    try:
        (state / _NAME).unlink(missing_ok=True)
    except OSError:
        return
