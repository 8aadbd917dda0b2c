"""What a run's journal says: which commands are done, how the run stands. Pure, but for ``load``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import BringupError, InputError
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.run import lock
from gpu_bringup.run.journal import NAME, Event, read_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PLAN = "plan.json"
INFO = "run.json"
MEND = "mend"
"""Id of the step that finishes an interrupted package transaction; no step of any plan."""
PRIVATE = "(not shown: only root may read this file)"


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that a step replaced or made."""

    step: str
    path: str
    backup: str
    """Path of the old file's copy; empty: there was no such file."""
    mode: int
    """Mode of the old file; 0 where there was none."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as its folder tells."""

    run_id: str
    folder: Path
    label: str
    started: str
    """ISO 8601, UTC."""
    state: str
    """"running", "done", "failed", "cancelled", "reboot"; "lost": its process is gone before the
    end; "refused": it never began; "unreadable"; in a list of runs also "overtaken": it waited or
    was lost, and a later run took steps."""
    message: str
    steps: int
    steps_done: int

    @property
    def unfinished(self) -> bool:
        """Is there something to attach to or to resume without being asked for it?"""
        return self.state in ("running", "lost", "reboot")

    def to_json(self) -> dict[str, Any]:
        return {
            "run": self.run_id,
            "folder": str(self.folder),
            "label": self.label,
            "started": self.started,
            "state": self.state,
            "message": self.message,
            "steps": self.steps,
            "steps_done": self.steps_done,
        }


def load_plan(folder: Path) -> Plan:
    """The plan of a run.

    Raises:
        InputError: it can't be read; says who may.
    """
    path = folder / PLAN
    try:
        return Plan.from_json(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}",
            file=str(path),
            hint="Only root reads the plan of a run that root took: put sudo before the command.",
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"is no plan: {type(error).__name__}: {error}",
            file=str(path),
            meaning="What this run was to do is not known, so it can't be resumed or taken back.",
            hint="Its journal beside it tells what was done; gpu-bringup check how this host stands.",
        ) from error


def load_info(folder: Path) -> dict[str, Any]:
    """What was noted when the run was made: label, owner, prelude, mend.

    Raises:
        InputError: it can't be read.
    """
    path = folder / INFO
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"can't be read: {error}", file=str(path)) from error
    if not isinstance(data, dict):
        raise InputError("is no run", file=str(path))
    return data


def shown_plan(plan: Plan) -> dict[str, Any]:
    """The plan for the journal, which everybody may read: without the text of private files."""
    data = plan.to_json()
    for step, shown in zip(plan.steps, data["steps"], strict=True):
        for write, item in zip(step.writes, shown["writes"], strict=True):
            if not write.mode & 0o004 or write.has_credentials:
                item["content"] = PRIVATE
    return data


def finished_commands(events: Iterable[Event], plan: Plan) -> frozenset[tuple[str, int]]:
    """(step id, index) of each command that ended with a status that the plan accepts."""
    commands = {
        (step.id, index): command
        for step in plan.steps
        for index, command in enumerate(step.commands)
    }
    return frozenset(
        key
        for event in events
        if event["event"] == "command-ended"
        and (key := (event.get("step", ""), event.get("command", -1))) in commands
        and event.get("status") in commands[key].ok_statuses
    )


def interrupted_command(events: Sequence[Event]) -> tuple[str, int] | None:
    """(step id, index) of a command that was started last and never ended."""
    for event in reversed(events):
        if event["event"] == "command-ended":
            return None
        if event["event"] == "command-started":
            return (event.get("step", ""), event.get("command", -1))
    return None


def unsettled(events: Sequence[Event], plan: Plan) -> tuple[str, int] | None:
    """(step id, index) of the last package manager's command, where it never ended or failed.

    Such a one may have left packages half installed, which must be mended before anything else. The
    mending itself (``MEND``) counts as one, as it may have been interrupted too.
    """
    managers = {
        (step.id, index): command.ok_statuses
        for step in plan.steps
        for index, command in enumerate(step.commands)
        if command.package_manager
    }
    for event in reversed(events):
        if event["event"] not in ("command-started", "command-ended"):
            continue
        key = (event.get("step", ""), event.get("command", -1))
        if key[0] == MEND:
            good: tuple[int, ...] | None = (0,)
        else:
            good = managers.get(key)
        if good is None:
            continue
        ended_well = event["event"] == "command-ended" and event.get("status") in good
        return None if ended_well else key
    return None


def last_process(events: Sequence[Event]) -> Event | None:
    """The "command-process" event of a command that never ended; None: there is none."""
    if interrupted_command(events) is None:
        return None
    for event in reversed(events):
        if event["event"] == "command-process":
            return event
        if event["event"] == "command-started":
            return None
    return None


def done_steps(events: Iterable[Event]) -> frozenset[str]:
    """Ids of the plan's steps that ended well."""
    return frozenset(
        event.get("step", "")
        for event in events
        if event["event"] == "step-ended"
        and event.get("state") == "done"
        and event.get("step") != MEND
    )


def touched_steps(events: Iterable[Event]) -> frozenset[str]:
    """Ids of the steps of which at least one command was started."""
    return frozenset(
        event.get("step", "") for event in events if event["event"] == "command-started"
    )


def saved_files(events: Iterable[Event]) -> tuple[SavedFile, ...]:
    """The files that were replaced or made, oldest first; of each path in a step the first."""
    found: dict[tuple[str, str], SavedFile] = {}
    for event in events:
        if event["event"] == "file-written":
            saved = SavedFile(
                step=event.get("step", ""),
                path=event["path"],
                backup=event.get("backup") or "",
                mode=int(event.get("mode") or "0", 8),
            )
            found.setdefault((saved.step, saved.path), saved)
    return tuple(found.values())


def rebooted_from(events: Sequence[Event]) -> str:
    """Boot id of the kernel that a reboot was asked of, where that is the last thing; else ""."""
    if not events or events[-1]["event"] != "run-ended" or events[-1].get("state") != "reboot":
        return ""
    asked = [event for event in events if event["event"] == "reboot-needed"]
    return str(asked[-1].get("boot_id") or "") if asked else ""


def remaining(plan: Plan, events: Sequence[Event]) -> tuple[Step, ...]:
    """The steps that are still to be taken."""
    done = done_steps(events)
    return tuple(step for step in plan.steps if step.id not in done)


def run_info(folder: Path) -> RunInfo:
    """How a run stands."""
    label, started, message, steps, done = "", "", "", 0, 0
    try:
        label = str(load_info(folder).get("label", ""))
        written = read_events(folder / NAME)
    except BringupError as error:
        return RunInfo(folder.name, folder, label, "", "unreadable", error.message, 0, 0)
    events = [item for item in written if item["event"] != "refused"]
    if written and not events:
        # It never began: another run was under way. Its worker may live on for a moment.
        why = str(written[-1].get("message", ""))
        return RunInfo(folder.name, folder, label, "", "refused", why, 0, 0)
    last = events[-1] if events else {"event": ""}
    if events:
        started = str(events[0].get("time", ""))
        plan = events[0].get("plan")
        planned = plan.get("steps") if isinstance(plan, dict) else None
        steps = len(planned) if isinstance(planned, list) else 0
        done = len(done_steps(events))
    # First, because a worker lives on for some moments after its last word.
    if last["event"] == "run-ended":
        state, message = str(last.get("state", "")), str(last.get("message", ""))
    elif lock.is_held(lock.worker_lock(folder)):
        state = "running"
    else:
        state = "lost"
    return RunInfo(folder.name, folder, label, started, state, message, steps, done)
