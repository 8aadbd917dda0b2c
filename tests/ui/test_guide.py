"""The wizard shows what a guide of 2024-25 named, what holds now and why; and operators' own profiles."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import FRESH, HOSTS, NARROW, WIDE, everything_written, looked, screen_text, until

OWN = """
[[scenario]]
id = "acme"
title = "ACME certified stack"
summary = "What our auditors signed."
extends = "compliance"
pinned_driver = "580.178.04"
sources = []
"""


def wizard_with(folder: Path, scenario: str) -> WizardApp:
    """The wizard on a recorded host, with an operator's folder of profiles."""
    (folder / "acme.toml").write_text(OWN, encoding="utf-8")
    host = RecordedHost.from_file(HOSTS / FRESH)
    catalogue = engine.load_catalogue(folder)
    wizard = Wizard(host, catalogue, Answers(scenario=scenario), recorded_label=FRESH)
    return WizardApp(wizard, Terminal(basic=False, ascii_only=False))


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize(
    ("scenario", "named"),
    [
        ("long-term-stable", "535.129.03 on 5.15"),
        ("new-hardware", "550.54.15 on 6.6 or 6.8"),
        ("kubernetes", "525.105.17 on 5.15 or 6.1"),
        ("compliance", "535.129.03 on 5.14.0-427"),
    ],
)
async def test_the_question_and_the_choice_name_the_difference(
    tmp_path: Path, scenario: str, named: str, size: tuple[int, int]
) -> None:
    app = wizard_with(tmp_path, scenario)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        known = wizard.catalogue.scenarios[scenario]
        await pilot.press("n")
        await until(pilot, lambda: "What is this server for?" in screen_text(app))
        assert f"guide of 2024-25: {named}" in screen_text(app)
        assert "g Guide" in screen_text(app)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        text = everything_written(app)
        for claim in known.claims:
            assert claim.said in text
            assert claim.now in text
            assert claim.reason in text
        assert "read 2026-11-22" in text
        await pilot.press("escape")
        await pilot.press("n")
        await until(pilot, lambda: "Driver   580" in screen_text(app))
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        assert known.guide_difference in everything_written(app)


async def test_an_operators_profile_is_in_the_list_with_its_origin(tmp_path: Path) -> None:
    app = wizard_with(tmp_path, "long-term-stable")
    async with app.run_test(size=WIDE) as pilot:
        await looked(pilot)
        await pilot.press("n")
        await until(pilot, lambda: "What is this server for?" in screen_text(app))
        await pilot.press("1")
        await until(pilot, lambda: "ACME certified stack" in everything_written(app))
        await pilot.press("5")
        await until(pilot, lambda: "> ACME certified stack" in screen_text(app))
        written = " ".join(everything_written(app).split())
        assert "What our auditors signed." in written
        assert f"your own, from {tmp_path}/acme.toml; builds on compliance" in written
        # No guide speaks of it: the key that would show one is not offered.
        assert "g Guide" not in screen_text(app)
        assert "guide of 2024-25" not in screen_text(app)
