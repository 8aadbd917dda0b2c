"""Runs that must not be gone on with: bad journals, other hosts, plans that no longer fit.

Each is said with file and place, nothing is executed, the way out is named, the exit status is 2.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bad_input.program import gb, is_plain
from gpu_bringup.facts.collect import collect
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import MadeFor, Plan, Step
from gpu_bringup.run import fits, history, launch
from gpu_bringup.run.journal import Journal
from run_tools import plan, shell, step

pytestmark = pytest.mark.process


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def broken_off(state: Path, chosen: Plan, done: int = 1) -> Path:
    """A run whose process was killed after so many steps; returns its folder."""
    folder = launch.make_run(chosen, label="test", prelude=(), mend=(), state=state)
    journal = Journal(folder)
    journal.write("run-started", run=folder.name, plan=history.shown_plan(chosen))
    for item in chosen.steps[:done]:
        journal.write("step-started", step=item.id)
        journal.write("step-ended", step=item.id, state="done")
    journal.close()
    return folder


def marking(mark: Path, **options: Any) -> Plan:
    """Two steps; the second one would leave a mark."""
    first = Step("a", "packages", "Do a", "", (shell("true"),), **options)
    return plan(first, step("b", shell(f"touch '{mark}'")))


def refused(state: Path, mark: Path, *words: str) -> str:
    """Resume it: nothing is executed, and the message has these words and the way out."""
    done = gb("apply", "--resume", state=state)
    is_plain(done.stdout, done.stderr)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    text = " ".join(done.stderr.split())
    for word in words:
        assert word in text
    assert "gpu-bringup check shows how the server stands" in text
    assert not mark.exists()
    return text


def test_what_can_go_on_goes_on(state: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    broken_off(state, marking(mark))
    done = gb("apply", "--resume", state=state)
    assert done.returncode == 0
    assert "2 of 2 steps are done" in done.stdout
    assert mark.exists()
    done = gb("apply", "--resume", state=state)
    assert done.returncode == 0
    assert "Nothing to go on with" in done.stdout


def test_no_run_at_all(state: Path) -> None:
    done = gb("apply", "--resume", "--json", state=state)
    assert done.returncode == 0
    assert json.loads(done.stdout) == {"schema": 1, "state": "nothing-to-do"}
    done = gb("apply", "--resume", "20260101-000000-dead", state=state)
    assert done.returncode == 2
    assert "undo --list" in done.stderr


def test_a_line_cut_at_the_end_is_what_a_power_cut_leaves(state: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = broken_off(state, marking(mark))
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"schema":1,"time":"2026-11-22T21:04:00.000Z","event":"step-st')
    done = gb("apply", "--resume", state=state)
    assert done.returncode == 0
    assert "cut off" in done.stderr
    assert mark.exists()
    for line in (folder / "journal.jsonl").read_bytes().splitlines():
        assert json.loads(line)["schema"] == 1


def test_a_line_cut_in_the_middle(state: Path, tmp_path: Path) -> None:
    """Another line follows: that is no power cut."""
    mark = tmp_path / "mark"
    folder = broken_off(state, marking(mark))
    journal = folder / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + lines[1][:25] + b"\n" + lines[2])
    before = journal.read_bytes()
    refused(state, mark, f"{journal}: line 2", "no journal event", "nothing is done")
    assert journal.read_bytes() == before


def test_a_journal_of_a_newer_version(state: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    folder = broken_off(state, marking(mark))
    journal = folder / "journal.jsonl"
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    for event in events:
        event.update(schema=2)
    events[0]["tool_version"] = "9.1.0"
    journal.write_text("".join(json.dumps(event) + "\n" for event in events))
    refused(state, mark, f"{journal}: line 1", "schema 2", "9.1.0", "reads schema 1")
    listed = gb("undo", "--list", state=state)
    assert (listed.returncode, "unreadable" in listed.stdout) == (0, True)


@pytest.mark.parametrize("name", ["run.json", "plan.json"])
def test_a_run_of_a_newer_version(state: Path, tmp_path: Path, name: str) -> None:
    mark = tmp_path / "mark"
    folder = broken_off(state, marking(mark))
    data = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**data, "schema": 7}))
    refused(state, mark, f"{folder}/{name}", "schema 7")


def test_a_run_of_another_host(state: Path, tmp_path: Path) -> None:
    if not fits.host_mark():
        subprocess.run(["systemd-machine-id-setup"], check=True)
    mark = tmp_path / "mark"
    folder = broken_off(state, marking(mark))
    data = json.loads((folder / "run.json").read_text())
    assert data["host_mark"] == fits.host_mark()
    (folder / "run.json").write_text(json.dumps({**data, "host_mark": "0123456789abcdef"}))
    refused(state, mark, str(folder), "belongs to another host", "Nothing was done")


def test_the_mark_of_a_host_gives_nothing_away(tmp_path: Path) -> None:
    path = tmp_path / "machine-id"
    path.write_text("0123456789abcdef0123456789abcdef\n")
    mark = fits.host_mark(path)
    assert len(mark) == 16
    assert mark not in path.read_text()
    path.write_text("uninitialized\n")
    assert fits.host_mark(path) == ""
    assert fits.host_mark(tmp_path / "none") == ""


def here() -> MadeFor:
    facts = collect(LocalHost(), only=("os",))
    assert not isinstance(facts.os, str) and hasattr(facts.os, "id")
    return MadeFor(facts.os.id, facts.os.version, facts.os.name, os.uname().machine, running=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"os_id": "rhel", "os_version": "9", "os_name": "RHEL 9"}, "was made for RHEL 9"),
        ({"os_version": "1.2", "os_name": "Old 1.2"}, "was made for Old 1.2"),
        ({"machine": "riscv64"}, "was made for riscv64"),
        ({"kernels": ("6.1.0-99-gone",)}, "kernel 6.1.0-99-gone is not installed any more"),
    ],
)  # fmt: skip
def test_a_plan_for_another_system(
    state: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    mark = tmp_path / "mark"
    chosen = replace(marking(mark), made_for=replace(here(), **change))
    broken_off(state, chosen)
    if not words:
        assert gb("apply", "--resume", state=state).returncode == 0
        return
    refused(state, mark, "no longer fits this server", words, "Nothing was done")


@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("nvidia-driver-never-there", "is not there any more"),
        ("linux-libc-dev=1.0-*", "installed 1.0-*"),
    ],
)
def test_packages_of_done_steps_changed(
    state: Path, tmp_path: Path, package: str, words: str
) -> None:
    mark = tmp_path / "mark"
    broken_off(state, marking(mark, packages=(package,)))
    refused(state, mark, "no longer fits this server", words)


def test_packages_of_steps_to_come_are_not_asked_for(state: Path, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    broken_off(state, marking(mark, packages=("nvidia-driver-never-there",)), done=0)
    assert gb("apply", "--resume", state=state).returncode == 0
    assert mark.exists()
