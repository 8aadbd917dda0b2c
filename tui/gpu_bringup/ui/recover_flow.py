"""From a chosen way to its run: what it stops is shown, and the operator says what becomes of it."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen

from gpu_bringup.errors import BringupError
from gpu_bringup.hosts.base import Host
from gpu_bringup.i18n import tr
from gpu_bringup.model.plan import Plan
from gpu_bringup.recover import door
from gpu_bringup.recover.drain import Drain, stoppable
from gpu_bringup.recover.way import Recovery, Way
from gpu_bringup.ui import background
from gpu_bringup.ui.background import Outcome
from gpu_bringup.ui.recovery_text import in_use_text, way_about
from gpu_bringup.ui.screens import choose
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.words import paragraphs, section

WAIT_SECONDS = 600
Take = Callable[[Plan], object]


def before_plan(screen: Screen[None], host: Host, plan: Plan, take: Take) -> None:
    """Before a plan that stops work runs: show who uses the GPUs, and ask what becomes of them."""
    if not any(step.stops_workloads for step in plan.steps):
        take(plan)
        return

    def looked(outcome: Outcome[tuple[Recovery, Way] | None]) -> None:
        if outcome.error is not None:
            screen.notify(str(outcome.error), severity="error", timeout=10)
        elif outcome.value is None:
            take(plan)
        else:
            recovery, way = outcome.value
            ask(screen, recovery, way, take)

    background.start(screen, lambda: door.before(host, plan), looked, "in-use")


def ask(screen: Screen[None], recovery: Recovery, way: Way, take: Take) -> None:
    """Ask before anything is done; ``take`` gets the plan that was agreed on."""
    held = recovery.in_use.known
    about = paragraphs(
        [
            way.what,
            way_about(way),
            section(tr("What it stops"), in_use_text(recovery, way)),
            section(tr("Risk"), way.risk),
        ]
    )
    names = stoppable(recovery.in_use)
    ways = [choose.Way("no", tr("no, go back"), tr("nothing is changed"))]
    if held:
        ways.append(
            choose.Way(
                "wait",
                tr("yes, once these programs have ended"),
                tr("waits up to {minutes} min for each; nothing is ended").format(
                    minutes=WAIT_SECONDS // 60
                ),
            )
        )
        if names:
            label = tr("yes, and stop these first: {names}").format(names=", ".join(names))
            ways.append(choose.Way("stop", label, tr("they are started again where that can be")))
        ways.append(
            choose.Way(
                "end",
                tr("yes, and end the processes"),
                tr("you confirm it by typing; work is lost"),
            )
        )
    if not held or way.reboots:
        label = tr("yes, take it now") if not held else tr("yes, as they are: the reboot ends them")
        ways.append(choose.Way("yes", label, tr("gpu-bringup undo takes it back")))

    def answered(chosen: str | None) -> None:
        if chosen == "yes":
            _go(screen, recovery, way, Drain(), take)
        elif chosen == "wait":
            _go(screen, recovery, way, Drain(wait=WAIT_SECONDS), take)
        elif chosen == "stop":
            _go(screen, recovery, way, Drain(wait=WAIT_SECONDS, stop=names), take)
        elif chosen == "end":
            _confirm_end(screen, recovery, way, take)

    screen.app.push_screen(ChooseScreen(way.title, about, ways), answered)


def _confirm_end(screen: Screen[None], recovery: Recovery, way: Way, take: Take) -> None:
    pids = tuple(holder.pid for holder in recovery.in_use.known)
    words = f"kill {' '.join(str(pid) for pid in pids)}"

    def wrong(text: str) -> str:
        return "" if text.strip() == words else tr("that isn't what has to be typed")

    def typed(text: str | None) -> None:
        if text is not None:
            _go(screen, recovery, way, Drain(kill=pids), take)

    question = tr("To end these processes, type: {words}").format(words=words)
    note = ", ".join(holder.words for holder in recovery.in_use.known)
    screen.app.push_screen(AskScreen(question, note, check=wrong), typed)


def _go(screen: Screen[None], recovery: Recovery, way: Way, drain: Drain, take: Take) -> None:
    try:
        plan = door.way_plan(recovery, way, drain)
    except BringupError as error:
        screen.notify(str(error), severity="error", timeout=10)
        return
    take(plan)
