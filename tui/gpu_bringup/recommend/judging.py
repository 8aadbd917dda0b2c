"""Each candidate held against each rule, and put in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING

from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.target import Assessment, DriverChoice, Reason, Target
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.rules import OF_KERNELS, RULES
from gpu_bringup.rules.candidates import candidates
from gpu_bringup.rules.describe import (
    boards_of,
    distribution_of,
    frameworks_of,
    kernels_of,
    nearest,
    secure_boot_of,
    validate_answers,
)
from gpu_bringup.rules.fabric import fabric_kind
from gpu_bringup.rules.kernel import PREDICTIONS, certainty, failed_here
from gpu_bringup.rules.platform import host_arch, machine
from gpu_bringup.rules.score import with_certainty, without_certainty
from gpu_bringup.rules.software import choose_toolkit
from gpu_bringup.rules.subject import Candidate, Subject, unknown, violated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue, Scenario
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.trial import BuildEvidence
    from gpu_bringup.rules.subject import Board, Rule


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with its assessment and how it failed, if it did."""

    candidate: Candidate
    assessment: Assessment
    failed_here: bool

    @property
    def tier(self) -> int:
        """2 nothing blocks it, 1 it is only foretold to fail to build, 0 it can't be."""
        blocked = self.assessment.blocked_by
        if not blocked:
            return 2
        foretold = all(reason.rule in PREDICTIONS for reason in blocked)
        return 1 if foretold and not self.failed_here else 0


def subject_of(
    facts: Facts | None, answers: Answers, catalogue: Catalogue, evidence: Sequence[BuildEvidence]
) -> Subject | Reason:
    """The host and the wish, or the reason why nothing can be said of them.

    Raises:
        InputError: an answer names something that doesn't exist; says what is near.
    """
    # A system by flag that isn't known is refused with an explanation, not bad usage.
    validate_answers(answers, catalogue, strict=False)
    distribution, os_name = distribution_of(facts, answers, catalogue)
    boards = boards_of(facts, answers, catalogue)
    if isinstance(boards, Unknown):
        return unknown(
            "gpu-present",
            f"Whether this host has an NVIDIA GPU couldn't be found out: {boards.reason}. Name the "
            "hardware with --gpu to plan for it.",
        )
    if not boards:
        return violated(
            "gpu-present",
            "No NVIDIA GPU was found on the PCI bus of this host. If one is built in, check that it is "
            "seated and powered (lspci -d 10de: must show it), or passed through to this virtual "
            "machine; to plan for hardware that is still to come, name it with --gpu.",
        )
    if distribution is None:
        return unknown("os-known", _no_system(os_name, catalogue))
    scenario = catalogue.scenarios[answers.scenario]
    answers = _insisting(facts, answers, scenario)
    kernels, notes = kernels_of(facts, answers, distribution, catalogue.kernel_abis)
    return Subject(
        catalogue=catalogue,
        answers=answers,
        scenario=scenario,
        distribution=distribution,
        boards=boards,
        kernels=kernels,
        secure_boot=secure_boot_of(facts, answers),
        today=answers.today or catalogue.as_of,
        frameworks=frameworks_of(answers, catalogue),
        nvswitches=_nvswitches(facts, answers),
        nvlink5=_nvlink5(facts, answers),
        evidence=tuple(evidence),
        notes=notes + _host_notes(facts) + _too_old(answers, catalogue),
        arch=_arch(facts, answers, boards),
        os_version=_os_version(facts, answers),
    )


def _insisting(facts: Facts | None, answers: Answers, scenario: Scenario) -> Answers:
    """The wish with what the scenario insists on, where the operator didn't say otherwise."""
    kernel = "" if facts is not None else scenario.pinned_kernel
    return replace(
        answers,
        driver=answers.driver or scenario.pinned_driver,
        cuda=answers.cuda or scenario.pinned_cuda,
        kernel=answers.kernel or kernel,
    )


def _arch(facts: Facts | None, answers: Answers, boards: Sequence[Board]) -> str:
    """Machine name of the host: hardware that is planned for outranks the host that asks."""
    if facts is not None and not answers.gpus and not isinstance(facts.os, Unknown):
        return machine(facts.os.arch)
    if facts is None or answers.os:
        return host_arch(boards)
    return host_arch(boards) or ("" if isinstance(facts.os, Unknown) else machine(facts.os.arch))


def _no_system(name: str, catalogue: Catalogue) -> str:
    known = ", ".join(release.name for release in catalogue.distributions)
    what = f"{name} isn't a system" if name else "The system of this host isn't known, nor one"
    near = nearest(name, [f"{item.os_id}:{item.version}" for item in catalogue.distributions])
    return (
        f"{what} that this catalogue has packages for (it knows {known}). Name the nearest one with "
        f"--os ID:VERSION to see what it would get. {near if near.startswith('Did') else ''}"
    ).rstrip()


def _nvswitches(facts: Facts | None, answers: Answers) -> int | None:
    if facts is None or answers.gpus or isinstance(facts.pci.nvswitches, Unknown):
        return None
    return len(facts.pci.nvswitches)


def _nvlink5(facts: Facts | None, answers: Answers) -> bool | None:
    if facts is None or answers.gpus or isinstance(facts.pci.nvlink5, Unknown):
        return None
    return facts.pci.nvlink5


def _host_notes(facts: Facts | None) -> tuple[str, ...]:
    if facts is not None and facts.packages.method is InstallMethod.OUTSIDE:
        return (
            "The driver of this host is provided from outside (a mount, a driver container or the "
            "hypervisor): this is what it would get, but it isn't the place to install it.",
        )
    return ()


