"""The page of the next boot: reached from the look page, the same table as the command's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.ladder.base import Context
from gpu_bringup.next_boot import next_boot
from gpu_bringup.ui.next_boot_text import next_boot_text
from unit.make_facts import KERNEL, healthy, make_catalogue, make_kernel


def test_text_has_a_mark_beside_each_colour() -> None:
    facts = replace(healthy(), initramfs=())
    facts = replace(
        facts, kernels=replace(facts.kernels, installed=(make_kernel(headers=False),))
    )
    text = next_boot_text(next_boot(Context(facts=facts, catalogue=make_catalogue()))).plain
    assert text.startswith("The next boot starts")
    assert f"{KERNEL}  default, running" in text
    assert "  X headers        missing" in text
    assert "  + module         550.163.01 proprietary" in text
    assert "  ? initramfs      not found" in text


@pytest.mark.parametrize("name", ["debian13-fresh"])
async def test_reached_from_the_look_page(name: str) -> None:
    from ui.driving import wizard_app

    app = wizard_app(Path(__file__).parent.parent / "hosts" / f"{name}.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
