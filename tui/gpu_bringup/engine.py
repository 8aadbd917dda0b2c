"""The one door that cli, ui and training go through: observe, recommend, check, plan, prove, apply.

Each function is one arrow of host -> facts -> ladder (+ target) -> plan -> run. None prints, none
asks; what takes time reports through a callback.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from gpu_bringup.explain.finding import Explanation
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.ladder.ledger import Ledger
    from gpu_bringup.model.advice import Advice, NoEffect
    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.ladder import LadderReport
    from gpu_bringup.model.plan import Command, Plan
    from gpu_bringup.model.target import Recommendation, Target
    from gpu_bringup.model.trial import BuildEvidence, TrialEvent
    from gpu_bringup.next_boot import NextBoot
    from gpu_bringup.recommend.change import Change
    from gpu_bringup.recommend.pins import Pinned
    from gpu_bringup.recommend.table import Table
    from gpu_bringup.run.follow import Follower
    from gpu_bringup.run.history import RunInfo
    from gpu_bringup.run.store import Estimate


@dataclass(frozen=True, slots=True)
class Situation:
    """A host as it was found, and what to make of it."""

    facts: Facts
    context: Context
    report: LadderReport
    plan: Plan
    recommendation: Recommendation | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What an operator must be told loudly."""
        return self.recommendation.notes if self.recommendation else ()


def explain(
    stream: BinaryIO, context: Sequence[str] = (), extra: Path | None = None
) -> Explanation:
    """Name the causes that a text speaks of.

    Args:
        stream: the text, read once.
        context: ``key=value`` words about the host it came from.
        extra: a further folder of profiles.

    Raises:
        InputError: a word is no context, or an entry of the failures is wrong.
        OSError: the stream can't be read.
    """
    from gpu_bringup.explain.context import parse
    from gpu_bringup.explain.explain import explain as explain_text
    from gpu_bringup.failures.loader import load

    told = parse(list(context))
    return explain_text(stream, load(extra), told)


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


def observe(
    host: Host,
    *,
    deep: bool = False,
    done: ObserverDone | None = None,
    only: Collection[str] | None = None,
) -> Facts:
    """Find everything out.

    Args:
        deep: also run the tests on the GPUs (seconds each).
        only: the observers to ask; what the others would tell is Unknown then. ``recommend`` looks
            at what ``gpu_bringup.recommend.LOOKS_AT`` names, and at nothing else.
    """
    from gpu_bringup.facts.collect import collect

    return collect(host, deep=deep, done=done, only=only)


def described(answers: Answers, catalogue: Catalogue) -> Facts:
    """Facts of a host that the answers describe: fresh, with the usual kernel meta package.

    Raises:
        InputError: the description can't be understood.
    """
    from gpu_bringup.facts.described import described_facts, described_os
    from gpu_bringup.families.detect import family_for

    family = family_for(described_os(answers, catalogue))
    metas = family.kernel_meta_packages(answers.kernel) if family and answers.kernel else ()
    return described_facts(answers, catalogue, metas)


def remembered_builds() -> tuple[BuildEvidence, ...]:
    """What trial builds on this host have shown."""
    from gpu_bringup.evidence import load_evidence
    from gpu_bringup.paths import state_folder

    return load_evidence(state_folder())


def recommend(
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    builds: tuple[BuildEvidence, ...] | None = None,
) -> Recommendation:
    """Choose a target. ``facts`` may be None where ``answers`` describes the host by flags.

    A driver that is installed, complete and not ruled out stays the choice: the tool mends what is
    there, and changes branches only when told to. ``builds``: what trial builds have shown; None:
    what they have shown on this machine.
    """
    from gpu_bringup.recommend import recommend as choose
    from gpu_bringup.settled import prefer_installed

    shown = remembered_builds() if builds is None else builds
    recommendation = choose(facts, answers, catalogue, shown)
    if facts is None or answers.driver or answers.flavour:
        return recommendation

    def exact(driver: str) -> Recommendation:
        return choose(facts, replace(answers, driver=driver), catalogue, shown)

    return prefer_installed(recommendation, facts, exact)


@dataclass(frozen=True, slots=True)
class Tuning:
    """What to tell beside a recommendation."""

    advice: tuple[Advice, ...]
    """What is worth setting, most widely useful first."""
    no_effect: tuple[NoEffect, ...]
    """What is set on the host and does nothing."""

    def to_json(self) -> dict[str, object]:
        """The additive parts of ``recommend --json``."""
        return {
            "advice": [item.to_json() for item in self.advice],
            "no_effect": [item.to_json() for item in self.no_effect],
        }


