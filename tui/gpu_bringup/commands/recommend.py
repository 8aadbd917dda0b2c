"""``gpu-bringup recommend``: which kernel, driver, modules and CUDA, and why.

``--pin`` judges a combination instead, ``--explain`` shows every candidate against every rule and
what would change the choice's mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.advice_text import (
    node_checks,
    print_advice,
    print_node_checks,
    print_without_effect,
)
from gpu_bringup.commands.output import print_json
from gpu_bringup.commands.profile_text import show_difference
from gpu_bringup.commands.recommend_text import (
    print_changes,
    print_pinned,
    print_recommendation,
    print_table,
)
from gpu_bringup.commands.wish import answers_from, catalogue_from, look
from gpu_bringup.errors import ExitCode

if TYPE_CHECKING:
    import argparse

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts

__all__ = ["print_recommendation", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Recommend and print; exit status 0 recommended, 1 nothing fits or a pin breaks a rule."""
    facts, answers, catalogue = _asked(arguments)
    pins = getattr(arguments, "pin", None)
    if pins:
        return _run_pins(arguments, facts, answers, catalogue, pins)
    recommendation = engine.recommend(facts, answers, catalogue)
    document = recommendation.to_json()
    host = engine.open_host(getattr(arguments, "host", None)) if facts is not None else None
    tuning = engine.tuning(host, facts, answers, catalogue, recommendation)
    document.update(tuning.to_json())
    found = node_checks(facts, answers, catalogue, recommendation)
    if found:
        document["node_checks"] = [item.to_json() for item in found]
    explain = bool(getattr(arguments, "explain", False))
    as_json = bool(getattr(arguments, "json", False))
    if not as_json:
        print_recommendation(recommendation, brief=explain)
        show_difference(catalogue.scenarios.get(recommendation.profile))
    if explain:
        reasons = engine.explain_choice(facts, answers, catalogue, recommendation)
        if as_json:
            document["explain"] = reasons.to_json()
        else:
            print_table(reasons.table)
            print_changes(reasons, recommendation)
    if not as_json:
        print_advice(tuning.advice)
        print_without_effect(tuning.no_effect)
        print_node_checks(found)
    if as_json:
        print_json(document)
    return ExitCode.OK if recommendation.status == "recommended" else ExitCode.FAILED


def _run_pins(
    arguments: argparse.Namespace,
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    words: list[str],
) -> int:
    pinned = engine.judge_pins(facts, answers, words, catalogue)
    explain = bool(getattr(arguments, "explain", False))
    if getattr(arguments, "json", False):
        document = pinned.to_json()
        if explain:
            document["explain"] = {"table": engine.table_of(pinned.recommendation).to_json()}
        print_json(document)
    else:
        print_pinned(pinned)
        if explain:
            print_table(engine.table_of(pinned.recommendation))
    sound = pinned.recommendation.status == "recommended"
    return ExitCode.OK if sound else ExitCode.FAILED


def _asked(arguments: argparse.Namespace) -> tuple[Facts | None, Answers, Catalogue]:
    """(the host, None where flags describe it; the wish; the data)."""
    if getattr(arguments, "os", None) and not getattr(arguments, "host", None):
        from gpu_bringup.recommend import validate_answers

        answers = answers_from(arguments)
        catalogue = catalogue_from(arguments)
        validate_answers(answers, catalogue, strict=False)
        return None, answers, catalogue
    asked = look(arguments)
    return asked.facts, asked.answers, asked.catalogue
