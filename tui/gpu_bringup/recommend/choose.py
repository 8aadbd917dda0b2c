"""The choice: the first candidate that nothing blocks, or the reasons why there is none."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.target import Assessment, Reason, Recommendation
from gpu_bringup.recommend.judging import judge, subject_of
from gpu_bringup.recommend.partial import still_holds
from gpu_bringup.recommend.words import notes_of, refusal_of, short, why_not
from gpu_bringup.rules.describe import prepares_only
from gpu_bringup.rules.kernel import PREDICTIONS
from gpu_bringup.rules.score import without_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.trial import BuildEvidence
    from gpu_bringup.rules.subject import Subject


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
    subject = subject_of(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        holds = still_holds(facts, answers, catalogue)
        return Recommendation("refused", answers.scenario, None, refusal=(subject, *holds))
    return recommend_for(subject, prepares_only(facts, answers))


@lru_cache(maxsize=512)
def recommend_for(subject: Subject, prepare_only: bool = False) -> Recommendation:
    """As ``recommend``, for what was understood of host and wish already.

    Hosts of a fleet are alike: what holds for one of them is kept for the next.

    Args:
        prepare_only: the kernel isn't the running one.
    """
    judged = judge(subject, prepare_only)
    first = judged[0] if judged and judged[0].tier == 2 else None
    if first is None:
        return Recommendation(
            "refused",
            subject.scenario.id,
            None,
            tuple((item.assessment, short(item.assessment)) for item in judged),
            refusal_of(subject, judged),
            subject.notes,
        )
    return Recommendation(
        "recommended",
        subject.scenario.id,
        first.assessment,
        tuple((item.assessment, why_not(first, item)) for item in judged[1:]),
        notes=notes_of(subject, first, judged[1:]),
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
    subject = subject_of(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return ()
    return tuple(item.assessment for item in judge(subject, prepares_only(facts, answers)))


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
    subject = subject_of(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return ()
    possible = [
        item
        for item in judge(subject, prepares_only(facts, answers))
        if all(reason.rule in PREDICTIONS for reason in item.assessment.blocked_by)
    ]
    possible.sort(
        key=lambda item: (not item.failed_here, without_predictions(item.assessment.score)),
        reverse=True,
    )
    return tuple(item.assessment for item in possible)
