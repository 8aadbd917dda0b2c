"""``gpu-bringup apply``: take the steps, with the wizard's engine and no screen."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gpu_bringup import engine
from gpu_bringup.commands.before_stop import show_what_stops
from gpu_bringup.commands.follow_run import ask_secret, follow
from gpu_bringup.commands.output import (
    answer_to,
    duration,
    paint,
    print_json,
    say,
    show,
    size,
    wrap,
)
from gpu_bringup.commands.resume import run as resume
from gpu_bringup.commands.resume import tell_unfinished
from gpu_bringup.commands.wish import Asked, look, refuse_absent_kernel
from gpu_bringup.errors import BringupError, ExitCode, InputError, RefusedError
from gpu_bringup.recover.ways import around
from gpu_bringup.run import login_note
from gpu_bringup.run.history import shown_plan
from gpu_bringup.run.store import makes_room

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.plan import Plan, Step
    from gpu_bringup.model.target import Reason, Recommendation
    from gpu_bringup.model.trial import TrialEvent
    from gpu_bringup.run.store import Estimate


def run(
    arguments: argparse.Namespace, first: tuple[Step, ...] = (), last: tuple[Step, ...] = ()
) -> int:
    """Recommend, prove, plan, confirm, run, look again.

    ``first``: steps that make room before work stops; ``last``: that start it again.
    """
    if getattr(arguments, "resume", None) is not None:
        return resume(arguments)
    if not getattr(arguments, "host", None):
        engine.refuse_beside_another()
        tell_unfinished()
    asked = look(arguments)
    as_json = bool(getattr(arguments, "json", False))
    if asked.host is None or asked.host.kind != "local":
        raise RefusedError(
            "a described or recorded host can't be changed",
            meaning="Nothing was done.",
            hint="gpu-bringup plan with the same arguments gives the commands to take to it.",
        )
    refuse_absent_kernel(asked)
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    trials: list[TrialEvent] = []
    if _worth_proving(situation):
        proven = _prove(asked, situation.recommendation, trials)
        undecided = proven.chosen is None and any(_passing(r) for r in proven.refusal)
        if not (undecided and _only_builds(situation.plan)):
            situation = engine.situation(asked.host, asked.facts, asked.catalogue, proven)
    for note in situation.notes:
        say(paint(wrap(f"! {note}"), "yellow"))
    refusal = _refusal(situation)
    if refusal is not None:
        raise refusal
    if situation.plan.empty:
        return _nothing_to_do(asked, situation, as_json)
    plan = around(situation.plan, first, last)
    if getattr(arguments, "boot_trial", False):
        plan = _on_trial(arguments, plan, situation)
    keeps = not getattr(arguments, "without_old_packages", False)
    _tell_kept(engine.keeping(asked.host, plan) if keeps else None, room=makes_room(plan))
    for text in engine.irrevocable(plan):
        say(paint(wrap(f"! Undo can't take this back: {text}"), "yellow"))
    if not first:
        show_what_stops(asked.host, plan)
    confirm(plan, bool(getattr(arguments, "yes", False)))
    prelude = [{"event": "trial", **item.to_json()} for item in trials if item.kind != "progress"]
    family = situation.context.family
    follower = engine.apply(
        plan,
        label=asked.host.label,
        prelude=prelude,
        mend=family.manager.mend() if family else (),
        ask=ask_secret,
        old_packages=keeps,
    )
    state = follow(follower)
    return _finish(asked, situation, state, follower.run_id, as_json)


def _on_trial(arguments: argparse.Namespace, plan: Plan, situation: engine.Situation) -> Plan:
    """The plan with its reboot on trial: of the prepared kernel, else of the driver alone."""
    from gpu_bringup.commands.boot_trial import tell, wish_of
    from gpu_bringup.recover.boot_trial import on_trial

    running = situation.facts.kernels.running
    release = getattr(arguments, "kernel", None) or (running if isinstance(running, str) else "")
    changed, found = on_trial(plan, situation.context, release, wish_of(arguments))
    tell(found)
    return changed


def _tell_kept(kept: Estimate | None, *, room: bool) -> None:
    """Say what is kept for undo first, and refuse where there is no room for it.

    ``room``: the plan itself makes room first; what is kept then is seen when that is done.
    """
    if kept is None or not kept.packages:
        return
    if kept.too_big and not room:
        raise RefusedError(
            f"{kept.packages} old packages are to be kept for undo, {size(kept.bytes)}, and only "
            f"{size(kept.free)} are free",
            meaning="Nothing was changed on this server.",
            hint="Make room below /var/lib/gpu-bringup, or say --without-old-packages: undo then "
            "brings old versions back only while an archive has them.",
        )
    say(f"Kept for undo first: {kept.packages} packages, {size(kept.bytes)} "
        f"({size(kept.free)} free).")  # fmt: skip
    for name, version in kept.missing:
        say(paint(wrap(f"! {name} {version} is in no repository and no cache here any more: undo "
                       "can't bring that version back."), "yellow"))  # fmt: skip


def _worth_proving(situation: engine.Situation) -> bool:
    """A driver is to be installed, or every candidate was ruled out by mere predictions."""
    if engine.installs_driver(situation.plan):
        return True
    recommendation = situation.recommendation
    foretold = recommendation is not None and recommendation.chosen is None
    return foretold and not situation.context.outside_driver


def _only_builds(plan: Plan) -> bool:
    """Is the driver's package here already, so that a failed build would change nothing that works?"""
    return not any(step.rung == "module" and step.packages for step in plan.steps)


