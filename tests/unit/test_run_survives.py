"""Runs that go on after anything: bad moments, other package managers, full disks, notes at login."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpu_bringup.errors import RefusedError
from gpu_bringup.hosts import package_locks
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command
from gpu_bringup.run import boot_unit, history, login_note
from gpu_bringup.run.journal import Journal, torn_end
from gpu_bringup.run.output import locked_error
from gpu_bringup.run.space import full_disk, size
from run_tools import events, plan, runner, shell, step

pytestmark = pytest.mark.process

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def holding(path: Path) -> subprocess.Popen[str]:
    """Another process that holds this lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def until(check: object) -> None:
    assert callable(check)
    end = time.monotonic() + 15
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- other package managers


@pytest.fixture
def lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lock-frontend"
    path.touch()
    monkeypatch.setattr(package_locks, "_DEBIAN", (str(path),))
    return path


def test_who_holds_the_lock(lock_file: Path) -> None:
    assert package_locks.holder("apt-get") is None
    process = holding(lock_file)
    found = package_locks.holder("/usr/bin/apt-mark")
    assert found is not None
    assert found.pid == process.pid
    assert found.name.startswith("python")
    assert time.strptime(found.since, "%Y-%m-%d %H:%M:%S")
    assert f"process {process.pid}, since {found.since}" in found.words
    assert package_locks.holder("modprobe") is None
    process.communicate()
    assert package_locks.holder("apt-get") is None


def test_the_lock_is_waited_for_and_its_holder_named(
    lock_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_locks, "_APT", frozenset({"sh"}))
    process = holding(lock_file)
    made = runner(plan(step("a", shell("echo a"))), tmp_path / "run")
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(made.run()))
    thread.start()
    until(lambda: events(tmp_path / "run", "waiting"))
    assert not events(tmp_path / "run", "command-started")
    assert process.poll() is None
    process.communicate()
    thread.join(15)
    assert states == ["done"]
    (waiting,) = events(tmp_path / "run", "waiting")
    assert f"process {process.pid}" in waiting["reason"]
    assert len(events(tmp_path / "run", "waiting-ended")) == 1


def test_waiting_for_the_lock_can_be_stopped(
    lock_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package_locks, "_APT", frozenset({"sh"}))
    process = holding(lock_file)
    made = runner(plan(step("a", shell("echo a"))), tmp_path / "run")
    states: list[str] = []
    thread = threading.Thread(target=lambda: states.append(made.run()))
    thread.start()
    until(lambda: events(tmp_path / "run", "waiting"))
    made.cancel()
    thread.join(15)
    assert states == ["cancelled"]
    assert not events(tmp_path / "run", "command-started")
    assert process.poll() is None
    process.communicate()


@pytest.mark.parametrize(
    "line",
    [
        "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt)",
        "dpkg: error: dpkg frontend lock was locked by another process with pid 4711",
        "dpkg: error: dpkg frontend lock was locked by /usr/bin/python3.13 process with pid 48",
        "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another?",
    ],
)
def test_whoever_was_quicker_is_waited_for(tmp_path: Path, line: str) -> None:
    assert locked_error([line, "E: something"]) == line
    once = tmp_path / "once"
    text = f"test -e {once} || {{ touch {once}; echo '{line}'; exit 100; }}"
    assert runner(plan(step("a", shell(text))), tmp_path / "run").run() == "done"
    (retry,) = events(tmp_path / "run", "retry")
    assert retry["reason"] == line


# --- killed


def test_a_command_that_outlived_its_run_is_waited_for(tmp_path: Path) -> None:
    """Two of the same at once would get into each other's way."""
    mark, run = tmp_path / "mark", tmp_path / "run"
    chosen = plan(step("a", shell(f"sleep 1; echo one >> {mark}", package_manager=True)))
    child = os.fork()
    if child == 0:
        runner(chosen, run).run()
        os._exit(0)
    until(lambda: run.exists() and events(run, "command-process"))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert runner(chosen, run).run() == "done"
    # What was left of it ended first, then it was run again.
    assert mark.read_text().split() == ["one", "one"]
    (waiting,) = events(run, "waiting")
    assert "of this run is still at work" in waiting["reason"]


