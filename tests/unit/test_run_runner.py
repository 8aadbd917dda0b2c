"""The runner on this machine: real commands, real files, a real journal."""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.model.plan import Command, Plan, Write
from gpu_bringup.run.journal import read_events
from gpu_bringup.run.runner import protected
from run_tools import events, plan, python, runner, shell, step

pytestmark = pytest.mark.process


def start(chosen: Plan, folder: Path, **options: Any) -> tuple[Any, threading.Thread, list[str]]:
    """A runner in a thread of its own, to talk to while it runs."""
    states: list[str] = []
    made = runner(chosen, folder, **options)
    thread = threading.Thread(target=lambda: states.append(made.run()))
    thread.start()
    return made, thread, states


def wait_for(folder: Path, name: str, count: int = 1) -> dict[str, Any]:
    until = time.monotonic() + 15
    while time.monotonic() < until:
        if (folder / "journal.jsonl").exists():
            found = events(folder, name)
            if len(found) >= count:
                return found[count - 1]
        time.sleep(0.02)
    raise AssertionError(f"no {name}: {events(folder)}")


def test_steps_are_taken_and_written_down(tmp_path: Path) -> None:
    target = tmp_path / "etc/new.conf"
    chosen = plan(
        step("one", shell("echo hello"), writes=(Write(str(target), "text\n", 0o640),)),
        step("two", shell("exit 3", ok_statuses=(0, 3)), shell("printf '\\033[31mred\\033[0m\\n'")),
    )
    run = tmp_path / "run"
    assert (
        runner(chosen, run, label="a test", prelude=[{"event": "trial", "text": "ok"}]).run()
        == "done"
    )
    got = [event for event in events(run) if event["event"] != "command-process"]
    assert [event["event"] for event in got] == [
        "run-started", "trial",
        "step-started", "file-written", "command-started", "command-ended", "step-ended",
        "step-started", "command-started", "command-ended", "command-started", "command-ended",
        "step-ended", "run-ended",
    ]  # fmt: skip
    assert got[0]["plan"]["steps"][0]["id"] == "one"
    assert got[0]["run"] == "run"
    assert got[0]["tool_version"]
    assert got[2]["index"] == 1
    assert got[2]["count"] == 2
    assert got[5]["status"] == 0
    assert Path(got[5]["log"]).read_text() == "hello\n"
    assert Path(got[11]["log"]).read_text() == "\x1b[31mred\x1b[0m\n"
    assert Path(got[11]["log"]).name == "02-two-2.log"
    assert got[-1]["state"] == "done"
    assert got[-1]["done"] == 2
    assert target.read_text() == "text\n"
    assert target.stat().st_mode & 0o777 == 0o640


def test_private_files_are_not_shown_in_the_journal(tmp_path: Path) -> None:
    write = Write(str(tmp_path / "auth.conf"), "password swordfish", 0o600)
    assert runner(plan(step("one", writes=(write,))), tmp_path / "run").run() == "done"
    assert "swordfish" not in (tmp_path / "run/journal.jsonl").read_text()


def test_a_failing_command_ends_the_run(tmp_path: Path) -> None:
    chosen = plan(step("bad", shell("echo why; exit 9"), shell("echo never")), step("next"))
    assert runner(chosen, tmp_path).run() == "failed"
    ended = events(tmp_path, "run-ended")[0]
    assert ended["state"] == "failed"
    assert ended["status"] == 9
    assert ended["argv"] == ["sh", "-c", "echo why; exit 9"]
    assert Path(ended["log"]).read_text() == "why\n"
    assert "exit status 9" in ended["message"]
    assert [event["state"] for event in events(tmp_path, "step-ended")] == ["failed"]
    assert len(events(tmp_path, "command-started")) == 1


def test_a_missing_command_is_said_to_be_missing(tmp_path: Path) -> None:
    assert runner(plan(step("x", Command(("no-such-thing",)))), tmp_path).run() == "failed"
    assert "no command no-such-thing" in events(tmp_path, "run-ended")[0]["message"]


