"""Starts the wizard without a terminal and reads what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

from gpu_bringup import engine
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.wizard_app import WizardApp

HOSTS = Path(__file__).resolve().parents[1] / "hosts"
FRESH, H200 = "debian13-fresh.json", "h200-x2.json"
NARROW, WIDE = (80, 24), (120, 36)


def recorded(name: str, *, basic: bool = False) -> WizardApp:
    """The wizard on a recorded host."""
    host = RecordedHost.from_file(HOSTS / name)
    wizard = Wizard(host, engine.load_catalogue(), Answers(), recorded_label=name, basic=basic)
    return WizardApp(wizard, Terminal(basic=basic, ascii_only=basic))


async def until(pilot: Pilot[int], true: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something is so, and drawn; fails when it isn't in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not so within {seconds} s: {screen_text(pilot.app)[:2000]}"
        await pilot.pause(0.05)
    if pilot.app.is_running and isinstance(pilot.app, WizardApp) and pilot.app.fault is None:
        # A dialog is on top before it has its text: the first turn makes its widgets, which the
        # second waits for. No key is pressed: ``press`` waits for all of them, ``pause`` draws.
        for _ in range(2):
            await pilot.press()
            await pilot.pause()


async def still(pilot: Pilot[int]) -> None:
    """Wait until the picture doesn't change any more, however slow this machine is."""
    await pilot.pause()
    same = 0
    while same < 4:
        before = screen_text(pilot.app)
        await pilot.pause(0.05)
        same = same + 1 if screen_text(pilot.app) == before else 0


async def looked(pilot: Pilot[int]) -> Wizard:
    """Wait until the host was looked at."""
    app = pilot.app
    assert isinstance(app, WizardApp)
    await until(pilot, lambda: app.wizard.situation is not None)
    await pilot.pause()
    return app.wizard


def screen_text(app: object) -> str:
    """The characters on the screen, a line a row."""
    assert isinstance(app, WizardApp)
    rows = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in row) for row in rows)


def everything_written(app: WizardApp) -> str:
    """Every text that any widget of any screen holds, seen or not."""
    texts = []
    for screen in app.screen_stack:
        for widget in screen.walk_children(with_self=True):
            texts.append(repr(getattr(widget, "__dict__", {})))
            texts.append(str(getattr(widget, "value", "")))
            texts.append(str(getattr(widget, "content", "")))
    return "\n".join(texts)
