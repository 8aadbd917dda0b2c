"""Facts, answers, catalogue and what was built before in; a target with its reasons out. No I/O.

Every candidate (a driver version, a flavour, a place that it comes from) is held against every rule
of ``gpu_bringup.rules``; what no rule blocks is put in order by ``rules.score``. What the catalogue
says of builds is a prediction: ``proving_order`` tries the preferred candidates first all the same,
and what a trial build shows comes back as evidence and is then the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.target import (
    Assessment,
    DriverChoice,
    Reason,
    Recommendation,
    Target,
    Verdict,
)
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.rules import RULES
from gpu_bringup.rules.candidates import candidates
from gpu_bringup.rules.describe import (
    boards_of,
    distribution_of,
    frameworks_of,
    kernels_of,
    prepares_only,
    secure_boot_of,
    validate_answers,
)
from gpu_bringup.rules.gpu import conflict, fabric_kind
from gpu_bringup.rules.kernel import PREDICTIONS, failed_here
from gpu_bringup.rules.score import first_difference, score, without_predictions
from gpu_bringup.rules.software import choose_toolkit
from gpu_bringup.rules.subject import Candidate, Subject, month, unknown, violated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.trial import BuildEvidence

__all__ = ["proving_order", "rank", "recommend", "validate_answers"]


@dataclass(frozen=True, slots=True)
class _Judged:
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


def recommend(
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    evidence: Sequence[BuildEvidence] = (),
) -> Recommendation:
    """Choose a driver for a host, with reasons, alternatives and what must be told loudly.

    Args:
        facts: the host; None where ``answers`` describes it.
        answers: what the operator wants; ``today`` defaults to the catalogue's date.
        catalogue: what is known of the field.
        evidence: trial builds made on this host; they outrank the catalogue.

    Returns:
        "recommended" with a target, or "refused" with the reasons that stand against every
        candidate. Unknown things are never a ground for refusal, except a host without a known GPU
        or system.

    Raises:
        InputError: an answer names something that doesn't exist; says what is near.
    """
    subject = _subject(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return Recommendation("refused", answers.scenario, None, refusal=(subject,))
    judged = _judge(subject, facts)
    first = judged[0] if judged and judged[0].tier == 2 else None
    if first is None:
        return Recommendation(
            "refused",
            answers.scenario,
            None,
            tuple((item.assessment, _short(item.assessment)) for item in judged),
            _refusal(subject, judged),
            subject.notes,
        )
    return Recommendation(
        "recommended",
        answers.scenario,
        first.assessment,
        tuple((item.assessment, _why_not(first, item)) for item in judged[1:]),
        notes=_notes(subject, first),
    )


def rank(
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    evidence: Sequence[BuildEvidence] = (),
) -> tuple[Assessment, ...]:
    """Every candidate, best first: what nothing blocks, then what is only foretold to fail to
    build (not measured on this very host), then what can't be.

    Raises:
        InputError: as ``recommend``.
    """
    subject = _subject(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return ()
    return tuple(item.assessment for item in _judge(subject, facts))


def proving_order(
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    evidence: Sequence[BuildEvidence] = (),
) -> tuple[Assessment, ...]:
    """Candidates worth a trial build, in the order to try them.

    By preference alone, as if nothing were foretold about kernels: the trial build finds out, and
    the catalogue may be out of date. What already failed on this host comes last; what something
    else than a build stands against is left out.

    Raises:
        InputError: as ``recommend``.
    """
    subject = _subject(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return ()
    possible = [
        item
        for item in _judge(subject, facts)
        if all(reason.rule in PREDICTIONS for reason in item.assessment.blocked_by)
    ]
    possible.sort(
        key=lambda item: (not item.failed_here, without_predictions(item.assessment.score)),
        reverse=True,
    )
    return tuple(item.assessment for item in possible)


def _subject(
    facts: Facts | None, answers: Answers, catalogue: Catalogue, evidence: Sequence[BuildEvidence]
) -> Subject | Reason:
    """The host and the wish, or the reason why nothing can be said of them."""
    # A system by flag that isn't known is refused with an explanation, not bad usage.
    distribution, os_name = distribution_of(facts, answers, catalogue)
    if distribution is not None or not answers.os:
        validate_answers(answers, catalogue)
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
        known = ", ".join(release.name for release in catalogue.distributions)
        what = (
            f"{os_name} isn't a system"
            if os_name
            else "The system of this host isn't known, nor one"
        )
        return unknown(
            "os-known",
            f"{what} that this catalogue has packages for (it knows {known}). "
            "Name the nearest one with --os ID:VERSION to see what it would get.",
        )
    kernels, notes = kernels_of(facts, answers, distribution)
    return Subject(
        catalogue=catalogue,
        answers=answers,
        scenario=catalogue.scenarios[answers.scenario],
        distribution=distribution,
        boards=boards,
        kernels=kernels,
        secure_boot=secure_boot_of(facts, answers),
        today=answers.today or catalogue.as_of,
        frameworks=frameworks_of(answers, catalogue),
        nvswitches=_nvswitches(facts, answers),
        nvlink5=_nvlink5(facts, answers),
        evidence=tuple(evidence),
        notes=notes + _host_notes(facts),
    )


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


def _judge(subject: Subject, facts: Facts | None) -> list[_Judged]:
    """All candidates held against all rules, best first."""
    judged = []
    for candidate in candidates(subject.distribution, subject.answers, subject.catalogue):
        reasons = tuple(reason for rule in RULES for reason in rule(subject, candidate))
        assessment = Assessment(
            _target(subject, candidate, facts), reasons, score(subject, candidate)
        )
        judged.append(_Judged(candidate, assessment, failed_here(subject, candidate)))
    judged.sort(key=lambda item: (item.tier, item.assessment.score), reverse=True)
    return judged


def _target(subject: Subject, candidate: Candidate, facts: Facts | None) -> Target:
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
        cuda=toolkit.version if toolkit is not None else "",
        extras=tuple(dict.fromkeys(extras)),
        containers=containers,
        fabric=fabric,
        hold=subject.scenario.hold,
        prepare_only=prepares_only(facts, subject.answers),
        source_kind=candidate.source_kind,
        local_packages=subject.answers.local_packages,
    )


def _short(assessment: Assessment) -> str:
    """What blocks a candidate, each reason once; its own reasons where all share another."""
    blocked = assessment.blocked_by
    own = [reason for reason in blocked if reason.rule != "mixed-gpus"]
    return " ".join(dict.fromkeys(reason.detail for reason in own or blocked))


def _why_not(first: _Judged, other: _Judged) -> str:
    """Why a candidate isn't the first choice."""
    blocked = _short(other.assessment)
    if blocked:
        return blocked
    open_question = any(
        r.verdict is Verdict.UNKNOWN and r.rule in (*PREDICTIONS, "gpu-branch")
        for r in other.assessment.reasons
    )
    works = "may work" if open_question else "works too"
    component = first_difference(first.assessment.score, other.assessment.score)
    if component is None:
        return f"{works}; not first because it is the same by every measure."
    # The age and the kind of a branch are one question to an operator: both are told.
    rules = (
        ("lifecycle", "branch-type") if component.name in ("support", "type") else (component.rule,)
    )
    told = [
        reason.detail
        for reason in other.assessment.reasons
        if reason.rule in rules and reason.verdict is not Verdict.OK
    ]
    if told:
        return f"{works}; not first because {_lower(' '.join(told))}"
    phrase = component.phrase
    if not phrase:
        mine = [r.detail for r in first.assessment.reasons if r.rule == component.rule]
        theirs = [r.detail for r in other.assessment.reasons if r.rule == component.rule]
        phrase = " ".join(theirs[:1] + [f"The first choice: {_lower(text)}" for text in mine[:1]])
        return f"{works}; not first because {_lower(phrase)}"
    return f"{works}; not first because {phrase}."


