"""Runs where something is in the way: another run, a full disk, no rights, junk in the journal.

``undo`` of a run with one harmless step is what takes real steps here, with the real worker.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from bad_input.program import (
    FRESH,
    NOBODY,
    PROGRAM,
    TUI,
    environment,
    gb,
    in_a_namespace,
    is_plain,
)
from gpu_bringup.model.plan import Command, Plan, Step, Write
from gpu_bringup.run import history, launch, start
from gpu_bringup.run.journal import Journal, read_events
from run_tools import plan, shell, step

pytestmark = pytest.mark.process


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def finished(chosen: Plan, state: Path) -> Path:
    """A real run of this plan that has ended well; returns its folder."""
    follower = start.start_run(chosen, label="set up", state=state)
    end = follower.wait(30)
    assert end is not None and end["state"] == "done"
    return follower.folder


def writing(path: Path, *undo: Command) -> Plan:
    """A plan that writes one file."""
    return plan(step("file", shell("true"), writes=(Write(str(path), "new\n"),), undo=undo))


def journal_of(state: Path) -> list[dict[str, object]]:
    """The events of the newest run."""
    return read_events(start.find_run(state=state) / "journal.jsonl")


# --- a second run -------------------------------------------------------------------------------

HOLDER = """
import fcntl, json, os, sys, time
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.write(descriptor, json.dumps({"pid": os.getpid(), "run": "20261122-120000-beef",
    "since": "2026-11-22T12:00:00.000Z"}).encode())
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def second(state: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock of this host's runs."""
    state.mkdir()
    argv = [sys.executable, "-c", HOLDER, str(state / "lock")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused(
    state: Path, tmp_path: Path, second: subprocess.Popen[str]
) -> None:
    before = sorted(state.iterdir())
    done = gb("apply", "--gpu", "H100", "--yes", state=state)
    assert (done.returncode, done.stdout) == (4, "")
    assert "Another run is under way" in done.stderr
    assert "20261122-120000-beef" in done.stderr
    assert f"process {second.pid}" in done.stderr
    assert "nothing was changed" in done.stderr
    # It is said at once, not after minutes of trial builds.
    assert "Proving" not in done.stderr
    assert sorted(state.iterdir()) == before
    # Looking is free.
    assert gb("check", "--host", str(FRESH), state=state).returncode == 1
    assert gb("undo", "--list", state=state).returncode == 0


def test_undo_beside_a_run(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "file"
    finished(writing(target), state)
    time.sleep(0.3)
    with (state / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = gb("undo", "--yes", state=state)
    assert (done.returncode, done.stdout) == (4, "")
    assert "Another run is under way" in done.stderr
    assert target.exists()
    assert gb("undo", "--yes", state=state).returncode == 0
    assert not target.exists()


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> None:
    with (disk / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


@pytest.mark.root
def test_no_room_to_begin(small_disk: Path, tmp_path: Path) -> None:
    target = tmp_path / "file"
    finished(writing(target), small_disk)
    fill(small_disk)
    done = gb("undo", "--yes", state=small_disk)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert "df -h" in done.stderr
    assert target.exists()
    # With room again it works.
    (small_disk / "filler").unlink()
    assert gb("undo", "--yes", state=small_disk).returncode == 0
    assert not target.exists()


@pytest.mark.root
def test_the_disk_fills_up_while_a_run_goes_on(small_disk: Path, tmp_path: Path) -> None:
    """The command ends, the journal keeps its last words, the operator is told what to do."""
    target, state = tmp_path / "file", small_disk / "state"
    filling = Command(("sh", "-c", f"cat /dev/zero > {small_disk}/filler; seq 9999"), root=False)
    finished(writing(target, filling), state)
    done = gb("undo", "--yes", state=state)
    assert done.returncode == 1
    events = journal_of(state)
    assert events[-1]["event"] == "run-ended"
    assert events[-1]["state"] == "failed"
    assert "space" in str(events[-1]["message"])
    assert "resume" in str(events[-1]["message"]).lower()
    listed = gb("undo", "--list", state=state)
    assert "failed" in listed.stdout
    (small_disk / "filler").unlink()


@pytest.mark.root
def test_no_room_for_the_file_itself(small_disk: Path, tmp_path: Path) -> None:
    """What a step writes lies on the full disk; the state folder doesn't."""
    state, target = tmp_path / "state", small_disk / "file"
    target.write_text("old\n" * 20_000)
    old = target.read_text()
    finished(plan(step("file", writes=(Write(str(target), "new\n"),))), state)
    fill(small_disk)
    done = gb("undo", "--yes", state=state)
    assert done.returncode == 1
    message = str(journal_of(state)[-1]["message"])
    assert str(target) in message
    assert "no space is left" in message
    assert target.read_text() == "new\n"
    (small_disk / "filler").unlink()
    assert gb("undo", "--yes", start.list_runs(state)[0].run_id, state=state).returncode == 0
    assert target.read_text() == old


# --- no rights ----------------------------------------------------------------------------------

STANDARD = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def without_sudo() -> tuple[str, ...]:
    """The program as an ordinary user where there is no sudo."""
    found = {os.path.realpath(f"{folder}/sudo") for folder in STANDARD}
    return (*in_a_namespace({p: "/dev/null" for p in found if Path(p).exists()}), *NOBODY)


@pytest.fixture
def open_state() -> Iterator[Path]:
    """A state folder below a folder that everybody may enter."""
    place = Path(tempfile.mkdtemp(prefix="gpu-bringup-test-"))
    place.chmod(0o755)
    (place / "state").mkdir()
    yield place / "state"
    shutil.rmtree(place)


@pytest.fixture
def public() -> Iterator[dict[str, str]]:
    """Variables for a copy of the program that everybody may read, wherever the checkout lies."""
    place = Path(tempfile.mkdtemp(prefix="gpu-bringup-test-"))
    place.chmod(0o755)
    for name in ("tui", "profiles", "scripts"):
        shutil.copytree(TUI.parent / name, place / name)
    yield {"PYTHONPATH": str(place / "tui")}
    shutil.rmtree(place)


def own_run(state: Path) -> Path:
    """A run as an ordinary user's own, of which one step needs root to be taken back."""
    root = Command(("true",), root=True)
    chosen = Plan({}, (Step("a", "packages", "Install", "", (root,), undo=(root,)),))
    folder = launch.make_run(chosen, label="mine", prelude=(), mend=(), state=state)
    journal = Journal(folder)
    journal.write("run-started", run=folder.name, plan=history.shown_plan(chosen))
    journal.write("command-started", step="a", command=0, argv=["true"])
    journal.write("run-ended", state="failed", message="")
    journal.close()
    for path in (state, *state.rglob("*")):
        os.chown(path, 65534, 65534)
    return folder


@pytest.mark.root
def test_no_root_and_no_sudo(open_state: Path) -> None:
    own_run(open_state)
    done = gb("undo", "--yes", state=open_state, program=without_sudo())
    assert (done.returncode, done.stdout) == (4, "")
    assert "needs root, and there is no sudo" in done.stderr
    assert "Nothing was changed" in done.stderr
    assert "su -" in done.stderr


@pytest.mark.root
def test_a_check_needs_no_rights(open_state: Path, public: dict[str, str]) -> None:
    """It goes on with what may be read."""
    program = without_sudo()
    done = gb("check", "--json", state=open_state, program=program, variables=public)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] in ("broken", "unknown")


@pytest.mark.root
def test_a_run_of_roots_is_closed_to_others(open_state: Path, tmp_path: Path) -> None:
    finished(writing(open_state / "file"), open_state)
    listed = gb("undo", "--list", state=open_state, program=NOBODY)
    assert listed.returncode == 0
    assert "set up" in listed.stdout
    done = gb("undo", "--yes", state=open_state, program=NOBODY)
    assert done.returncode == 2
    assert "plan.json" in done.stderr
    assert "sudo" in done.stderr
    (open_state / "runs").chmod(0o700)
    done = gb("undo", "--list", state=open_state, program=NOBODY)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "sudo" in done.stderr


@pytest.mark.root
def test_a_state_folder_that_may_not_be_written(open_state: Path) -> None:
    folder = own_run(open_state)
    (folder / "plan.json").write_text(
        json.dumps(
            Plan(
                {}, (Step("a", "packages", "x", "", (shell("true"),), undo=(shell("true"),)),)
            ).to_json()
        )
    )
    for path in (open_state, open_state / "runs"):
        os.chown(path, 0, 0)
    done = gb("undo", "--yes", state=open_state, program=NOBODY)
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "Nothing was changed" in done.stderr


@pytest.mark.root
def test_an_unreadable_boot_as_an_ordinary_user(
    open_state: Path, tmp_path: Path, public: dict[str, str]
) -> None:
    """A real folder of mode 0700 in /boot's place."""
    boot = tmp_path / "boot"
    boot.mkdir(mode=0o700)
    (boot / "grub").mkdir()
    (boot / "grub/grub.cfg").write_text("menuentry\n")
    program = (*in_a_namespace({"/boot": boot}), *NOBODY)
    done = gb("check", "--json", state=open_state, program=program, variables=public)
    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] in ("broken", "unknown")


# --- junk ---------------------------------------------------------------------------------------

EVENT = b'{"schema":1,"time":"x","event":"run-ended","state":"done"}\n'


@pytest.mark.parametrize(
    "junk",
    [
        b"\x7fELF\x00\xff\n" + EVENT,
        b"[" * 100_000 + b"\n" + EVENT,
        b'{"event": 5}\n' + EVENT,
        b'{"event":"file-written","path":5}\n' + EVENT,
        b'{"event":"file-written","path":"/etc/passwd","mode":"99"}\n' + EVENT,
        b'{"event":"step-ended","step":["a"],"state":"done"}\n' + EVENT,
        b'{"event":"command-started","argv":7}\n' + EVENT,
    ],
    ids=["binary", "deep", "no name", "no path", "mode", "step", "argv"],
)
def test_junk_in_a_journal(state: Path, tmp_path: Path, junk: bytes) -> None:
    folder = finished(writing(tmp_path / "file"), state)
    whole = (folder / "journal.jsonl").read_bytes()
    (folder / "journal.jsonl").write_bytes(whole + junk)
    listed = gb("undo", "--list", state=state)
    assert listed.returncode == 0
    assert folder.name in listed.stdout
    assert "unreadable" in listed.stdout
    listed = gb("undo", "--list", "--json", state=state)
    (run,) = json.loads(listed.stdout)["runs"]
    assert f"line {whole.count(10) + 1}" in run["message"]
    done = gb("undo", "--yes", state=state)
    assert done.returncode == 2
    assert f"{folder}/journal.jsonl: line {whole.count(10) + 1}" in done.stderr
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize("name", ["plan.json", "run.json"])
@pytest.mark.parametrize(
    "junk",
    [b"", b"\x00\xff", b"[" * 100_000, b"[]", b'{"steps": 5}'],
    ids=["empty", "binary", "deep", "list", "no plan"],
)
def test_junk_in_a_run(state: Path, tmp_path: Path, name: str, junk: bytes) -> None:
    folder = finished(writing(tmp_path / "file"), state)
    (folder / name).write_bytes(junk)
    assert gb("undo", "--list", state=state).returncode == 0
    done = gb("undo", "--yes", state=state)
    if name == "plan.json":
        assert done.returncode == 2
        assert f"{folder}/plan.json" in done.stderr
        assert (tmp_path / "file").exists()


def test_a_torn_last_line_and_no_journal(state: Path, tmp_path: Path) -> None:
    """What a power cut leaves is no junk."""
    folder = finished(writing(tmp_path / "file"), state)
    with (folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"schema":1,"ti')
    assert "done" in gb("undo", "--list", state=state).stdout
    (folder / "journal.jsonl").unlink()
    assert "unreadable" in gb("undo", "--list", state=state).stdout
    done = gb("undo", "--yes", state=state)
    assert done.returncode == 2
    assert "journal.jsonl" in done.stderr


def test_junk_in_the_evidence(state: Path) -> None:
    (state / "evidence").mkdir(parents=True)
    (state / "evidence/builds.jsonl").write_bytes(
        b'\x00\xff\n[]\n{"flavour":"x"}\n' + b"[" * 99_999
    )
    done = gb("compat", "--driver", "580.65.06", "--kernel", "6.12.1", state=state)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["file", "long", "dangling"])
def test_a_state_folder_that_is_none(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "state"
    if kind == "file":
        place.touch()
    elif kind == "dangling":
        place.symlink_to(tmp_path / "missing/deeper")
    else:
        place = tmp_path / ("x" * 300)
    done = gb("undo", "--list", state=place)
    assert done.returncode in (0, 1)
    assert done.stdout or done.stderr
    done = gb("check", "--json", "--host", str(FRESH), state=place)
    assert done.returncode == 1
    assert json.loads(done.stdout)["schema"] == 1


# --- questions ----------------------------------------------------------------------------------


def test_nothing_is_changed_without_a_yes(state: Path, tmp_path: Path) -> None:
    target = tmp_path / "file"
    finished(writing(target), state)
    done = gb("undo", state=state, typed="yes\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no terminal to ask on" in done.stderr
    assert "--yes" in done.stderr
    for keys, status in (("\x04", 4), ("no\r", 4), ("\r", 4), ("\x03", 1), ("\x00\xff\r", 4)):
        child = pexpect.spawn(
            PROGRAM[0], [*PROGRAM[1:], "undo"], env=environment(state), timeout=30
        )
        child.expect_exact("Type yes:")
        child.send(keys.encode("latin-1"))
        child.expect(pexpect.EOF)
        child.close()
        is_plain(child.before.decode(errors="replace").replace("\r", ""), "")
        assert child.exitstatus == status, keys
        assert target.exists()
