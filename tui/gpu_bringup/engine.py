"""The one door that cli, ui and training go through: observe, recommend, check, plan, prove, apply.

Each function is one arrow of host -> facts -> ladder (+ target) -> plan -> run. None prints, none
asks; what takes time reports through a callback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.ladder import LadderReport
from gpu_bringup.model.plan import Plan
from gpu_bringup.model.target import Recommendation, Target

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.run.follow import Follower


@dataclass(frozen=True, slots=True)
class Situation:
    """A host as it was found, and what to make of it."""

    facts: Facts
    report: LadderReport
    target: Target | None = None


ObserverDone = Callable[[str, float], None]
"""Called as each observer finishes: its name, seconds since the start. From any thread."""


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """The project's data, with an operator's additions.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    from gpu_bringup.catalogue.loader import load

    return load(extra)


def open_host(record: Path | None = None) -> Host:
    """This machine, or a recorded one.

    Raises:
        InputError: the record can't be read.
    """
    if record is not None:
        from gpu_bringup.hosts.recorded import RecordedHost

        return RecordedHost.from_file(record)
    from gpu_bringup.hosts.local import LocalHost

    return LocalHost()


def observe(host: Host, *, deep: bool = False, done: ObserverDone | None = None) -> Facts:
    """Find everything out. ``deep`` also runs the tests on the GPUs (seconds each)."""
    from gpu_bringup.facts.collect import collect

    return collect(host, deep=deep, done=done)


def recommend(facts: Facts | None, answers: Answers, catalogue: Catalogue) -> Recommendation:
    """Choose a target. ``facts`` may be None where ``answers`` describes the host by flags."""
    from gpu_bringup.recommend import recommend as choose

    return choose(facts, answers, catalogue)


def context(
    host: Host, facts: Facts, catalogue: Catalogue, target: Target | None = None
) -> Context:
    """What the rungs look at; reads the package sources' texts, which editing needs."""
    from gpu_bringup.families.detect import family_for
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.unknown import Unknown

    family = None if isinstance(facts.os, Unknown) else family_for(facts.os)
    files: dict[str, str] = {}
    if not isinstance(facts.packages.repositories, Unknown):
        for path in {repository.file for repository in facts.packages.repositories}:
            text = host.read_text(path)
            if isinstance(text, str):
                files[path] = text
    return Context(facts=facts, catalogue=catalogue, target=target, family=family, files=files)


def check(ctx: Context) -> LadderReport:
    """Climb the ladder."""
    from gpu_bringup.ladder.ladder import climb

    return climb(ctx)


def plan(ctx: Context, report: LadderReport | None = None) -> Plan:
    """The steps that make every rung hold; empty for a healthy host."""
    from gpu_bringup.plan import make_plan

    return make_plan(ctx, report or check(ctx))


def with_target(ctx: Context, target: Target | None) -> Context:
    """The same host, another wish."""
    return replace(ctx, target=target)


def apply(chosen: Plan, *, label: str, prelude: list[dict[str, object]] | None = None) -> Follower:
    """Start a run of the plan in a process of its own and follow it.

    ``prelude``: journal events of what was proven before (trial builds).

    Raises:
        RunLockedError: another run is under way.
    """
    from gpu_bringup.run.start import start_run

    return start_run(chosen, label=label, prelude=prelude or [])
