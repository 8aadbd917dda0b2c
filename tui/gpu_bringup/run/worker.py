"""The process that takes the steps of a run: ``python -m gpu_bringup.run.worker FOLDER``.

It belongs to no terminal and to no session; whoever wants to see it reads the run's journal. All
that it imports is imported before it begins, because the steps may replace what Python finds.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import BringupError, ExitCode, RunLockedError
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.hosts.pty import PtySession
from gpu_bringup.model.plan import Command
from gpu_bringup.run import boot_unit, history, launch, lock, login_note, store, trusted
from gpu_bringup.run.control import ControlServer
from gpu_bringup.run.journal import Journal, now
from gpu_bringup.run.runner import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

COMMANDS_RUN_ON = PtySession
"""What ``LocalHost.open`` gives; named here so that it is loaded before the first step."""
_STATUSES = {"done": ExitCode.OK, "reboot": ExitCode.REBOOT_NEEDED}


def work(folder: Path) -> int:
    """Take the steps of the run in ``folder``; returns the exit status.

    Raises:
        BringupError: the run can't be begun; nothing was changed.
    """
    trusted.refuse_untrusted(folder)
    plan = history.load_plan(folder)
    info = history.load_info(folder)
    run, since, host = folder.name, now(), LocalHost()
    with lock.hold(lock.worker_lock(folder), run=run, since=since):
        journal = Journal(folder)
        try:
            with lock.hold(lock.host_lock(folder.parent.parent), run=run, since=since):
                runner = Runner(
                    host,
                    plan,
                    folder,
                    journal,
                    label=str(info.get("label", "")),
                    prelude=info.get("prelude", ()),
                    mend=[Command.from_json(item) for item in info.get("mend", ())],
                    tell=login_note.teller(host, folder, len(plan.steps)),
                )
                server = ControlServer(folder, runner.control, info.get("owner"))
                _heed_signals(runner)
                try:
                    state = runner.run()
                    if state != "reboot":
                        boot_unit.forget(host)
                finally:
                    server.close()
                    store.note_end(LocalHost(), folder)
        except RunLockedError as error:
            journal.write("refused", message=str(error))
            raise
        finally:
            journal.close()
    return int(_STATUSES.get(state, ExitCode.FAILED))


def _heed_signals(runner: Runner) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        # In a thread: the main one may hold the journal's lock just now.
        threading.Thread(target=runner.cancel, name="stop").start()

    def carry_on(number: int, frame: FrameType | None) -> None:
        """A function, because an ignored signal would stay ignored in the commands."""

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, carry_on)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m gpu_bringup.run.worker")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    parser.add_argument("--log", type=Path, help="write messages to the end of this file")
    options = parser.parse_args(arguments)
    if options.log is not None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(options.log, flags, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
    # An operator's umask of 077 would make package scripts write files that services can't read.
    os.umask(0o022)
    folder = options.folder.absolute()
    os.chdir("/")
    launch.take_over(folder)
    if options.detach and os.fork():
        os._exit(0)
    try:
        return work(folder)
    except BringupError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)


if __name__ == "__main__":
    raise SystemExit(main())
