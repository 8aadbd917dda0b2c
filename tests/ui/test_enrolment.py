"""The wizard's side of the enrolment: rehearsal, password, reboot, proof, asking again; real keys."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from textual.pilot import Pilot

from gpu_bringup import engine
from gpu_bringup.errors import RunLockedError
from gpu_bringup.facts.collect import collect
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.run.follow import Follower
from gpu_bringup.signing.walk import FIRST, MENU
from gpu_bringup.ui.pages.run import RunPage
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen, Ways
from gpu_bringup.ui.screens.detail import DetailScreen
from gpu_bringup.ui.screens.enrol_password import EnrolPasswordScreen
from gpu_bringup.ui.screens.enrolment import EnrolmentScreen
from gpu_bringup.ui.screens.rehearsal import RehearsalScreen
from gpu_bringup.ui.screens.waiting import WaitingScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.waiting_run import waiting_run as first_run
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import NARROW, WIDE, everything_written, looked, screen_text, until
from unit import secure_record as made

SECRET = "boiler-7734"
THROUGH = ("x", "down", "enter", "down", "enter", "down", "enter", "o", "n", "c", "e", "enter")


def on_record(stage: str, *, basic: bool = False, taken: bool | None = None) -> WizardApp:
    host = made.host(made.secure(stage, taken=taken))
    wizard = Wizard(host, engine.load_catalogue(), Answers(), recorded_label=stage, basic=basic)
    return WizardApp(wizard, Terminal(basic=basic, ascii_only=basic))


def squeezed(app: WizardApp) -> str:
    return " ".join(screen_text(app).replace("│", " ").split())


async def rehearsing(pilot: Pilot[int]) -> RehearsalScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, RehearsalScreen))
    screen = pilot.app.screen
    assert isinstance(screen, RehearsalScreen)
    await until(pilot, lambda: screen.report is not None)
    return screen


# --- the rehearsal


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_screens_are_walked_through_from_the_look_page(size: tuple[int, int]) -> None:
    app = on_record("missed")
    async with app.run_test(size=size) as pilot:
        await looked(pilot)
        await until(pilot, lambda: "e Signing key" in screen_text(app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EnrolmentScreen))
        assert "X key in the firmware" in squeezed(app)
        await pilot.press("r")
        screen = await rehearsing(pilot)
        assert "Press any key to perform MOK management" in screen_text(app)
        assert made.SHA1.upper() in screen_text(app)
        seen = []
        for key in THROUGH:
            await pilot.press(key)
            await pilot.pause()
            seen.append(screen_text(app))
        for text, at in (
            ("Continue boot", 0), ("View key 0", 2), ("Enroll the key(s)?", 4), ("Password:", 6),
            ("Reboot", 11),
        ):  # fmt: skip
            assert text in seen[at], f"{text} after {THROUGH[: at + 1]}"
        assert all(len(line) <= size[0] for text in seen for line in text.splitlines())
        await pilot.press("enter")
        await until(pilot, lambda: "This is all." in screen_text(app))
        assert "Supermicro BMC" in squeezed(app) and "Nobody can reach a console?" in squeezed(app)
        assert screen.walk.over
        await pilot.press("r")
        assert screen.walk.at == FIRST
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, WizardScreen))


async def test_wrong_choices_say_what_they_would_do() -> None:
    app = on_record("waiting")
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("e", "r")
        screen = await rehearsing(pilot)
        await pilot.press("x", "enter")
        await until(pilot, lambda: "the request would be gone" in squeezed(app))
        await pilot.press("x", "x", "down", "enter", "enter")
        await until(pilot, lambda: "View key 0" in screen_text(app))
        rows = made.SHA1.upper()
        assert rows[:29] in screen_text(app) and rows[30:] in screen_text(app)
        await pilot.press("x", "down", "enter", "enter")
        assert screen.walk.at == MENU and "'No': back to the first menu" in squeezed(app)


async def test_the_clock_runs_only_when_it_is_chosen() -> None:
    app = on_record("waiting")
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("e", "r")
        screen = await rehearsing(pilot)
        assert screen._timer is None and "The seconds stand still" in squeezed(app)
        await pilot.press("c")
        assert screen.walk.at == FIRST and screen._timer is not None
        for _ in range(10):
            screen._tick()
        await until(pilot, lambda: "Nobody pressed a key for 10 seconds" in squeezed(app))
        assert screen._timer is None
        await pilot.press("x", "c", "c")
        assert screen.walk.at == MENU, "while it runs, c is any key"


async def test_a_practised_password_stays_nowhere() -> None:
    app = on_record("waiting")
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("e", "r")
        screen = await rehearsing(pilot)
        await pilot.press(*THROUGH[:7], *"cqr-secret")
        assert "Typed so far: 10" in squeezed(app), "every letter is typed, those of keys too"
        assert "cqr-secret" not in screen_text(app)
        await pilot.press("enter")
        assert not screen.walk._letters and "cqr-secret" not in everything_written(app)
        assert "US one" in squeezed(app)


async def test_ascii_where_a_terminal_has_no_more() -> None:
    app = on_record("missed", basic=True)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("e", "r", "x")
        await rehearsing(pilot)
        await pilot.press("down")
        assert "> Enroll MOK" in screen_text(app), "the marked entry is seen without colours"


async def test_a_healthy_enrolment_shows_its_proof() -> None:
    app = on_record("enrolled", taken=True)
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(app.screen, EnrolmentScreen))
        text = squeezed(app)
        assert "Proven: the kernel takes the driver's modules." in text
        assert "+ key in the firmware" in text and "+ key in the kernel" in text
        assert "X " not in text and "Rehearse" not in text
        await pilot.press("r", "a")
        assert isinstance(app.screen, EnrolmentScreen)


async def test_where_nobody_asked_there_is_no_such_key() -> None:
    app = on_record("not-asked")
    async with app.run_test(size=NARROW) as pilot:
        await looked(pilot)
        assert "e Signing key" not in screen_text(app)
        await pilot.press("e")
        assert isinstance(app.screen, WizardScreen)


async def test_the_review_page_rehearses_what_the_plan_asks_for() -> None:
    app = on_record("missed")
    async with app.run_test(size=WIDE) as pilot:
        await looked(pilot)
        assert isinstance(app.screen, WizardScreen)
        assert app.wizard.plan is not None
        assert any(step.id == "enrol-key" for step in app.wizard.plan.steps)
        await app.screen.go("review")
        await until(pilot, lambda: "e Rehearse MOK" in screen_text(app))
        await pilot.press("e")
        await rehearsing(pilot)


# --- a run: the password, the reboot, the proof


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    return tmp_path


MOKUTIL = """
import getpass, sys
for _ in range(3):
    first = getpass.getpass("input password: ")
    again = getpass.getpass("input password again: ")
    if first == again:
        break
    print("password doesn't match")
