"""Runs that outlive their wizard: a second one watches, takes over, comes back after a death."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pexpect
import pytest
from textual.pilot import Pilot

from gpu_bringup import engine
from gpu_bringup.model.plan import Command, Plan, Step
from gpu_bringup.run import lock
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.start import list_runs
from gpu_bringup.run.take_over import Seat, started_by
from gpu_bringup.ui.pages.run import RunPage
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.choose import ChooseScreen
from gpu_bringup.ui.screens.log import LogScreen
from gpu_bringup.ui.screens.waiting import WaitingScreen
from gpu_bringup.ui.screens.wizard import WizardScreen
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import NARROW, WIDE, screen_text, until
from ui.test_run_page import local, plan, shell, step

pytestmark = pytest.mark.process
HERE = Path(__file__).parent
Act = Callable[[Pilot[int]], Awaitable[None]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    yield tmp_path
    for folder in (tmp_path / "runs").glob("*"):
        who = lock.holder(lock.worker_lock(folder))
        if lock.is_held(lock.worker_lock(folder)):
            os.kill(int(who["pid"]), signal.SIGKILL)


def squeezed(app: WizardApp) -> str:
    return " ".join(screen_text(app).split())


def asks(say: str) -> Command:
    return shell(f"printf '{say} [Y/n] '; read answer; echo said $answer; sleep 1")


async def offer(pilot: Pilot[int]) -> None:
    assert isinstance(pilot.app, WizardApp)
    wizard_screen(pilot.app)._offer_unfinished()


async def opened(pilot: Pilot[int]) -> None:
    """The first page where a run is there already."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, WaitingScreen))
    await pilot.pause()


class Driven:
    """A wizard that lives in a task of its own: Textual knows one application a context."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.app = local()
        self._size = size
        self._wanted: asyncio.Queue[tuple[Act, asyncio.Future[None]]] = asyncio.Queue()

    async def __aenter__(self) -> Driven:
        self._task = asyncio.create_task(self._live())
        await self.do(lambda pilot: pilot.pause())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _live(self) -> None:
        async with self.app.run_test(size=self._size) as pilot:
            while True:
                act, done = await self._wanted.get()
                try:
                    await act(pilot)
                    done.set_result(None)
                except AssertionError as error:
                    done.set_exception(error)

    async def do(self, act: Act) -> None:
        """Do something with it."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._wanted.put((act, done))
        await done

    async def press(self, *keys: str) -> None:
        await self.do(lambda pilot: pilot.press(*keys))

    async def until(self, true: Callable[[], object]) -> None:
        await self.do(lambda pilot: until(pilot, true))


async def begin(pilot: Pilot[int], chosen: Plan) -> None:
    """Start a plan, however far the look at this machine is."""
    screen = pilot.app.screen
    assert isinstance(screen, WizardScreen)
    page = await screen.go("run")
    assert isinstance(page, RunPage)
    page.begin(chosen)


def wizard_screen(app: WizardApp) -> WizardScreen:
    screen = app.screen_stack[1]
    assert isinstance(screen, WizardScreen)
    return screen


def done(app: WizardApp) -> bool:
    """Is the run through, and the page that follows there?"""
    wizard = app.wizard
    return wizard.run_state == "done" and wizard.current == "verify"