def _prove(
    asked: Asked, recommendation: Recommendation | None, trials: list[TrialEvent]
) -> Recommendation:
    assert asked.host is not None and recommendation is not None
    shown: dict[str, int] = {}

    def report(event: TrialEvent) -> None:
        if not trials:
            say(paint("Proving the driver before anything is changed", "bold"))
        trials.append(event)
        if event.kind == "progress":
            tenth = int((event.fraction or 0) * 10)
            if shown.get(event.candidate + event.kernel, 0) < tenth:
                shown[event.candidate + event.kernel] = tenth
                say(f"    compiling for {event.kernel}: about {tenth * 10} %")
            return
        where = f" for {event.kernel}" if event.kernel else ""
        if event.kind == "candidate":
            say(f"  {event.candidate}")
        elif event.kind == "result":
            word = paint("compiles", "green") if event.passed else paint("DOES NOT COMPILE", "red")
            say(f"    {word}{where}: {event.text}\n    log: {event.log}")
        elif event.kind == "rejected":
            say(wrap(f"next candidate, because {event.text}", 4))
        else:
            say(f"    {event.text}{where}")

    return engine.prove(
        asked.host, asked.facts, asked.answers, asked.catalogue, recommendation, report=report
    )


def _refusal(situation: engine.Situation) -> BringupError | None:
    recommendation = situation.recommendation
    if situation.context.outside_driver and situation.report.verdict == "healthy":
        return None
    if recommendation is not None and recommendation.chosen is None and situation.plan.empty:
        details = "; ".join(reason.detail for reason in recommendation.refusal)
        if any(_passing(reason) for reason in recommendation.refusal):
            return BringupError(
                f"no driver could be proven: {details}",
                meaning="Nothing was changed on this server. It says nothing about the driver.",
                hint="See to the cause (network, proxy, addresses of the repositories, room on the "
                "disk), then run the same command again.",
            )
        return RefusedError(
            f"no driver can be installed here: {details}",
            meaning="Nothing was changed on this server.",
            hint="gpu-bringup recommend shows every candidate and what rules it out.",
        )
    if situation.plan.empty and situation.plan.blocked:
        return RefusedError(
            " ".join(situation.plan.blocked),
            meaning="Nothing was changed on this server.",
            hint="gpu-bringup check shows the ladder with its evidence.",
        )
    return None