def test_an_interrupted_mending_is_mended(tmp_path: Path) -> None:
    mark, run = tmp_path / "mark", tmp_path / "run"
    chosen = plan(step("a", shell(f"echo a >> {mark}", package_manager=True)))
    run.mkdir()
    journal = Journal(run)
    journal.write("run-started", plan=chosen.to_json())
    journal.write("command-started", step="a", command=0, argv=["x"])
    journal.write("resumed")
    journal.write("command-started", step=history.MEND, command=0, argv=["dpkg"])
    journal.close()
    assert runner(chosen, run, mend=(shell(f"echo mend >> {mark}"),)).run() == "done"
    assert mark.read_text().split() == ["mend", "a"]
    ended = events(run, "run-ended")[-1]
    assert (ended["done"], ended["steps"]) == (1, 1)


def test_a_failed_package_command_is_mended_before_it_is_tried_again(tmp_path: Path) -> None:
    mark, run = tmp_path / "mark", tmp_path / "run"
    text = f"echo a >> {mark}; test $(wc -l < {mark}) -gt 1"
    chosen = plan(step("a", shell(text, package_manager=True)))
    mend = (shell(f"echo mend >> {mark}"),)
    assert runner(chosen, run, mend=mend).run() == "failed"
    assert runner(chosen, run, mend=mend).run() == "done"
    assert mark.read_text().split() == ["a", "mend", "a"]


@pytest.mark.parametrize("ended", [True, False])
def test_what_ended_well_needs_no_mending(tmp_path: Path, ended: bool) -> None:
    chosen = plan(step("a", shell("true", package_manager=True), shell("false")))
    before = [
        {"event": "command-started", "step": "a", "command": 0, "argv": []},
        {"event": "command-ended", "step": "a", "command": 0, "status": 0 if ended else 100},
        {"event": "command-started", "step": "a", "command": 1, "argv": []},
    ]
    assert history.unsettled(before, chosen) == (None if ended else ("a", 0))


# --- a full disk


def test_a_full_disk_is_told_with_what_is_needed(tmp_path: Path) -> None:
    lines = [
        "Need to get 356 MB of archives.",
        "After this operation, 1,044 MB of additional disk space will be used.",
        f"dpkg: error processing archive: cannot copy extracted data to '{tmp_path}/x.dpkg-new': "
        "failed to write (No space left on device)",
    ]
    found = full_disk(LocalHost(), step("a"), lines)
    assert found is not None
    assert found["needed_bytes"] == 1_400_000_000
    assert found["free_bytes"] > 0
    assert "need 1.4 GB" in found["text"]
    assert full_disk(LocalHost(), step("a"), ["all is well"]) is None


def test_apt_names_the_folder_itself() -> None:
    line = "E: You don't have enough free space in /var/cache/apt/archives/."
    found = full_disk(LocalHost(), step("a", download_bytes=5_000_000), [line])
    assert found is not None
    assert found["path"].startswith("/var")
    assert found["needed_bytes"] == 5_000_000


def test_sizes() -> None:
    assert [size(n) for n in (17, 1_400_000_000, 65_536)] == ["17 B", "1.4 GB", "65.6 kB"]


@pytest.mark.root
def test_a_run_stops_on_a_full_disk_and_says_what_it_needs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True)
    try:
        fill = f"test -e {disk}/room || cat /dev/zero > {disk}/filler"
        chosen = plan(step("a", shell(fill), installed_bytes=3_000_000), step("b", shell("true")))
        assert runner(chosen, disk / "run").run() == "failed"
        ended = events(disk / "run", "run-ended")[-1]
        assert ended["disk_full"]["path"] == str(disk)
        assert ended["disk_full"]["needed_bytes"] == 3_000_000
        assert "need 3.0 MB" in ended["message"]
        assert "resume" in ended["message"]
        (disk / "filler").unlink()
        (disk / "room").touch()
        assert runner(chosen, disk / "run").run() == "done"
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


