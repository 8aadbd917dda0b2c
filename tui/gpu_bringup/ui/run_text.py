"""The run's page in words: its head, what it waits for, its help. Pure."""

from __future__ import annotations

from pathlib import Path

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.words import WARN, clock, paragraphs


def head(wizard: Wizard, model: RunModel, now: float, *, starting: bool) -> Content:
    """The first line: which step, how long already.

    Args:
        now: seconds since 1970.
        starting: its process is being started.
    """
    if starting:
        return Content.styled(tr("Starting ..."), "bold")
    current = model.current
    if current is None:
        if wizard.recorded:
            return Content(tr("This is a record: nothing can be run here. n goes on."))
        if wizard.plan is not None and wizard.plan.empty:
            return Content(tr("There is nothing to do here. n goes on to the verification."))
        return Content(tr("Nothing was started yet: go back to the plan and press a there."))
    if model.ended is not None:
        return Content.styled(str(model.ended.get("message", "")), "bold")
    word = tr("Taking back, step") if wizard.undoing else tr("Step")
    told = f"{word} {model.position} / {len(model.steps)}: {current.title}"
    stop = Content.styled(tr("  stopping"), f"bold {WARN}") if model.stopping else Content("")
    return Content.assemble((told, "bold"), f"  {clock(current.seconds(now))}", stop)


def notice(model: RunModel, *, watching: bool) -> str:
    """What it waits for, or what its command asks; empty mostly."""
    if model.prompt is None:
        return model.notice
    asks = tr("The command asks: {text}").format(text=model.prompt[0])
    return asks if watching else asks + tr("   i answers it")


def place(total: int, *, following: bool, log: str) -> str:
    """Where one is in the output.

    Args:
        total: lines so far.
        log: the log's path in the run's folder; empty: there is none yet.
    """
    follows = tr("following") if following else tr("scrolled up; End follows again")
    name = f"   {tr('log')}: {Path(log).name}" if log else ""
    return tr("line {number}, {follows}").format(number=f"{total:,}", follows=follows) + name


def help_text() -> Detail:
    """What ? shows on the run's page."""
    return Detail(
        tr("Run: the steps are taken"),
        paragraphs(
            [
                tr(
                    "The steps run in a process of their own. If this terminal or the connection goes "
                    "away, they go on; start gpu-bringup again to see them."
                ),
                tr(
                    "Arrows scroll the output, End follows it again, / searches, w wraps long lines, "
                    "l shows the whole log. d says which steps there are and why this one is taken."
                ),
                tr(
                    "x stops after the command that is safe to stop at: the package manager is always "
                    "let finish, so that nothing is left half installed. q leaves the wizard; the run "
                    "goes on."
                ),
                tr(
                    "One terminal at a time answers a run's questions and stops it. Where another one "
                    "does, this one only shows it, until t takes it over; then the other one only "
                    "shows it. A terminal that was closed gives its place up."
                ),
            ]
        ),
    )
