"""``recover --boot-trial`` and the words of ``apply --boot-trial``: boot once, judge, stay or go back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import answer_to, paint, print_json, say, show, wrap
from gpu_bringup.commands.wish import look
from gpu_bringup.errors import ExitCode, InputError, RefusedError
from gpu_bringup.export.plans import export
from gpu_bringup.model.plan import Plan
from gpu_bringup.recover.boot_trial import MINUTES, Trial, Wish, trial
from gpu_bringup.run.history import shown_plan

if TYPE_CHECKING:
    import argparse

_LONGEST = 24 * 60


def wish_of(arguments: argparse.Namespace) -> Wish:
    """What was said of the trial.

    Raises:
        InputError: a time that is none, or a check with a line break in it.
    """
    minutes = getattr(arguments, "within", None)
    minutes = MINUTES if minutes is None else minutes
    if not 1 <= minutes <= _LONGEST:
        raise InputError(f"say 1 to {_LONGEST} minutes", file=f"--within {minutes}")
    checks = tuple(getattr(arguments, "check", None) or ())
    if any("\n" in check or not check.strip() for check in checks):
        raise InputError("a check is one line of shell", file="--check")
    return Wish(minutes, checks, bool(getattr(arguments, "watchdog", False)))


def tell(found: Trial) -> None:
    """Say what will happen when.

    Raises:
        RefusedError: there can be no trial here.
    """
    if found.why_not:
        raise RefusedError(
            f"there can be no boot on trial: {found.why_not}",
            meaning="Nothing was changed on this server.",
        )
    say(paint("What will happen when", "bold"))
    for text in found.words:
        say(wrap(text, 2))


def run(arguments: argparse.Namespace, release: str) -> int:
    """Set up the trial of an installed kernel; the operator reboots."""
    wish = wish_of(arguments)
    asked = look(arguments)
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    if asked.facts.kernel(release) is None:
        raise InputError("no such kernel is installed here", file=f"--boot-trial {release}")
    found = trial(situation.context, release, wish)
    plan = Plan({}, found.steps)
    live = asked.host is not None and asked.host.kind == "local"
    form = getattr(arguments, "format", None)
    if form is not None or not live:
        tell(found)
        print(export(plan, form or "text"), end="")
        return ExitCode.OK
    tell(found)
    engine.refuse_beside_another()
    if not getattr(arguments, "yes", False):
        if not sys.stdin.isatty():
            raise InputError(
                "this host is only changed after a yes, and there is no terminal to ask on",
                meaning="Nothing was changed on this server.",
                hint="Say --yes, or --format shell to look at the commands.",
            )
        if answer_to("Set up this trial now? Type yes: ").lower() != "yes":
            raise RefusedError("you didn't say yes", meaning="Nothing was changed on this server.")
    assert asked.host is not None
    follower = engine.apply(plan, label=f"{asked.host.label}: boot on trial", ask=ask_secret)
    state = follow(follower)
    if getattr(arguments, "json", False):
        document: dict[str, Any] = {
            "schema": 1,
            "state": state,
            "run": follower.run_id,
            "words": list(found.words),
            "steps": shown_plan(plan)["steps"],
        }
        print_json(document)
    elif state == "reboot":
        show("The trial is set up. It begins when you reboot.")
        show(f"  Call it off: gpu-bringup undo {follower.run_id}")
    return ExitCode.REBOOT_NEEDED if state == "reboot" else ExitCode.FAILED
