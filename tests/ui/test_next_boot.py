"""The page of the next boot: reached from the look page, the same table as the command's."""

from __future__ import annotations

from dataclasses import replace

from gpu_bringup.ladder.base import Context
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.next_boot import next_boot
from gpu_bringup.ui.next_boot_text import next_boot_text
from gpu_bringup.ui.screens.next_boot import NextBootScreen
from gpu_bringup.ui.words import ASIDE, OK
from ui.driving import FRESH, NARROW, looked, recorded, screen_text, until
from unit.make_facts import KERNEL, healthy, make_catalogue, make_kernel


def test_text_has_a_mark_beside_each_colour() -> None:
    facts = replace(healthy(), initramfs=())
    kernels = replace(facts.kernels, installed=(make_kernel(headers=False),))
    facts = replace(facts, kernels=kernels)
    text = next_boot_text(next_boot(Context(facts=facts, catalogue=make_catalogue()))).plain
    assert text.startswith("The next boot starts")
    assert f"{KERNEL}  default, running" in text
    assert "  X headers        missing" in text
    assert "  + module         550.163.01 proprietary" in text
    assert "  ? initramfs      not found" in text


def test_an_unknown_version_has_a_question_mark_and_no_green() -> None:
    facts = replace(healthy(), initramfs=())
    assert isinstance(facts.modules.files, tuple)
    vague = tuple(
        replace(f, version=Unknown("not read"), path=f.path.replace("/dkms", ""))
        for f in facts.modules.files
    )
    facts = replace(facts, modules=replace(facts.modules, files=vague))
    found = next_boot_text(next_boot(Context(facts=facts, catalogue=make_catalogue())))
    at = found.plain.index("? module         version unknown")
    styles = {str(span.style) for span in found.spans if span.start <= at < span.end}
    assert ASIDE in styles and OK not in styles


async def test_reached_from_the_look_page_and_left_again() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("s")
        await until(pilot, lambda: isinstance(app.screen, NextBootScreen))
        await until(pilot, lambda: "No NVIDIA driver is installed" in screen_text(app))
        assert "X module" in screen_text(app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, NextBootScreen))
