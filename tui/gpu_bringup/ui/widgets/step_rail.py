"""Where one is: a rail of steps on a wide screen, one breadcrumb line on a narrow one."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.steps import STEPS
from gpu_bringup.ui.words import ASIDE, MUTED, OK, WARN, column


def _word(state: str) -> tuple[str, str]:
    """(word, style) of a step's state."""
    return {
        "here": (tr("here"), f"bold {ASIDE}"),
        "done": (tr("done"), OK),
        "again": (tr("again"), WARN),
        "": ("", MUTED),
    }[state]


class StepRail(Static):
    """All steps with the state of each, one a line."""

    DEFAULT_CSS = """
    StepRail {
        display: none;
        width: 23;
        height: 100%;
        padding: 1 1 0 1;
        border-right: solid $panel-lighten-2;
    }
    """

    def show(self, wizard: Wizard) -> None:
        rows = []
        for number, step in enumerate(STEPS, 1):
            state = wizard.step_state(step.id)
            word, style = _word(state)
            mark = ">" if state == "here" else " "
            title = column(f"{mark}{number} {tr(step.title)}", 13)
            rows.append(Content.assemble((title, "bold" if state == "here" else ""), (word, style)))
        self.update(Content("\n\n").join(rows))


class Crumbs(Static):
    """The same in one line."""

    DEFAULT_CSS = """
    Crumbs { height: 1; padding: 0 1; color: $muted; text-wrap: nowrap; }
    """

    def show(self, wizard: Wizard) -> None:
        parts = []
        for number, step in enumerate(STEPS, 1):
            state = wizard.step_state(step.id)
            title = tr(step.title)
            if state == "here":
                parts.append(Content.styled(f"{number} {title.upper()}", f"bold {ASIDE}"))
            elif state == "again":
                parts.append(Content.styled(f"{number} {title}!", WARN))
            elif state == "done":
                parts.append(Content.styled(f"{number} {title}", OK))
            else:
                parts.append(Content.styled(f"{number} {title}", MUTED))
        self.update(Content.styled(" > ", MUTED).join(parts))