def _lower(text: str) -> str:
    """A sentence to go on with after "because": only an ordinary word loses its capital."""
    word = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if word.isalpha() and word[1:].islower() else text


def _refusal(subject: Subject, judged: Sequence[_Judged]) -> tuple[Reason, ...]:
    """Why nothing is left: what stands against all of them, else what stands against the best."""
    against = conflict(subject)
    if against is not None:
        return (against,)
    if not judged:
        source = subject.answers.source
        where = f" from the source {source.value}" if source is not None else ""
        return (
            violated(
                "source-reachable",
                f"The catalogue knows no NVIDIA driver package for {subject.distribution.name}{where}. "
                "Choose another source, or a distribution release that is supported.",
            ),
        )
    wanted = [item for item in judged if item.candidate.pinned] or list(judged)
    reasons: dict[tuple[str, str], Reason] = {}
    for item in wanted:
        for reason in item.assessment.reasons:
            if reason.verdict is not Verdict.VIOLATED:
                continue
            if reason.rule == "operator-choice" and len(item.assessment.blocked_by) > 1:
                continue
            reasons.setdefault((reason.rule, reason.detail), reason)
    ordered = sorted(reasons.values(), key=lambda reason: not reason.blocking)
    return tuple(ordered)


def _notes(subject: Subject, first: _Judged) -> tuple[str, ...]:
    """What an operator must be told loudly about the choice."""
    notes = [
        reason.detail
        for reason in first.assessment.reasons
        if reason.verdict is Verdict.VIOLATED
        or (
            reason.verdict is Verdict.UNKNOWN
            and reason.rule
            in (*PREDICTIONS, "gpu-branch", "lifecycle", "branch-type", "package-branch")
        )
    ]
    notes += subject.notes
    better = _elsewhere(subject, first)
    if better:
        notes.append(better)
    return tuple(dict.fromkeys(notes))


def _elsewhere(subject: Subject, first: _Judged) -> str:
    """Words for a supported branch in NVIDIA's repository, where the distribution's is over."""
    answers = subject.answers
    if answers.source is not SourceKind.DISTRIBUTION or first.assessment.score[0] >= 3:
        return ""
    free = replace(answers, source=None)
    wish = replace(subject, answers=free)
    options = [item for item in _judge(wish, None) if item.tier == 2]
    if not options or options[0].assessment.score[0] <= first.assessment.score[0]:
        return ""
    best = options[0].candidate
    end = best.branch.end_of_support if best.branch is not None else None
    until = f", supported until {month(end)}" if end is not None else ""
    return (
        f"NVIDIA's own repository offers {best.version} ({best.flavour.value} modules, R"
        f"{best.package.branch}{until}) for {subject.distribution.name}: choose it unless the "
        "distribution's packages are a must."
    )