_KEEPS = 180
"""Days after which data is too old to choose by without a word: branches come and end each half year."""


def _too_old(answers: Answers, catalogue: Catalogue) -> tuple[str, ...]:
    """Said where the day that is asked for lies long after the data."""
    day = answers.today
    if day is None or (day - catalogue.as_of).days <= _KEEPS:
        return ()
    return (
        f"The data of this program is of {catalogue.as_of}, too old for {day}: branches, releases and "
        "security fixes that came since aren't known to it, and what ends meanwhile may be recommended "
        "only because its end isn't known. Take a newer gpu-bringup, or newer profiles, for that day.",
    )


def _os_version(facts: Facts | None, answers: Answers) -> str:
    """The version as the system itself or the operator says it ("9.4"); empty: not known."""
    if answers.os:
        return answers.os.partition(":")[2]
    return "" if facts is None or isinstance(facts.os, Unknown) else facts.os.version


def _stretches() -> tuple[tuple[tuple[Rule, ...], ...], tuple[tuple[Rule, ...], ...]]:
    """(stretches of rules that no kernel matters to, the rules of kernels after each of them)."""
    steady: list[list[Rule]] = [[]]
    moving: list[list[Rule]] = [[]]
    for rule in RULES:
        if rule in OF_KERNELS:
            moving[-1].append(rule)
            continue
        if moving[-1]:
            steady.append([])
            moving.append([])
        steady[-1].append(rule)
    return tuple(map(tuple, steady)), tuple(map(tuple, moving))


_STRETCHES = _stretches()


def judge(subject: Subject, prepare_only: bool = False) -> list[Judged]:
    """All candidates held against all rules, best first."""
    steady = _steady(replace(subject, kernels=(), evidence=(), notes=()))
    moving = _moving(_without_boards(subject))
    kernels = tuple(kernel.release for kernel in subject.kernels if kernel.release)
    judged = []
    for mine, its in zip(steady, moving, strict=True):
        target = mine.target.on(kernels, prepare_only)
        parts = chain.from_iterable(zip(mine.reasons, its.reasons, strict=True))
        reasons = tuple(chain.from_iterable(parts))
        assessment = Assessment(target, reasons, with_certainty(mine.score, its.certainty))
        judged.append(Judged(mine.candidate, assessment, its.failed_here))
    judged.sort(key=lambda item: (item.tier, item.assessment.score), reverse=True)
    return judged


def _without_boards(subject: Subject) -> Subject:
    """What ``OF_KERNELS`` may look at: the same for all hosts with these kernels."""
    return replace(
        subject,
        boards=(),
        secure_boot=None,
        frameworks=(),
        nvswitches=None,
        nvlink5=None,
        notes=(),
        arch="",
    )


@dataclass(frozen=True, slots=True)
class _Steady:
    """What no kernel matters to."""

    candidate: Candidate
    reasons: tuple[tuple[Reason, ...], ...]
    """One part a stretch of rules."""
    score: tuple[int, ...]
    target: Target


@dataclass(frozen=True, slots=True)
class _Moving:
    """What is up to the kernels."""

    reasons: tuple[tuple[Reason, ...], ...]
    """One part a stretch of rules: each comes after the same stretch of the steady ones."""
    certainty: int
    failed_here: bool


@lru_cache(maxsize=1024)
def _steady(subject: Subject) -> tuple[_Steady, ...]:
    """The candidates with what is the same whichever kernels there are."""
    return tuple(
        _Steady(
            candidate,
            _reasons(subject, candidate, of_kernels=False),
            without_certainty(subject, candidate),
            target_of(subject, candidate, prepare_only=False),
        )
        for candidate in _candidates(subject)
    )


@lru_cache(maxsize=4096)
def _moving(subject: Subject) -> tuple[_Moving, ...]:
    """What the kernels decide for each of the candidates."""
    return tuple(
        _Moving(
            _reasons(subject, candidate, of_kernels=True),
            certainty(subject, candidate),
            failed_here(subject, candidate),
        )
        for candidate in _candidates(subject)
    )


def _candidates(subject: Subject) -> tuple[Candidate, ...]:
    return candidates(subject.distribution, subject.answers, subject.catalogue)


def _reasons(
    subject: Subject, candidate: Candidate, *, of_kernels: bool
) -> tuple[tuple[Reason, ...], ...]:
    return tuple(
        tuple(reason for rule in rules for reason in rule(subject, candidate))
        for rules in _STRETCHES[of_kernels]
    )


def target_of(subject: Subject, candidate: Candidate, prepare_only: bool) -> Target:
    """What stands on the host once the candidate is installed."""
    fabric = fabric_kind(subject)
    containers = subject.scenario.containers
    toolkit = choose_toolkit(subject, candidate.version)
    extras = [
        *subject.scenario.extras,
        *(["container-toolkit"] if containers else []),
        *([] if fabric == "none" else fabric.split("+")),
    ]
    return Target(
        scenario=subject.scenario.id,
        gpus=tuple(board.name for board in subject.boards),
        kernels=tuple(kernel.release for kernel in subject.kernels if kernel.release),
        keep_kernel=True,
        driver=DriverChoice(candidate.package.branch, candidate.version, candidate.flavour),
        package=candidate.package,
        cuda=subject.answers.cuda or (toolkit.version if toolkit is not None else ""),
        extras=tuple(dict.fromkeys(extras)),
        containers=containers,
        fabric=fabric,
        hold=subject.scenario.hold,
        prepare_only=prepare_only,
        source_kind=candidate.source_kind,
        local_packages=subject.answers.local_packages,
        signing_key=subject.answers.signing_key,
        signing_certificate=subject.answers.signing_certificate,
    )
