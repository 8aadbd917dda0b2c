"""``gpu-bringup explain``: paste any error text, get the causes."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import paint, print_json, say, show, wrap
from gpu_bringup.errors import ExitCode, InputError

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.explain.finding import Explanation, Finding

_TOLD = 5
"""Findings that are shown to people."""


def run(arguments: argparse.Namespace) -> int:
    """Explain and print; exit status 0 where at least one cause is known, 1 where nothing is."""
    context = list(getattr(arguments, "context", None) or [])
    profiles = getattr(arguments, "profiles", None)
    name = getattr(arguments, "file", None)
    if name is None:
        name = "-"
    if name == "-":
        if sys.stdin is None:
            raise InputError(
                "standard input is closed", place="FILE", hint="Name a file, or pipe the text in."
            )
        if sys.stdin.isatty():
            say("Paste the text, then press Ctrl-D on a line of its own.")
        found = engine.explain(sys.stdin.buffer, context, profiles)
    else:
        found = _file(Path(name), context, profiles)
    if getattr(arguments, "json", False):
        print_json(found.to_json())
    else:
        print_explanation(found)
    return ExitCode.OK if found.findings else ExitCode.FAILED


def _file(path: Path, context: list[str], profiles: Path | None) -> Explanation:
    try:
        if path.is_dir():
            raise InputError("it is a folder", file=str(path), hint="Name one of its files.")
        with path.open("rb") as stream:
            return engine.explain(io.BufferedReader(stream, 1 << 20), context, profiles)
    except OSError as error:
        raise InputError(
            f"it can't be read: {error.strerror}",
            file=str(path),
            hint="Check the name, or pipe the text in: … | gpu-bringup explain -",
        ) from error


def print_explanation(found: Explanation) -> None:
    """The findings for people, best first."""
    for note in found.notes:
        show(paint(wrap(f"! {note}", 0), "yellow"))
    if not found.findings:
        show(f"Nothing known in this ({found.lines} lines).")
        show(
            wrap(
                "What would help: the kernel's log (journalctl -k -b), DKMS's make.log, the package "
                "manager's output of the failed command, or gpu-bringup check on the server itself.",
                0,
            )
        )
        return
    for place, finding in enumerate(found.findings[:_TOLD], 1):
        _print(place, finding)
    more = len(found.findings) - _TOLD
    if more > 0:
        show(paint(f"{more} less likely ones are in --json.", "dim"))


def _print(place: int, finding: Finding) -> None:
    share = f"{round(finding.confidence * 100)} %"
    show(paint(f"{place}. {finding.title}", "bold") + f"  [{finding.rung}, {share}]")
    if finding.consequence_of:
        show(wrap(f"Probably a consequence of {finding.consequence_of}.", 3))
    show(wrap(finding.summary, 3))
    for number, text in finding.lines[:4]:
        show(paint(f"   line {number}: ", "dim") + text[:160])
    if finding.tell_apart:
        show(wrap(f"Tell apart: {finding.tell_apart}", 3))
    for argv in (*finding.fetch, *finding.confirm):
        show(f"   look   {' '.join(argv)}")
    if finding.quick:
        show(wrap(f"Back to service first: {finding.quick}", 3))
    for step in finding.repair:
        show(wrap(f"mend   {step.title}: {step.why}", 3))
        for command in step.commands:
            show(f"          # {' '.join(command.argv)}")
    if finding.prevention:
        show(wrap(f"Keep it from coming back: {finding.prevention}", 3))
    for source in finding.sources[:2]:
        show(paint(f"   {source}", "dim"))
    show()