def _passing(reason: Reason) -> bool:
    return reason.rule == "trial-build" and reason.verdict.value == "unknown"


def _nothing_to_do(asked: Asked, situation: engine.Situation, as_json: bool) -> int:
    assert asked.host is not None
    login_note.forget(asked.host)
    if as_json:
        print_json(
            {
                "schema": 1,
                "state": "nothing-to-do",
                "verdict": situation.report.verdict,
                "first_boot": list(situation.plan.first_boot),
            }
        )
    else:
        show("Nothing to do: every layer that can be judged here holds already.")
        _print_first_boot(situation.plan)
    return ExitCode.OK


def _print_first_boot(plan: Plan) -> None:
    if plan.first_boot:
        show(f"  Seen only at this kernel's first boot: {', '.join(plan.first_boot)}.")


def confirm(plan: Plan, yes: bool) -> None:
    """Show the steps and wait for a yes on the terminal, unless it was given already.

    Raises:
        RefusedError: the operator didn't say yes.
        InputError: there is no terminal to ask on.
    """
    say("")
    say(paint(f"{len(plan.steps)} steps, about {duration(plan.estimate_seconds)}", "bold"))
    for number, step in enumerate(plan.steps, 1):
        say(f"  {number}. {step.title}")
        if step.download_bytes:
            say(f"     {size(step.download_bytes)} to download")
        if step.risk:
            say(wrap(f"risk: {step.risk}", 5))
        if step.reboot:
            say("     needs a reboot, which you start yourself")
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(
            "this host is only changed after a yes, and there is no terminal to ask on",
            meaning="Nothing was changed on this server.",
            hint="Look at the steps with gpu-bringup plan, then say --yes.",
        )
    say("")
    if answer_to("Take these steps now? Type yes: ").lower() != "yes":
        raise RefusedError("you didn't say yes", meaning="Nothing was changed on this server.")


def _finish(asked: Asked, before: engine.Situation, state: str, run_id: str, as_json: bool) -> int:
    assert asked.host is not None
    facts = engine.observe(asked.host)
    recommendation = before.recommendation
    assert recommendation is not None
    after = engine.situation(asked.host, facts, asked.catalogue, replace(recommendation))
    document: dict[str, Any] = {
        "schema": 1,
        "state": state,
        "run": run_id,
        "verdict": after.report.verdict,
        "rungs": [rung.to_json() for rung in after.report.rungs],
        "first_boot": list(after.plan.first_boot),
        "left": shown_plan(after.plan)["steps"],
    }
    if as_json:
        print_json(document)
    else:
        _print_end(after, state, run_id)
    if state == "reboot":
        return ExitCode.REBOOT_NEEDED
    if state != "done":
        return ExitCode.FAILED
    if after.plan.needs_reboot:
        return ExitCode.REBOOT_NEEDED
    return ExitCode.OK if after.plan.empty else ExitCode.FAILED


def _print_end(after: engine.Situation, state: str, run_id: str) -> None:
    from gpu_bringup.commands.check import print_ladder

    show()
    print_ladder(after.report)
    show()
    if state in ("done", "reboot") and after.plan.empty:
        show(paint("Done: nothing is left to do.", "green", "bold"))
    elif state == "reboot" or after.plan.needs_reboot:
        show(paint("A reboot is needed. Run the same command again after it.", "yellow", "bold"))
    elif state == "done":
        show(paint("The steps are done, but something still doesn't hold:", "red", "bold"))
        root = after.report.root_cause
        if root is not None:
            show(wrap(root.summary, 2))
    else:
        show(paint(f"The run ended: {state}.", "red", "bold"))
        show("  Go on:         gpu-bringup apply --resume; what is done already is not done twice")
        show(f"  Take it back:  gpu-bringup undo {run_id}")
    _print_first_boot(after.plan)
