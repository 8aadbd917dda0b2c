"""Tuning advice and settings without effect, for people: the few that apply, the rest in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.commands.output import paint, show, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.advice import Advice, NoEffect

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
