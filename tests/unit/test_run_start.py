"""Runs in a process of their own: they outlive their starter, are attached to, resumed, undone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.errors import HostError, InputError, RefusedError, RunLockedError
from gpu_bringup.hosts.detached import python_environment, unit_argv
from gpu_bringup.model.plan import Plan, Write
from gpu_bringup.run import launch, start
from gpu_bringup.run.follow import Follower
from gpu_bringup.run.undo import undo_plan
from run_tools import plan, python, shell, step

pytestmark = pytest.mark.process

TUI = Path(__file__).resolve().parents[2] / "tui"


@pytest.fixture
def state() -> Iterator[Path]:
    """A state folder that other users can reach; all that still runs there is stopped."""
    with tempfile.TemporaryDirectory(prefix="state with space ") as name:
        place = Path(name)
        place.chmod(0o755)
        yield place
        for run in start.list_runs(place):
            if run.state == "running":
                lock = json.loads((run.folder / "worker.lock").read_text())
                os.kill(lock["pid"], signal.SIGKILL)
                until_dead(Follower(run.folder))


def begin(chosen: Plan, state: Path, **options: Any) -> Follower:
    return start.start_run(chosen, label="a test", state=state, **options)


def until_dead(follower: Follower) -> None:
    until = time.monotonic() + 10
    while follower.alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert not follower.alive()


def until_event(follower: Follower, name: str) -> dict[str, Any]:
    for event in follower.events(15):
        if event["event"] == name:
            return event
    raise AssertionError(f"no {name}")


def worker_pid(follower: Follower) -> int:
    return int(json.loads((follower.folder / "worker.lock").read_text())["pid"])


def test_a_run_from_begin_to_end(state: Path) -> None:
    follower = begin(plan(step("a", shell("echo one; sleep 0.3; echo two"))), state)
    seen = list(follower.events(15))
    assert seen[0]["event"] == "run-started"
    assert seen[0]["label"] == "a test"
    assert seen[-1]["event"] == "run-ended"
    assert seen[-1]["state"] == "done"
    log = next(event["log"] for event in seen if event["event"] == "command-started")
    data, offset = follower.output(log)
    assert data == b"one\ntwo\n"
    assert follower.output(log, offset) == (b"", 8)
    assert follower.output(log, -4) == (b"two\n", 8)
    until_dead(follower)
    (run,) = start.list_runs(state)
    assert (run.state, run.steps, run.steps_done) == ("done", 1, 1)
    assert run.run_id == follower.run_id
    assert start.unfinished_run(state) is None
    assert start.attach(state=state) is None


def test_the_worker_belongs_to_nobody(state: Path) -> None:
    follower = begin(plan(step("a", shell("sleep 30"))), state)
    until_event(follower, "command-started")
    pid = worker_pid(follower)
    assert os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/cwd").readlink() == Path("/")
    assert Path(f"/proc/{pid}/fd/0").readlink() == Path("/dev/null")


STARTER = """
import sys, time
from pathlib import Path
from run_tools import plan, shell, step
from gpu_bringup.run.start import start_run
steps = [step(f's{i}', shell(f'sleep 0.5; echo {i} >> "{sys.argv[2]}"')) for i in range(4)]
print(start_run(plan(*steps), label='x', state=Path(sys.argv[1])).run_id, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_the_run_outlives_its_starter(state: Path, number: signal.Signals) -> None:
    mark = state / "mark"
    environment = {**os.environ, "PYTHONPATH": f"{TUI}:{TUI.parent / 'tests'}"}
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(state), str(mark)],
        env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert starter.stdout is not None
    run_id = starter.stdout.readline().strip()
    os.killpg(starter.pid, number)
    starter.wait()
    starter.stdout.close()
    follower = start.attach(state=state)
    assert follower is not None
    assert follower.run_id == run_id
    ended = follower.wait(20)
    assert ended is not None
    assert ended["state"] == "done"
    assert mark.read_text().split() == ["0", "1", "2", "3"]


def test_a_second_run_is_refused_and_says_by_whom(state: Path) -> None:
    first = begin(plan(step("a", shell("sleep 30"))), state)
    with pytest.raises(RunLockedError) as caught:
        begin(plan(step("b", shell("echo b"))), state)
    assert first.run_id in str(caught.value)
    assert str(worker_pid(first)) in str(caught.value)
    assert "attaches" in caught.value.hint
    assert caught.value.exit_code == 4
    # A starter that looked a moment too early is refused by the worker itself.
    late = launch.make_run(plan(), label="", prelude=(), mend=(), state=state / "other")
    late = late.rename(late.with_name(f"{late.name[:-4]}zzzz"))
    moved = state / "runs" / late.name
    late.rename(moved)
    with pytest.raises(RunLockedError):
        launch.start_worker(moved)
    unfinished = start.unfinished_run(state)
    assert unfinished is not None
    assert unfinished.run_id == first.run_id


