"""``gpu-bringup recover``: the ways on from a broken server, and taking one of them."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.before_stop import refuse_undecided
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import answer_to, clean, paint, print_json, say, show, wrap
from gpu_bringup.commands.wish import Asked, look
from gpu_bringup.errors import ExitCode, InputError, RefusedError
from gpu_bringup.export.plans import export
from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.recover import door
from gpu_bringup.recover.drain import Drain, drain_steps, start_again
from gpu_bringup.recover.way import LATER, MEND, Recovery, Way
from gpu_bringup.run.history import shown_plan

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.ladder import LadderReport
    from gpu_bringup.model.plan import Plan


def run(arguments: argparse.Namespace) -> int:
    """List the ways on, or take one; exit status as ``check`` and ``apply`` have them."""
    wanted = getattr(arguments, "way", None)
    tried = getattr(arguments, "boot_trial", None)
    if tried is not None:
        from gpu_bringup.commands import boot_trial

        return boot_trial.run(arguments, tried)
    drain = _drain(arguments)
    asked = look(arguments)
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    recovery = door.recovery(asked.host, situation)
    as_json = bool(getattr(arguments, "json", False))
    if wanted is None or getattr(arguments, "list", False):
        if as_json:
            print_json(_document(situation.report, recovery))
        else:
            _print(asked, situation.report, recovery)
        return ExitCode.OK if situation.report.verdict == "healthy" else ExitCode.FAILED
    way = recovery.way(wanted)
    if way is None:
        raise _no_such(wanted, recovery, situation.report)
    plan = door.way_plan(recovery, way, drain)
    form = getattr(arguments, "format", None)
    live = asked.host is not None and asked.host.kind == "local"
    if form is not None or not live:
        return _write(way, plan, form or "text", live)
    return _take(arguments, asked, situation, recovery, way, plan, drain)


def _drain(arguments: argparse.Namespace) -> Drain:
    wait = getattr(arguments, "wait", 0) or 0
    if wait < 0:
        raise InputError("this is no length of time", file=f"--wait {wait}")
    return Drain(
        wait,
        tuple(getattr(arguments, "stop", None) or ()),
        tuple(getattr(arguments, "kill", None) or ()),
    )


def _document(report: LadderReport, recovery: Recovery) -> dict[str, object]:
    root = report.root_cause
    first = root.causes[0] if root is not None and root.causes else None
    ways = recovery.to_json()
    for item, way in zip(ways["ways"], recovery.ways, strict=True):
        item["steps"] = shown_plan(way.plan)["steps"]
    return {
        "schema": 1,
        "verdict": report.verdict,
        "root_cause": None
        if root is None
        else {
            "rung": root.id,
            "cause": first.cause if first else "unknown",
            "summary": root.summary,
        },
        **ways,
    }


def _no_such(word: str, recovery: Recovery, report: LadderReport) -> InputError | RefusedError:
    if not recovery.ways:
        state = "healthy" if report.verdict == "healthy" else "not known to be broken"
        return RefusedError(
            f"this server is {state}: there is nothing to recover from",
            meaning="Nothing was changed.",
        )
    known = "; ".join(f"{way.number} or {way.id}" for way in recovery.ways)
    reasons = recovery.reasons(word)
    if reasons:
        say(f"{word} is not possible on this server:")
        for reason in reasons:
            say(wrap(f"- {reason}", 2))
        return RefusedError(
            f"{word} is not possible here: {reasons[0]}",
            meaning="Nothing was changed on this server.",
            hint=f"The ways here: {known}. gpu-bringup recover explains them.",
        )
    why = next((reason for title, reason in recovery.not_here if word and word in title), "")
    return InputError(
        f"there is no way {word} here{f': {why}' if why else ''}",
        file="--way",
        meaning="Nothing was changed on this server.",
        hint=f"The ways here: {known}. gpu-bringup recover explains them.",
    )


def _write(way: Way, plan: Plan, form: str, live: bool) -> int:
    """The way's commands, to be taken to the server."""
    if way.id == LATER:
        raise RefusedError(
            "a reminder is kept on the server itself",
            meaning="Nothing was written.",
            hint="On the server: gpu-bringup recover --way later.",
        )
    if not live:
        say("This is a record: nothing can be changed from here. Run this on the server:")
    text = export(plan, form)
    print(clean(text) if form == "text" else text, end="")
    for reason in plan.blocked:
        say(wrap(f"! {reason}"))
    return ExitCode.OK if plan.steps else ExitCode.FAILED


def _print(asked: Asked, report: LadderReport, recovery: Recovery) -> None:
    label = asked.host.label if asked.host else "described host"
    show(paint(f"gpu-bringup recover: {label}", "bold"))
    told = door.reminded(report) if asked.host and asked.host.kind == "local" else None
    if told is not None:
        show(wrap(told.words, 2))
    if report.verdict != "broken":
        healthy = report.verdict == "healthy"
        show(
            "Healthy: there is nothing to recover from."
            if healthy
            else "Nothing is known to be broken; gpu-bringup check says what could not be looked at."
        )
        return
    _print_cause(report)
    _print_in_use(recovery)
    show()
    show(paint("The ways on", "bold"))
    for way in recovery.ways:
        show()
        show(paint(f"  {way.number}. {way.title}", "bold") + f"   [{way.id}]")
        show(wrap(way.what, 5))
        show(wrap(f"Cost: {way.cost}.", 5))
        if way.risk:
            show(wrap(f"Risk: {way.risk}", 5))
        if way.id != MEND:
            for step in way.plan.steps:
                for command in step.commands:
                    show(f"     # {shlex.join(command.argv)}")
        for text in way.plan.blocked:
            show(wrap(f"By hand: {text}", 5))
    for title, reason in recovery.not_here:
        show()
        show(wrap(f"Not here: {title}, because {reason}.", 2))
    show()
    show("  gpu-bringup recover --way N   takes a way; it asks first, and undo takes it back")