def tuning(
    host: Host | None,
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    recommendation: Recommendation,
) -> Tuning:
    """Advice for the recommended target; settings of ``host`` (None: described) without effect."""
    from gpu_bringup.advice import advise, without_effect
    from gpu_bringup.facts.settings import observe as look_for
    from gpu_bringup.model.unknown import Unknown
    from gpu_bringup.rules.describe import boards_of
    from gpu_bringup.rules.frameworks import framework_named

    void = catalogue.void_settings
    settings = look_for(host, {item.name for item in void}) if host is not None else ()
    found: tuple[Advice, ...] = ()
    if recommendation.chosen is not None:
        boards = boards_of(facts, answers, catalogue)
        framework, _ = framework_named(answers.framework)
        found = advise(
            recommendation.chosen.target,
            () if isinstance(boards, Unknown) else boards,
            (framework,) if framework else (),
            recommendation.chosen.target.scenario,
            entries=catalogue.advice,
        )
    return Tuning(found, without_effect(settings, void))


@dataclass(frozen=True, slots=True)
class Explained:
    """Why this choice and no other."""

    table: Table
    changes: tuple[Change, ...]
    """Single changes that lead to another choice, as if nothing were installed."""

    def to_json(self) -> dict[str, object]:
        """The ``explain`` part of ``recommend --explain --json``."""
        return {
            "table": self.table.to_json(),
            "changes": [change.to_json() for change in self.changes],
        }


def explain_choice(
    facts: Facts | None, answers: Answers, catalogue: Catalogue, recommendation: Recommendation
) -> Explained:
    """Every candidate against every rule, and what would change the choice's mind."""
    from gpu_bringup.recommend.change import changes

    found = changes(facts, answers, catalogue, remembered_builds())
    return Explained(table_of(recommendation), found)


def table_of(recommendation: Recommendation) -> Table:
    """The candidates of a recommendation by the rules that say something of them."""
    from gpu_bringup.recommend.table import table_of as make

    return make(recommendation)


def judge_pins(
    facts: Facts | None, answers: Answers, words: Sequence[str], catalogue: Catalogue
) -> Pinned:
    """Judge a combination that the operator has in mind (``driver=535.129.03``, ``cuda=12.2``, …).

    Raises:
        InputError: a word pins nothing, or two contradict each other.
    """
    from gpu_bringup.recommend.pins import judge_pins as judge
    from gpu_bringup.recommend.pins import parse_pins

    pins = parse_pins(words, answers, catalogue)
    return judge(facts, answers, pins, catalogue, remembered_builds())


def examine(host: Host | None, facts: Facts, answers: Answers, catalogue: Catalogue) -> Situation:
    """Recommend, climb the ladder and plan, all without touching the host."""
    recommendation = recommend(facts, answers, catalogue)
    return situation(host, facts, catalogue, recommendation)


def situation(
    host: Host | None, facts: Facts, catalogue: Catalogue, recommendation: Recommendation
) -> Situation:
    """Ladder and plan for a recommendation that was made (and perhaps proven) before."""
    from gpu_bringup.facts.deeper import culprit_wanted, with_history
    from gpu_bringup.settled import with_reason

    target = recommendation.chosen.target if recommendation.chosen else None
    ctx = context(host, facts, catalogue, with_reason(target, recommendation, facts))
    report = check(ctx)
    if host is not None and culprit_wanted(report, facts):
        facts = with_history(host, facts)
        ctx = replace(ctx, facts=facts)
        report = check(ctx)
    chosen = with_sizes(plan(ctx, report), recommendation.sizes)
    if host is not None and facts.modules.loaded_version is None:
        chosen = _idle(chosen)
    return Situation(facts, ctx, report, chosen, recommendation)


def look_deeper(host: Host, facts: Facts) -> Facts:
    """The facts with what costs too much for a plain look: package history, each initramfs."""
    from gpu_bringup.facts.deeper import with_history, with_initramfs

    return with_history(host, with_initramfs(host, facts))


def next_boot(host: Host | None, facts: Facts, catalogue: Catalogue) -> NextBoot:
    """Will the driver work after the next boot? Reads each bootable kernel's initramfs."""
    from gpu_bringup.facts.deeper import with_initramfs
    from gpu_bringup.next_boot import next_boot as judge

    seen = facts if host is None else with_initramfs(host, facts)
    return judge(context(None, seen, catalogue))


def ledger(host: Host | None, facts: Facts, catalogue: Catalogue) -> Ledger:
    """Every component that must agree, and the package transaction that last changed it."""
    from gpu_bringup.ladder.ledger import ledger as list_all

    return list_all(context(None, look_deeper(host, facts) if host else facts, catalogue))


def _idle(chosen: Plan) -> Plan:
    """The plan for a host on which no driver is loaded: no GPU work runs that could be stopped."""
    steps = tuple(replace(step, stops_workloads=False) for step in chosen.steps)
    return replace(chosen, steps=steps)