def test_secrets_reach_no_file(state: Path) -> None:
    code = "import getpass; print(len(getpass.getpass('[sudo] password for me: ')))"
    follower = begin(plan(step("a", python(code, interactive=True))), state)
    prompt = until_event(follower, "prompt")
    assert prompt["secret"]
    follower.answer("tr0ub4dor-and-3")
    ended = follower.wait(15)
    assert ended is not None
    assert ended["state"] == "done"
    until_dead(follower)
    for path in state.rglob("*"):
        if path.is_file():
            assert b"tr0ub4dor" not in path.read_bytes(), path
    with pytest.raises(HostError, match="can't be reached"):
        follower.answer("late")


def test_answers_without_a_question_are_refused(state: Path) -> None:
    follower = begin(plan(step("a", shell("sleep 30"))), state)
    with pytest.raises(RefusedError, match="nothing is asked"):
        follower.answer("x")


@pytest.mark.parametrize("by_signal", [False, True])
def test_cancel(state: Path, by_signal: bool) -> None:
    follower = begin(plan(step("a", shell("sleep 30")), step("b", shell("echo b"))), state)
    until_event(follower, "command-started")
    time.sleep(0.2)
    if by_signal:
        os.kill(worker_pid(follower), signal.SIGTERM)
    else:
        follower.cancel()
    ended = follower.wait(15)
    assert ended is not None
    assert ended["state"] == "cancelled"


def test_a_killed_worker_is_noticed_and_the_run_goes_on(state: Path) -> None:
    mark = state / "mark"
    chosen = plan(
        step("a", shell(f"echo a >> {mark!s}".replace(str(mark), f"'{mark}'"))),
        step("b", shell(f"echo b >> '{mark}'; test -e '{state}/go' || sleep 30")),
        step("c", shell(f"echo c >> '{mark}'")),
    )
    follower = begin(chosen, state)
    for event in follower.events(15):
        if event["event"] == "command-started" and event["step"] == "b":
            break
    time.sleep(0.3)
    os.kill(worker_pid(follower), signal.SIGKILL)
    lost = list(follower.events(15))[-1]
    assert lost["event"] == "run-lost"
    assert follower.run_id in lost["hint"]
    unfinished = start.unfinished_run(state)
    assert unfinished is not None
    assert unfinished.state == "lost"
    with (follower.folder / "journal.jsonl").open("ab") as file:
        file.write(b'{"schema":1,"time":"2026')
    (state / "go").touch()
    again = start.resume_run(follower.run_id, state=state)
    seen = list(again.events(15))
    assert seen[0]["event"] == "resumed"
    assert seen[0]["interrupted"] == {"step": "b", "command": 0}
    assert seen[-1]["state"] == "done"
    assert mark.read_text().split() == ["a", "b", "b", "c"]
    until_dead(again)
    with pytest.raises(RefusedError, match="nothing to resume"):
        start.resume_run(follower.run_id, state=state)


def test_a_run_that_waits_for_a_reboot_waits(state: Path) -> None:
    follower = begin(
        plan(step("a", shell("echo a"), reboot=True), step("b", shell("echo b"))), state
    )
    ended = follower.wait(15)
    assert ended is not None
    assert ended["state"] == "reboot"
    until_dead(follower)
    with pytest.raises(RefusedError, match="has not been rebooted"):
        start.resume_run(follower.run_id, state=state)
    journal = follower.folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"boot_id":"', '"boot_id":"of-another-boot-'))
    again = start.resume_run(follower.run_id, state=state)
    ended = again.wait(15)
    assert ended is not None
    assert ended["state"] == "done"


def test_no_such_run(state: Path) -> None:
    with pytest.raises(InputError, match="no run has been made"):
        start.find_run(state=state)
    with pytest.raises(InputError, match="there is no run 2026"):
        start.attach("2026", state=state)


