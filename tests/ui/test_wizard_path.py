"""The whole path on recorded hosts, at both sizes, by keyboard alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from gpu_bringup.model.ladder import RUNG_IDS
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.widgets.item_list import ItemList
from gpu_bringup.ui.widgets.key_bar import KeyBar
from ui.driving import FRESH, H200, NARROW, WIDE, looked, recorded, screen_text, until


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_fresh_server_from_the_first_look_to_the_plan(size: tuple[int, int]) -> None:
    app = recorded(FRESH)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        text = screen_text(app)
        assert f"RECORDED {FRESH}" in text
        assert "Debian GNU/Linux 13 (trixie)" in text and "H100" in text
        assert "not yet" in text and "holds" in text and "Not set up yet" in text
        await pilot.press("n")
        assert wizard.current == "questions"
        assert "What is this server for?" in screen_text(app)
        await pilot.press("n")
        assert wizard.current == "recommendation"
        assert wizard.situation is not None and wizard.situation.recommendation is not None
        chosen = wizard.situation.recommendation.chosen
        assert chosen is not None and chosen.target.driver.version in screen_text(app)
        await pilot.press("n")
        assert "nothing can be compiled here" in " ".join(screen_text(app).split())
        await pilot.press("n")
        assert wizard.current == "review"
        assert "This is a record: nothing can be changed" in screen_text(app)
        await pilot.press("c")
        assert "$ sudo " in screen_text(app)
        await pilot.press("a")
        assert app.screen is app.screen_stack[1], "a record can't be applied"
        await pilot.press("n")
        await until(pilot, lambda: wizard.after is not None)
        await pilot.pause()
        assert wizard.current == "verify"
        await pilot.press("q")
    assert app.return_value == 0


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_working_host_has_nothing_to_do(size: tuple[int, int]) -> None:
    app = recorded(H200)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        for _ in range(4):
            await pilot.press("n")
            await pilot.pause(0.2)
            await until(pilot, lambda: wizard.situation is not None)
        assert wizard.current == "review"
        await pilot.press("n")
        await until(pilot, lambda: wizard.after is not None)
        await pilot.pause()
        text = screen_text(app)
        assert "GPUs (driver 580.159.04)" in text
        assert "0  NVIDIA H200" in text and "1  NVIDIA H200" in text


async def test_the_ladder_does_not_jump_while_it_fills_in() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        ladder = app.screen.query_one("#ladder", ItemList)
        before = [option.id for option in ladder.options]
        assert before == list(RUNG_IDS)
        await pilot.press("down", "down")
        await looked(pilot)
        assert [option.id for option in ladder.options] == before
        assert ladder.highlighted == 2


async def test_a_rung_opens_with_evidence_and_teaching() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("down", "down", "enter")
        assert isinstance(app.screen, DetailScreen)
        text = screen_text(app)
        assert "not yet" in text and "Why" in text and "Set-up starts here" in text
        await pilot.press("escape")
        assert not isinstance(app.screen, DetailScreen)


async def test_back_and_forward_lose_nothing_and_a_changed_answer_marks_what_follows() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=WIDE) as pilot:
        wizard = await looked(pilot)
        await pilot.press("n", "n")
        await until(pilot, lambda: wizard.situation is not None)
        await pilot.press("n", "b", "b")
        assert wizard.current == "questions"
        situation = wizard.situation
        assert situation is not None
        await pilot.press("4")
        assert isinstance(app.screen, ChooseScreen)
        await pilot.press("escape")
        assert wizard.situation is situation, "looking at a question changes nothing"
        await pilot.press("4", "2")
        await pilot.pause()
        assert wizard.answers.source is not None and wizard.answers.source.value == "distribution"
        assert wizard.situation is None
        assert wizard.step_state("recommendation") == "again"
        assert "again" in screen_text(app)
        await pilot.press("n")
        await until(pilot, lambda: wizard.situation is not None)
        chosen = wizard.situation and wizard.situation.recommendation
        assert chosen and chosen.chosen and chosen.chosen.target.source_kind == "distribution"
        assert chosen.notes, "an ended branch is said loudly"
        assert "!" in screen_text(app)


async def test_a_gpu_that_does_not_exist_is_refused_where_it_is_typed() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        wizard = await looked(pilot)
        await pilot.press("n", "2", "2")
        assert isinstance(app.screen, AskScreen)
        await pilot.press(*"H9000", "enter")
        await pilot.pause()
        assert isinstance(app.screen, AskScreen)
        assert "H9000" in screen_text(app)
        app.screen.query_one(Input).value = "b200"
        await pilot.press("enter")
        await pilot.pause()
        assert wizard.answers.gpus == ("b200",)


async def test_the_plan_is_saved_as_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        wizard = await looked(pilot)
        await pilot.press("n", "n")
        await until(pilot, lambda: wizard.situation is not None)
        await pilot.press("n", "n", "s", "1")
        assert isinstance(app.screen, AskScreen)
        app.screen.query_one(Input).value = str(tmp_path / "no" / "plan.sh")
        await pilot.press("enter")
        await pilot.pause()
        assert "can't be written" in screen_text(app)
        app.screen.query_one(Input).value = "plan.sh"
        await pilot.press("enter")
        await pilot.pause()
    assert (tmp_path / "plan.sh").read_text().startswith("#!")


@pytest.mark.parametrize("size", [NARROW, WIDE, (60, 16)])
async def test_the_bottom_line_names_only_keys_that_work(size: tuple[int, int]) -> None:
    app = recorded(FRESH)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        await pilot.pause()
        bar = app.screen.query_one(KeyBar)
        words = [text for _, text in bar.entries()]
        assert "Next" in words and "Back" not in words
        await pilot.press("n")
        await pilot.pause()
        assert "Back" in [text for _, text in bar.entries()]
        await pilot.press("n")
        await until(pilot, lambda: wizard.situation is not None)
        await pilot.press("n", "n")
        words = [text for _, text in bar.entries()]
        assert "Take the steps" not in words and "Save the plan" in words
        last = screen_text(app).splitlines()[-1]
        assert "Quit" in last and ("Help" in last or "All keys" in last)


async def test_help_is_there_on_every_step() -> None:
    app = recorded(H200)
    async with app.run_test(size=NARROW) as pilot:
        wizard = await looked(pilot)
        seen = set()
        for step in ("look", "questions", "recommendation", "proof", "review", "run", "verify"):
            await app.screen.go(step)  # type: ignore[attr-defined]
            await until(pilot, lambda: wizard.situation is not None)
            await pilot.press("question_mark")
            assert isinstance(app.screen, DetailScreen)
            seen.add(screen_text(app).splitlines()[0])
            await pilot.press("escape")
        assert len(seen) == 7


async def test_too_small_and_back_unharmed() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        wizard = await looked(pilot)
        await pilot.press("n", "down")
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert "needs at least 60x16, has 40x10" in screen_text(app)
        await pilot.press("n", "q", "1")
        assert wizard.current == "questions", "no key acts on what isn't seen"
        await pilot.resize_terminal(*NARROW)
        await pilot.pause()
        text = screen_text(app)
        assert "needs at least" not in text and "For which GPU?" in text
        assert app.screen.query_one("#questions", ItemList).highlighted == 1


async def test_too_small_with_a_dialog_open() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("n", "1")
        await pilot.resize_terminal(40, 10)
        await pilot.pause()
        assert "needs at least 60x16, has 40x10" in screen_text(app)
        await pilot.resize_terminal(*WIDE)
        await pilot.pause()
        assert isinstance(app.screen, ChooseScreen)
        await pilot.press("escape")
        assert "needs at least" not in screen_text(app)


async def test_basic_mode_draws_ascii_only() -> None:
    app = recorded(FRESH, basic=True)
    async with app.run_test(size=NARROW) as pilot:
        wizard = await looked(pilot)
        for keys in (("n",), ("1",), ("escape", "n"), ("n",), ("n",), ("question_mark",)):
            await pilot.press(*keys)
            await pilot.pause(0.1)
            text = screen_text(app)
            assert text.isascii(), {c for c in text if not c.isascii()}
        assert wizard.current == "review"
