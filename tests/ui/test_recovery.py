"""A broken server in the wizard: the broken rung open, numbered ways on, and what they stop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.in_use import Holder, InUse
from gpu_bringup.model.plan import Plan, Step
from gpu_bringup.recover import door
from gpu_bringup.recover.way import Recovery, Way
from gpu_bringup.ui import recover_flow
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen, Ways
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import FRESH, HOSTS, NARROW, WIDE, looked, recorded, screen_text, until

UPGRADED = "debian13-kernel-upgraded.json"
HELD = InUse(
    (
        Holder(4242, "VLLM::EngineCor", ("nvidia0",), unit="vllm.service"),
        Holder(77, "python3", ("nvidia0",)),
    ),
    ("nvidia-persistenced.service",),
)


def squeezed(app: object) -> str:
    return " ".join(screen_text(app).split())


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_broken_server_opens_with_its_cause_and_the_ways_on(size: tuple[int, int]) -> None:
    app = recorded(UPGRADED)
    async with app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        await until(pilot, lambda: app.screen.query(Ways))
        await pilot.pause()
        text = squeezed(app)
        assert "X Kernel headers: no usable headers for 6.12.115+deb13-amd64" in text
        assert "headers-missing" in text
        assert "/lib/modules/6.12.115+deb13-amd64/build" in text
        assert "layers above don't hold because of it" in text
        for row in ("1 Back to service now: boot 6.12.107", "3 Mend it", "4 Mend it later"):
            assert row in text
        await pilot.press("l")
        assert "follows" in screen_text(app), "the whole ladder is one key away"
        await pilot.press("l")
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        text = squeezed(app)
        assert "Run this on the server" in text and "grub-reboot" in text
        await pilot.press("escape")
        await pilot.press("3")
        await until(pilot, lambda: wizard.current == "questions")


async def test_a_fresh_server_is_not_called_broken() -> None:
    app = recorded(FRESH)
    async with app.run_test(size=WIDE) as pilot:
        wizard = await looked(pilot)
        await pilot.pause()
        assert wizard.recovery is None
        text = squeezed(app)
        assert "Not set up yet" in text and "not yet" in text
        assert "BROKEN" not in text and "Root cause" not in text


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_line_that_is_cut_says_so(size: tuple[int, int]) -> None:
    app = recorded(FRESH)
    async with app.run_test(size=size) as pilot:
        await looked(pilot)
        await pilot.pause()
        rows = screen_text(app).splitlines()
        compiler = next(row for row in rows if "Compiler " in row)
        whole = "compiler not known for 6.12.107+deb13-amd64: not in this record"
        assert compiler.rstrip(" │█▁▂▃▄▅▆▇").endswith("…") or whole in compiler
        guard = next(row for row in rows if "Guarded against" in row)
        assert "5 of 5 packages not held" in guard, "more room on a wider screen, never less"


class Live:
    """The wizard on a host that counts as this machine, at the question before a way is taken."""

    def __init__(self) -> None:
        host = RecordedHost.from_file(HOSTS / UPGRADED)
        self.wizard = Wizard(host, engine.load_catalogue(), Answers(), recorded_label=UPGRADED)
        self.app = WizardApp(self.wizard, Terminal(basic=False, ascii_only=False))
        self.taken: list[Plan] = []

    def ask(self, way: Way, recovery: Recovery) -> None:
        recover_flow.ask(self.app.screen_stack[-1], recovery, way, self.taken.append)


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_before_work_stops_it_shows_what_and_asks(size: tuple[int, int]) -> None:
    live = Live()
    async with live.app.run_test(size=size) as pilot:
        wizard = await looked(pilot)
        assert wizard.recovery is not None
        first = wizard.recovery.ways[0]
        way = replace(first, stops=tuple(holder.words for holder in HELD.known), reboots=False)
        recovery = replace(wizard.recovery, in_use=HELD)
        live.ask(way, recovery)
        await until(pilot, lambda: isinstance(live.app.screen, ChooseScreen))
        await pilot.pause()
        text = squeezed(live.app)
        assert "VLLM::EngineCor (process 4242, vllm.service)" in text
        assert "2 yes, once these programs have ended" in text
        assert "3 yes, and stop these first" in text
        assert "4 yes, and end the processes" in text
        await pilot.press("1")
        assert live.taken == [], "the first answer changes nothing"

        live.ask(way, recovery)
        await pilot.pause()
        await pilot.press("3")
        await until(pilot, lambda: live.taken)
        ids = [step.id for step in live.taken[-1].steps]
        assert ids[:2] == ["stop-vllm.service", "wait-for-programs"]
        assert ids[-1] == "start-vllm.service"

        live.ask(way, recovery)
        await pilot.pause()
        await pilot.press("4")
        await until(pilot, lambda: isinstance(live.app.screen, AskScreen))
        await pilot.press(*"yes", "enter")
        assert isinstance(live.app.screen, AskScreen) and len(live.taken) == 1
        await pilot.press(*["backspace"] * 3, *"kill", "space", *"4242", "space", *"77", "enter")
        await until(pilot, lambda: len(live.taken) == 2)
        assert [step.id for step in live.taken[-1].steps][:2] == ["end-4242", "end-77"]


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_mending_asks_before_it_stops_work(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    live = Live()
    swap = Step("swap", "loaded", "Swap the modules", "", stops_workloads=True)
    build = Step("build", "module", "Build", "")
    monkeypatch.setattr(door, "who", lambda host: HELD)
    async with live.app.run_test(size=size) as pilot:
        await looked(pilot)
        screen = live.app.screen_stack[-1]
        host = live.wizard.host
        recover_flow.before_plan(screen, host, Plan({}, (build,)), live.taken.append)
        assert len(live.taken) == 1, "what stops nothing needs no question"
        recover_flow.before_plan(screen, host, Plan({}, (build, swap)), live.taken.append)
        await until(pilot, lambda: isinstance(live.app.screen, ChooseScreen))
        await pilot.pause()
        text = squeezed(live.app)
        assert "VLLM::EngineCor (process 4242, vllm.service)" in text
        assert "once these programs have ended" in text and "as they are" not in text
        await pilot.press("3")
        await until(pilot, lambda: len(live.taken) == 2)
        assert [step.id for step in live.taken[-1].steps] == [
            "build", "stop-vllm.service", "wait-for-programs", "swap", "start-vllm.service",
        ]  # fmt: skip


async def test_mend_it_later_writes_a_record_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    host = RecordedHost.from_file(HOSTS / UPGRADED)
    catalogue = engine.load_catalogue()
    found = engine.examine(host, engine.observe(host), Answers(), catalogue)
    told = door.put_off(host, found.report)
    assert told.cause == "headers-missing"
    record = RecordedHost.from_file(Path(told.record))
    again = engine.examine(record, engine.observe(record), Answers(), catalogue)
    assert again.report.root_cause is not None and again.report.root_cause.id == "headers"
    assert door.reminded(found.report) == told
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
        "put-off-record.json",
        "put-off.json",
    ]
    healthy = replace(found.report, rungs=())
    assert door.reminded(healthy) is None
    assert not (tmp_path / "put-off.json").exists(), "what is mended needs no reminder"
