"""What stays on the terminal when the wizard ends, read from a real one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from gpu_bringup.run import lock
from gpu_bringup.run.start import list_runs
from gpu_bringup.ui.farewell import words
from ui.driving import FRESH, HOSTS
from ui.test_run_page import held, plan, shell, step

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path))
    yield tmp_path
    for run in list_runs():
        if lock.is_held(lock.worker_lock(run.folder)):
            os.kill(int(lock.holder(lock.worker_lock(run.folder))["pid"]), signal.SIGKILL)


def started(term: str, *argv: str) -> pexpect.spawn[str]:
    paths = os.pathsep.join(entry for entry in sys.path if entry)
    return pexpect.spawn(
        sys.executable, list(argv), dimensions=(24, 80), timeout=60, encoding="utf-8",
        codec_errors="replace", env={**os.environ, "TERM": term, "PYTHONPATH": paths},
    )  # fmt: skip


def rest(child: pexpect.spawn[str]) -> str:
    """What it wrote until its end."""
    child.expect(pexpect.EOF)
    child.wait()
    assert isinstance(child.before, str)
    return child.before


@pytest.mark.process
@pytest.mark.parametrize("term", ["linux", "vt220"])
def test_without_an_alternate_screen_nothing_but_a_line_is_left(term: str) -> None:
    child = started(term, "-m", "gpu_bringup", "--host", str(HOSTS / FRESH))
    child.expect("Not set up yet")
    child.send("q")
    written = rest(child)
    assert written.endswith("\x1b[m\x1b[2J\x1b[24;1HNothing was changed.\r\n")
    assert child.exitstatus == 0


@pytest.mark.process
def test_with_one_the_terminal_brings_its_own_picture_back() -> None:
    child = started("xterm-256color", "-m", "gpu_bringup", "--host", str(HOSTS / FRESH))
    child.expect("Not set up yet")
    child.send("q")
    assert "\x1b[2J" not in rest(child) and child.exitstatus == 0


@pytest.mark.process
@pytest.mark.parametrize("term", ["linux", "xterm-256color"])
def test_a_run_that_goes_on_is_named(state: Path, term: str) -> None:
    wanted = plan(step("long", shell("echo begun; " + held(state / "go"))))
    file = state / "wanted.json"
    file.write_text(json.dumps(wanted.to_json()), "utf-8")
    child = started(term, str(HERE / "wizard_process.py"), str(file))
    child.expect("begun")
    child.send("q")
    child.expect("go on without")
    child.send("2")
    written = rest(child)
    (run,) = list_runs()
    told = words("running", run.run_id)
    assert f"{told}\r\n" in written and run.run_id in told
    assert written.count("\x1b[2J") == (1 if term == "linux" else 0)
    assert run.state == "running" and child.exitstatus == 0
    (state / "go").touch()


def test_each_end_says_how_one_comes_back() -> None:
    assert "sudo reboot" in words("reboot", "R") and "gpu-bringup undo" in words("done", "R")
    assert "took the earlier one back" in words("done", "R", undoing=True)
    for state in ("failed", "cancelled"):
        assert "gpu-bringup apply --resume" in words(state, "R")
    for state in ("running", "reboot", "done", "lost", "failed", "cancelled", "unreadable"):
        assert "R" in words(state, "R") and len(words(state, "20261123-024411-abcd")) < 80


@pytest.mark.process
@pytest.mark.parametrize(
    ("term", "keeps"),
    [("xterm-256color", False), ("vt220", True), ("linux", True), ("vt102-unheard-of", True),
     ("unheard-of", False)],
)  # fmt: skip
def test_terminals_are_judged_by_what_terminfo_knows(term: str, keeps: bool) -> None:
    # curses takes one terminal a process.
    asks = f"from gpu_bringup.ui.farewell import keeps_picture; print(keeps_picture({term!r}))"
    assert rest(started("dumb", "-c", asks)).strip() == str(keeps)