def _print_cause(report: LadderReport) -> None:
    root = report.root_cause
    assert root is not None
    if report.fresh and report.not_yet(root):
        show("No driver was ever installed here: this is a server to set up, not to recover.")
        return
    title = next(rung.title for rung in RUNGS if rung.id == root.id)
    show()
    show(paint(f"Root cause: {title}", "bold", "red"))
    show(wrap(root.summary, 2))
    for cause in root.causes[:2]:
        show(wrap(f"{cause.title} ({cause.cause}, {cause.confidence:.0%} sure)", 2))
        for item in cause.evidence[:4]:
            show(wrap(f"{item.source}: {item.text}", 4))


def _print_in_use(recovery: Recovery) -> None:
    used = recovery.in_use
    show()
    if isinstance(used.holders, Unknown):
        show(wrap(f"Who uses the GPUs is not known: {used.holders.reason}.", 0))
        return
    if not used.holders:
        hidden = f" ({used.unseen} processes could not be looked at)" if used.unseen else ""
        show(f"No program holds a GPU just now{hidden}.")
    else:
        show(paint("These programs hold GPUs now", "bold"))
        for holder in used.holders:
            show(f"  {holder.words}: {', '.join(holder.devices)}")
    if used.services:
        show(wrap(f"The driver's own services that run: {', '.join(used.services)}.", 0))


def _take(
    arguments: argparse.Namespace,
    asked: Asked,
    situation: engine.Situation,
    recovery: Recovery,
    way: Way,
    plan: Plan,
    drain: Drain,
) -> int:
    as_json = bool(getattr(arguments, "json", False))
    assert asked.host is not None
    if way.id == LATER:
        told = door.put_off(asked.host, situation.report)
        if as_json:
            print_json({"schema": 1, "state": "put-off", **told.to_json()})
        else:
            show(f"Nothing was changed. {told.words}")
            show(f"  The record of this server: {told.record}")
            show("  gpu-bringup recover shows this until the server is healthy.")
        return ExitCode.OK
    _refuse_undecided(recovery, way, drain)
    if way.id == MEND:
        from gpu_bringup.commands import apply

        _confirm_kills(drain)
        room = drain_steps(recovery.in_use, drain)
        back = () if way.reboots else start_again(recovery.in_use, drain)
        return apply.run(arguments, first=room, last=back)
    if plan.empty:
        raise RefusedError(" ".join(plan.blocked) or "there is nothing to do here")
    engine.refuse_beside_another()
    _confirm(plan, bool(getattr(arguments, "yes", False)))
    _confirm_kills(drain)
    follower = engine.apply(plan, label=f"{asked.host.label}: {way.title}", ask=ask_secret)
    state = follow(follower)
    return _finish(asked, state, follower.run_id, as_json)


def _refuse_undecided(recovery: Recovery, way: Way, drain: Drain) -> None:
    """Work is stopped only after a word about each program that holds a GPU."""
    # Before a reboot the operator drains the server anyway: the run stops there and waits.
    if not way.stops_workloads or (way.reboots and way.id != MEND):
        return
    refuse_undecided(recovery.in_use, drain)


def _confirm(plan: Plan, yes: bool) -> None:
    say("")
    for number, step in enumerate(plan.steps, 1):
        say(f"  {number}. {step.title}")
        for command in step.commands:
            say(f"     # {shlex.join(command.argv)}")
        for write in step.writes:
            say(f"     writes {write.path}")
        if step.risk:
            say(wrap(f"risk: {step.risk}", 5))
        if step.reboot:
            say("     you start the reboot yourself")
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "this host is only changed after a yes, and there is no terminal to ask on",
            meaning="Nothing was changed on this server.",
            hint="Look at the ways with gpu-bringup recover, then say --yes.",
        )
    if answer_to("Take these steps now? Type yes: ").lower() != "yes":
        raise RefusedError("you didn't say yes", meaning="Nothing was changed on this server.")


def _confirm_kills(drain: Drain) -> None:
    """A process is ended only after its number was typed on a terminal, --yes or not."""
    for pid in drain.kill:
        if not sys.stdin.isatty():
            raise InputError(
                f"ending process {pid} must be confirmed by typing, and there is no terminal",
                file="--kill",
                meaning="Nothing was changed on this server.",
                hint="End it yourself, or use --wait or --stop.",
            )
        if answer_to(f"To end process {pid}, type: kill {pid}: ") != f"kill {pid}":
            raise RefusedError("it was not confirmed", meaning="Nothing was changed.")


def _finish(asked: Asked, state: str, run_id: str, as_json: bool) -> int:
    assert asked.host is not None
    facts = engine.observe(asked.host)
    after = engine.examine(asked.host, facts, asked.answers, asked.catalogue)
    if as_json:
        print_json(
            {
                "schema": 1,
                "state": state,
                "run": run_id,
                "verdict": after.report.verdict,
                "rungs": [rung.to_json() for rung in after.report.rungs],
            }
        )
    else:
        from gpu_bringup.commands.check import print_ladder

        show()
        print_ladder(after.report)
        show()
        if state == "reboot":
            show(paint("Now reboot this server; then: gpu-bringup check", "yellow", "bold"))
        show(f"  Take it back:  gpu-bringup undo {run_id}")
    if state == "reboot":
        return ExitCode.REBOOT_NEEDED
    if state != "done":
        return ExitCode.FAILED
    return ExitCode.OK if after.report.verdict == "healthy" else ExitCode.FAILED
