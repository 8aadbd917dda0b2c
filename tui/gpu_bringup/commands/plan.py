"""``gpu-bringup plan``: the steps that would be taken, in five forms."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import clean, print_json, say, usable_output
from gpu_bringup.commands.wish import look, refuse_absent_kernel
from gpu_bringup.errors import ExitCode, HostError
from gpu_bringup.export.plans import export, refuse_credentials

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    """Plan and print; exit status 0 with a plan or nothing to do, 1 when none can be made."""
    output: Path | None = getattr(arguments, "output", None)
    usable_output(output)
    asked = look(arguments)
    refuse_absent_kernel(asked)
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    plan = situation.plan
    form = "json" if getattr(arguments, "json", False) else arguments.format
    to_file = output is not None and str(output) != "-"
    if form == "json" and not to_file:
        refuse_credentials(plan)
        print_json(plan.to_json())
    else:
        text = export(plan, form)
        if output is None or not to_file:
            _print(text, form)
        else:
            _write(output, text)
    for note in situation.notes:
        say(f"! {note}")
    for text in plan.blocked:
        say(f"! {text}")
    return ExitCode.FAILED if plan.empty and plan.blocked else ExitCode.OK


def _print(text: str, form: str) -> None:
    # What goes into a file must stay as it is; what is looked at must not play with the terminal.
    text = clean(text) if form == "text" or sys.stdout.isatty() else text
    print(text, end="" if text.endswith("\n") else "\n")


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise HostError(
            f"{path} can't be written: {error.strerror}",
            meaning="The plan was not written, or not as a whole.",
            hint="Make room or name another file with -o.",
        ) from error
