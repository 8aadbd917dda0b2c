"""Keeps parsed TOML as JSON, named after a hash of the files' content, so it can't be out of date.

Parsing the project's data anew is a third of what ``recommend`` takes; reading it back is nothing.
Where the cache folder can't be used, everything works without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from gpu_bringup import __version__
from gpu_bringup.paths import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MARK = "$date"
_KEPT = 8
"""Files of older data and of tries that are left in the cache."""


def key_of(contents: Iterable[bytes]) -> str:
    """A name that no other contents have."""
    digest = hashlib.sha256(__version__.encode())
    for data in contents:
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def _file(key: str) -> Path:
    return cache_folder() / "data" / f"{key}.json"


def _back(table: dict[str, Any]) -> Any:
    text = table.get(_MARK)
    return date.fromisoformat(text) if isinstance(text, str) and len(table) == 1 else table


def load(key: str) -> list[dict[str, Any]] | None:
    """What was kept under this name; None: nothing, or nothing that can be used."""
    try:
        kept = json.loads(_file(key).read_bytes(), object_hook=_back)
    except (OSError, ValueError, RecursionError):
        return None
    if isinstance(kept, list) and all(isinstance(item, dict) for item in kept):
        return kept
    return None


def _plain(value: object) -> dict[str, str]:
    # A moment of time is no date: such a file is simply not kept.
    if isinstance(value, (datetime, time)) or not isinstance(value, date):
        raise TypeError(f"{value!r} has no form in the cache")
    return {_MARK: value.isoformat()}


def keep(key: str, contents: list[dict[str, Any]]) -> None:
    """Keep it for the next time; a folder that can't be written is no fault."""
    path = _file(key)
    with contextlib.suppress(OSError, TypeError, ValueError, RecursionError):
        text = json.dumps(contents, default=_plain)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        other = path.with_name(f"{path.name}.{os.getpid()}")
        other.write_text(text, encoding="utf-8")
        other.replace(path)
        _prune(path.parent)


def _prune(folder: Path) -> None:
    found = sorted(folder.glob("*.json"), key=lambda item: item.stat().st_mtime, reverse=True)
    for old in found[_KEPT:]:
        old.unlink(missing_ok=True)
