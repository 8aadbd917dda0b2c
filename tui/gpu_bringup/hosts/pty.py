"""A command on a terminal of its own, through pexpect.

pexpect starts the child and handles the terminal's modes; the stream is read with ``os.read`` and
split by ``LineAssembler``, because ``expect()`` is ten times slower and loses line ends.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import termios
import time
from typing import TYPE_CHECKING

import pexpect

from gpu_bringup.hosts.base import Exited, Lines, Partial, Prompt, SessionEvent
from gpu_bringup.hosts.echo import EchoFilter
from gpu_bringup.hosts.environment import command_environment
from gpu_bringup.hosts.lines import LineAssembler, strip_colours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.plan import Command

SECRET_SILENCE = 0.1
"""Seconds of silence after which an unterminated line with the echo off is a secret prompt."""
QUESTION_SILENCE = 0.35
RAW_SILENCE = 1.0
"""The same in raw mode, in which apt keeps the terminal while dpkg runs (its children's output may
well pause in the middle of a line)."""
_TICK = 0.05
_IDLE_TICK = 0.5
_DRAIN = 0.3
"""Seconds that the rest of the output is waited for once the command itself has ended."""
_SECRET_WORDS = re.compile(r"pass(?:word|phrase|code)|\bPIN\b|secret", re.IGNORECASE)


def as_root(argv: tuple[str, ...], environment: dict[str, str]) -> tuple[str, ...]:
    """argv that runs a command as root with this environment: sudo would otherwise clear it."""
    return ("sudo", "--", "env", *(f"{key}={value}" for key, value in environment.items()), *argv)


class PtySession:
    """One command running on a pseudo terminal; see ``hosts.base.Session``.

    Args:
        command: what to run.
        rows, columns: size of the terminal.
        become_root: put sudo before a root command unless this process is root already; its
            password prompt is a secret prompt as any other.
    """

    def __init__(
        self, command: Command, rows: int = 24, columns: int = 100, become_root: bool = False
    ) -> None:
        self._environment = command_environment(command)
        argv = command.argv
        if become_root and command.root and os.geteuid() != 0:
            argv = as_root(argv, self._environment)
        self._name = argv[0]
        self._interrupts = 0
        self._assembler = LineAssembler()
        self._echo = EchoFilter()
        self._child: pexpect.spawn[bytes] | None = None
        path = shutil.which(argv[0], path=self._environment["PATH"])
        if path is not None:
            # A package manager that is left without a terminal should finish rather than die of it.
            self._child = pexpect.spawn(
                path,
                list(argv[1:]),
                env=self._environment,
                dimensions=(rows, columns),
                timeout=None,
                ignore_sighup=command.package_manager,
                preexec_fn=_default_signals,
            )
            self._child.ptyproc.delayafterclose = 0

    @property
    def pid(self) -> int | None:
        """Process id of the command; None where there is no such command."""
        return None if self._child is None else self._child.pid

    def __iter__(self) -> Iterator[SessionEvent]:
        if self._child is None:
            yield Lines((f"{self._name}: command not found",))
            yield Exited(127)
            return
        yield from self._stream(self._child)
        rest = [*self._assembler.feed(self._echo.release()), *self._assembler.finish()]
        if rest:
            yield Lines(tuple(rest))
        yield Exited(self._reap(self._child))

    def send(self, text: str) -> None:
        """Answer a prompt: ``text`` and Enter.

        Where the terminal echoes it, the echo is taken out of the output: no answer reaches a log.
        (Switching the echo off here instead would race with the command doing the same.) Nothing
        happens when the command is gone.
        """
        child = self._child
        if child is None or child.closed:
            return
        with contextlib.suppress(OSError, termios.error):
            canonical = termios.tcgetattr(child.child_fd)[3] & termios.ICANON
            self._echo.expect(text)
            _write(child.child_fd, text.encode() + (b"\n" if canonical else b"\r"))

    def interrupt(self) -> None:
        """Ask it to stop: SIGINT to the terminal's foreground processes, as Ctrl-C does.

        Asked again it is SIGTERM, and from the third time on SIGKILL. Never ask a package manager
        that often: killed, it leaves packages half configured.
        """
        self._interrupts += 1
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        number = signals[min(self._interrupts, 3) - 1]
        child = self._child
        if child is None or child.closed:
            return
        try:
            os.killpg(os.tcgetpgrp(child.child_fd), number)
        except PermissionError:  # a root process behind sudo: only its terminal can reach it
            with contextlib.suppress(OSError):
                _write(child.child_fd, b"\x03")
        except OSError:
            return

    def resize(self, rows: int, columns: int) -> None:
        """Tell it the size of the terminal that shows it."""
        if self._child is not None and not self._child.closed:
            with contextlib.suppress(OSError):
                self._child.setwinsize(rows, columns)

    def _stream(self, child: pexpect.spawn[bytes]) -> Iterator[SessionEvent]:
        poll = select.poll()
        poll.register(child.child_fd, select.POLLIN | select.POLLHUP | select.POLLERR)
        shown = ""
        asked = ""
        silent_since = looked = time.monotonic()
        ended: float | None = None
        while True:
            waiting = ended is not None or (self._assembler.partial and not asked)
            ready = poll.poll((_TICK if waiting else _IDLE_TICK) * 1000)
            now = time.monotonic()
            if ready:
                data = _read(child.child_fd)
                if not data:
                    return
                lines = self._assembler.feed(self._echo.without(data))
                silent_since, asked = now, ""
                if lines:
                    yield Lines(tuple(lines))
                partial = self._assembler.partial
                if partial != shown:
                    shown = partial
                    if partial:
                        yield Partial(partial)
            elif self._echo.overdue:
                self._assembler.feed(self._echo.release())
            elif not asked:
                prompt = _prompt(child.child_fd, self._assembler.partial, now - silent_since)
                if prompt:
                    asked = self._assembler.partial or " "
                    yield prompt
            # Whoever still holds the terminal (a daemon that the command started) isn't waited for.
            if ended is not None:
                if not ready or now - ended > _DRAIN:
                    return
            elif now - looked >= _TICK:
                looked = now
                if not child.isalive():
                    ended = time.monotonic()

    def _reap(self, child: pexpect.spawn[bytes]) -> int:
        # All terminals may be closed by a command that goes on: its end is still waited for.
        while child.isalive():
            time.sleep(_TICK)
        child.close(force=False)
        if child.signalstatus is not None:
            return 128 + int(child.signalstatus)
        return int(child.exitstatus or 0)


def _default_signals() -> None:
    # Python ignores SIGPIPE and whoever started us may ignore SIGINT; a child would inherit both.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # EIO: the last one that had the terminal open has closed it
        return b""


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


# apt's download line rests as "83% [Waiting for headers]": progress, though it ends like a question.
_PROGRESS = re.compile(
    r"^\s*\d{1,3}\s?%|\[(?:Waiting|Working|Connecting|Connected|\d)|\(Reading database"
)


def _prompt(descriptor: int, partial: str, silence: float) -> Prompt | None:
    """Is this silence a question? Tells a secret one by the terminal's modes.

    Echo off in canonical mode is how getpass(3), sudo and mokutil read a secret. Echo off in raw
    mode is also how apt keeps the terminal while dpkg runs, and how sudo reads when it prints
    asterisks: there the words decide.
    """
    text = strip_colours(partial).rstrip()
    if not text or silence < SECRET_SILENCE or _PROGRESS.search(text):
        return None
    try:
        flags = termios.tcgetattr(descriptor)[3]
    except termios.error:
        return None
    echo, canonical = bool(flags & termios.ECHO), bool(flags & termios.ICANON)
    secret_words = bool(_SECRET_WORDS.search(text)) and text.endswith((":", "?", "]", ">"))
    if not echo and (canonical or secret_words):
        return Prompt(text, secret=True)
    if text.endswith((":", "?", "]", ">")) and silence >= (
        QUESTION_SILENCE if canonical else RAW_SILENCE
    ):
        return Prompt(text, secret=secret_words)
    return None
