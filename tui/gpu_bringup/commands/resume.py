"""``gpu-bringup apply --resume``: go on with a run that broke off, failed or waited for a reboot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import paint, print_json, say, show, wrap
from gpu_bringup.errors import ExitCode, InputError, RefusedError
from gpu_bringup.run import boot_unit
from gpu_bringup.run.journal import NAME, torn_end
from gpu_bringup.run.start import list_runs, resumable_run, resume_run

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.run.history import RunInfo

_WORDS = {
    "running": "is under way",
    "lost": "broke off (its process was killed, or the server went down)",
    "failed": "failed",
    "cancelled": "was stopped",
    "reboot": "waits for a reboot",
    "unreadable": "can't be read",
}


def tell_unfinished() -> None:
    """Say that there is a run that could go on, before a new plan is made."""
    found = resumable_run()
    if found is None or found.state in ("running", "unreadable"):
        return
    text = (
        f"! The run {found.run_id} {_WORDS.get(found.state, found.state)}: {found.steps_done} of "
        f"{found.steps} steps are done. gpu-bringup apply --resume goes on with it; this is a new plan."
    )
    say(paint(wrap(text), "yellow"))


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: done, also when nothing was left to do; 3: a reboot comes next; 1: not done."""
    as_json = bool(getattr(arguments, "json", False))
    if getattr(arguments, "host", None) is not None:
        raise InputError("a run goes on where it began; a record has none", file="--host")
    found = _chosen(str(arguments.resume))
    if found is None or found.state == "done":
        if as_json:
            print_json({"schema": 1, "state": "nothing-to-do"})
        else:
            show("Nothing to go on with: no run on this server is unfinished.")
        return ExitCode.OK
    if getattr(arguments, "after_reboot", False):
        return _after_reboot(found)
    say(f"Run {found.run_id} {_WORDS.get(found.state, found.state)}.")
    if torn_end(found.folder / NAME):
        say("The last line of its journal was cut off (a crash, a power cut) and is left out.")
    follower = resume_run(found.run_id, ask=ask_secret)
    state = follow(follower)
    after = next(item for item in list_runs() if item.run_id == found.run_id)
    if as_json:
        print_json({"schema": 1, **after.to_json(), "state": state})
    else:
        _print_end(after, state)
    if state == "reboot":
        return ExitCode.REBOOT_NEEDED
    return ExitCode.OK if state == "done" else ExitCode.FAILED


def _after_reboot(found: RunInfo) -> int:
    if found.state != "reboot":
        raise RefusedError(
            f"the run {found.run_id} {_WORDS.get(found.state, found.state)}; it waits for no reboot",
            meaning="Nothing was changed.",
            hint="gpu-bringup apply --resume goes on with it now.",
        )
    boot_unit.install(engine.open_host(), found.folder)
    show(
        f"After the next reboot the run {found.run_id} goes on by itself; the unit then removes itself."
    )
    show(f"  To take this back: sudo systemctl disable {boot_unit.NAME}")
    return ExitCode.OK


def _chosen(run_id: str) -> RunInfo | None:
    if not run_id:
        return resumable_run()
    for item in list_runs():
        if item.run_id == run_id:
            return item
    raise InputError(
        f"there is no run {run_id}",
        file="--resume",
        meaning="Nothing was done.",
        hint="gpu-bringup undo --list shows the runs.",
    )


def _print_end(after: RunInfo, state: str) -> None:
    show()
    done = f"{after.steps_done} of {after.steps} steps are done."
    if state == "done":
        show(paint(f"Done: {done}", "green", "bold"))
        show("  gpu-bringup check shows how the server stands now.")
    elif state == "reboot":
        show(paint(f"A reboot is needed: {done}", "yellow", "bold"))
        show("  After it:                    gpu-bringup apply --resume")
        show("  By itself after the reboot:  sudo gpu-bringup apply --resume --after-reboot")
    else:
        show(paint(f"The run ended: {state}. {done}", "red", "bold"))
        show("  Go on:         gpu-bringup apply --resume; what is done already is not done twice")
        show(f"  Take it back:  gpu-bringup undo {after.run_id}")
