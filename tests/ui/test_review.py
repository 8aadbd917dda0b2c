"""The last page before anything is changed: what undo will have, and what it can't take back."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from gpu_bringup import engine
from gpu_bringup.errors import RunLockedError
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.run.store import Estimate
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.undo_text import kept_text, no_room
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import NARROW, WIDE, looked, screen_text, until

pytestmark = pytest.mark.process
FITS = Estimate(14, 412_000_000, 20_000_000_000, 500_000_000, (("nvidia-driver", "535.216.01-1"),))
FULL = replace(FITS, free=300_000_000)
KEY = "A key that was confirmed at the console stays in the firmware"
PLAN = Plan(
    target={},
    steps=(
        Step("driver", "module", "Install the driver", "why", (Command(("true",)),),
             risk="Programs that use the GPUs must end first."),
        Step("enrol-key", "signature", "Ask the firmware", "why",
             (Command(("mokutil", "--import", "/var/lib/dkms/mok.pub")),),
             risk="The console must be reached at the next boot."),
    ),
)  # fmt: skip


class Applied:
    """What the engine was asked to apply; it refuses, so nothing is done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kept: list[object] = []
        monkeypatch.setattr(engine, "apply", self)

    def __call__(self, plan: Plan, *, old_packages: bool, **_: object) -> None:
        assert plan is PLAN
        self.kept.append(old_packages)
        raise RunLockedError("not in this test")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))


def squeezed(app: object) -> str:
    return " ".join(screen_text(app).replace("│", " ").replace("▄", " ").split())


async def review(pilot: Pilot[int], chosen: Plan = PLAN) -> None:
    wizard = await looked(pilot)
    assert wizard.situation is not None
    wizard.situation = replace(wizard.situation, plan=chosen)
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    await screen.go("review")
    await pilot.pause()


def local() -> WizardApp:
    return WizardApp(Wizard(LocalHost(), engine.load_catalogue(), Answers()))


def keeps(monkeypatch: pytest.MonkeyPatch, found: Estimate | None) -> None:
    def keeping(_: object, chosen: Plan) -> Estimate | None:
        return found

    monkeypatch.setattr(engine, "keeping", keeping)


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_both_are_told_on_the_page_and_before_the_yes(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    applied = Applied(monkeypatch)
    keeps(monkeypatch, FITS)
    app = local()
    async with app.run_test(size=size) as pilot:
        await review(pilot)
        kept = "Kept for undo first: 14 old packages, 412 MB (20 GB free)."
        await until(pilot, lambda: kept in squeezed(app))
        gone = "! nvidia-driver 535.216.01-1 is in no repository any more"
        for told in (f"! Can't be undone: {KEY}", gone):
            assert told in squeezed(app), told
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        for told in (f"! Can't be undone: {KEY}", kept, gone, "2 yes, take 2 steps now"):
            assert told in squeezed(app), told
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        assert "The console must be reached" in squeezed(app), "all of it can be read"
        assert applied.kept == []
        await pilot.press("2")
        await until(pilot, lambda: applied.kept == [True])


async def test_without_room_the_other_way_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    applied = Applied(monkeypatch)
    keeps(monkeypatch, FULL)
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await review(pilot)
        none = "! No room to keep 14 old packages, 412 MB for undo: 300 MB are free."
        await until(pilot, lambda: none in squeezed(app))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert none in squeezed(app)
        assert "2 yes, take them without keeping the old packages" in squeezed(app)
        await pilot.press("2")
        await until(pilot, lambda: applied.kept == [False])


async def test_the_question_waits_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    known = threading.Event()

    def keeping(_: object, chosen: Plan) -> Estimate:
        known.wait(60)
        return FITS

    monkeypatch.setattr(engine, "keeping", keeping)
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await review(pilot)
        await pilot.press("a")
        await pilot.pause()
        assert not isinstance(app.screen, ChooseScreen)
        known.set()
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert "14 old packages" in squeezed(app)


async def test_a_question_that_was_left_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    known, told = threading.Event(), threading.Event()

    def keeping(_: object, chosen: Plan) -> Estimate:
        known.wait(60)
        told.set()
        return FITS

    monkeypatch.setattr(engine, "keeping", keeping)
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await review(pilot)
        await pilot.press("a", "b")
        assert app.wizard.current == "proof"
        known.set()
        await until(pilot, told.is_set)
        await pilot.pause(0.2)
        assert isinstance(app.screen, WizardScreen)


def test_words() -> None:
    assert kept_text(None, makes_room=False).plain == ""
    assert kept_text(replace(FITS, packages=0), makes_room=False).plain == ""
    one = replace(FITS, packages=1, bytes=0, missing=())
    assert kept_text(one, makes_room=False).plain == (
        "Kept for undo first: 1 old package (20 GB free)."
    )
    many = replace(FITS, missing=tuple((f"package-{n}", "1.0") for n in range(5)))
    assert kept_text(many, makes_room=False).plain.splitlines()[-1] == "! ... and 2 more"
    assert no_room(FULL, makes_room=False) and not no_room(FULL, makes_room=True)
    assert not no_room(FITS, makes_room=False) and not no_room(None, makes_room=False)
