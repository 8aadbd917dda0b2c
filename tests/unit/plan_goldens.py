"""Plans as texts: what a change of code or data changes in them is seen in a diff.

Each ``test_plans_*.py`` beside this file has ``FOLDER`` (where its texts lie) and ``CASES``. To write
all texts anew, run this module; then read the diff:

    PYTHONPATH=tui:tests python -m unit.plan_goldens
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.commands.plan import told
from gpu_bringup.engine import described, examine
from gpu_bringup.errors import BringupError
from gpu_bringup.export.plans import export
from gpu_bringup.model.answers import Answers, SourceKind

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.plan import Plan

HERE = Path(__file__).resolve().parent
PLANS = HERE.parent / "cases" / "plans"


@dataclass(frozen=True)
class PlanCase:
    """A host by flags: ``gb plan --os … --gpu … --kernel …``."""

    os: str
    kernel: str
    gpus: tuple[str, ...]
    secure_boot: bool | None = None
    source: str = ""
    scenario: str = "long-term-stable"
    driver: str = ""

    @property
    def name(self) -> str:
        """File name of its text."""
        boards = "-".join(dict.fromkeys(self.gpus))
        count = f"-x{len(self.gpus)}" if len(self.gpus) > 1 else ""
        signed = {None: "", True: "secure-boot", False: "no-secure-boot"}[self.secure_boot]
        scenario = "" if self.scenario == "long-term-stable" else self.scenario
        machine = "arm" if "aarch64" in self.kernel or self.kernel.endswith("64kb") else ""
        uek = "uek" if "uek" in self.kernel else ""
        parts = (
            self.os, boards + count, uek, machine, signed, self.source, scenario, self.driver,
        )  # fmt: skip
        return "_".join(p for p in parts if p).replace(":", "-").replace(" ", "-").lower()

    @property
    def answers(self) -> Answers:
        """The same as the engine takes it."""
        return Answers(
            scenario=self.scenario,
            gpus=self.gpus,
            source=SourceKind(self.source) if self.source else None,
            kernel=self.kernel,
            secure_boot=self.secure_boot,
            os=self.os,
            driver=self.driver,
            local_packages="/media/packages" if self.source == "local" else "",
        )


def make(case: PlanCase, catalogue: Catalogue) -> tuple[Plan, tuple[str, ...]]:
    """(the plan, what is said besides it)."""
    situation = examine(None, described(case.answers, catalogue), case.answers, catalogue)
    return told(situation, case.answers), tuple(situation.notes)


def text(case: PlanCase, catalogue: Catalogue) -> str:
    """What an operator would read, files that are written included by name."""
    try:
        plan, notes = make(case, catalogue)
    except BringupError as error:
        return f"Refused: {error}\n"
    said = [*(f"! {note}" for note in notes), *(f"! {item}" for item in plan.blocked)]
    return export(plan, "text") + "".join(f"{line}\n" for line in said)


def write_all(catalogue: Catalogue) -> int:
    """Write the texts of every ``test_plans_*.py``; returns how many."""
    count = 0
    for path in sorted(HERE.glob("test_plans_*.py")):
        module = import_module(f"unit.{path.stem}")
        module.FOLDER.mkdir(parents=True, exist_ok=True)
        wanted = {f"{case.name}.txt": case for case in module.CASES}
        for old in module.FOLDER.glob("*.txt"):
            if old.name not in wanted:
                old.unlink()
        for name, case in wanted.items():
            (module.FOLDER / name).write_text(text(case, catalogue), encoding="utf-8")
            count += 1
    return count


if __name__ == "__main__":
    from gpu_bringup.engine import load_catalogue

    print(f"{write_all(load_catalogue())} texts written; read the diff")
