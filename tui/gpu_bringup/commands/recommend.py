"""``gpu-bringup recommend``: which kernel, driver, modules and CUDA, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import paint, print_json, show, wrap
from gpu_bringup.commands.wish import answers_from, catalogue_from, look
from gpu_bringup.errors import ExitCode
from gpu_bringup.model.target import Reason, Recommendation, Verdict

if TYPE_CHECKING:
    import argparse

_MARKS = {
    Verdict.OK: ("ok", "green"),
    Verdict.VIOLATED: ("AGAINST", "red"),
    Verdict.UNKNOWN: ("unknown", "cyan"),
}


def run(arguments: argparse.Namespace) -> int:
    """Recommend and print; exit status 0 recommended, 1 nothing fits."""
    if getattr(arguments, "os", None) and not getattr(arguments, "host", None):
        from gpu_bringup.recommend import validate_answers

        answers = answers_from(arguments)
        catalogue = catalogue_from(arguments)
        validate_answers(answers, catalogue)
        recommendation = engine.recommend(None, answers, catalogue)
    else:
        asked = look(arguments)
        recommendation = engine.recommend(asked.facts, asked.answers, asked.catalogue)
    if getattr(arguments, "json", False):
        print_json(recommendation.to_json())
    else:
        print_recommendation(recommendation)
    return ExitCode.OK if recommendation.status == "recommended" else ExitCode.FAILED


def _print_reason(reason: Reason) -> None:
    word, colour = _MARKS[reason.verdict]
    show(f"  {paint(f'{word:<8}', colour)} {reason.rule}")
    show(wrap(reason.detail, 11))
    for source in reason.sources[:2]:
        show(paint(f"           {source}", "dim"))


def print_recommendation(recommendation: Recommendation) -> None:
    """The recommendation for people: what, why, what else and why not."""
    chosen = recommendation.chosen
    if chosen is None:
        show(paint("Nothing can be recommended.", "bold", "red"))
        for reason in recommendation.refusal:
            _print_reason(reason)
    else:
        target = chosen.target
        show(paint(f"Profile {recommendation.profile}", "bold"))
        show(f"  GPUs     {', '.join(target.gpus) or 'none named'}")
        show(f"  kernel   {', '.join(target.kernels)} (kept)")
        driver = target.driver
        show(
            f"  driver   {driver.version}, branch R{driver.branch}, {driver.flavour.value} modules"
        )
        show(f"  CUDA     {target.cuda}")
        show(f"  source   {target.source_kind}: {', '.join(target.package_names)}")
        if target.extras:
            show(f"  extras   {', '.join(target.extras)}")
        show()
        show(paint("Why", "bold"))
        for reason in chosen.reasons:
            _print_reason(reason)
    for note in recommendation.notes:
        show(paint(wrap(f"! {note}", 0), "yellow"))
    if recommendation.alternatives:
        show()
        show(paint("Other candidates", "bold"))
        for assessment, why in recommendation.alternatives:
            driver = assessment.target.driver
            show(f"  {driver.version} {driver.flavour.value} ({assessment.target.source_kind})")
            show(wrap(why, 6))
