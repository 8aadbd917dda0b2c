"""A wizard in a process and terminal of its own that starts a plan: ``python wizard_process.py PLAN``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gpu_bringup import engine
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Plan
from gpu_bringup.ui import farewell
from gpu_bringup.ui.pages.run import RunPage
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.wizard_app import WizardApp


class Beginning(WizardScreen):
    """The wizard's own screen, at the moment at which the operator has said yes to a plan."""

    def __init__(self, wizard: Wizard, plan: Plan) -> None:
        super().__init__(wizard)
        self._plan = plan

    def _offer_unfinished(self) -> None:
        self._begin_way(self._plan)


class Starter(WizardApp):
    def __init__(self, wizard: Wizard, plan: Plan) -> None:
        super().__init__(wizard)
        self._plan = plan

    def first_screen(self) -> Beginning:
        return Beginning(self.wizard, self._plan)


if __name__ == "__main__":
    assert RunPage.STEP == "run"
    chosen = Plan.from_json(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    host = Wizard(LocalHost(), engine.load_catalogue(), Answers())
    status = Starter(host, chosen).run()
    farewell.say(host)
    raise SystemExit(status)
