"""Takes the steps of a plan on a host and writes down what happens. Decides nothing by itself.

It runs in the worker process on this machine, and in the training on a simulated one.
"""

from __future__ import annotations

import re
import shlex
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from gpu_bringup import __version__
from gpu_bringup.errors import HostError
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.run import history
from gpu_bringup.run.dkms_watch import dkms_objects
from gpu_bringup.run.journal import Journal, JournalError
from gpu_bringup.run.keep import as_wanted, keep, mode_for, with_modes
from gpu_bringup.run.output import CommandLog, locked_error, transient_error
from gpu_bringup.run.progress import ProgressReader, reads_progress
from gpu_bringup.run.quiet import Quiet
from gpu_bringup.run.space import full_disk, settle
from gpu_bringup.run.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gpu_bringup.hosts.base import Host

LOGS = "logs"
BACKOFF = (5.0, 15.0, 45.0)
"""Seconds before each further attempt at a command that the network failed."""
GRACE = 10.0
"""Seconds between SIGINT, SIGTERM and SIGKILL for a command that may be stopped."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_PROTECTED = frozenset(
    {"apt", "apt-get", "aptitude", "dpkg", "dpkg-reconfigure", "dnf", "dnf5", "yum", "rpm",
     "rpm-ostree", "zypper", "dkms", "akmods", "depmod", "update-initramfs", "mkinitramfs",
     "dracut", "mkinitrd", "update-grub", "grub-mkconfig", "grub2-mkconfig", "kernel-install"}
)  # fmt: skip
"""Stopped halfway they leave something half done that the next boot may trip over."""


class _Stopped(Exception):
    """The run ends here; ``fields`` are those of its run-ended event."""

    def __init__(self, state: str, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.state = state
        self.fields = {"message": message, **fields}


def protected(command: Command) -> bool:
    """Must this command be let to finish, whatever the operator wishes?"""
    return command.package_manager or command.argv[0].rsplit("/", 1)[-1] in _PROTECTED


class Runner:
    """One run of one plan.

    Args:
        host: where; must be able to run commands.
        plan: what.
        folder: the run's folder: logs and kept files go there.
        journal: of this run; with events in it the run is resumed.
        label: what to call the run.
        prelude: facts that were found out before (trial builds), written after run-started.
        mend: finishes an interrupted package transaction; run when a resumed run needs it.
        backoff: seconds to wait before each further attempt.
        grace: seconds between the signals to a command that is to stop.
        tell: told how the run stands: its state ("running", or that of its end) and how many steps
            are done; must not raise.
    """

    def __init__(
        self,
        host: Host,
        plan: Plan,
        folder: Path,
        journal: Journal,
        *,
        label: str = "",
        prelude: Sequence[dict[str, Any]] = (),
        mend: Sequence[Command] = (),
        backoff: Sequence[float] = BACKOFF,
        grace: float = GRACE,
        tell: Callable[[str, int], None] | None = None,
    ) -> None:
        self._host = host
        self._plan = plan
        self._folder = folder
        self._journal = journal
        self._label = label
        self._prelude = prelude
        self._mend = mend
        self._backoff = backoff
        self._grace = grace
        self._tell = tell or (lambda state, done: None)
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self._watch: Watch | None = None
        self._quiet = Quiet(host, self._cancelled, self._note)

    def control(self, request: dict[str, Any]) -> str:
        """Handle a request of ``control.ControlServer``: {"answer": text} or {"cancel": true}."""
        if isinstance(request.get("answer"), str):
            watch = self._watch
            if watch is None or not watch.answer(request["answer"]):
                return "nothing is asked just now"
            return ""
        if request.get("cancel"):
            self.cancel()
            return ""
        return "this is no request"

    def cancel(self) -> None:
        """Stop at the next safe place. From any thread; returns at once."""
        with self._lock:
            watch, first = self._watch, not self._cancelled.is_set()
            self._cancelled.set()
        if not first:
            return
        waits = watch is not None and protected(watch.command)
        name = watch.command.argv[0] if watch else ""
        text = (
            f"{name} is let to finish, so that nothing is left half installed; then the run stops"
            if waits
            else "the run stops"
        )
        self._note("cancel-requested", text=text)
        if watch is not None and not waits:
            watch.stop(self._grace)

    def run(self) -> str:
        """Take the steps that are not done yet.

        Returns:
            The state at the end: "done", "failed", "cancelled" or "reboot".
        """
        state, fields = (
            "failed",
            {
                "message": "The process that takes the steps stopped unexpectedly: worker.log in the "
                "run's folder says more. Resume the run to go on."
            },
        )
        try:
            self._begin()
            self._tell("running", len(self._done))
            for number, step in enumerate(self._plan.steps, 1):
                self._step(number, step)
            total = len(self._plan.steps)
            state, fields = "done", {"message": f"All steps are done ({total})."}
        except _Stopped as stopped:
            state, fields = stopped.state, stopped.fields
        except HostError as error:
            fields = {"message": str(error)}
        finally:
            self._end(state, fields)
        return state

    # --- the run as a whole

    def _begin(self) -> None:
        before = tuple(self._journal.events)
        self._done = history.done_steps(before)
        self._finished = history.finished_commands(before, self._plan)
        self._saved = {(saved.step, saved.path) for saved in history.saved_files(before)}
        if not before:
            kernel = self._host.read_text("/proc/sys/kernel/osrelease")
            self._journal.write(
                "run-started",
                run=self._folder.name,
                label=self._label,
                tool_version=__version__,
                host={
                    "label": self._host.label,
                    "kernel": kernel.strip() if isinstance(kernel, str) else None,
                },
                plan=history.shown_plan(with_modes(self._host, self._plan)),
            )
            for item in self._prelude:
                fields = {
                    key: value for key, value in item.items() if key not in ("schema", "time")
                }
                self._journal.write(str(fields.pop("event", "trial")), **fields)
            return
        interrupted = history.interrupted_command(before)
        self._journal.write(
            "resumed",
            tool_version=__version__,
            done=sorted(self._done),
            interrupted=None
            if interrupted is None
            else {"step": interrupted[0], "command": interrupted[1]},
        )
        if not self._quiet.leftover_ended(history.last_process(before)):
            raise _Stopped("cancelled", self._quiet.refusal)
        if self._mend and history.unsettled(before, self._plan):
            title = "Finish the interrupted package transaction"
            self._take(0, Step(history.MEND, "packages", title, "", commands=tuple(self._mend)))

    def _end(self, state: str, fields: dict[str, Any]) -> None:
        self._journal.release_reserve()
        done = len(history.done_steps(self._journal.events))
        self._tell(state, done)
        self._note("run-ended", state=state, done=done, steps=len(self._plan.steps), **fields)

    def _note(self, event: str, *, sync: bool = True, **fields: Any) -> None:
        """Write an event that a full disk must not stop the work for."""
        try:
            self._journal.write(event, sync=sync, **fields)
        except JournalError:
            self._journal.release_reserve()
            try:
                self._journal.write(event, sync=sync, **fields)
            except JournalError as error:
                # The worker's log may be on another disk; there is no other place left.
                sys.stderr.write(f"{error}\n")

    # --- one step

    def _step(self, number: int, step: Step) -> None:
        if step.id in self._done:
            return
        if self._cancelled.is_set():
            raise self._cancelled_before(step)
        self._take(number, step)
        if step.reboot:
            boot = self._host.read_text(_BOOT_ID)
            self._journal.write(
                "reboot-needed",
                step=step.id,
                title=step.title,
                boot_id=boot.strip() if isinstance(boot, str) else None,
            )
            raise _Stopped("reboot", "A reboot is needed now; after it the run goes on.")

    def _take(self, number: int, step: Step) -> None:
        self._journal.write(
            "step-started",
            step=step.id,
            title=step.title,
            index=number,
            count=len(self._plan.steps),
            estimate_seconds=step.estimate_seconds,
        )
        try:
            self._write_files(step)
            for index, command in enumerate(step.commands):
                if (step.id, index) not in self._finished or step.id == history.MEND:
                    self._command(number, step, index, command)
        except _Stopped as stopped:
            self._journal.write("step-ended", step=step.id, state=stopped.state)
            raise
        except JournalError:
            raise
        except HostError as error:
            self._journal.write("step-ended", step=step.id, state="failed")
            raise _Stopped("failed", str(error), step=step.id) from error
        self._journal.write("step-ended", step=step.id, state="done")
        self._tell("running", len(history.done_steps(self._journal.events)))

    def _write_files(self, step: Step) -> None:
        for write in step.writes:
            if as_wanted(self._host, write):
                continue
            if (step.id, write.path) not in self._saved:
                backup, mode = keep(self._host, write.path, self._folder, step.id)
                # Written down before it is done: undo of a file that stayed as it was is harmless.
                self._journal.write(
                    "file-written",
                    step=step.id,
                    path=write.path,
                    backup=backup or None,
                    mode=f"{mode:04o}" if backup else None,
                )
                self._saved.add((step.id, write.path))
            self._host.write_file(write.path, write.content, mode_for(self._host, write))

    def _cancelled_before(self, step: Step, what: str = "") -> _Stopped:
        done = len(history.done_steps(self._journal.events))
        return _Stopped(
            "cancelled",
            f"Stopped as you wished, {what or 'before'} the step '{step.title}'. "
            f"{done} of {len(self._plan.steps)} steps are done and stay done; the journal says what "
            "was done. Resume the run to go on, or undo it.",
            step=step.id,
        )

    # --- one command

    def _command(self, number: int, step: Step, index: int, command: Command) -> None:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", step.id)
        path = self._folder / LOGS / f"{number:02d}-{name}-{index + 1}.log"
        for attempt in range(1, len(self._backoff) + 2):
            if self._cancelled.is_set():
                raise self._cancelled_before(step, "in")
            log = CommandLog(path)
            try:
                status = self._attempt(step, index, command, log, attempt)
            finally:
                log.close()
            ok = status in command.ok_statuses
            if self._cancelled.is_set() and not ok:
                raise self._cancelled_before(step, "in")
            reason = "" if ok and not command.network else self._transient(command, ok, log)
            if reason and attempt <= len(self._backoff):
                pause = self._backoff[attempt - 1]
                self._journal.write(
                    "retry", step=step.id, command=index, attempt=attempt + 1,
                    reason=reason, wait_seconds=pause,
                )  # fmt: skip
                self._cancelled.wait(pause)
                continue
            break
        if not ok:
            full = full_disk(self._host, step, log.tail)
            raise _failed(step, command, status, path, full)
        if log.problem:
            raise _Stopped(
                "failed",
                f"The output of {command.argv[0]} could not be kept ({log.problem}). The command "
                "itself ended well. Free some space, then resume the run.",
                step=step.id,
            )

    def _transient(self, command: Command, ok: bool, log: CommandLog) -> str:
        if not ok and (locked := locked_error(log.tail)):
            # Somebody was quicker between our look at the lock and the command's own.
            return locked
        if not command.network:
            return ""
        # apt-get update ends with status 0 when an index can't be fetched: apt-get(8).
        if ok and not any("index files failed to download" in line for line in log.tail):
            return ""
        return transient_error(log.tail)

    def _attempt(
        self, step: Step, index: int, command: Command, log: CommandLog, attempt: int
    ) -> int:
        if log.problem:
            raise HostError(
                f"The log can't be written: {log.problem}",
                meaning=f"{command.argv[0]} was not started.",
                hint="Free some space (df -h shows where), then resume the run.",
            )
        reader = ProgressReader(dkms_objects(self._host)) if reads_progress(command) else None
        where: dict[str, Any] = {"step": step.id, "command": index}
        if not self._quiet.lock_free(command, where) and not self._cancelled.is_set():
            raise HostError(self._quiet.refusal)
        started = time.monotonic()
        with self._lock:  # a wish to stop comes either before the command or reaches it
            if self._cancelled.is_set():
                raise self._cancelled_before(step, "in")
            self._journal.write(
                "command-started",
                argv=list(command.argv),
                log=str(log.path),
                attempt=attempt,
                **where,
            )
            session = self._host.open(command)
            watch = self._watch = Watch(session, command, log, reader, self._note, where)
        # Should this process be killed, the next one waits for what is left of the command.
        self._note("command-process", sync=False, **self._quiet.identity(session), **where)
        try:
            status = watch.follow()
        finally:
            with self._lock:
                self._watch = None
        if command.root and status in command.ok_statuses:
            settle(self._host)
        self._journal.write(
            "command-ended", status=status, seconds=round(time.monotonic() - started, 3),
            log=str(log.path), attempt=attempt, **where,
        )  # fmt: skip
        return status


def _failed(
    step: Step, command: Command, status: int, log: Path, full: dict[str, Any] | None
) -> _Stopped:
    what = (
        f"there is no command {command.argv[0]} on this host"
        if status == 127
        else f"{shlex.join(command.argv)} ended with exit status {status}"
    )
    room = f" {full['text']} Make room there, then resume the run: it goes on." if full else ""
    return _Stopped(
        "failed",
        f"The step '{step.title}' failed: {what}.{room} Its output: {log}",
        step=step.id,
        argv=list(command.argv),
        status=status,
        log=str(log),
        **({"disk_full": full} if full else {}),
    )
