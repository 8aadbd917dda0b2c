"""``gpu-bringup check``: look at the ladder, say what is broken and why."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import beside, paint, print_json, show, wrap
from gpu_bringup.commands.wish import Asked, look
from gpu_bringup.errors import ExitCode
from gpu_bringup.ladder.ladder import RUNGS
from gpu_bringup.model.ladder import LadderReport, RungResult, State
from gpu_bringup.recover import door
from gpu_bringup.run.history import shown_plan
from gpu_bringup.summary import host_json, host_line

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.plan import Plan

MARKS = {
    State.OK: ("holds", "green"),
    State.BROKEN: ("BROKEN", "red"),
    State.BLOCKED: ("follows", "yellow"),
    State.UNKNOWN: ("unknown", "cyan"),
    State.SKIPPED: ("not here", "dim"),
}


def run(arguments: argparse.Namespace) -> int:
    """Look, judge, print; exit status 0 healthy, 1 broken or unknown, 3 only a reboot is missing."""
    if getattr(arguments, "next_boot", False) or getattr(arguments, "ledger", False):
        from gpu_bringup.commands.boot_text import run_asked

        return run_asked(arguments)
    asked = look(arguments, deep=getattr(arguments, "deep", False))
    situation = engine.examine(asked.host, asked.facts, asked.answers, asked.catalogue)
    report, plan = situation.report, situation.plan
    decision = None
    if getattr(arguments, "decide", False) and asked.host is not None:
        decision = door.decide(asked.host, situation)
        report = decision.report if decision is not None else report
    if getattr(arguments, "json", False):
        asked_for = bool(getattr(arguments, "decide", False))
        extra = {"decided": decision.to_json() if decision else None} if asked_for else {}
        print_json({**report_json(asked, report, plan), **extra})
    else:
        print_report(asked, report, plan, deep=getattr(arguments, "deep", False))
        if getattr(arguments, "decide", False) and decision is None:
            show()
            text = "no two causes remain that one command would separate"
            show(wrap(f"Nothing is left to decide here: {text}."))
        else:
            _print_decision(situation, decision)
    return exit_status(report, plan)


def _print_decision(situation: engine.Situation, decision: door.Decision | None) -> None:
    """What would decide between the causes that remain, or what it has decided."""
    if decision is None:
        asked = door.would_decide(situation)
        if asked is not None:
            show()
            show(wrap(f"More than one cause fits. What decides: {asked.why}."))
            command = f"{'# ' if asked.root else ''}{shlex.join(asked.argv)}"
            show(f"  {command}")
            show("  gpu-bringup check --decide   asks it (it changes nothing) and judges again")
        return
    command = shlex.join(decision.asked.argv)
    show()
    if not decision.answered:
        show("What would decide could not be asked here:")
    elif not decision.cause:
        show("It was asked, and did not decide:")
    else:
        show("Decided by:")
    # On a line of its own and never wrapped: it is there to be pasted.
    show(f"  {command}")


def exit_status(report: LadderReport, plan: Plan) -> int:
    """The exit status that a report means."""
    if report.verdict == "healthy":
        return ExitCode.OK
    if report.verdict == "broken" and plan.steps and all(s.reboot for s in plan.steps):
        return ExitCode.REBOOT_NEEDED
    return ExitCode.FAILED


def report_json(asked: Asked, report: LadderReport, plan: Plan) -> dict[str, object]:
    """The document of ``check --json`` (fixed by contract)."""
    root = report.root_cause
    cause = root.causes[0] if root and root.causes else None
    return {
        "schema": 1,
        "verdict": report.verdict,
        "host": host_json(asked.facts, asked.catalogue),
        "root_cause": None
        if root is None
        else {
            "rung": root.id,
            "cause": cause.cause if cause else "unknown",
            "summary": root.summary,
        },
        "rungs": [rung.to_json() for rung in report.rungs],
        "repair": shown_plan(plan)["steps"],
    }


NOT_YET = ("not yet", "yellow")
"""Nothing is broken there: it only isn't set up."""


def _rung_line(rung: RungResult, title: str, not_yet: bool = False) -> str:
    word, colour = NOT_YET if not_yet else MARKS[rung.state]
    first, mark = f"  {title:<25} ", f"{word:<9}"
    return beside(f"{first}{mark} ", rung.summary, f"{first}{paint(mark, colour)} ")


def print_ladder(report: LadderReport) -> None:
    """The ladder, lowest rung first, a line each."""
    titles = {rung.id: rung.title for rung in RUNGS}
    for rung in report.rungs:
        show(_rung_line(rung, titles[rung.id], report.not_yet(rung)))


def _print_root_cause(root: RungResult) -> None:
    title = next(rung.title for rung in RUNGS if rung.id == root.id)
    show(paint(f"Root cause: {title}", "bold", "red"))
    show(wrap(root.summary, 2))
    for cause in root.causes:
        show(wrap(f"{cause.title} ({cause.cause}, {cause.confidence:.0%} sure)", 2))
        for item in cause.evidence or root.evidence:
            show(wrap(f"{item.source}: {item.text}", 4, hang=2))
        for source in cause.sources[:3]:
            show(f"    see {source}")


def _print_figures(report: LadderReport) -> None:
    show(paint("What the GPUs showed", "bold"))
    for name in ("nvml", "cuda"):
        for item in report.rung(name).evidence:
            show(wrap(f"{item.source}: {item.text}", 2))
    show()


def print_report(asked: Asked, report: LadderReport, plan: Plan, *, deep: bool = False) -> None:
    """The whole report for people."""
    label = asked.host.label if asked.host else "described host"
    show(paint(f"gpu-bringup check: {label}", "bold"))
    show(wrap(host_line(asked.facts, asked.catalogue), 2))
    show()
    print_ladder(report)
    show()
    if deep:
        _print_figures(report)
    if report.verdict == "healthy":
        show(paint("Healthy: every layer that applies here holds.", "green", "bold"))
        return
    root = report.root_cause
    if root is None:
        show(paint("Not known to be healthy: some layers could not be looked at.", "cyan", "bold"))
        return
    if report.fresh and report.not_yet(root):
        show(paint("Not set up yet: no NVIDIA driver was ever installed here.", "yellow", "bold"))
        show(wrap(f"Set-up starts with: {root.summary}.", 2))
    else:
        _print_root_cause(root)
    show()
    if plan.steps:
        what = "What sets it up" if report.fresh and report.not_yet(root) else "What would mend it"
        show(paint(f"{what} ({len(plan.steps)} steps):", "bold"))
        for number, step in enumerate(plan.steps, 1):
            show(wrap(f"{number}. {step.title}", 2, hang=len(f"{number}. ")))
        show()
        show("  gpu-bringup plan    shows the exact commands, risks and times")
        show("  gpu-bringup apply   takes the steps; gpu-bringup alone does it with a screen")
    for text in plan.blocked:
        show(wrap(text, 2))
