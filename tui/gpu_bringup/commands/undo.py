"""``gpu-bringup undo``: take back what a run changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import answer_to, print_json, say, show
from gpu_bringup.errors import ExitCode, InputError, RefusedError

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """List runs, or plan and run the way back of one."""
    runs = engine.list_runs()
    as_json = bool(getattr(arguments, "json", False))
    if getattr(arguments, "list", False):
        if as_json:
            print_json({"schema": 1, "runs": [item.to_json() for item in runs]})
        else:
            for item in runs:
                show(f"{item.run_id}  {item.state:<10} {item.label}")
            if not runs:
                show("No run has changed this host.")
        return ExitCode.OK
    chosen = getattr(arguments, "run", None)
    plan = engine.undo(chosen)
    if plan.empty:
        show("Nothing to take back.")
        return ExitCode.OK
    say(f"{len(plan.steps)} steps, in reverse order of what was done:")
    for number, step in enumerate(plan.steps, 1):
        say(f"  {number}. {step.title}")
        for command in step.commands:
            say(f"     $ {' '.join(command.argv)}")
        for write in step.writes:
            say(f"     restores {write.path}")
    if not getattr(arguments, "yes", False):
        if not sys.stdin.isatty():
            raise InputError(
                "this host is only changed after a yes, and there is no terminal to ask on",
                meaning="Nothing was changed on this server.",
                hint="Say --yes to take the steps above.",
            )
        if answer_to("Take these steps now? Type yes: ").lower() != "yes":
            raise RefusedError("you didn't say yes", meaning="Nothing was changed on this server.")
    state = follow(engine.apply(plan, label="undo", ask=ask_secret))
    if as_json:
        print_json({"schema": 1, "state": state})
    return ExitCode.OK if state == "done" else ExitCode.FAILED
