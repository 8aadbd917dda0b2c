"""Show a run on a plain terminal: its journal and the output of its commands, in order."""

from __future__ import annotations

import getpass
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.commands.output import answer_to, duration, paint, say, wrap
from gpu_bringup.errors import HostError, RefusedError

if TYPE_CHECKING:
    from gpu_bringup.run.follow import Follower

_POLL_SECONDS = 0.1


class _Tail:
    """Copies what is appended to a log file to standard error."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._offset = 0

    def switch(self, path: Path) -> None:
        self.flush()
        self._path, self._offset = path, 0

    def flush(self) -> None:
        if self._path is None or not self._path.is_file():
            return
        with self._path.open("rb") as handle:
            handle.seek(self._offset)
            data = handle.read()
        self._offset += len(data)
        sys.stderr.write(data.decode(errors="replace"))
        sys.stderr.flush()


def follow(follower: Follower) -> str:
    """Follow a run to its end; returns its state ("done", "failed", "cancelled", "reboot", "lost").

    Ctrl-C asks the run to stop at the next safe point; a second one leaves it running.
    """
    tail = _Tail()
    asked_to_stop = False
    state = "lost"
    while True:
        try:
            events = follower.poll()
            tail.flush()
            for event in events:
                if event["event"] in ("run-ended", "run-lost"):
                    tail.flush()
                    return _ended(event)
                _show(event, follower, tail)
            if not events:
                if not follower.alive() and not follower.poll():
                    say(paint("The process of this run is gone before its end.", "red"))
                    return state
                time.sleep(_POLL_SECONDS)
        except KeyboardInterrupt:
            if asked_to_stop:
                raise RefusedError(
                    f"left run {follower.run_id}; it goes on by itself",
                    hint="gpu-bringup shows it again; its journal is in " + str(follower.folder),
                ) from None
            asked_to_stop = True
            _cancel(follower)


def _cancel(follower: Follower) -> None:
    try:
        follower.cancel()
    except HostError as error:
        # It may just have ended by itself, which its journal tells next.
        say(f"\nThe run can't be asked to stop: {error.message}")
        return
    say("\nAsked the run to stop at the next safe point (Ctrl-C again: leave it running).")


def _ended(event: dict[str, Any]) -> str:
    if event["event"] == "run-lost":
        say(paint(str(event.get("text", "The process of this run is gone.")), "red"))
        return "lost"
    state = str(event.get("state", "failed"))
    if state not in ("done", "reboot") and event.get("message"):
        say(paint(wrap(str(event["message"])), "red"))
    return state


def _show(event: dict[str, Any], follower: Follower, tail: _Tail) -> None:
    kind = event["event"]
    if kind == "step-started":
        say("")
        where = f"[{event.get('index')}/{event.get('count')}] " if event.get("index") else ""
        say(paint(f"{where}{event.get('title', event.get('step'))}", "bold", "cyan"))
    elif kind == "command-started":
        say(paint(f"$ {shlex.join(event['argv'])}", "dim"))
        if event.get("log"):
            log = Path(event["log"])
            tail.switch(log if log.is_absolute() else follower.folder / log)
    elif kind == "command-ended":
        tail.flush()
        if event.get("status") != 0:
            say(f"exit status {event.get('status')} after {duration(event.get('seconds', 0))}")
    elif kind == "prompt":
        tail.flush()
        _answer(event, follower)
    elif kind in ("waiting", "retry"):
        say(paint(f"... {event.get('reason', '')}", "yellow"))
    elif kind == "reboot-needed":
        say(paint("A reboot is needed to go on.", "yellow", "bold"))
    elif kind == "step-ended" and event.get("state") not in ("done", None):
        say(paint(f"step {event.get('step')}: {event.get('state')}", "red"))


def _answer(event: dict[str, Any], follower: Follower) -> None:
    if not sys.stdin.isatty():
        say(paint(f"It asks: {event.get('text')}; no terminal to answer on, so it stops.", "red"))
        follower.cancel()
        return
    if event.get("secret"):
        follower.answer(ask_secret(str(event.get("text"))) or "")
    else:
        follower.answer(answer_to(f"{event.get('text')} "))


def ask_secret(text: str) -> str | None:
    """Ask for sudo's password on the terminal; None where there is none."""
    if not sys.stdin.isatty():
        return None
    try:
        return getpass.getpass(f"{text} ")
    except EOFError:
        return None