def test_undo_puts_files_back(state: Path) -> None:
    old, new, mark = state / "etc/old", state / "etc/new", state / "mark"
    old.parent.mkdir()
    old.write_bytes(b"as it was \xff\n")
    old.chmod(0o640)
    chosen = plan(
        step("a", shell("echo a"), writes=(Write(str(old), "changed\n", 0o600), Write(str(new), "new\n")),
             undo=(shell(f"cat '{old}' > '{mark}'; echo undone >> '{mark}'"),)),
        step("b", shell("exit 1"), undo=(shell(f"echo undid b > '{state}/b'"),)),
        step("c", shell("echo c"), undo=(shell(f"echo undid c > '{state}/c'"),)),
    )  # fmt: skip
    follower = begin(chosen, state)
    ended = follower.wait(15)
    assert ended is not None
    assert ended["state"] == "failed"
    assert old.read_text() == "changed\n"
    until_dead(follower)
    back = undo_plan(follower.folder)
    assert [item.id for item in back.steps] == ["undo-b", "undo-a"]
    undone = begin(Plan.from_json(back.to_json()), state).wait(15)
    assert undone is not None
    assert undone["state"] == "done"
    assert old.read_bytes() == b"as it was \xff\n"
    assert old.stat().st_mode & 0o777 == 0o640
    assert not new.exists()
    assert mark.read_bytes() == b"as it was \xff\nundone\n"
    assert (state / "b").exists()
    assert not (state / "c").exists()


def test_undo_of_a_run_that_goes_on_is_refused(state: Path) -> None:
    follower = begin(plan(step("a", shell("sleep 30"))), state)
    with pytest.raises(RefusedError, match="under way"):
        undo_plan(follower.folder)


def test_undo_of_nothing(state: Path) -> None:
    follower = begin(plan(), state)
    assert follower.wait(15) is not None
    until_dead(follower)
    assert undo_plan(follower.folder).empty


def test_a_broken_plan_says_what_is_wrong(state: Path) -> None:
    folder = launch.make_run(plan(), label="", prelude=(), mend=(), state=state)
    (folder / "plan.json").write_text('{"target": {}')
    with pytest.raises(HostError) as caught:
        launch.start_worker(folder)
    assert "plan.json" in caught.value.hint


def test_a_full_disk_is_said_at_once(state: Path) -> None:
    blocked = state / "file"
    blocked.touch()
    with pytest.raises(HostError, match="can't be made"):
        begin(plan(), blocked)


AS_NOBODY = """
import os, sys
from pathlib import Path
from gpu_bringup.errors import BringupError
from gpu_bringup.run.start import attach
os.setgroups([]); os.setgid(65534); os.setuid(65534)
follower = attach(state=Path(sys.argv[1]))
names = [event['event'] for event in follower.events(2)]
print('sees', 'command-started' in names, follower.alive())
print('log', follower.output('logs/01-a-1.log'))
for what in (lambda: follower.answer('x'), follower.cancel):
    try:
        what()
        print('may')
    except BringupError as error:
        print('may not:', error.message)
for name in ('plan.json', 'backup', 'control'):
    try:
        path = follower.folder / name
        list(path.iterdir()) if path.is_dir() else path.read_text()
        print('reads', name)
    except PermissionError:
        print('closed', name)
"""


@pytest.mark.root
def test_others_may_watch_but_not_touch(state: Path) -> None:
    """A run of root's, seen by an ordinary user."""
    writes = (Write(str(state / "private"), "x", 0o600),)
    (state / "private").write_text("old secret")
    begin(plan(step("a", shell("echo hello; sleep 30"), writes=writes)), state)
    time.sleep(0.5)
    environment = {**os.environ, "PYTHONPATH": str(TUI)}
    seen = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(state)],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert seen == [
        "sees True True",
        "log (b'hello\\n', 6)",
        "may not: This run belongs to another user.",
        "may not: This run belongs to another user.",
        "closed plan.json",
        "closed backup",
        "closed control",
    ]


def test_the_other_python_finds_the_same_packages() -> None:
    environment = {**os.environ, **python_environment()}
    code = "import gpu_bringup, pexpect; print(gpu_bringup.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd="/", capture_output=True, text=True, check=True
    ).stdout.strip()  # fmt: skip
    assert found == str(TUI / "gpu_bringup/__init__.py")


def test_a_unit_lets_package_managers_finish() -> None:
    argv = unit_argv(("python", "-m", "x"), {"PYTHONPATH": "/a b"}, Path("/l/worker.log"), "gpu-x")
    assert argv[0] == "systemd-run"
    assert argv[-6:] == ("--", "python", "-m", "x", "--log", "/l/worker.log")
    assert "--property=KillMode=process" in argv
    assert "--setenv=PYTHONPATH=/a b" in argv
    assert "--unit=gpu-x" in argv


def test_what_needs_root(tmp_path: Path) -> None:
    own = Write(str(tmp_path / "new/folder/file"), "x")
    assert not start.needs_root(plan(step("a", shell("true"), writes=(own,))))
    root = shell("true")
    assert start.needs_root(plan(step("a", type(root)(("true",)))))