def run_page(app: WizardApp) -> RunPage:
    return wizard_screen(app).query_one(RunPage)


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_second_wizard_watches_until_it_takes_over(size: tuple[int, int]) -> None:
    chosen = plan(step("begin", shell("echo begun")), step("ask", asks("Go on?")))
    async with Driven(size) as one, Driven(size) as two:
        first, second = one.app, two.app
        await one.do(lambda pilot: begin(pilot, chosen))
        await one.until(lambda: isinstance(first.screen, AskScreen))
        await one.press("escape")
        await one.until(lambda: "Closing this terminal never stops the run" in screen_text(first))

        # The second may have looked before the run began: it is shown the run as any later one is.
        await two.do(offer)
        await two.do(opened)
        text = squeezed(second)
        assert "A run is under way on this server" in text
        assert "started by" in text and "UTC" in text and "1 of 2 steps are done" in text
        assert "1 show it, read-only:" in text
        await two.press("1")
        await two.until(lambda: "READ-ONLY" in screen_text(second))
        await two.until(lambda: "Go on?" in screen_text(second))
        page = run_page(second)
        assert page.watching and not isinstance(second.screen, AskScreen)
        for action in ("stop", "answer"):
            assert page.check_action(action, ()) is False
        await two.press("x", "i")
        assert not isinstance(second.screen, (ChooseScreen, AskScreen))
        assert "t Take over" in screen_text(second).splitlines()[-1]

        # The first one is just typing when the second takes over.
        await one.press("i")
        await one.until(lambda: isinstance(first.screen, AskScreen))
        await two.press("t")
        await two.until(lambda: isinstance(second.screen, ChooseScreen))
        await two.press("enter")
        await two.do(lambda pilot: pilot.pause())
        assert page.watching, "Enter alone takes nothing over"
        await two.press("t", "2")
        await two.until(lambda: isinstance(second.screen, AskScreen))
        await one.until(lambda: not isinstance(first.screen, AskScreen))
        await one.until(lambda: "READ-ONLY" in screen_text(first))
        await one.until(lambda: any("has taken" in told.message for told in first._notifications))
        assert run_page(first).check_action("stop", ()) is False
        await two.press("y", "enter")
        await two.until(lambda: done(second))
        await one.until(lambda: done(first))


async def test_an_answer_typed_just_before_a_take_over_is_not_sent() -> None:
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await begin(pilot, plan(step("ask", asks("Go on?"))))
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        follower = app.wizard.follower
        assert follower is not None
        other = Seat(follower.folder)
        other.take()
        await pilot.press("y", "enter")
        await until(pilot, lambda: "READ-ONLY" in screen_text(app))
        assert run_page(app).model.prompt is not None, "the question is still open"
        other.leave()
        await until(pilot, lambda: "nobody answers" in squeezed(app))
        follower.cancel()
        await until(pilot, lambda: app.wizard.run_state == "cancelled")


def in_a_terminal(*argv: str) -> pexpect.spawn[bytes]:
    """A program in a session and terminal of its own."""
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    return pexpect.spawn(
        argv[0], list(argv[1:]), dimensions=(24, 80), timeout=60,
        env={**os.environ, "TERM": "xterm-256color", "PYTHONPATH": paths, "NO_COLOR": "1"},
    )  # fmt: skip


def hang_up(child: pexpect.spawn[bytes]) -> None:
    """Close the terminal's other side, as a line that breaks does; nothing is sent to the program."""
    child.ptyproc.fileobj.close()
    child.ptyproc.closed = child.closed = True


async def ended(child: pexpect.spawn[bytes]) -> int:
    """Wait for a program's end; returns its wait status."""
    until_gone = time.monotonic() + 60
    while True:
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            return status
        if time.monotonic() > until_gone:
            os.kill(child.pid, signal.SIGKILL)
            raise AssertionError("the wizard still ran")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("end", ["SIGKILL", "hangup", "hangup that is ignored"])
async def test_a_wizard_that_dies_leaves_run_and_seat(state: Path, end: str) -> None:
    chosen = plan(step("begin", shell("echo begun")), step("ask", asks("Go on?")))
    file = state / "wanted.json"
    file.write_text(json.dumps(chosen.to_json()), "utf-8")
    argv = (sys.executable, str(HERE / "wizard_process.py"), str(file))
    if end == "hangup that is ignored":
        # As below nohup, or where the session's leader is another program: nobody sends SIGHUP.
        argv = ("/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh", *argv)
    child = in_a_terminal(*argv)
    child.expect("Go on")
    (run,) = list_runs()
    assert run.state == "running" and Seat(run.folder).other() is not None
    if end == "SIGKILL":
        child.kill(signal.SIGKILL)
    else:
        hang_up(child)
    status = await ended(child)
    if end == "hangup that is ignored":
        assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 1
    else:
        assert os.WIFSIGNALED(status)
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        await until(pilot, lambda: Seat(run.folder).other() is None)
        assert list_runs()[0].state == "running", "the run goes on without its wizard"
        await pilot.press("1")
        await until(pilot, lambda: isinstance(app.screen, AskScreen))
        assert not run_page(app).watching, "a place that nobody has is taken unasked"
        await pilot.press("y", "enter")
        await until(pilot, lambda: done(app))


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_dead_executor_is_the_first_page(state: Path, size: tuple[int, int]) -> None:
    made = state / "made"
    chosen = plan(
        step("first", shell(f"touch {made}"), undo=(shell(f"rm {made}"),)),
        step("second", shell(f"echo cut off; test -e {state}/go || sleep 100")),
        step("third", shell("true")),
    )
    follower = engine.apply(chosen, label="test")
    _wait_for(follower, "second", "cut off")
    os.kill(int(lock.holder(lock.worker_lock(follower.folder))["pid"]), signal.SIGKILL)
    assert (follower.wait(60) or {})["event"] == "run-lost"
    app = local()
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        text = squeezed(app)
        assert "A run waits: it broke off" in text and "1 of 3 steps are done" in text
        assert "+ 1 The step first done" in text
        assert "> 2 The step second begun, not finished" in text
        assert "3 The step third still to come" in text
        for row in ("1 go on: 2 steps are left", "2 look at the log", "3 take it back", "4 leave"):
            assert row in text
        await pilot.press("2")
        await until(pilot, lambda: isinstance(app.screen, LogScreen))
        await until(pilot, lambda: "cut off" in screen_text(app))
        await pilot.press("escape")
        await opened(pilot)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, ChooseScreen))
        assert "Take back: The step first" in squeezed(app)
        await pilot.press("1")
        assert made.exists(), "looking at the way back takes nothing back"
        wizard_screen(app)._offer_unfinished()
        await opened(pilot)
        (state / "go").touch()
        await pilot.press("1")
        await until(pilot, lambda: done(app))


