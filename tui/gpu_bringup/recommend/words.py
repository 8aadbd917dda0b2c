"""The choice in words: why not another, why none, what must be told loudly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.target import Assessment, Reason, Verdict
from gpu_bringup.recommend.judging import Judged, judge
from gpu_bringup.rules.gpu import conflict
from gpu_bringup.rules.kernel import PREDICTIONS
from gpu_bringup.rules.score import COMPONENTS, first_difference, keyed
from gpu_bringup.rules.subject import Subject, month, violated

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUPPORT = next(i for i, item in enumerate(COMPONENTS) if item.name == "support")
_LOUD = (
    "gpu-branch",
    "platform",
    "lifecycle",
    "branch-type",
    "package-branch",
    "cuda-wanted",
    "framework-driver",
)
"""Rules whose open questions an operator must be told."""


def short(assessment: Assessment) -> str:
    """What blocks a candidate, each reason once; its own reasons where all share another."""
    blocked = assessment.blocked_by
    own = [reason for reason in blocked if reason.rule != "mixed-gpus"]
    return " ".join(dict.fromkeys(reason.detail for reason in own or blocked))


def why_not(first: Judged, other: Judged) -> str:
    """Why a candidate isn't the first choice."""
    blocked = short(other.assessment)
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


def refusal_of(subject: Subject, judged: Sequence[Judged]) -> tuple[Reason, ...]:
    """Why nothing is left: what stands against all of them, else what stands against the best."""
    against = conflict(subject)
    if against is not None:
        return (against,)
    if not judged:
        source = subject.answers.source
        where = f" from the source {source.value}" if source is not None else ""
        as_of = subject.catalogue.as_of
        if subject.today < as_of:
            return (
                violated(
                    "source-reachable",
                    f"No driver release on record for {subject.distribution.name}{where} was out on "
                    f"{subject.today}: the packages known are those of {as_of}. Leave --today out, or name "
                    "the driver (--driver).",
                ),
            )
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


def notes_of(subject: Subject, first: Judged, others: Sequence[Judged] = ()) -> tuple[str, ...]:
    """What an operator must be told loudly about the choice; ``others``: the candidates behind it."""
    notes = [
        reason.detail
        for reason in first.assessment.reasons
        if reason.verdict is Verdict.VIOLATED
        or (reason.verdict is Verdict.UNKNOWN and reason.rule in (*PREDICTIONS, *_LOUD))
    ]
    notes += subject.notes
    notes += [
        text for text in (_elsewhere(subject, first), _behind_a_key(subject, first, others)) if text
    ]
    return tuple(dict.fromkeys(notes))


def _behind_a_key(subject: Subject, first: Judged, others: Sequence[Judged]) -> str:
    """Words for a branch with more support that only lacks the fingerprint of its repository's key."""
    least = first.assessment.score[_SUPPORT]
    best = next(
        (
            item
            for item in others
            if item.tier == 2
            and item.assessment.score[_SUPPORT] > least
            and not keyed(subject, item.candidate)
        ),
        None,
    )
    if best is None or least >= 3:
        return ""
    found, branch = best.candidate, best.candidate.branch
    end = branch.end_of_support if branch is not None else None
    until = f", supported until {month(end)}" if end is not None else ""
    key = subject.catalogue.repositories[found.package.repository]
    return (
        f"{found.version} (R{found.package.branch}{until}) would fit {subject.scenario.id} better. It is not "
        f"the first choice because the key of its repository, {key.key_uri.rpartition('/')[2]}, is not known "
        "to this program by its whole fingerprint, so that nothing could check it. To take it: get the "
        "fingerprint from NVIDIA over a way that you trust and write it into an entry with the id "
        f'"{key.id}" in /etc/gpu-bringup/profiles; or set that repository up yourself first.'
    )


def _elsewhere(subject: Subject, first: Judged) -> str:
    """Words for a supported branch in NVIDIA's repository, where the distribution's is over."""
    answers = subject.answers
    if answers.source is not SourceKind.DISTRIBUTION or first.assessment.score[_SUPPORT] >= 3:
        return ""
    free = replace(answers, source=None)
    wish = replace(subject, answers=free)
    options = [item for item in judge(wish) if item.tier == 2]
    if not options or options[0].assessment.score[_SUPPORT] <= first.assessment.score[_SUPPORT]:
        return ""
    best = options[0].candidate
    end = best.branch.end_of_support if best.branch is not None else None
    until = f", supported until {month(end)}" if end is not None else ""
    return (
        f"NVIDIA's own repository offers {best.version} ({best.flavour.value} modules, R"
        f"{best.package.branch}{until}) for {subject.distribution.name}: choose it unless the "
        "distribution's packages are a must."
    )
