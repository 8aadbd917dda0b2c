"""The ways to the enrolment's pages, and asking the firmware once more, for the wizard's screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.screen import Screen

from gpu_bringup import engine, enrolling
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.signing.report import Report
from gpu_bringup.ui import background, enrol_text
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.screens.choose import ChooseScreen, Way
from gpu_bringup.ui.state import Wizard

Begin = Callable[[Plan], None]


def report_of(wizard: Wizard) -> Report | None:
    """The report on the host as it was looked at last; None: it wasn't looked at yet."""
    facts = wizard.facts
    if facts is None:
        return None
    if wizard.enrolment is None or wizard.enrolment[0] is not facts:
        wizard.enrolment = facts, enrolling.enrolment(facts, wizard.catalogue)
    return wizard.enrolment[1]


def worth_showing(wizard: Wizard) -> bool:
    """Was an enrolment asked for here, so that there is something to see of it?"""
    report = report_of(wizard)
    if report is None or wizard.facts is None:
        return False
    return enrol_text.concerns(report) or isinstance(wizard.facts.secure_boot.asked_in, str)


def rehearse(screen: Screen[Any], wizard: Wizard) -> None:
    """Walk through the console's screens."""
    from gpu_bringup.ui.screens.rehearsal import RehearsalScreen

    screen.app.push_screen(RehearsalScreen(wizard))


def show(screen: Screen[Any], wizard: Wizard, begin: Begin) -> None:
    """The proof, with the ways on."""
    from gpu_bringup.ui.screens.enrolment import EnrolmentScreen

    def answered(chosen: str | None) -> None:
        if chosen == "rehearse":
            rehearse(screen, wizard)
        elif chosen == "again":
            ask_again(screen, wizard, begin)

    screen.app.push_screen(EnrolmentScreen(wizard), answered)


def ask_again(screen: Screen[Any], wizard: Wizard, begin: Begin) -> None:
    """Look at the key as it is now, then, after a yes, file the request once more."""

    def made(outcome: Outcome[Plan]) -> None:
        plan = outcome.value
        if plan is None:
            screen.notify(str(outcome.error), severity="error", timeout=10)
        elif plan.empty:
            why = "; ".join(plan.blocked)
            told = tr("Asking again would not help: {why}").format(why=why)
            screen.notify(told, severity="warning", timeout=15)
        else:
            _confirm(screen, plan, begin)

    background.start(
        screen,
        lambda: enrolling.enrol_again(engine.observe(wizard.host), wizard.catalogue),
        made,
        "enrol-again",
    )


def _confirm(screen: Screen[Any], plan: Plan, begin: Begin) -> None:
    steps = "\n".join(f"{number}. {step.title}" for number, step in enumerate(plan.steps, 1))
    ways = (
        Way("no", tr("no, leave it as it is"), tr("the driver stays refused")),
        Way("yes", tr("yes, ask the firmware again"), tr("you choose a new one-time password")),
    )

    def answered(chosen: str | None) -> None:
        if chosen == "yes":
            begin(plan)

    screen.app.push_screen(
        ChooseScreen(tr("Ask the firmware to trust the key once more?"), steps, ways), answered
    )