def with_sizes(chosen: Plan, sizes: tuple[tuple[str, int, int], ...]) -> Plan:
    """The plan with what its install steps download and keep, where a trial told."""
    left = {rung: (download, kept) for rung, download, kept in sizes}
    steps = []
    for step in chosen.steps:
        if step.packages and step.rung in left:
            download, kept = left.pop(step.rung)
            step = replace(step, download_bytes=download, installed_bytes=kept)
        steps.append(step)
    return replace(chosen, steps=tuple(steps))


def context(
    host: Host | None, facts: Facts, catalogue: Catalogue, target: Target | None = None
) -> Context:
    """What the rungs look at; reads the package sources' texts, which editing needs."""
    from gpu_bringup.families.detect import family_for
    from gpu_bringup.families.source_files import read_source_files
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.unknown import Unknown

    family = None if isinstance(facts.os, Unknown) else family_for(facts.os)
    if family is not None and target is not None and target.source_kind == "local":
        from gpu_bringup.families.local import on_folder

        family = on_folder(family)
    files = read_source_files(host, facts) if host is not None else {}
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


def prove(
    host: Host,
    facts: Facts,
    answers: Answers,
    catalogue: Catalogue,
    recommendation: Recommendation,
    *,
    report: Callable[[TrialEvent], None],
    cancelled: threading.Event | None = None,
) -> Recommendation:
    """Resolve and compile candidates, best first, until one is proven; changes nothing on the host.

    The result's chosen candidate is the first that the package manager can install and whose
    modules compile for every kernel of the target; ``refused`` when none does.
    """
    from gpu_bringup.trial import prove_candidates

    return prove_candidates(
        host, facts, answers, catalogue, recommendation, report=report, cancelled=cancelled
    )


def apply(
    chosen: Plan,
    *,
    label: str,
    prelude: list[dict[str, object]] | None = None,
    mend: Sequence[Command] = (),
    ask: Callable[[str], str | None] | None = None,
    old_packages: bool = True,
) -> Follower:
    """Start a run of the plan in a process of its own and follow it.

    ``prelude``: journal events of what was proven before (trial builds). ``mend``: the package
    manager's ``mend()``, kept for a run that is resumed after a crash. ``ask``: gets sudo's password
    where this process is not root; None: sudo must not need one. ``old_packages``: first keep the
    packages that it replaces or removes, so that undo can bring them back without network.

    Raises:
        RunLockedError: another run is under way.
        RefusedError: it needs root, and there is no way to become it.
    """
    from gpu_bringup.run.start import start_run

    return start_run(
        chosen, label=label, prelude=prelude or [], mend=mend, ask=ask, old_packages=old_packages
    )


def keeping(host: Host, chosen: Plan) -> Estimate | None:
    """What keeping the old packages for undo would take; None: there are none, or it can't be told."""
    from gpu_bringup.paths import state_folder
    from gpu_bringup.run.store import estimate

    return estimate(host, chosen, state_folder())


def irrevocable(chosen: Plan) -> tuple[str, ...]:
    """What the plan does that no undo can take back: to be told before it is done."""
    from gpu_bringup.run.store import irrevocable as told

    return told(chosen.steps)


def refuse_beside_another() -> None:
    """Ask before long work whether a run is under way that ``apply`` would be refused for.

    Raises:
        RunLockedError: there is one.
    """
    from gpu_bringup.run.start import refuse_beside_another as refuse

    refuse()


def list_runs() -> list[RunInfo]:
    """All runs on this host, oldest first."""
    from gpu_bringup.run.start import list_runs as found

    return found()


def undo(run_id: str | None = None) -> Plan:
    """The steps that take a run back; without a name the newest.

    Raises:
        InputError: there is no such run.
        RefusedError: it is under way.
    """
    from gpu_bringup.run.start import find_run
    from gpu_bringup.run.undo import undo_plan

    return undo_plan(find_run(run_id))


def run_to_undo(run_id: str | None = None) -> RunInfo | None:
    """The run to take back: the one named, else the newest that is no undo itself and not undone.

    Raises:
        InputError: there is no such run, or none at all.
    """
    from gpu_bringup.run.history import run_info
    from gpu_bringup.run.start import find_run
    from gpu_bringup.run.undo import newest_to_undo

    named = find_run(run_id).name
    wanted = run_id or newest_to_undo(list_runs())
    return run_info(find_run(named if run_id else wanted)) if wanted else None


def is_undone(run: RunInfo) -> bool:
    """Was this run taken back wholly?"""
    from gpu_bringup.run.undo import is_undone as undone

    return undone(run.folder)


def left_to_undo(plan: Plan) -> Plan:
    """An undo plan without the steps that are taken back already."""
    from gpu_bringup.run.undo import left_over

    return left_over(plan, open_host())


def installs_driver(plan: Plan) -> bool:
    """Does the plan bring a driver onto the host (and is therefore worth a trial build)?"""
    return any(step.rung == "module" and step.commands for step in plan.steps)
