"""The top line: the program, the step, and which host this is: LOCAL or RECORDED."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widgets import Static

from gpu_bringup.i18n import tr
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.steps import title_of


class HostBar(Static):
    """Keeps the host's label in sight, whatever else is cut."""

    DEFAULT_CSS = """
    HostBar { height: 1; background: $primary-background; padding: 0 1; text-wrap: nowrap; }
    """

    def __init__(self, wizard: Wizard) -> None:
        super().__init__()
        self._wizard = wizard

    def label(self) -> str:
        """ "LOCAL this machine, not root", "RECORDED h200.json"."""
        wizard = self._wizard
        if wizard.recorded:
            return tr("RECORDED {name}").format(name=wizard.recorded_label or wizard.host.label)
        root = wizard.host.uid() == 0
        return tr("LOCAL this machine, root") if root else tr("LOCAL this machine, not root")

    def show(self) -> None:
        left = f"GPU Bring-up  {title_of(self._wizard.current)}"
        right = self.label()
        width = max(20, self.content_region.width or self.app.size.width - 2)
        room = width - cell_len(left) - 2
        if cell_len(right) > room:
            # The end of a path tells more than its beginning.
            word, _, name = right.partition(" ")
            right = f"{word} ..{name[-max(8, room - cell_len(word) - 3) :]}"
        gap = " " * max(2, width - cell_len(left) - cell_len(right))
        style = "bold reverse $warning" if self._wizard.recorded else "bold $text-success"
        self.update(Content.assemble((left, "bold"), gap, (right, style)))

    def on_resize(self, event: events.Resize) -> None:
        self.show()
