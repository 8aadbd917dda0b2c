"""``gpu-bringup`` without a command: the wizard, or a plain word why it can't be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.own_key import look_at_pair
from gpu_bringup.commands.wish import answers_from, catalogue_from
from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Show the wizard; returns its exit status."""
    from gpu_bringup.ui.terminal import check_terminal

    answers = answers_from(arguments)
    record = getattr(arguments, "host", None)
    host = engine.open_host(record)
    why_not = check_terminal()
    if why_not:
        raise InputError(
            why_not,
            hint="The same without a screen: gpu-bringup check, recommend, plan and apply.",
        )
    label = str(record) if record else ""
    if answers == Answers() and not getattr(arguments, "profiles", None):
        # Nothing to be checked before the first screen: it need not wait for the data.
        from gpu_bringup.ui.app import run_wizard

        return run_wizard(host, engine.load_catalogue, answers, recorded_label=label)
    catalogue = catalogue_from(arguments)
    from gpu_bringup.recommend import validate_answers

    validate_answers(answers, catalogue)
    look_at_pair(host, answers)
    from gpu_bringup.ui.app import run_wizard

    return run_wizard(host, catalogue, answers, recorded_label=label)
