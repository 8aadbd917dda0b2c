"""The steps of a run with state and time, and the running one explained below them."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.run_model import RunModel, StepRun
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, WARN, clock, lines, paragraphs, section


def _state(step: StepRun) -> tuple[str, str, str]:
    """(mark, word, style) of a step."""
    return {
        "": (" ", "", MUTED),
        "running": (">", tr("running"), f"bold {ASIDE}"),
        "done": ("+", tr("done"), OK),
        "failed": ("X", tr("FAILED"), BAD),
        "cancelled": ("!", tr("stopped"), WARN),
        "reboot": ("!", tr("reboot"), WARN),
    }.get(step.state, ("?", step.state, WARN))


def steps_text(model: RunModel, now: float) -> Content:
    """A line a step."""
    rows = []
    for number, step in enumerate(model.steps, 1):
        mark, word, style = _state(step)
        time = clock(step.seconds(now)) if step.started else ""
        rows.append(
            Content.assemble(
                (f"{mark}{number:>2} ", style),
                (step.title, "bold" if step.state == "running" else ""),
                (f"  {word} {time}".rstrip(), style),
            )
        )
    return lines(rows)


def explanation(model: RunModel) -> Content:
    """Why the running step is taken, what is seen meanwhile, what it risks."""
    step = model.step
    if step is None:
        return Content("")
    return paragraphs(
        [
            section(tr("Why"), step.why),
            section(tr("What you will see"), step.expect),
            section(tr("Risk"), Content.styled(step.risk, WARN)),
        ]
    )


class RunSteps(Vertical):
    """Beside the output, where there is room."""

    DEFAULT_CSS = """
    RunSteps { display: none; width: 38; border-left: solid $panel-lighten-2; padding: 0 1; }
    RunSteps VerticalScroll { height: 1fr; scrollbar-size-vertical: 1; }
    RunSteps #run-why-box { height: 1fr; border-top: solid $panel-lighten-2; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._steps = Content("")
        self._why = Content("")

    def compose(self) -> ComposeResult:
        with VerticalScroll(can_focus=False):
            yield Static(id="run-steps")
        with VerticalScroll(id="run-why-box", can_focus=False):
            yield Static(id="run-why")

    def show(self, model: RunModel, now: float) -> None:
        if not self.display:
            return
        steps, why = steps_text(model, now), explanation(model)
        if steps != self._steps:
            self._steps = steps
            self.query_one("#run-steps", Static).update(steps)
        if why != self._why:
            self._why = why
            self.query_one("#run-why", Static).update(why)