def _wait_for(follower: Follower, wanted: str, said: str) -> None:
    """Wait until a step's command has written something."""
    for event in follower.events(60):
        if event["event"] == "command-started" and event.get("step") == wanted:
            until_said = time.monotonic() + 60
            while said.encode() not in follower.output(event["log"])[0]:
                assert time.monotonic() < until_said
                time.sleep(0.02)
            return
    raise AssertionError(f"{wanted} was not begun")


async def test_a_run_that_waits_for_a_reboot_says_which_comes_first(state: Path) -> None:
    reboot = Step("restart", "loaded", "Reboot into it", "why", (), reboot=True)
    chosen = Plan(target={}, steps=(step("one", shell("true")), reboot, step("two", shell("true"))))
    follower = engine.apply(chosen, label="test")
    ended = follower.wait(60)
    assert ended is not None and ended["state"] == "reboot"
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        text = squeezed(app)
        assert "The reboot is still to come" in text and "go on:" not in text
        assert "1 leave it for now" in text
        await pilot.press("1")
        await pilot.pause()
        assert not isinstance(app.screen, WaitingScreen)
    # The next boot has another id; the journal names the one that the reboot was asked of.
    journal = follower.folder / "journal.jsonl"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    text = journal.read_text("utf-8")
    assert boot in text
    journal.write_text(text.replace(boot, "00000000-0000-0000-0000-000000000000"), "utf-8")
    app = local()
    async with app.run_test(size=NARROW) as pilot:
        await opened(pilot)
        assert "The server was rebooted since" in squeezed(app)
        await pilot.press("1")
        await until(pilot, lambda: done(app))


def test_a_seat_goes_to_one_at_a_time(tmp_path: Path) -> None:
    (tmp_path / "control").mkdir()
    one, two = Seat(tmp_path), Seat(tmp_path)
    assert one.take_if_free() and one.mine() and one.other() is None
    assert not two.take_if_free() and not two.mine() and two.other() is not None
    two.take()
    assert two.mine() and not one.mine() and one.other() is not None
    two.leave()
    assert one.other() is None and not one.mine(), "who was sent away doesn't come back unasked"
    assert one.take_if_free()
    one.leave()
    assert list((tmp_path / "control").iterdir()) == []
    assert started_by(tmp_path) == ("", "")


def test_a_link_in_the_seats_place_is_not_followed(tmp_path: Path) -> None:
    control, precious = tmp_path / "control", tmp_path / "precious"
    control.mkdir()
    precious.write_text("keep")
    (control / "seat.json").symlink_to(precious)
    seat = Seat(tmp_path)
    seat.take()
    assert seat.mine() and precious.read_text() == "keep"
    seat.leave()
    junk = ('{"ticket": "../../x"}', "[]", "nothing", '{"ticket": 1}')
    for text in junk:
        (control / "seat.json").write_text(text)
        assert Seat(tmp_path).other() is None
