"""The wizard's recommendation page: every candidate against every rule on one key."""

from __future__ import annotations

import pytest

from gpu_bringup.ui.screens.detail import DetailScreen
from ui.driving import FRESH, NARROW, WIDE, looked, recorded, screen_text, until


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_all_candidates_and_what_would_change_the_choice(size: tuple[int, int]) -> None:
    app = recorded(FRESH)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        await pilot.press("n")
        await pilot.press("n")
        await until(pilot, lambda: wizard.situation is not None)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        await pilot.pause()
        text = screen_text(app)
        assert "Why this choice and no other" in text
        assert "the choice" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, DetailScreen)
        assert wizard.current == "recommendation"
        await pilot.press("q")
