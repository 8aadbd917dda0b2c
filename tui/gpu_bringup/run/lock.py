"""One run a host at a time: flock(2), which the kernel takes back whatever becomes of its holder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError, RunLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_PATIENCE = 0.5
"""Seconds that a lock is tried for: whoever only looks holds it for an instant."""


def host_lock(state: Path) -> Path:
    """The lock of a host's runs in its state folder."""
    return state / "lock"


def worker_lock(folder: Path) -> Path:
    """The lock that a run's worker holds while it lives; followers look at it."""
    return folder / "worker.lock"


def is_held(path: Path) -> bool:
    """Does some process hold this lock? False where there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def holder(path: Path) -> dict[str, Any]:
    """What the holder wrote into its lock ("run", "pid", "since"); empty where it can't be read."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def locked_error(path: Path) -> RunLockedError:
    """Says who holds the lock, since when, and how to look at it."""
    who = holder(path)
    return RunLockedError(
        f"Another run is under way on this host: {who.get('run', 'unknown')} "
        f"(process {who.get('pid', 'unknown')}, since {who.get('since', 'unknown')}).",
        meaning="Two at once would get into each other's way; nothing was changed.",
        hint="gpu-bringup attaches to it: start it and watch.",
    )


@contextlib.contextmanager
def hold(
    path: Path, *, refusal: Callable[[Path], RunLockedError] = locked_error, **who: object
) -> Iterator[None]:
    """Hold the lock, with ``who`` written into it.

    Args:
        refusal: makes the error where somebody else holds it.

    Raises:
        RunLockedError: somebody else holds it.
        HostError: the file can't be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, _FLAGS, 0o644)
    except OSError as error:
        raise HostError(
            f"The lock can't be made: {path}: {error.strerror}", meaning="Nothing was changed."
        ) from error
    try:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise refusal(path) from None
                time.sleep(0.02)
        with contextlib.suppress(OSError):  # a full disk doesn't make the lock any weaker
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps({"pid": os.getpid(), **who}).encode(), 0)
        yield
    finally:
        os.close(descriptor)
