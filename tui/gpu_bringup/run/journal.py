"""The journal of a run: append-only JSON lines, each either whole or not there.

It is the only protocol between the process that runs commands and whatever shows them, and what a
run is resumed and undone from. CONTRACTS.md lists the events.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import threading
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gpu_bringup import __version__
from gpu_bringup.errors import HostError, InputError

if TYPE_CHECKING:
    from pathlib import Path

NAME = "journal.jsonl"
SCHEMA = 1
_RESERVE = ".reserve"
_RESERVE_BYTES = 65_536
_TRACES = ("logs", "backup", "undo-files")
"""What steps leave in a run's folder: output of commands, kept files and the list of those."""

_TYPES: dict[str, type | tuple[type, ...]] = {
    "step": str,
    "command": int,
    "argv": list,
    "log": str,
    "path": str,
    "backup": (str, type(None)),
    "state": str,
    "status": int,
}

WAY_OUT = (
    "Without this run: gpu-bringup check shows how the server stands, and gpu-bringup apply makes a "
    "new plan from what is there; what holds already is not done again."
)
"""What an operator can do where a run can't be gone on with."""

_MODE = re.compile(r"[0-7]{1,5}\Z")

Event = dict[str, Any]


class JournalError(HostError):
    """The journal can't be written (full disk): the run must stop at a safe place."""


def now() -> str:
    """The time as it stands in the journal: ISO 8601, UTC, milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_line(line: bytes) -> Event | None:
    """The event of a journal line, or None when it is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and _is_event(event) else None


def _is_event(event: dict[str, Any]) -> bool:
    """Has it a name, and what readers build on (``history``, followers) the right types?"""
    if not isinstance(event.get("event"), str):
        return False
    if any(not isinstance(event[key], kind) for key, kind in _TYPES.items() if key in event):
        return False
    if event["event"] == "file-written":
        mode = event.get("mode") or "0"
        return "path" in event and isinstance(mode, str) and bool(_MODE.match(mode))
    return event["event"] != "command-started" or "argv" in event


def read_events(path: Path) -> list[Event]:
    """All events of a journal; what a crash left half written at its end is ignored.

    Raises:
        InputError: it can't be read, there is junk between events, or a newer version wrote it;
            names file and line.
    """
    try:
        data = _bytes_of(path)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=str(path)) from error
    events, junk = _scan(data)
    if junk is not None:
        raise InputError(
            "this line is no journal event",
            file=str(path),
            place=f"line {junk}",
            meaning="The journal was changed by something else than gpu-bringup, or the disk lost a "
            "part of it. What was done after that line is not known, so nothing is done.",
            hint=WAY_OUT,
        )
    for number, (event, _) in enumerate(events, 1):
        if event.get("schema", SCHEMA) != SCHEMA:
            raise _newer(path, number, event, events[0][0])
    return [event for event, _ in events]


def _bytes_of(path: Path) -> bytes:
    """A journal's bytes; a symbolic link is followed neither for writing nor for reading."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read()


def is_emptied(path: Path) -> bool:
    """Is there a journal without a single byte, although work was done? What it was is not known.

    A worker that is killed before its first event leaves an empty journal too, but nothing else:
    nothing is done before that event is on the disk.
    """
    try:
        if path.stat().st_size:
            return False
    except OSError:
        return False
    return any((path.parent / name).exists() for name in _TRACES)


def torn_end(path: Path) -> int:
    """Bytes of a last line that was cut off (a crash, a power cut); 0: the journal ends whole."""
    try:
        data = _bytes_of(path)
    except OSError:
        return 0
    whole = _scan(data)[0]
    return len(data) - (whole[-1][1] if whole else 0)


def _newer(path: Path, number: int, event: Event, first: Event) -> InputError:
    by = first.get("tool_version")
    return InputError(
        f"this line has schema {event['schema']}, and gpu-bringup {__version__} reads schema {SCHEMA}",
        file=str(path),
        place=f"line {number}",
        meaning=(f"gpu-bringup {by} wrote it. " if isinstance(by, str) else "")
        + "This version may misread it, so nothing is done.",
        hint="Use the version of gpu-bringup that began the run. " + WAY_OUT,
    )


def _scan(data: bytes) -> tuple[list[tuple[Event, int]], int | None]:
    """Events with the offset behind each, and the number of the first junk line before an event."""
    events: list[tuple[Event, int]] = []
    junk: int | None = None
    offset = 0
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        offset += len(line) + 1
        event = parse_line(line)
        if event is None:
            junk = junk or number
        elif junk is not None:
            return events, junk
        else:
            events.append((event, offset))
    return events, None


class Journal:
    """Writes a run's journal.

    Args:
        folder: the run's folder. A torn end is cut off, so that nothing is merged with it.

    Raises:
        JournalError: the journal can't be opened or mended.
        InputError: there is junk between its events.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._reserve = folder / _RESERVE
        self._lock = threading.Lock()
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o644)
            self.events = read_events(self.path)
            data = _bytes_of(self.path)
            whole = _scan(data)[0]
            end = whole[-1][1] if whole else 0
            if end < len(data):
                os.ftruncate(self._descriptor, end)
                os.fsync(self._descriptor)
            self._size = end
            _sync_folder(folder)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        # Kept back so that even on a full disk the journal's last words can be written.
        with contextlib.suppress(OSError):
            self._reserve.write_bytes(b"\0" * _RESERVE_BYTES)

    def write(self, event: str, *, sync: bool = True, **fields: Any) -> Event:
        """Append one event; with ``sync`` it is on the disk when this returns.

        Returns:
            The event as it was written.

        Raises:
            JournalError: it could not be written; the journal then ends with the event before.
        """
        entry: Event = {"schema": SCHEMA, "time": now(), "event": event, **fields}
        data = json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "backslashreplace"
        )
        with self._lock:
            self._append(data + b"\n")
            self.events.append(entry)
            if sync:
                try:
                    os.fsync(self._descriptor)
                except OSError as error:
                    raise _unwritable(self.path, error) from error
        return entry

    def release_reserve(self) -> None:
        """Free the space that was kept back: the journal's last events come now."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()

    def close(self) -> None:
        self.release_reserve()
        os.close(self._descriptor)

    def _append(self, data: bytes) -> None:
        problem: OSError | None = None
        written = 0
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            problem = error
        if written == len(data):
            self._size += written
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, self._size)
        raise _unwritable(self.path, problem) from problem


def _unwritable(path: Path, error: OSError | None) -> JournalError:
    reason = (error.strerror if error else "") or "No space left on device"
    return JournalError(
        f"The run's journal can't be written: {path}: {reason}",
        meaning="Without it nothing more is done: a run that isn't written down can't be resumed.",
        hint=_advice(error.errno if error else errno.ENOSPC),
    )


def _advice(number: int | None) -> str:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space there (df -h shows how much is left), then resume the run."
    if number == errno.ELOOP:
        return "It is a symbolic link, which gpu-bringup never made: find out who did. " + WAY_OUT
    if number == errno.EROFS:
        return "That file system is read-only: dmesg says why. Then resume the run."
    if number in (errno.EACCES, errno.EPERM):
        return "Put sudo before the command; lsattr shows whether the file is locked."
    return "dmesg shows whether the disk has errors. Then resume the run."


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
