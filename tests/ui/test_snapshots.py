"""A few pictures that a person has looked at; made of fixed data, so that they change only with the
screens themselves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from gpu_bringup import engine
from gpu_bringup.facts.described import described_facts
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.ui.pages.outcome import OutcomePage
from gpu_bringup.ui.pages.review import ReviewPage
from gpu_bringup.ui.run_model import RunModel
from gpu_bringup.ui.screens.ask import AskScreen
from gpu_bringup.ui.screens.base import FullScreen
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.widgets.run_steps import RunSteps
from gpu_bringup.ui.widgets.tail_view import TailView
from gpu_bringup.ui.wizard_app import WizardApp
from small_catalogue import CATALOGUE
from ui.driving import FRESH, HOSTS, NARROW, WIDE, until

PLAN = Plan(
    target={},
    steps=(
        Step(
            "headers", "headers", "Install kernel headers, compiler and dkms",
            "Modules are compiled against the headers of exactly the kernel that will load them.",
            (Command(("apt-get", "install", "-y", "linux-headers-amd64", "dkms")),),
            estimate_seconds=120, download_bytes=70_000_000, installed_bytes=300_000_000,
            expect="Lines of apt, then a prompt again.",
        ),
        Step(
            "nouveau", "nouveau", "Keep nouveau off the GPUs", "Only one driver can hold a GPU.",
            writes=(Write("/etc/modprobe.d/gpu-bringup.conf", "blacklist nouveau\n"),),
            risk="A screen on the GPU keeps only a simple picture.",
        ),
        Step(
            "reboot", "loaded", "Reboot this server", "The new modules are loaded at boot.",
            reboot=True, stops_workloads=True, estimate_seconds=180, risk="All users are cut off.",
        ),
    ),
)  # fmt: skip

RunBefore = Callable[[Pilot[int]], Awaitable[None]]


class SnapCompare(Protocol):
    def __call__(
        self, app: WizardApp, *, terminal_size: tuple[int, int], run_before: RunBefore
    ) -> bool: ...


class _Still(FullScreen[None]):
    """One page or widget alone, without what would look at the host."""


def still(basic: bool = False) -> WizardApp:
    host = RecordedHost.from_file(HOSTS / FRESH)
    wizard = Wizard(host, CATALOGUE, Answers(), recorded_label=FRESH, basic=basic)

    class App(WizardApp):
        def first_screen(self) -> Screen[None]:
            return _Still()

    return App(wizard, Terminal(basic=basic, ascii_only=basic))


def screen_of(pilot: Pilot[int]) -> Screen[object]:
    return pilot.app.screen


@pytest.mark.parametrize(("size", "basic"), [(NARROW, True), (WIDE, False)])
def test_review(snap_compare: SnapCompare, size: tuple[int, int], basic: bool) -> None:
    app = still(basic)

    async def before(pilot: Pilot[int]) -> None:
        facts = described_facts(Answers(os="debian:13", gpus=("h100",)), CATALOGUE)
        ctx = engine.context(None, facts, CATALOGUE)
        app.wizard.situation = engine.Situation(facts, ctx, engine.check(ctx), PLAN)
        page = ReviewPage(app.wizard)
        await screen_of(pilot).mount(page)
        page.enter()
        page.action_commands()
        page.first_focus()
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=before)


def failed() -> RunModel:
    model = RunModel()
    model.take({"event": "run-started", "plan": PLAN.to_json()})
    model.take({"event": "step-started", "step": "headers", "time": "2026-11-22T10:00:00Z"})
    model.take({"event": "step-ended", "step": "headers", "state": "failed",
                "time": "2026-11-22T10:01:10Z"})  # fmt: skip
    model.take({"event": "run-ended", "state": "failed",
                "message": "apt-get ended with exit status 100."})  # fmt: skip
    return model


def test_failure(snap_compare: SnapCompare) -> None:
    app = still()

    async def before(pilot: Pilot[int]) -> None:
        page = OutcomePage(app.wizard)
        await screen_of(pilot).mount(page)
        page.show(failed())
        await pilot.pause()

    assert snap_compare(app, terminal_size=NARROW, run_before=before)


def test_run_with_a_secret_prompt(snap_compare: SnapCompare) -> None:
    app = still()

    async def before(pilot: Pilot[int]) -> None:
        view, steps = TailView(), RunSteps()
        await screen_of(pilot).mount(view, steps)
        view.focus()
        view.add_lines([f"\x1b[32mSetting up\x1b[0m package-{number} ..." for number in range(30)])
        await until(pilot, lambda: not view.behind)
        await pilot.app.push_screen(
            AskScreen("[sudo] password for op:", "It goes to sudo only.", secret=True)
        )
        await pilot.press(*"abc")
        app.screen.query_one(Input).cursor_blink = False
        await pilot.pause()

    assert snap_compare(app, terminal_size=NARROW, run_before=before)
