"""What the tests of the run engine share: plans of real, harmless commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.run.journal import Journal, read_events
from gpu_bringup.run.runner import Runner


def shell(text: str, **options: Any) -> Command:
    """A command that runs a line of shell; needs no root."""
    return Command(("sh", "-c", text), root=False, **options)


def python(text: str, **options: Any) -> Command:
    """A command that runs Python code; needs no root."""
    return Command((sys.executable, "-c", text), root=False, **options)


def step(name: str, *commands: Command, writes: tuple[Write, ...] = (), **options: Any) -> Step:
    return Step(name, "packages", f"Do {name}", "a test", commands, writes, **options)


def plan(*steps: Step) -> Plan:
    return Plan(target={}, steps=steps)


def runner(chosen: Plan, folder: Path, **options: Any) -> Runner:
    """A runner in this process, on this machine."""
    folder.mkdir(parents=True, exist_ok=True)
    options.setdefault("backoff", (0.05, 0.05, 0.05))
    return Runner(LocalHost(), chosen, folder, Journal(folder), **options)


def events(folder: Path, *names: str) -> list[dict[str, Any]]:
    """The journal's events, all or those of some names."""
    return [
        event
        for event in read_events(folder / "journal.jsonl")
        if not names or event["event"] in names
    ]
