"""A real run, followed by the screen: output, secrets, questions, failure, undo, coming back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot

from gpu_bringup import engine
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.ui.pages.run import RunPage
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.screens.log import LogScreen
from gpu_bringup.ui.screens.waiting import WaitingScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.widgets.tail_view import TailView
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import (
    FRESH,
    NARROW,
    WIDE,
    everything_written,
    looked,
    recorded,
    screen_text,
    until,
)

pytestmark = pytest.mark.process
SECRET = "hunter2-xyz"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    return tmp_path


def shell(script: str) -> Command:
    return Command(("sh", "-c", script), root=False, interactive=True)


def held(gate: Path) -> str:
    """Shell that goes on when the file is there: a test that looks at a picture holds the run still."""
    return f"while ! test -e {gate}; do sleep 0.05; done"


def step(name: str, *commands: Command, undo: tuple[Command, ...] = ()) -> Step:
    return Step(
        name, "module", f"The step {name}", f"why {name}", commands, undo=undo,
        estimate_seconds=2, expect=f"what is seen of {name}",
    )  # fmt: skip


def plan(*steps: Step) -> Plan:
    return Plan(target={}, steps=steps)


def local() -> WizardApp:
    return WizardApp(Wizard(LocalHost(), engine.load_catalogue(), Answers()))


async def begin(pilot: Pilot[int], chosen: Plan) -> RunPage:
    await looked(pilot)
    assert isinstance(pilot.app.screen, WizardScreen)
    page = await pilot.app.screen.go("run")
    assert isinstance(page, RunPage)
    page.begin(chosen)
    return page


async def test_output_is_followed_and_the_step_is_explained(state: Path) -> None:
    app = local()
    lines = "for i in 1 2 3; do printf '\\033[32mline\\033[0m %s\\n' $i; done; "
    many = shell(lines + held(state / "go"))
    async with app.run_test(size=WIDE) as pilot:
        await begin(pilot, plan(step("one", many), step("two", shell("sleep 0.2"))))
        await until(pilot, lambda: "line 3" in screen_text(app))
        text = screen_text(app)
        assert "why one" in text and "what is seen of one" in text and "running" in text
        await pilot.press("n")
        assert app.wizard.current == "run", "a run isn't left by accident"
        await pilot.press("l")
        await until(
            pilot, lambda: isinstance(app.screen, LogScreen) and "line 3" in screen_text(app)
        )
        await pilot.press("escape")
        (state / "go").touch()
        await until(pilot, lambda: app.wizard.run_state == "done")
        await until(pilot, lambda: app.wizard.current == "verify")


async def test_a_secret_reaches_the_command_and_nothing_else(state: Path) -> None:
    app = local()
    asks = "import getpass; print(len(getpass.getpass('input password: ')), 'characters')"
    command = Command((sys.executable, "-c", asks), root=False, interactive=True)
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, plan(step("key", command), step("pause", shell(held(state / "go")))))
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await until(pilot, lambda: "input password" in screen_text(app))
        await pilot.press(*SECRET)
        assert SECRET not in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: f"{len(SECRET)} characters" in screen_text(app))
        assert SECRET not in everything_written(app)
        (state / "go").touch()
        await until(pilot, lambda: app.wizard.run_state == "done")
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert kept and all(SECRET.encode() not in path.read_bytes() for path in kept)


async def test_a_question_can_be_put_off_and_answered(state: Path) -> None:
    app = local()
    asks = "printf 'Go on? [Y/n] '; read answer; echo said $answer; "
    command = shell(asks + held(state / "go"))
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, plan(step("ask", command)))
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        await pilot.press("escape")
        await pilot.pause(0.5)
        assert not isinstance(app.screen, AskScreen)
        assert "Go on?" in screen_text(app)
        await pilot.press("i", "y", "enter")
        await until(pilot, lambda: "said y" in screen_text(app))
        (state / "go").touch()
        await until(pilot, lambda: app.wizard.run_state == "done")


async def test_a_failure_shows_cause_evidence_and_ways_on(state: Path) -> None:
    app = local()
    marker = state / "mended"
    broken = shell(f"test -e {marker} || {{ echo 'error: too few arguments'; exit 3; }}")
    chosen = plan(step("good", shell("true")), step("bad", broken), step("later", shell("true")))
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, chosen)
        await until(pilot, lambda: app.wizard.run_state == "failed")
        wanted = ("A step failed.", "exit status 3", "What you can do")

        def text() -> str:
            return " ".join(screen_text(app).split())

        # How lines break depends on the length of this test's own folder.
        await until(pilot, lambda: all(words in text() for words in wanted))
        assert "1 of 3 steps are done" in text()
        assert "error: too few arguments" in text()
        marker.touch()
        await pilot.press("1")
        await until(pilot, lambda: app.wizard.run_state == "done")
        await until(pilot, lambda: app.wizard.current == "verify")


async def test_a_run_is_taken_back_after_a_yes(state: Path) -> None:
    app = local()
    made = state / "made"
    chosen = plan(
        step("make", shell(f"touch {made}"), undo=(shell(f"rm {made}"),)),
        step("bad", shell("exit 1")),
    )
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, chosen)
        await until(pilot, lambda: "What you can do" in screen_text(app))
        assert made.exists()
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert "Take back: The step make" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        assert made.exists(), "Enter alone changes nothing"
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        await pilot.press("2")
        await until(pilot, lambda: "Taken back" in screen_text(app))
        assert not made.exists()


async def test_stopping_is_confirmed_and_keeps_what_is_done() -> None:
    app = local()
    chosen = plan(step("first", shell("true")), step("long", shell("sleep 60")))
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, chosen)
        await until(pilot, lambda: "Step 2 / 2" in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        await pilot.press("2")
        await until(pilot, lambda: app.wizard.run_state == "cancelled")
        await until(pilot, lambda: "Stopped, as you wished." in screen_text(app))
        await pilot.press("q")
    assert app.return_value == 1


async def test_leaving_says_that_the_run_goes_on_and_coming_back_shows_it(state: Path) -> None:
    app = local()
    chosen = plan(step("long", shell(f"echo begun; {held(state / 'go')}; echo through")))
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, chosen)
        await until(pilot, lambda: "begun" in screen_text(app))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert "go on without" in screen_text(app)
        await pilot.press("2")
    assert app.return_value == 0
    again = local()
    async with again.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: isinstance(again.screen, WaitingScreen))
        assert "A run is under way" in screen_text(again)
        await pilot.press("1")
        await until(pilot, lambda: "begun" in screen_text(again))
        (state / "go").touch()
        await until(pilot, lambda: again.wizard.run_state == "done")
        assert any("through" in row for row, _ in again.screen.query_one(TailView)._rows)


async def test_a_run_that_can_not_start_changes_nothing() -> None:
    app = local()
    other = engine.apply(plan(step("long", shell("sleep 30"))), label="other")
    try:
        async with app.run_test(size=NARROW) as pilot:
            await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
            await pilot.press("escape")
            await begin(pilot, plan(step("mine", shell("true"))))
            await until(pilot, lambda: "could not be started" in screen_text(app))
            assert "Nothing was changed" in screen_text(app)
    finally:
        other.cancel()
        other.wait(20)


async def test_at_the_reboot_there_is_nothing_to_stop() -> None:
    app = recorded(FRESH)
    reboot = Step("restart", "loaded", "Reboot this server", "why", (), reboot=True)
    chosen = Plan(target={}, steps=(step("one", shell("true")), reboot))
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        assert isinstance(app.screen, WizardScreen)
        page = await app.screen.go("run")
        assert isinstance(page, RunPage)
        page.model.take({"event": "run-started", "plan": chosen.to_json()})
        app.wizard.run_state = "running"
        page.model.take({"event": "step-started", "step": "one"})
        assert page.check_action("stop", ()) is True
        page.model.take({"event": "step-ended", "step": "one", "state": "done"})
        page.model.take({"event": "step-started", "step": "restart"})
        assert page.check_action("stop", ()) is False
        app.wizard.run_state = ""
