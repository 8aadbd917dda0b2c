"""What each operator has practised: a JSON file each, its owner's alone, never overwritten when damaged."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from gpu_bringup.errors import HostError, InputError
from gpu_bringup.training import review, storage
from gpu_bringup.training.review import Review

SCHEMA = 1
_LARGEST = 20_000_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One time that somebody practised a lesson to its end, or gave up."""

    lesson: str
    ended: str
    """ISO 8601, UTC."""
    mode: str
    """"guided", "wizard" or "shell"."""
    score: dict[str, Any]
    """As ``scoring.Score.to_json`` gives it."""

    @property
    def solved(self) -> bool:
        return bool(self.score.get("solved"))

    @property
    def points(self) -> int:
        return int(self.score.get("points", 0))

    @property
    def quality(self) -> int:
        return int(self.score.get("quality", 0))

    def to_json(self) -> dict[str, Any]:
        return {
            "lesson": self.lesson,
            "ended": self.ended,
            "mode": self.mode,
            "score": self.score,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Attempt:
        score = data["score"]
        if not isinstance(score, dict):
            raise TypeError("the score is no object")
        attempt = cls(str(data["lesson"]), str(data["ended"]), str(data["mode"]), score)
        date.fromisoformat(attempt.ended[:10])
        int(attempt.points), int(attempt.quality)
        return attempt


@dataclass(frozen=True, slots=True)
class Progress:
    """All that an operator has practised."""

    operator: str
    attempts: tuple[Attempt, ...] = ()
    """Oldest first."""
    reviews: dict[str, Review] = field(default_factory=dict)

    def of(self, lesson_id: str) -> tuple[Attempt, ...]:
        return tuple(item for item in self.attempts if item.lesson == lesson_id)

    def solved(self, lesson_id: str) -> bool:
        """Was it ever solved?"""
        return any(item.solved for item in self.of(lesson_id))

    def best(self, lesson_id: str) -> int | None:
        """The most points that were reached; None: never solved."""
        return max((item.points for item in self.of(lesson_id) if item.solved), default=None)

    def due(self, today: date) -> tuple[str, ...]:
        """Ids of the lessons that should be done again, the longest due first."""
        waiting = [
            (item.due, lesson)
            for lesson, item in self.reviews.items()
            if item.due is not None and item.due <= today
        ]
        return tuple(lesson for _, lesson in sorted(waiting))

    def with_attempt(self, attempt: Attempt) -> Progress:
        """The progress after one more attempt."""
        before = self.reviews.get(attempt.lesson, Review())
        day = date.fromisoformat(attempt.ended[:10])
        reviewed = review.after(before, attempt.quality, day)
        return replace(
            self,
            attempts=(*self.attempts, attempt),
            reviews={**self.reviews, attempt.lesson: reviewed},
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "operator": self.operator,
            "attempts": [item.to_json() for item in self.attempts],
            "reviews": {name: item.to_json() for name, item in self.reviews.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Progress:
        return cls(
            str(data["operator"]),
            tuple(Attempt.from_json(item) for item in data["attempts"]),
            {str(name): Review.from_json(item) for name, item in data["reviews"].items()},
        )


def progress_folder() -> Path:
    """The folder with one file an operator."""
    return storage.training_folder() / "progress"


def _path(operator: str) -> Path:
    return progress_folder() / f"{storage.operator_name(operator)}.json"


def load(operator: str) -> Progress:
    """What this operator has practised; nothing, where there is no file.

    Raises:
        InputError: the file is damaged, or of a newer version; it is left as it is.
        HostError: it can't be read.
    """
    return _load(_path(operator), operator)


def load_all() -> tuple[tuple[Progress, ...], tuple[InputError, ...]]:
    """Everybody's progress in this state folder, and what can't be read of it.

    Raises:
        HostError: the folder can't be read.
    """
    try:
        paths = sorted(progress_folder().glob("[!.]*.json"))
    except OSError as error:
        raise _unreadable(progress_folder(), error) from error
    found, problems = [], []
    for path in paths:
        try:
            found.append(_load(path, path.stem))
        except InputError as error:
            problems.append(error)
    return tuple(found), tuple(problems)


def _unreadable(path: Path, error: OSError) -> HostError:
    return HostError(
        f"{path} can't be read: {error.strerror}", meaning="What was practised is not known."
    )


def _load(path: Path, operator: str) -> Progress:
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags), "rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        return Progress(operator)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > _LARGEST:
        raise _damaged(path, f"it is larger than {_LARGEST // 1_000_000} MB")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"it isn't valid JSON: {str(error)[:200]}") from error
    if not isinstance(document, dict):
        raise _damaged(path, "it isn't an object")
    if document.get("schema") != SCHEMA:
        raise _damaged(path, f"schema {str(document.get('schema'))[:20]} is none of this version's")
    try:
        return Progress.from_json(document)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        words = f"{type(error).__name__}: {str(error)[:200]}"
        raise _damaged(path, f"something in it is not as it was written ({words})") from error


def _damaged(path: Path, words: str) -> InputError:
    return InputError(
        words,
        file=str(path),
        meaning="It was left as it is: nothing of your progress was overwritten.",
        hint=f"Mend it, or put it aside (mv {path} {path}.damaged) and begin a new one.",
    )


def record(operator: str, attempt: Attempt) -> Progress:
    """Add an attempt to the operator's progress; returns all of it.

    Where the file is damaged, the attempt is kept beside it, and counts once the file is mended.

    Raises:
        InputError: the file is damaged; says where the attempt was kept.
        HostError: it can't be written.
    """
    path = _path(operator)
    with storage.locked(path):
        kept = _kept(path)
        waiting = _waiting(kept)
        try:
            found = _load(path, storage.operator_name(operator))
        except InputError as error:
            document = {"schema": SCHEMA, "attempts": [*waiting, attempt.to_json()]}
            storage.write_json(kept, document)
            raise InputError(
                error.message,
                meaning=f"{error.meaning} This attempt is kept in {kept}, and counts once that file "
                "can be read.",
                hint=error.hint,
            ) from error
        for item in (*(Attempt.from_json(data) for data in waiting), attempt):
            found = found.with_attempt(item)
        storage.write_json(path, found.to_json())
        kept.unlink(missing_ok=True)
    return found


def _kept(path: Path) -> Path:
    return path.with_name(f".{path.stem}.kept.json")


def _waiting(path: Path) -> list[dict[str, Any]]:
    """Attempts that could not be added before."""
    try:
        document = json.loads(path.read_text("utf-8"))
        attempts = [dict(item) for item in document["attempts"]]
        for item in attempts:
            Attempt.from_json(item)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"it can't be read ({type(error).__name__})",
            file=str(path),
            meaning="It holds attempts that were kept while the progress could not be written.",
            hint="Mend it, or put it aside, then try again.",
        ) from error
    return attempts
