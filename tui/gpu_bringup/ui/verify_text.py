"""The end of the wizard in words: what was done, what is proven, what to watch. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.engine import Situation
from gpu_bringup.i18n import tr
from gpu_bringup.ui.ladder_text import verdict_text
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.words import MUTED, WARN, lines


def end_text(wizard: Wizard, after: Situation) -> Content:
    """The verdict, then a line for each thing worth knowing before one leaves."""
    rows: list[Content] = []
    plan = after.plan
    if plan.empty and after.report.verdict != "broken":
        rows.append(verdict_text(after.report))
    elif plan.needs_reboot and all(step.reboot for step in plan.steps):
        rows.append(
            Content.styled(
                tr("A reboot is needed (sudo reboot). Start gpu-bringup again after it."),
                f"bold {WARN}",
            )
        )
    else:
        rows.append(verdict_text(after.report))
    if wizard.run_state == "done" and wizard.follower is not None:
        rows.append(
            Content(
                tr("Done in this run: {steps}. gpu-bringup undo {run} takes it back.").format(
                    steps=tr("all steps of the plan"), run=wizard.follower.run_id
                )
            )
        )
    recommendation = after.recommendation
    for text in recommendation.trials if recommendation else ():
        rows.append(Content.assemble((tr("Tried: "), "bold"), text))
    if plan.first_boot:
        rungs = ", ".join(plan.first_boot)
        rows.append(
            Content(
                tr(
                    "Seen only at that kernel's first boot: {rungs}. Run gpu-bringup check then."
                ).format(rungs=rungs)
            )
        )
    if wizard.recorded:
        rows.append(
            Content.styled(
                tr("This is a record: the figures are those that were written down with it."), MUTED
            )
        )
    rows += [Content.styled(f"! {note}", WARN) for note in after.notes]
    return lines(rows)