def test_a_file_that_cannot_be_written_fails_the_step(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write = Write(str(tmp_path / "plain/below"), "x")
    assert runner(plan(step("x", writes=(write,))), tmp_path / "run").run() == "failed"
    assert "plain/below" in events(tmp_path / "run", "run-ended")[0]["message"]


def test_an_answer_goes_to_the_command_and_nowhere_else(tmp_path: Path) -> None:
    code = "import getpass; a = getpass.getpass('MOK password: '); print('length', len(a))"
    made, thread, states = start(plan(step("enrol", python(code, interactive=True))), tmp_path)
    prompt = wait_for(tmp_path, "prompt")
    assert prompt["secret"] is True
    assert prompt["text"] == "MOK password:"
    assert made.control({"answer": "correct-horse-battery"}) == ""
    thread.join(15)
    assert states == ["done"]
    assert made.control({"answer": "again"}) == "nothing is asked just now"
    assert events(tmp_path, "prompt-closed")[0]["answered"] is True
    assert "length 21" in (tmp_path / "logs/01-enrol-1.log").read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert b"correct-horse" not in path.read_bytes(), path


def test_transient_network_failures_are_tried_again(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = (
        f"echo x >> {mark}; test $(wc -l < {mark}) = 3 && exit 0; "
        "echo 'E: Failed to fetch http://archive.example.org/x  Hash Sum mismatch'; exit 100"
    )
    assert runner(plan(step("get", shell(text, network=True))), tmp_path / "run").run() == "done"
    retries = events(tmp_path / "run", "retry")
    assert [event["attempt"] for event in retries] == [2, 3]
    assert "Hash Sum mismatch" in retries[0]["reason"]


def test_an_update_that_missed_an_index_is_tried_again_then_accepted(tmp_path: Path) -> None:
    text = (
        "echo \"W: Failed to fetch http://archive.example.org/x  Temporary failure resolving 'x'\"; "
        "echo 'W: Some index files failed to download. They have been ignored, or old ones used.'"
    )
    assert runner(plan(step("get", shell(text, network=True))), tmp_path).run() == "done"
    assert len(events(tmp_path, "retry")) == 3


@pytest.mark.parametrize(
    ("text", "network"), [("exit 100", True), ("echo Connection timed out; exit 100", False)]
)
def test_other_failures_are_not(tmp_path: Path, text: str, network: bool) -> None:
    assert runner(plan(step("get", shell(text, network=network))), tmp_path).run() == "failed"
    assert events(tmp_path, "retry") == []


def test_waiting_for_another_package_manager_is_told_once(tmp_path: Path) -> None:
    line = (
        "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. "
        "It is held by process 42 (unattended-upgr)"
    )
    text = f"for i in 1 2 3; do printf '\\r{line}... %ss' $i; sleep 0.1; done; echo; echo go"
    assert runner(plan(step("get", shell(text, package_manager=True))), tmp_path).run() == "done"
    (waiting,) = events(tmp_path, "waiting")
    assert waiting["reason"].startswith("unattended-upgr (process 42)")


def test_progress_is_reported_while_it_runs(tmp_path: Path) -> None:
    text = "echo 'Progress: [ 40%]'; printf 'Progress: [ 40%%]'; sleep 1.6; echo"
    assert runner(plan(step("get", shell(text, package_manager=True))), tmp_path).run() == "done"
    assert events(tmp_path, "progress")[0]["fraction"] == 0.4


def test_an_ordinary_command_is_stopped(tmp_path: Path) -> None:
    made, thread, states = start(plan(step("long", shell("sleep 60")), step("next")), tmp_path)
    wait_for(tmp_path, "command-started")
    time.sleep(0.2)
    assert made.control({"cancel": True}) == ""
    thread.join(10)
    assert states == ["cancelled"]
    assert events(tmp_path, "step-ended")[0]["state"] == "cancelled"
    ended = events(tmp_path, "run-ended")[0]
    assert ended["state"] == "cancelled"
    assert "Do long" in ended["message"]


def test_a_stubborn_command_gets_firmer_signals(tmp_path: Path) -> None:
    text = "trap '' INT TERM; while :; do sleep 0.1; done"
    made, thread, states = start(plan(step("long", shell(text))), tmp_path, grace=0.3)
    wait_for(tmp_path, "command-started")
    time.sleep(0.3)
    made.cancel()
    thread.join(10)
    assert states == ["cancelled"]
    assert events(tmp_path, "command-ended")[0]["status"] == 128 + 9


def test_a_package_manager_is_let_to_finish(tmp_path: Path) -> None:
    text = "trap 'echo hurt' INT TERM; sleep 1; echo finished"
    chosen = plan(
        step("install", shell(text, package_manager=True), shell("echo never")), step("b")
    )
    made, thread, states = start(chosen, tmp_path, grace=0.2)
    wait_for(tmp_path, "command-started")
    time.sleep(0.2)
    made.cancel()
    thread.join(10)
    assert states == ["cancelled"]
    assert (tmp_path / "logs/01-install-1.log").read_text() == "finished\n"
    assert events(tmp_path, "command-ended")[0]["status"] == 0
    assert len(events(tmp_path, "command-started")) == 1
    assert "let to finish" in events(tmp_path, "cancel-requested")[0]["text"]


def test_what_must_be_let_to_finish() -> None:
    assert protected(Command(("/usr/sbin/dkms", "install")))
    assert protected(Command(("update-initramfs", "-u")))
    assert protected(Command(("anything",), package_manager=True))
    assert not protected(Command(("modprobe", "nvidia")))


def test_a_prompting_command_can_be_cancelled(tmp_path: Path) -> None:
    code = "import getpass; getpass.getpass('Password: ')"
    made, thread, states = start(plan(step("ask", python(code))), tmp_path)
    wait_for(tmp_path, "prompt")
    made.cancel()
    thread.join(10)
    assert states == ["cancelled"]


def test_a_failed_run_goes_on_where_it_failed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    chosen = plan(
        step("a", shell(f"echo a >> {mark}")),
        step("b", shell(f"echo b >> {mark}"), shell(f"test -e {tmp_path}/mended")),
        step("c", shell(f"echo c >> {mark}")),
    )
    run = tmp_path / "run"
    assert runner(chosen, run).run() == "failed"
    (tmp_path / "mended").touch()
    assert runner(chosen, run).run() == "done"
    assert mark.read_text().split() == ["a", "b", "c"]
    assert len(events(run, "run-started")) == 1
    assert events(run, "resumed")[0]["done"] == ["a"]
    assert events(run, "run-ended")[-1]["done"] == 3


def test_a_crash_in_a_package_command_is_mended_first(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    install = shell(f"echo install >> {mark}", package_manager=True)
    chosen = plan(step("a", shell(f"echo a >> {mark}"), install))
    run = tmp_path / "run"
    assert runner(chosen, run).run() == "done"
    journal = run / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    crash = next(
        i for i, line in enumerate(lines) if b"echo install" in line and b"command-st" in line
    )
    journal.write_bytes(b"".join(lines[: crash + 1]) + b'{"schema":1,"time":"20')
    assert runner(chosen, run, mend=(shell(f"echo mend >> {mark}"),)).run() == "done"
    assert mark.read_text().split() == ["a", "install", "mend", "install"]
    assert events(run, "resumed")[0]["interrupted"] == {"step": "a", "command": 1}


def test_a_reboot_ends_the_run_and_the_rest_comes_after_it(tmp_path: Path) -> None:
    chosen = plan(step("a", shell("echo a"), reboot=True), step("b", shell("echo b")))
    assert runner(chosen, tmp_path).run() == "reboot"
    needed = events(tmp_path, "reboot-needed")[0]
    boot_id = Path("/proc/sys/kernel/random/boot_id")
    assert needed["boot_id"] == (boot_id.read_text().strip() if boot_id.exists() else None)
    assert events(tmp_path, "run-ended")[0]["state"] == "reboot"
    assert runner(chosen, tmp_path).run() == "done"
    assert [event["step"] for event in events(tmp_path, "command-started")] == ["a", "b"]


def test_a_file_is_kept_once_and_not_written_twice(tmp_path: Path) -> None:
    target = tmp_path / "conf"
    target.write_bytes(b"old \xff\n")
    target.chmod(0o600)
    chosen = plan(step("a", shell("exit 1"), writes=(Write(str(target), "new\n"),)))
    run = tmp_path / "run"
    assert runner(chosen, run).run() == "failed"
    before = target.stat().st_ino
    assert runner(chosen, run).run() == "failed"
    assert target.stat().st_ino == before
    (written,) = events(run, "file-written")
    assert written["mode"] == "0600"
    assert Path(written["backup"]).read_bytes() == b"old \xff\n"
    assert (run / "backup").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("there", "planned", "after"),
    [(0o600, 0o644, 0o600), (0o640, 0o644, 0o640), (0o644, 0o600, 0o600), (0o644, 0o755, 0o744)],
)
def test_a_replaced_file_forbids_what_it_forbade(
    tmp_path: Path, there: int, planned: int, after: int
) -> None:
    target = tmp_path / "debian.sources"
    target.write_text("URIs: https://bob:S3cr3tPw@m.example.org/debian\n")
    target.chmod(there)
    content = "URIs: https://bob:S3cr3tPw@m.example.org/debian\nComponents: main\n"
    chosen = plan(step("a", writes=(Write(str(target), content, planned),)))
    assert runner(chosen, tmp_path / "run").run() == "done"
    assert target.stat().st_mode & 0o777 == after
    assert target.read_text() == content
    assert "S3cr3tPw" not in (tmp_path / "run/journal.jsonl").read_text()


def test_the_journal_does_not_show_a_file_that_was_private(tmp_path: Path) -> None:
    target = tmp_path / "conf"
    target.write_text("old\n")
    target.chmod(0o600)
    chosen = plan(step("a", writes=(Write(str(target), "swordfish\n"),)))
    assert runner(chosen, tmp_path / "run").run() == "done"
    assert "swordfish" not in (tmp_path / "run/journal.jsonl").read_text()


def test_what_is_put_back_gets_its_own_mode(tmp_path: Path) -> None:
    target = tmp_path / "conf"
    target.write_text("new\n")
    target.chmod(0o600)
    write = Write(str(target), "old\n", 0o644, exact=True)
    chosen = Plan.from_json(plan(step("a", writes=(write,))).to_json())
    assert runner(chosen, tmp_path / "run").run() == "done"
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_hundred_thousand_lines_are_logged_quickly(tmp_path: Path) -> None:
    code = "for i in range(100_000): print(f'\\033[32m{i}\\033[0m a line of a build')"
    started = time.monotonic()
    chosen = plan(step("flood", python(code, package_manager=True)))
    assert runner(chosen, tmp_path).run() == "done"
    seconds = time.monotonic() - started
    data = (tmp_path / "logs/01-flood-1.log").read_bytes()
    assert data.count(b"\n") == 100_000
    assert data.endswith(b"\x1b[32m99999\x1b[0m a line of a build\n")
    print(f"100k lines logged in {seconds:.2f} s")
    assert seconds < 15
    assert (tmp_path / "journal.jsonl").stat().st_size < 20_000


def test_a_file_size_limit_stops_at_a_safe_place(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a full disk: the log can't grow, the command still ends as it would."""
    mark = tmp_path / "mark"
    chosen = plan(
        step("a", shell(f"yes 0123456789 | head -20000; echo ended > {mark}")),
        step("b", shell(f"echo b >> {mark}")),
    )
    run = tmp_path / "run"
    made = runner(chosen, run)
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        state = made.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert state == "failed"
    assert mark.read_text() == "ended\n"
    ended = read_events(run / "journal.jsonl")[-1]
    assert "File too large" in ended["message"]
    assert "resume" in ended["message"]
    assert runner(chosen, run).run() == "done"
    assert mark.read_text() == "ended\nb\n"


def test_a_journal_that_cannot_grow_stops_before_the_next_command(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    chosen = plan(*(step(f"s{i}", shell(f"echo {i} >> {mark}")) for i in range(30)))
    run = tmp_path / "run"
    made = runner(chosen, run)
    limit = len(json.dumps(chosen.to_json())) + 3_000
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, old[1]))
    try:
        assert made.run() == "failed"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    done = len(mark.read_text().split())
    assert 0 < done < 30
    assert (run / "journal.jsonl").read_bytes().endswith(b"\n")
    assert runner(chosen, run).run() == "done"
    # A command whose end could not be written down is run again; none is left out.
    assert sorted(set(map(int, mark.read_text().split()))) == list(range(30))
    assert len(mark.read_text().split()) <= 31


def test_commands_run_with_a_usual_umask(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        assert runner(plan(step("a", shell("umask"))), tmp_path).run() == "done"
    finally:
        os.umask(old)
    assert (tmp_path / "logs/01-a-1.log").read_text().strip() == "0022"
