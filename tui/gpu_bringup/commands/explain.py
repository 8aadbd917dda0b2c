"""``gpu-bringup explain``: paste any error text, get the causes."""

from __future__ import annotations

import io
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import columns, paint, print_json, say, show, wrap
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.explain.lookups import families_of, names

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.explain.finding import Explanation, Finding
    from gpu_bringup.model.plan import Step, Write

UNCONFIRMED = (
    "Not confirmed: known from working experience, no public source was found. Look first."
)
_TOLD = 3
"""Findings that are shown to people in full."""
_ROWS = 2
"""Further rows of one line."""
_LINES = 4
_ROWS = 2
"""Further rows of one line."""
_SOURCES = 2
_LAST_XID = 999
"""NVIDIA's numbers have three digits at most."""


def run(arguments: argparse.Namespace) -> int:
    """Explain and print; exit status 0 where at least one cause is known, 1 where nothing is."""
    numbers: list[int] = getattr(arguments, "xid", None) or []
    if numbers:
        return _xids(numbers, as_json=bool(getattr(arguments, "json", False)))
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


def _xids(numbers: list[int], *, as_json: bool) -> int:
    """Tell what Xid numbers mean; exit status 1 where one of them isn't known."""
    from dataclasses import asdict

    from gpu_bringup.failures.xids import catalogue, describe

    for number in numbers:
        if not 1 <= number <= _LAST_XID:
            raise InputError(
                f"{number} is no Xid number",
                place="--xid",
                hint=f"Xid numbers are positive whole numbers below {_LAST_XID + 1}, as in NVRM: Xid "
                "(PCI:0000:3b:00): 79.",
            )
    known = catalogue()
    if as_json:
        found = [asdict(known[number]) for number in numbers if number in known]
        print_json({"schema": 1, "xids": found})
    else:
        for number in numbers:
            show(wrap(describe(number)))
            if number in known:
                show(paint(f"   {known[number].sources[0]}", "dim"))
    return ExitCode.OK if all(number in known for number in numbers) else ExitCode.FAILED


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
        _print(place, finding, {item.cause for item in found.findings[: place - 1]})
    more = found.findings[_TOLD:]
    if more:
        show("Less likely (--json tells all of it):")
        for finding in more[:_TOLD]:
            show(wrap(f"{round(finding.confidence * 100)} %  {finding.title}", 3))


def _print(place: int, finding: Finding, before: set[str]) -> None:
    """One finding: the cause first, then what speaks for it, what would decide, and the mend."""
    share = f"{round(finding.confidence * 100)} %"
    show(paint(wrap(f"{place}. {finding.title}"), "bold"))
    show(paint(f"   {share} sure, layer: {finding.rung}, {finding.cause}", "dim"))
    if finding.consequence_of:
        # Where that cause is the less likely one, the two are rivals: nothing is probable then.
        words = "Probably" if finding.consequence_of in before else "Unless it is"
        show(wrap(f"{words} a consequence of {finding.consequence_of}.", 3))
    show(wrap(f"If so: {finding.summary}" if finding.suspected else finding.summary, 3))
    if finding.certainty == "unconfirmed":
        show(wrap(UNCONFIRMED, 3))
    room = max(40, columns() - 16)
    for number, text in finding.lines[:_LINES]:
        first, *more = textwrap.wrap(text, room) or [""]
        show(paint(f"   line {number:>6} ", "dim") + first)
        for row in more[:_ROWS]:
            show(" " * 15 + row)
    for words in finding.decoded:
        show(wrap(f"= {words}", 3))
    if finding.tell_apart:
        show(wrap(f"Tell apart: {finding.tell_apart}", 3))
    looks = dict.fromkeys((*finding.fetch, *finding.confirm))
    if looks:
        show("   Look (changes nothing):")
        for argv in looks:
            show(f"      {shlex.join(argv)}{_whose(argv, finding)}")
    if finding.quick:
        show(wrap(f"Back to service first: {finding.quick}", 3))
    for number, step in enumerate(finding.repair, 1):
        marks = [word for word, on in _marks(step) if on]
        ending = f" ({', '.join(marks)})" if marks else ""
        show(wrap(f"Mend {number}. {step.title}{ending}", 3))
        show(wrap(step.why, 6))
        if step.risk:
            show(wrap(f"Risk: {step.risk}", 6))
        for file in step.writes:
            show(f"      # {_written(file)}")
        for command in step.commands:
            show(f"      # {shlex.join(command.argv)}")
    for word, how in finding.unfilled.items():
        show(wrap(f"Put in for {word}: {how}.", 3))
    if finding.prevention:
        show(wrap(f"Keep it from coming back: {finding.prevention}", 3))
    for source in finding.sources[:_SOURCES]:
        show(paint(f"   {source}", "dim"))
    show()


def _whose(argv: tuple[str, ...], finding: Finding) -> str:
    """A shell comment that says which systems have this program, where the system isn't known."""
    only = "" if finding.family else names(families_of(argv))
    return f"   # {only}" if only else ""


def _written(file: Write) -> str:
    """The command that makes a file of a step; a script is only named."""
    if file.mode & 0o111:
        return f": {file.path} comes with gpu-bringup (its text: --json)"
    lines = (line for line in file.content.splitlines() if not line.startswith("#"))
    return f"printf '%s\\n' {' '.join(map(shlex.quote, lines))} >{shlex.quote(file.path)}"


def _marks(step: Step) -> tuple[tuple[str, bool], ...]:
    return (("stops GPU work", step.stops_workloads), ("needs a reboot", step.reboot))
