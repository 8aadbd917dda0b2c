"""The steps of the wizard as data: rail, breadcrumb and keys all read this one list."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_bringup.i18n import tr


@dataclass(frozen=True, slots=True)
class StepInfo:
    """One step; ``title`` is translated when it is shown."""

    id: str
    title: str


STEPS: tuple[StepInfo, ...] = (
    StepInfo("look", "Look"),
    StepInfo("questions", "Questions"),
    StepInfo("recommendation", "Choice"),
    StepInfo("proof", "Proof"),
    StepInfo("review", "Review"),
    StepInfo("run", "Run"),
    StepInfo("verify", "Verify"),
)


def index_of(step_id: str) -> int:
    """Position of a step, from 0.

    Raises:
        KeyError: there is no such step.
    """
    for index, step in enumerate(STEPS):
        if step.id == step_id:
            return index
    raise KeyError(step_id)


def title_of(step_id: str) -> str:
    """The step's title in the operator's language."""
    return tr(STEPS[index_of(step_id)].title)
