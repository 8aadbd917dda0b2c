"""The line of keys never lies: what it names works, and what works is named there or in the help."""

from __future__ import annotations

import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from textual.pilot import Pilot

from gpu_bringup.ui.keys import Hint, hints, keys_text
from gpu_bringup.ui.screens.choose import Ways
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.screens.next_boot import NextBootScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.widgets.key_bar import KeyBar
from gpu_bringup.ui.widgets.tail_view import TailView
from gpu_bringup.ui.wizard_app import WizardApp
from ui.broken import broken
from ui.driving import FRESH, H200, NARROW, WIDE, looked, recorded, screen_text, still, until

UPGRADED = "kernel-upgraded"
MOVES = {
    "up", "down", "left", "right", "home", "end", "pageup", "pagedown", "tab", "shift+tab",
    "ctrl+home", "ctrl+end", "ctrl+pageup", "ctrl+pagedown",
}  # fmt: skip
KEYS = [
    *string.ascii_lowercase, *"NGT", *string.digits, "space", "enter", "escape", "backspace", "delete",
    "slash", "question_mark", *(f"f{number}" for number in range(1, 13)), "ctrl+l", "ctrl+p", "ctrl+r",
]  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A page or screen, and the way to it."""

    name: str
    make: Callable[[], WizardApp]
    reach: Callable[[Pilot[int]], Awaitable[object]]
    pressed: bool = True
    """Is each of its keys pressed, in a wizard of its own? Once for pages that look alike."""

    def __str__(self) -> str:
        return self.name


def keys(*pressed: str) -> Callable[[Pilot[int]], Awaitable[object]]:
    async def reach(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, WizardApp)
        for key in pressed:
            await pilot.press(key)
            await pilot.pause()
            await until(pilot, lambda: app.wizard.situation is not None)
        if isinstance(app.screen, NextBootScreen):
            await until(pilot, lambda: "Reading each" not in screen_text(app))

    return reach


def step(name: str) -> Callable[[Pilot[int]], Awaitable[object]]:
    async def reach(pilot: Pilot[int]) -> None:
        app = pilot.app
        assert isinstance(app, WizardApp) and isinstance(app.screen, WizardScreen)
        await app.screen.go(name)
        await until(pilot, lambda: name != "verify" or app.wizard.after is not None)

    return reach


async def _log(pilot: Pilot[int]) -> None:
    from pathlib import Path

    from gpu_bringup.ui.screens.log import LogScreen

    pilot.app.push_screen(LogScreen(Path(__file__)))


PLACES = [
    Place("fresh", lambda: recorded(FRESH), keys(), False),
    Place("healthy", lambda: recorded(H200), keys()),
    Place("ways", lambda: broken(UPGRADED), keys()),
    Place("two-ways", lambda: broken("off-the-bus"), keys(), False),
    Place("to-decide", lambda: broken("unsigned"), keys()),
    Place("ladder-of-ways", lambda: broken(UPGRADED), keys("l")),
    Place("about-a-way", lambda: broken(UPGRADED), keys("i")),
    Place("next-boot", lambda: broken(UPGRADED), keys("s")),
    Place("rung", lambda: broken(UPGRADED), keys("l", "enter")),
    Place("help", lambda: broken(UPGRADED), keys("question_mark")),
    Place("log", lambda: recorded(FRESH), _log),
    Place("question", lambda: recorded(FRESH), keys("n", "1")),
    *(
        Place(f"{host.split('.')[0]}-{name}", make, step(name), host == UPGRADED)
        for host, make in ((FRESH, lambda: recorded(FRESH)), (UPGRADED, lambda: broken(UPGRADED)))
        for name in ("questions", "recommendation", "proof", "review", "run", "verify")
    ),
]


def state(app: WizardApp) -> tuple[Any, ...]:
    """All that a key could change."""
    wizard, screen = app.wizard, app.screen
    tails = [(view.following, view._wrap) for view in screen.query(TailView)]
    return (
        [type(shown).__name__ for shown in app.screen_stack], screen_text(app), wizard.current,
        id(wizard.facts), id(wizard.situation), id(wizard.after), wizard.answers,
        len(app._notifications), app.return_value, app._exit, str(screen.focused), tails,
    )  # fmt: skip


async def settle(pilot: Pilot[int], place: Place) -> WizardApp:
    app = pilot.app
    assert isinstance(app, WizardApp)
    wizard = await looked(pilot)
    if wizard.recovery is not None:
        await until(pilot, lambda: app.screen.query(Ways))
    await place.reach(pilot)
    await still(pilot)
    return app


def bar(app: WizardApp) -> str:
    return screen_text(app).splitlines()[-1]


@pytest.mark.parametrize("place", PLACES, ids=str)
async def test_no_key_works_that_is_not_named(place: Place) -> None:
    app = place.make()
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot, place)
        found = hints(app.screen)
        named = {key for hint in found for key in hint.keys}
        helps = any(hint.action == "help" for hint in found)
        told = keys_text(app.screen).plain if helps else ""
        for hint in found:
            in_line = f"{hint.shown} {hint.text}" in bar(app)
            assert in_line or (hint.shown in told and hint.text in told), hint
        for key in KEYS:
            if key in named or key in MOVES:
                continue
            before = state(app)
            await pilot.press(key)
            assert state(app) == before, f"{key} does something and is named nowhere"


@pytest.mark.parametrize("place", [place for place in PLACES if place.pressed], ids=str)
async def test_every_key_that_is_named_works(place: Place) -> None:
    app = place.make()
    async with app.run_test(size=WIDE) as pilot:
        await settle(pilot, place)
        wanted: list[Hint] = hints(app.screen)
        assert {hint.shown for hint in wanted if hint.in_bar} == {
            key for key, _ in app.screen.query_one(KeyBar).entries()
        }
    assert wanted
    for hint in wanted:
        if hint.action == "scroll_up":  # at its end already; the text beside it is another key's
            continue
        await _works(place, next(key for key in hint.keys if not key.startswith("ctrl")))


async def _works(place: Place, key: str) -> None:
    app = place.make()
    async with app.run_test(size=WIDE) as pilot:
        await settle(pilot, place)
        before = state(app)
        await pilot.press(key)
        await until(pilot, lambda: state(app) != before, 10)


async def test_a_way_that_is_not_seen_is_not_taken() -> None:
    app = broken(UPGRADED)
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot, PLACES[2])
        await pilot.press("l")
        assert "l The ways" in bar(app) and "i About" not in bar(app)
        await pilot.press("i")
        assert not isinstance(app.screen, DetailScreen)
        await pilot.press("3")
        ways = app.screen.query_one(Ways)
        assert app.wizard.current == "look" and ways.has_focus and ways.highlighted == 2
        await pilot.press("l", "escape")
        assert app.screen.query_one(Ways).has_focus, "Esc goes back to the ways"
        assert "s Next boot" in bar(app)


async def test_a_look_that_ends_late_leaves_the_keys_of_the_page_that_is_seen() -> None:
    app = broken(UPGRADED)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("n", "b", "r")
        screen = app.screen
        assert isinstance(screen, WizardScreen)
        await screen.go("run")
        before = app.wizard.situation
        await until(pilot, lambda: app.wizard.situation is not before or app.wizard.facts)
        await still(pilot)
        assert "Look again" not in [text for _, text in screen.query_one(KeyBar).entries()]


@pytest.mark.parametrize("key", ["ctrl+c", "ctrl+q"])
async def test_ctrl_c_closes_what_lies_on_top_and_then_leaves(key: str) -> None:
    app = broken(UPGRADED)
    async with app.run_test(size=NARROW) as pilot:
        await settle(pilot, PLACES[2])
        await pilot.press("question_mark", key)
        await until(pilot, lambda: isinstance(app.screen, WizardScreen))
        await pilot.press(key)
        await pilot.pause()
    assert app.return_value == 0
