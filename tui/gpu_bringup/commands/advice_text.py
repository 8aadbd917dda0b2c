"""What is told beside a recommendation: tuning, settings without effect, the check of a node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.commands.output import paint, show, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.export.node import Check
    from gpu_bringup.model.advice import Advice, NoEffect
    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.target import Recommendation

SHOWN = 5
"""How many pieces of advice a person is told at once."""


def print_advice(advice: Sequence[Advice]) -> None:
    """The advice that is worth most here: what, why, how, how back, risk."""
    if not advice:
        return
    show()
    show(paint("Tuning (nothing of this is done for you)", "bold"))
    told = [item for item in advice if item.priority < 3][:SHOWN] or list(advice[:SHOWN])
    for item in told:
        sure = "" if item.certainty == "high" else f"   ({item.certainty} certainty)"
        show(f"  {paint(item.title, 'bold')}{sure}")
        show(wrap(item.why, 6))
        for line in item.apply:
            show(f"          {line}")
        if item.undo:
            show(wrap(f"back: {'; '.join(item.undo)}", 6))
        show(wrap(f"risk: {item.risk}", 6))
    rest = len(advice) - len(told)
    if rest:
        topics = ", ".join(dict.fromkeys(item.topic for item in advice if item not in told))
        show(paint(wrap(f"{rest} more with --json ({topics})", 2), "dim"))


def print_without_effect(settings: Sequence[NoEffect]) -> None:
    """Variables that are set on this host and that nothing reads: no fault, but no use either."""
    if not settings:
        return
    show()
    show(paint("Settings without effect", "bold"))
    for item in settings:
        show(f"  {item.setting.name}   {item.setting.place}")
        show(wrap(f"{item.about.why} Instead: {item.about.instead}", 6))


def node_checks(
    facts: Facts | None, answers: Answers, catalogue: Catalogue, recommendation: Recommendation
) -> tuple[Check, ...]:
    """What must hold before the GPU Operator comes to this host; nothing outside of Kubernetes."""
    chosen = recommendation.chosen
    if facts is None or chosen is None or chosen.target.scenario != "kubernetes":
        return ()
    from gpu_bringup.export.node import checks, newest_operator, node_of

    node = node_of(facts, answers)
    return tuple(checks(node, newest_operator(catalogue), chosen.target))


def print_node_checks(found: Sequence[Check]) -> None:
    """The check of a Kubernetes node, for people."""
    if not found:
        return
    from gpu_bringup.model.target import Verdict

    words = {
        Verdict.OK: ("ok", "green"),
        Verdict.VIOLATED: ("MEND", "red"),
        Verdict.UNKNOWN: ("look", "cyan"),
    }
    show()
    show(paint("This node, before the GPU Operator comes", "bold"))
    for item in found:
        word, colour = words[item.verdict]
        show(f"  {paint(f'{word:<6}', colour)} {wrap(item.text, 9).lstrip()}")
        if item.next:
            show(wrap(f"-> {item.next}", 9))
    show(paint("  its values file: gpu-bringup plan --format gpu-operator", "dim"))
