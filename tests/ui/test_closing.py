"""A wizard that closes while its run, a timer or a thread still has something to say."""

from __future__ import annotations

import asyncio
import threading

import pytest
from textual.content import Content
from textual.css.query import NoMatches
from textual.dom import NoScreen

from gpu_bringup.ui import background
from gpu_bringup.ui.details import Detail
from gpu_bringup.ui.pages.run import RunPage
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from ui.driving import FRESH, NARROW, looked, recorded, until


def ended(state: str) -> RunPage.Ended:
    return RunPage.Ended(RunModel(ended={"event": "run-ended", "state": state, "message": "it"}))


@pytest.mark.parametrize("state", ["failed", "done"])
@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8])
async def test_a_run_that_ends_while_the_wizard_closes(state: str, turns: int) -> None:
    """Its end arrives, and this many turns of the loop later the screen is taken down."""
    app = recorded(FRESH)

    async def closed() -> None:
        async with app.run_test(size=NARROW) as pilot:
            await looked(pilot)
            screen = app.screen
            assert isinstance(screen, WizardScreen)
            await screen.go("run")
            screen.post_message(ended(state))
            for _ in range(turns):
                await asyncio.sleep(0)

    await asyncio.wait_for(closed(), 60)
    assert app.fault is None


async def test_a_closed_wizard_mounts_no_page() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        screen = app.screen
        assert isinstance(screen, WizardScreen)
        app.exit(0)
        with pytest.raises(NoScreen):
            await screen.go("outcome")
    assert app.fault is None and app.return_value == 0


async def test_the_same_error_in_an_open_wizard_is_a_fault() -> None:
    app = recorded(FRESH)
    with pytest.raises(NoMatches):
        async with app.run_test(size=NARROW) as pilot:
            await looked(pilot)
            app.call_later(lambda: app.screen.query_one("#nowhere"))
            await until(pilot, lambda: app.fault is not None)
    assert isinstance(app.fault, NoMatches)


async def test_a_result_for_a_dialog_that_was_closed_is_dropped() -> None:
    app = recorded(FRESH)
    go, through = threading.Event(), threading.Event()
    told: list[object] = []
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        dialog = DetailScreen(Detail("title", Content("text")))
        await app.push_screen(dialog)

        def work() -> None:
            go.wait(60)

        background.start(dialog, work, told.append, "late")
        background.start(app.screen_stack[1], work, lambda _: through.set(), "in-time")
        await pilot.press("escape")
        await until(pilot, lambda: not dialog.is_attached)
        go.set()
        await until(pilot, through.is_set)
        await pilot.pause()
    assert told == [] and app.fault is None
