"""``gpu-bringup enrol``: where the enrolment of the signing key stands, its screens, and the proof."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_bringup import engine, enrolling
from gpu_bringup.commands import wish
from gpu_bringup.commands.apply import confirm
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import print_json, show, wrap
from gpu_bringup.errors import ExitCode, RefusedError
from gpu_bringup.signing import proof
from gpu_bringup.signing.enrolment import Stage
from gpu_bringup.signing.rehearsal import Screen
from gpu_bringup.signing.report import NOTHING

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.commands.wish import Asked
    from gpu_bringup.signing.report import Report

_MARKS = {proof.GOOD: "+", proof.BAD: "X", proof.OPEN: "?"}


def run(arguments: argparse.Namespace) -> int:
    """Show, rehearse or ask again.

    Returns:
        OK where everything is proven or nothing is to be enrolled, else FAILED; of ``--again`` the run's own.
    """
    asked = wish.look(arguments)
    if getattr(arguments, "again", False):
        return _again(asked, bool(getattr(arguments, "yes", False)))
    report = enrolling.enrolment(asked.facts, asked.catalogue)
    rehearse = bool(getattr(arguments, "rehearse", False))
    if getattr(arguments, "json", False):
        print_json(_document(report))
    else:
        (_tell_rehearsal if rehearse else _tell)(report)
    good = rehearse or report.told in (proof.GOOD, NOTHING)
    return ExitCode.OK if good else ExitCode.FAILED


def _again(asked: Asked, yes: bool) -> int:
    """Ask the firmware once more, in a run like every other."""
    if asked.host is None or asked.host.kind != "local":
        raise RefusedError(
            "a described or recorded host can't be changed",
            meaning="Nothing was done.",
            hint="Run this on the server itself.",
        )
    engine.refuse_beside_another()
    plan = enrolling.enrol_again(asked.facts, asked.catalogue)
    if plan.empty:
        raise RefusedError(
            f"asking again would not help: {'; '.join(plan.blocked)}",
            meaning="Nothing was changed on this server.",
        )
    confirm(plan, yes)
    state = follow(engine.apply(plan, label="enrolment", ask=ask_secret))
    if state == "reboot":
        _tell_rehearsal(enrolling.enrolment(engine.observe(asked.host), asked.catalogue))
        return ExitCode.REBOOT_NEEDED
    return ExitCode.OK if state == "done" else ExitCode.FAILED


def _document(report: Report) -> dict[str, Any]:
    return {
        "schema": 1,
        "stage": report.enrolment.stage.value,
        "verdict": report.told,
        "head": report.head,
        "fingerprint": report.fingerprint or None,
        "proof": [witness.to_json() for witness in report.witnesses],
        "console": report.console.to_json() if report.console is not None else None,
    }


def _tell(report: Report) -> None:
    show(report.head)
    for witness in report.witnesses:
        show(
            wrap(
                f"{_MARKS[witness.state]} {witness.name}: {witness.text} ({witness.source})",
                2,
                hang=2,
            )
        )
    if report.fingerprint:
        show(wrap(f"This host's key has the SHA-1 fingerprint {report.fingerprint.upper()}.", 2))
    if report.enrolment.next and report.enrolment.stage is not Stage.ENROLLED:
        show(wrap(f"Next: {report.enrolment.next}", 2))


def _tell_rehearsal(report: Report) -> None:
    show("What comes at the next boot, on the console, before the system starts:")
    for number, screen in enumerate(report.screens, 1):
        show("")
        _tell_screen(number, screen)
    show("")
    for line in report.console_words:
        show(wrap(line, 0))


def _tell_screen(number: int, screen: Screen) -> None:
    show(f"{number}. {screen.title}")
    for index, choice in enumerate(screen.choices):
        show(f"     {'>' if index == screen.choose else ' '} {choice}")
    show(wrap(f"Press: {screen.keys}", 3))
    for text in (screen.why, screen.wrong):
        if text:
            show(wrap(text, 3))
