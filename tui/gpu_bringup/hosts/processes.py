"""Starts the processes that answer read-only questions, each in a group of its own with a deadline.

A process that can't even be killed (stuck in the kernel, state D) is left behind, not waited for.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
OUTPUT_LIMIT = 32 << 20
"""Bytes kept of one answer; the rest is read and dropped."""

_REAP_SECONDS = 0.5
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Answer:
    """What a process said. ``status``: as a shell gives it (124: deadline passed, 127: missing)."""

    status: int
    output: str
    errors: str = ""
    """Standard error where it was asked for apart."""
    started: bool = True
    """Was a process started at all?"""


def system_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment that programs of the host get: its own, in the C locale.

    Folders for administrators are on PATH also where an ordinary user's lacks them, and this
    program's own Python settings stay out of Python programs of the host (apt's helpers).
    """
    source = os.environ if base is None else base
    environment = {
        name: value
        for name, value in source.items()
        if not name.startswith(("LC_", "PYTHON")) and name not in ("LANGUAGE", "LD_PRELOAD")
    }
    folders = [part for part in source.get("PATH", "").split(":") if part.startswith("/")]
    folders += [folder for folder in SYSTEM_PATH if folder not in folders]
    environment.update(
        PATH=":".join(folders),
        LC_ALL="C",
        LANG="C",
        TERM="dumb",
        PAGER="cat",
        SYSTEMD_PAGER="cat",
        DEBIAN_FRONTEND="noninteractive",
    )
    return environment


def find_program(name: str, path: str) -> str | None:
    """The executable that ``name`` means with this PATH; None: there is none."""
    candidates = [name] if "/" in name else [f"{folder}/{name}" for folder in path.split(":")]
    for candidate in candidates:
        try:
            if Path(candidate).is_file() and os.access(candidate, os.X_OK):
                return candidate
        except (OSError, ValueError):
            continue
    return None


def ask(
    argv: Sequence[str],
    *,
    timeout: float,
    environment: Mapping[str, str],
    separate_errors: bool = False,
) -> Answer:
    """Run ``argv`` without input or terminal and return what it said.

    Args:
        timeout: seconds; then its whole process group is killed and the status is 124.
        separate_errors: standard error apart instead of mixed into the output.
    """
    deadline = time.monotonic() + timeout
    program = find_program(argv[0], environment.get("PATH", ""))
    if program is None:
        return Answer(127, "", started=False)
    try:
        process = subprocess.Popen(
            list(argv),
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if separate_errors else subprocess.STDOUT,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        # The file is there, so it is its interpreter that isn't.
        return Answer(127, f"{program}: {error}\n", started=False)
    except (OSError, ValueError) as error:
        # Found, but not to be executed: no permission, not a program, arguments too long.
        return Answer(126, f"{argv[0]}: {error}\n", started=False)
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    try:
        texts, finished = _collect(process, streams, deadline)
    finally:
        for stream in streams:
            stream.close()
        if process.returncode is None:
            _kill(process)
    output = texts[0].decode(errors="replace")
    errors = texts[1].decode(errors="replace") if separate_errors else ""
    if not finished:
        return Answer(124, output, errors)
    status = process.returncode
    return Answer(status if status >= 0 else 128 - status, output, errors)


def _collect(
    process: subprocess.Popen[bytes], streams: Sequence[IO[bytes]], deadline: float
) -> tuple[list[bytearray], bool]:
    """Read until the process ends (not until its pipe closes: a daemon may have inherited it)."""
    texts = [bytearray() for _ in streams]
    by_descriptor = {stream.fileno(): text for stream, text in zip(streams, texts, strict=True)}
    poll = select.poll()
    for descriptor in by_descriptor:
        os.set_blocking(descriptor, False)
        poll.register(descriptor, select.POLLIN)
    open_descriptors = set(by_descriptor)
    watch = _process_descriptor(process.pid)
    if watch is not None:
        poll.register(watch, select.POLLIN)
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return texts, process.poll() is not None
            step = left if watch is not None else min(left, _POLL_SECONDS)
            ready = {descriptor for descriptor, _ in poll.poll(max(1, int(step * 1000)))}
            # Asked before the last read: whatever it wrote before its end is then in the pipe.
            ended = process.poll() is not None
            for descriptor in (open_descriptors & ready) if not ended else set(open_descriptors):
                if not _drain(descriptor, by_descriptor[descriptor], deadline):
                    open_descriptors.discard(descriptor)
                    poll.unregister(descriptor)
            if ended:
                return texts, True
    finally:
        if watch is not None:
            os.close(watch)


def _drain(descriptor: int, text: bytearray, deadline: float) -> bool:
    """Read what is there now; False at the end of the stream."""
    while time.monotonic() < deadline:
        try:
            chunk = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return True
        if not chunk:
            return False
        text += chunk[: max(0, OUTPUT_LIMIT - len(text))]
    return True


def _process_descriptor(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        # Kernels before 5.3 and some sandboxes have none: the caller looks every 20 ms.
        return None


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_REAP_SECONDS)
    except subprocess.TimeoutExpired:
        # State D: the signal waits for the kernel. A daemon thread reaps it if it ever ends.
        threading.Thread(target=process.wait, daemon=True).start()