else:
    sys.exit(1)
print("asked with", len(first), "characters")
"""
"""Prompts as mokutil 0.6.0 has them."""


def enrolling_plan() -> Plan:
    ask = Command((sys.executable, "-c", MOKUTIL), root=False, interactive=True)
    done = Command(("true",), root=False)
    return Plan(
        target={},
        steps=(
            Step("enrol-key", "signature", "Ask the firmware to trust the signing key", "why",
                 (ask,), estimate_seconds=2),
            Step("reboot", "signature", "Reboot", "why", (), reboot=True),
            Step("load", "loaded", "Load the driver", "why", (done,), estimate_seconds=1),
        ),
    )  # fmt: skip


def local(monkeypatch: pytest.MonkeyPatch, stage: str) -> WizardApp:
    """The wizard on this machine, whose facts come from a record; runs are real."""
    facts = collect(made.host(made.secure(stage)))

    def observe(host: object, **_: object) -> Facts:
        return facts

    monkeypatch.setattr(engine, "observe", observe)
    return WizardApp(Wizard(LocalHost(), engine.load_catalogue(), Answers()))


async def begin(pilot: Pilot[int], chosen: Plan) -> RunPage:
    await looked(pilot)
    assert isinstance(pilot.app.screen, WizardScreen)
    page = await pilot.app.screen.go("run")
    assert isinstance(page, RunPage)
    page.begin(chosen)
    return page


@pytest.mark.process
@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_password_is_asked_once_and_the_reboot_told(
    state: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    app = local(monkeypatch, "waiting")
    async with app.run_test(size=size) as pilot:
        page = await begin(pilot, enrolling_plan())
        await until(pilot, lambda: isinstance(app.screen, EnrolPasswordScreen))
        await until(pilot, lambda: "US keyboard layout" in squeezed(app))
        await until(pilot, lambda: "never logged or saved" in squeezed(app))
        await pilot.press("s", "h")
        await until(pilot, lambda: "take 8 or more" in squeezed(app))
        await pilot.press("backspace", "backspace", *SECRET)
        await until(pilot, lambda: "US one" in squeezed(app))
        await pilot.press("enter", "x", "enter")
        await until(pilot, lambda: "The two differ" in squeezed(app))
        assert isinstance(app.screen, EnrolPasswordScreen), "what differs is not sent"
        await pilot.press(*SECRET)
        assert SECRET not in screen_text(app)
        await until(pilot, lambda: "The two agree" in squeezed(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.wizard.run_state == "reboot")
        assert not isinstance(app.screen, AskScreen), "the second prompt is answered by itself"
        assert page._second._kept is None
        await until(pilot, lambda: "What you can do" in screen_text(app))
        assert SECRET not in everything_written(app)
        text = squeezed(app)
        assert "1. Open the console first: Supermicro BMC." in text
        for row in ("2. Reboot: sudo reboot", "3. A blue screen waits ten seconds", "4. Start gpu"):
            assert row in text
        assert "1 rehearse the console's screens" in text
        await pilot.press("r")
        await rehearsing(pilot)
        await pilot.press("escape", "1")
        await rehearsing(pilot)
    kept = [path for path in state.rglob("*") if path.is_file()]
    assert kept and all(SECRET.encode() not in path.read_bytes() for path in kept)


@pytest.mark.process
async def test_no_answer_sends_nothing_and_is_asked_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = local(monkeypatch, "waiting")
    async with app.run_test(size=NARROW) as pilot:
        page = await begin(pilot, enrolling_plan())
        await until(pilot, lambda: isinstance(app.screen, EnrolPasswordScreen))
        await pilot.press("a", "escape")
        await pilot.pause(0.5)
        assert isinstance(app.screen, WizardScreen) and page.running
        await pilot.press("e")
        await rehearsing(pilot)
        await pilot.press("escape", "i")
        await until(pilot, lambda: isinstance(app.screen, EnrolPasswordScreen))
        await pilot.press(*"boiler12", "tab", *"boiler12", "enter")
        await until(pilot, lambda: app.wizard.run_state == "reboot")
        await until(pilot, lambda: "What you can do" in screen_text(app))


def waiting_run(state: Path, *, rebooted: bool) -> Follower:
    """A run that has asked the firmware and waits."""
    follower = engine.apply(enrolling_plan(), label="test")
    for event in follower.events(60):
        if event["event"] == "prompt":
            follower.answer("boiler12")
    assert engine.list_runs()[-1].state == "reboot"
    if rebooted:
        journal = follower.folder / "journal.jsonl"
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
        text = journal.read_text("utf-8")
        assert boot in text
        journal.write_text(text.replace(boot, "00000000-0000-0000-0000-000000000000"), "utf-8")
    return follower


@pytest.mark.process
@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_after_the_reboot_a_missed_screen_is_asked_for_again(
    state: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    waiting_run(state, rebooted=True)
    app = local(monkeypatch, "missed")
    begun: list[Plan] = []

    def apply(plan: Plan, **_: object) -> Follower:
        begun.append(plan)
        raise RunLockedError("not in this test")

    monkeypatch.setattr(engine, "apply", apply)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        await until(pilot, lambda: "1 ask the firmware again" in squeezed(app))
        await until(pilot, lambda: isinstance(app.focused, Ways))
        text = squeezed(app)
        assert "X key in the firmware: the screen of an earlier boot passed" in text
        assert "? nvidia" in text and "Missed: the screen passed without an answer" in text
        assert "2 rehearse" in text
        await pilot.press("2")
        await rehearsing(pilot)
        await pilot.press("escape", "3")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        assert "Nobody can reach a console?" in squeezed(app)
        await pilot.press("escape", "1")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert "Ask the firmware to trust the signing key" in squeezed(app)
        assert not begun, "nothing is done before a yes"
        await pilot.press("2")
        await until(pilot, lambda: bool(begun))
    assert [step.id for step in begun[0].steps] == ["enrol-key", "reboot"]


@pytest.mark.process
async def test_after_the_reboot_an_enrolled_key_is_proven_and_the_run_goes_on(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting_run(state, rebooted=True)
    app = local(monkeypatch, "enrolled")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        await until(pilot, lambda: "What you can do 1" in squeezed(app))
        await until(pilot, lambda: isinstance(app.focused, Ways))
        text = squeezed(app)
        assert "+ key in the firmware: the firmware trusts the key" in text
        assert "ask the firmware again" not in text
        await pilot.press("1")
        await until(pilot, lambda: app.wizard.run_state == "done")
        await until(pilot, lambda: app.wizard.after is not None)


@pytest.mark.process
async def test_before_the_reboot_the_first_page_rehearses(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting_run(state, rebooted=False)
    app = local(monkeypatch, "waiting")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        assert "The reboot is still to come" in squeezed(app)
        await pilot.press("1")
        await rehearsing(pilot)


def broken_off(name: str) -> Plan:
    """The request, then a step before the reboot that fails."""
    asks = enrolling_plan().steps[0]
    fails = Step(name, "boot", "Rebuild the initramfs", "why", (Command(("false",), root=False),))
    return Plan(target={}, steps=(asks, fails))


@pytest.mark.process
@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_request_whose_run_failed_is_the_first_page(
    state: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    follower = engine.apply(broken_off("initramfs"), label="test")
    for event in follower.events(60):
        if event["event"] == "prompt":
            follower.answer("boiler12")
    assert engine.list_runs()[-1].state == "failed"
    app = local(monkeypatch, "waiting")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        await until(pilot, lambda: "What you can do 1 go on: 1 step is left" in squeezed(app))
        await until(pilot, lambda: isinstance(app.focused, Ways))
        text = squeezed(app)
        assert "A run asked the firmware to trust a key, then a step failed" in text
        assert "Its request waits in the firmware" in text and "1 of 2 steps are done." in text
        assert "Waiting for the reboot" in text and "2 rehearse" in text
        await pilot.press("2")
        await rehearsing(pilot)


@pytest.mark.process
async def test_a_failed_run_that_asked_no_firmware_is_not_offered(state: Path) -> None:
    fails = Step("load", "loaded", "Load", "why", (Command(("false",), root=False),))
    follower = engine.apply(Plan(target={}, steps=(fails,)), label="test")
    ended = follower.wait(60)
    assert ended is not None and ended["state"] == "failed"
    assert first_run() is None


@pytest.mark.process
async def test_what_stands_out_at_the_reboot_is_not_counted_as_done(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = Plan(target={}, steps=enrolling_plan().steps[:2])
    follower = engine.apply(chosen, label="test")
    for event in follower.events(60):
        if event["event"] == "prompt":
            follower.answer("boiler12")
    app = local(monkeypatch, "waiting")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
        text = squeezed(app)
        assert "1 of 2 steps are done; the reboot is next." in text
        assert "2 Reboot the reboot is next" in text


@pytest.mark.process
async def test_a_run_that_waited_is_overtaken_when_the_firmware_is_asked_again(state: Path) -> None:
    waiting_run(state, rebooted=True)
    again = engine.apply(Plan(target={}, steps=enrolling_plan().steps[:1]), label="test")
    assert [run.state for run in engine.list_runs()] == ["reboot", "running"]
    for event in again.events(60):
        if event["event"] == "prompt":
            again.answer("boiler12")
    assert [run.state for run in engine.list_runs()] == ["overtaken", "done"]
    assert first_run() is None