# --- the note at login


def test_the_note_says_how_the_run_stands() -> None:
    assert "2 of 9 steps are done. A reboot comes next." in login_note.text("r", "reboot", 2, 9)
    assert login_note.text("r", "running", 2, 9).endswith("are done.\n")


def note_scripts() -> list[str]:
    return [login_note._PROFILE.replace("*i*)", "*)"), login_note._MOTD]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("at_work", [True, False])
def test_the_note_at_login_tells_whether_the_run_is_at_work(
    tmp_path: Path, which: int, at_work: bool
) -> None:
    script = tmp_path / "note.sh"
    script.write_text(note_scripts()[which].replace("/var/lib/gpu-bringup", str(tmp_path)))
    done = subprocess.run(["sh", "-e", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    (tmp_path / "run.note").write_text(login_note.text("r", "running", 2, 9))
    with (tmp_path / "lock").open("w") as lock:
        if at_work:
            fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["sh", "-e", script], capture_output=True, text=True, check=True)
    assert "2 of 9 steps" in done.stdout
    assert ("It is at work now" in done.stdout) == at_work
    assert ("Go on with it: sudo gpu-bringup apply --resume" in done.stdout) != at_work


def test_only_roots_runs_in_the_usual_place_are_told(tmp_path: Path) -> None:
    tell = login_note.teller(LocalHost(), tmp_path / "runs/x", 3)
    tell("failed", 1)
    assert not Path(login_note.NOTE).exists()


# --- what the command line says


def test_a_torn_line_is_counted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write("run-started", plan={})
    journal.close()
    assert torn_end(journal.path) == 0
    with journal.path.open("ab") as file:
        file.write(b'{"schema":1,')
    assert torn_end(journal.path) == 12
    assert torn_end(tmp_path / "none") == 0


def test_a_command_that_needs_no_lock_does_not_wait() -> None:
    assert package_locks.needs_lock("/usr/bin/apt-get")
    assert package_locks.needs_lock("zypper")
    assert not package_locks.needs_lock("dnf")
    assert not package_locks.needs_lock(Command(("modprobe", "nvidia")).argv[0])


def test_processes_of_a_session() -> None:
    process = subprocess.Popen(
        ["sh", "-c", "sleep 30 & wait"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    until(lambda: len(package_locks.in_session(process.pid)) == 2)
    assert {name for _, name in package_locks.in_session(process.pid)} == {"sh", "sleep"}
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until(lambda: not package_locks.in_session(process.pid))
    assert json.dumps(package_locks.in_session(process.pid)) == "[]"


# --- after a reboot by itself


def test_the_unit_that_goes_on_after_a_reboot() -> None:
    environment = {"PYTHONPATH": '/a b:/100%"x'}
    text = boot_unit.unit_text(Path("/var/lib/x/runs/r 1"), "/opt/py thon", environment)
    assert 'Environment="PYTHONPATH=/a b:/100%%\\"x"\n' in text
    assert (
        'ExecStart="/opt/py thon" "-m" "gpu_bringup.run.launch" "/var/lib/x/runs/r 1/resume.json"\n'
        in text
    )
    assert "WantedBy=multi-user.target" in text


def test_no_unit_where_systemd_did_not_start_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot_unit, "systemd_is_init", lambda: False)
    with pytest.raises(RefusedError, match="does not start this host"):
        boot_unit.install(LocalHost(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_half_written_files_of_the_dead_are_swept_away(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f".conf.{dead.pid}.1.gpu-bringup~"
    living = tmp_path / f".conf.{os.getpid()}.1.gpu-bringup~"
    other = tmp_path / f".other.{dead.pid}.1.gpu-bringup~"
    for path in (left, living, other):
        path.touch()
    LocalHost().write_file(str(tmp_path / "conf"), "x\n", 0o644)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [living.name, other.name, "conf"]
    )
