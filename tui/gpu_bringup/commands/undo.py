"""``gpu-bringup undo``: take back what a run changed."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import answer_to, print_json, say, show, wrap
from gpu_bringup.errors import ExitCode, InputError, RefusedError
from gpu_bringup.paths import SYSTEM_STATE
from gpu_bringup.run.history import shown_plan

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.plan import Plan, Step
    from gpu_bringup.run.history import RunInfo

_HOW = """
Without gpu-bringup, from a rescue system too: sh {folder}/undo.sh --show
(system mounted at /mnt: sh /mnt{folder}/undo.sh --root /mnt --show)"""


def run(arguments: argparse.Namespace) -> int:
    """List runs, or plan and run the way back of one."""
    as_json = bool(getattr(arguments, "json", False))
    chosen = getattr(arguments, "run", None)
    root = getattr(arguments, "root", None)
    if root is not None:
        return _in_mounted_system(arguments, Path(root), chosen)
    runs = engine.list_runs()
    if getattr(arguments, "list", False):
        return _list(runs, as_json)
    found = engine.run_to_undo(chosen)
    if found is None:
        if as_json:
            print_json({"schema": 1, "state": "nothing-to-do"})
        else:
            show("Nothing to take back: every run on this host is taken back already.")
        return ExitCode.OK
    plan = engine.undo(found.run_id)
    if plan.empty:
        show("Nothing to take back.")
        return ExitCode.OK
    yes, dry = bool(getattr(arguments, "yes", False)), bool(getattr(arguments, "dry_run", False))
    later = _later(runs, found)
    if as_json and (dry or not yes):
        # Never asked in between: standard output holds one document.
        print_json(_document(found, plan, "planned", later))
        return ExitCode.OK
    _tell(found, plan, later)
    if dry:
        return ExitCode.OK
    if not yes and not sys.stdin.isatty():
        raise InputError(
            "this host is only changed after a yes, and there is no terminal to ask on",
            meaning="Nothing was changed on this server.",
            hint="Say --yes to take the steps above, --dry-run to look only.",
        )
    if getattr(arguments, "step", False):
        state = _one_by_one(plan, found, yes)
    else:
        if not yes and answer_to("Take these steps now? Type yes: ").lower() != "yes":
            raise RefusedError("you didn't say yes", meaning="Nothing was changed on this server.")
        state = _take(plan, found)
    if as_json:
        print_json(_document(found, plan, state, later))
    elif state == "done":
        show(f"The run {found.run_id} is taken back.")
        show("Look at this host again: gpu-bringup check. A loaded driver stays until a reboot.")
    return ExitCode.OK if state == "done" else ExitCode.FAILED


def _list(runs: list[RunInfo], as_json: bool) -> int:
    if as_json:
        print_json({"schema": 1, "runs": [item.to_json() for item in runs]})
        return ExitCode.OK
    for item in runs:
        state = "undone" if engine.is_undone(item) else item.state
        show(f"{item.run_id}  {state:<10} {item.label}")
    if not runs:
        show("No run has changed this host.")
    return ExitCode.OK


def _later(runs: list[RunInfo], chosen: RunInfo) -> tuple[str, ...]:
    """Runs after this one that are not taken back: they may rest on what goes now."""
    after = [item for item in runs if item.run_id[:15] > chosen.run_id[:15] and item.steps_done]
    return tuple(
        item.run_id
        for item in after
        if not item.label.startswith("undo") and not engine.is_undone(item)
    )


def _document(found: RunInfo, plan: Plan, state: str, later: tuple[str, ...]) -> dict[str, Any]:
    return {
        "schema": 1,
        "state": state,
        "run": found.run_id,
        "steps": shown_plan(plan)["steps"],
        "cannot": list(plan.blocked),
        "later_runs": list(later),
        "script": str(found.folder / "undo.sh"),
    }


def _tell(found: RunInfo, plan: Plan, later: tuple[str, ...]) -> None:
    say(f"Undo of the run {found.run_id} ({found.label}, {found.state}).")
    for name in later:
        say(wrap(f"! The run {name} came after it and stays: take that one back first if it rests "
                 "on this one.", 0))  # fmt: skip
    say(f"{len(plan.steps)} steps, in reverse order of what was done:")
    for number, step in enumerate(plan.steps, 1):
        _tell_step(number, step)
    for text in plan.blocked:
        say(wrap(f"! Can't be taken back: {text}"))
    if os.access(found.folder / "undo.sh", os.F_OK):
        say(_HOW.format(folder=found.folder))
    say("")


def _tell_step(number: int, step: Step) -> None:
    say(f"  {number}. {step.title}")
    for line in step.expect.splitlines():
        say(f"     {line}")
    for command in step.commands:
        say(f"     $ {shlex.join(command.argv)}")
    for write in step.writes:
        say(f"     restores {write.path}")


def _take(plan: Plan, found: RunInfo) -> str:
    return follow(engine.apply(plan, label=f"undo of {found.run_id}", ask=ask_secret))


def _one_by_one(plan: Plan, found: RunInfo, yes: bool) -> str:
    """Each step a run of its own, after a yes of its own; the rest waits for the next time."""
    left = engine.left_to_undo(plan)
    for number, step in enumerate(left.steps, 1):
        say(f"Step {number} of {len(left.steps)}")
        _tell_step(number, step)
        if not yes and answer_to("Take this step now? Type yes: ").lower() != "yes":
            raise RefusedError(
                f"stopped before the step '{step.title}'",
                meaning=f"{number - 1} of {len(left.steps)} steps were taken back.",
                hint="The same command goes on from here.",
            )
        state = _take(replace(left, steps=(step,)), found)
        if state != "done":
            return state
    return "done"


def _in_mounted_system(arguments: argparse.Namespace, root: Path, chosen: str | None) -> int:
    """Hand over to the script that lies in the mounted system, which needs nothing of ours."""
    folder = root.absolute() / str(SYSTEM_STATE).lstrip("/") / "runs"
    try:
        names = sorted(item.name for item in folder.iterdir() if (item / "undo.sh").is_file())
    except OSError as error:
        raise InputError(
            f"can't be read: {error.strerror}",
            file=str(folder),
            hint="--root names the folder that the server's file system is mounted at.",
        ) from error
    open_ones = [name for name in names if not (folder / name / "undone").exists()]
    wanted = chosen if chosen in names else None if chosen else next(reversed(open_ones), None)
    if wanted is None:
        raise InputError(
            f"there is no run {chosen}" if chosen else "no run there is left to take back",
            file=str(folder),
        )
    script = folder / wanted / "undo.sh"
    status = script.stat()
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise RefusedError(
            f"{script} is not root's alone, so it is not run as root",
            meaning="Nothing was changed.",
        )
    words = {"dry_run": "--show", "yes": "--yes", "step": "--step"}
    argv = [word for key, word in words.items() if getattr(arguments, key, False)]
    sys.stdout.flush()
    os.execv("/bin/sh", ["sh", str(script), "--root", str(root.absolute()), *argv])
