"""An exercise is its log: resumed, stepped back, broken from elsewhere, judged; it stays in its folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup import engine
from gpu_bringup.errors import BringupError, InputError, RefusedError
from gpu_bringup.hosts.base import Lines, Prompt
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.model.plan import Command, Plan
from gpu_bringup.training import auto, library, progress, recording, rules
from gpu_bringup.training.events import NAME, Log, standing
from gpu_bringup.training.exercise import Exercise, folder_of
from gpu_bringup.training.runs import PractiseRun
from gpu_bringup.training.shell import Console

LIBRARY = library.load()
CATALOGUE = engine.load_catalogue()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


def begin(lesson: str = "reading-the-ladder", mode: str = "shell") -> Exercise:
    return Exercise.begin(LIBRARY, LIBRARY.lesson(lesson), CATALOGUE, "anna", mode)


def resume(lesson: str = "reading-the-ladder") -> Exercise:
    return Exercise.resume(LIBRARY, LIBRARY.lesson(lesson), CATALOGUE, "anna")


def type_in(exercise: Exercise, *lines: str, secret: str = "s3cret-word") -> list[str]:
    said: list[str] = []

    def ask(prompt: Prompt) -> str:
        return secret if prompt.secret else "y"

    console = Console(exercise)
    for line in lines:
        console.run(line, lambda kind, text: said.append(text), ask)
    return said


def test_it_goes_on_where_it_was_in_another_process() -> None:
    first = begin()
    type_in(first, "modprobe nvidia", "echo x > /tmp/x", "wait 10m")
    second = resume()
    assert second.machine.loaded.keys() == first.machine.loaded.keys()
    assert second.machine.text("/tmp/x") == "x\n"
    assert second.machine.clock == first.machine.clock
    assert second.tally.commands == first.tally.commands == 1
    assert second.steps == 3
    assert [second.back() for _ in range(4)] == [True, True, True, False]
    assert "nvidia" not in second.machine.loaded
    assert second.tally.steps_back == 3


def test_again_puts_the_old_log_aside() -> None:
    exercise = begin(mode="guided")
    type_in(exercise, "modprobe nvidia")
    exercise.again()
    assert exercise.steps == 0 and exercise.tally.commands == 0 and exercise.mode == "guided"
    assert "nvidia" not in exercise.machine.loaded
    assert (exercise.folder / "exercise-1.jsonl").exists()


def test_an_instructor_breaks_it_from_a_second_terminal() -> None:
    trainee = begin()
    type_in(trainee, "modprobe nvidia")
    instructor = resume()
    title = instructor.damage("nvidia-blacklisted")
    assert title
    (told,) = trainee.poll()
    assert title in told
    assert trainee.poll() == ()
    assert trainee.machine.tree.exists("/etc/modprobe.d/old-test.conf")
    # The trainee's own step goes back, the instructor's stays.
    assert trainee.back()
    assert not trainee.back()
    assert trainee.machine.tree.exists("/etc/modprobe.d/old-test.conf")


def test_both_at_once_see_the_same_server_in_the_end() -> None:
    trainee, instructor = begin(), resume()
    instructor.damage("persistenced-off")
    said = type_in(trainee, "modprobe nvidia", "uname -r")
    assert any("has changed" in text for text in said)
    third = resume()
    assert trainee.machine.units == third.machine.units
    assert trainee.machine.loaded.keys() == third.machine.loaded.keys()


@pytest.mark.parametrize("fault", ["zzz", "module-unloaded x=1", "", "a b", "wrong-flavour 'x"])
def test_a_fault_that_is_none_breaks_nothing(fault: str) -> None:
    exercise = begin()
    before = len(standing(exercise._log.events))
    with pytest.raises(InputError):
        exercise.damage(fault)
    assert len(standing(resume()._log.events)) == before


def test_passwords_reach_neither_log_nor_machine() -> None:
    exercise = begin("secure-boot-mok")
    type_in(exercise, "mokutil --import /var/lib/dkms/mok.pub", "reboot", secret="hunter2-hunter2")
    assert exercise.judgement().solved
    kept = [path.read_text() for path in exercise.folder.rglob("*") if path.is_file()]
    assert not any("hunter2" in text for text in kept)
    assert recording.masked("hunter2-hunter2") in "".join(kept)
    assert resume("secure-boot-mok").judgement().solved
    assert recording.masked("") == "" and len(recording.masked("abc")) == 3


def test_a_command_that_is_broken_off_leaves_what_its_replay_leaves() -> None:
    exercise = begin("headers-after-upgrade")
    type_in(exercise, "apt-get update")
    running = iter(exercise.host.open(Command(("apt-get", "-y", "install", "linux-headers-amd64"))))
    for event in running:
        if isinstance(event, Lines) and any("Setting up" in line for line in event.lines):
            break
    del running
    again = resume("headers-after-upgrade")
    assert again.machine.packages.installed == exercise.machine.packages.installed
    assert exercise.machine.packages.unfinished()
    type_in(exercise, "dpkg --configure -a")
    assert not exercise.machine.packages.unfinished()


def test_nobody_at_the_console_misses_the_screen() -> None:
    exercise = begin("secure-boot-mok")
    type_in(exercise, "mokutil --import /var/lib/dkms/mok.pub")
    exercise.reboot()
    assert not exercise.judgement().mended
    assert exercise.machine.firmware.pending == ()


def test_a_needless_reboot_costs_and_breaks_the_rule() -> None:
    exercise = begin("library-mismatch")
    exercise.reboot()
    exercise.reboot()
    found = exercise.judgement()
    assert found.mended and not found.solved
    assert [rule.id for rule in found.rules if not rule.kept] == ["reboots"]
    assert exercise.tally.needless_reboots == 1
    assert exercise.back() and exercise.back()
    assert exercise.judgement().rules[0].kept


def test_a_killed_job_and_the_window() -> None:
    exercise = begin("production-window")
    pid = exercise.machine.jobs[0].pid
    type_in(exercise, f"kill {pid}", "systemctl stop nvidia-persistenced")
    found = {rule.id: rule.kept for rule in exercise.judgement().rules}
    assert found == {"reboots": True, "jobs": False, "window": False}
    assert exercise.tally.killed_jobs == 1
    while exercise.back():
        pass
    type_in(exercise, "wait 22:00")
    assert exercise.clock == "22:00" and not exercise.machine.jobs
    type_in(exercise, "systemctl stop nvidia-persistenced")
    assert all(rule.kept for rule in exercise.judgement().rules)


def test_giving_up_where_a_command_helps_is_not_the_solution() -> None:
    found = begin().hand_over()
    assert not found.solved and "a command still helps" in found.words
    assert begin("xid-79").hand_over().solved


@pytest.mark.parametrize(
    ("window", "time", "inside"),
    [("", "03:00", True), ("22:00-23:30", "22:00", True), ("22:00-23:30", "23:30", False),
     ("22:00-23:30", "21:59", False), ("23:00-01:00", "00:30", True), ("23:00-01:00", "12:00", False)],
)  # fmt: skip
def test_the_window(window: str, time: str, inside: bool) -> None:
    hour, minute = map(int, time.split(":"))
    assert rules.inside(window, hour * 3600 + minute * 60) is inside


def test_the_end_is_written_into_the_progress_once() -> None:
    exercise = begin()
    assert auto.solve(exercise).solved
    score = exercise.finish()
    assert score.solved and score.points == 100
    assert progress.load("anna").solved("reading-the-ladder")
    with pytest.raises(RefusedError):
        exercise.finish()
    assert resume().over


def test_a_given_up_exercise_comes_back_tomorrow() -> None:
    begin().finish()
    kept = progress.load("anna")
    assert not kept.solved("reading-the-ladder")
    assert kept.reviews["reading-the-ladder"].days == 1


@pytest.mark.parametrize(
    "damage", [b"junk\n", b"{}\n", b'{"event": 3}\n', b'{"schema": 9, "event": "x"}\n', b"\xff\n"]
)
def test_a_damaged_log_is_named(damage: bytes) -> None:
    exercise = begin()
    with (exercise.folder / NAME).open("ab") as file:
        file.write(damage)
    with pytest.raises(InputError) as caught:
        resume()
    assert "line 2" in caught.value.message and "--again" in caught.value.hint
    assert begin().steps == 0


def test_a_line_half_written_is_waited_for() -> None:
    exercise = begin()
    with (exercise.folder / NAME).open("ab") as file:
        file.write(b'{"schema": 1, "event": "hi')
    assert resume().steps == 0


def test_there_is_no_exercise_yet() -> None:
    with pytest.raises(InputError, match="there is no exercise"):
        resume()
    assert folder_of("anna", "x").name == "x"


def test_a_mode_that_is_none() -> None:
    with pytest.raises(InputError):
        begin(mode="asleep")


def test_a_run_on_a_real_host_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError):
        PractiseRun(LocalHost(), Plan({}, ()), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_is_followed_like_every_run() -> None:
    exercise = begin("secure-boot-mok", "wizard")
    run = exercise.run(exercise.situation().plan)
    run.start()
    seen: list[str] = []
    for event in run.events(timeout=30):
        seen.append(event["event"])
        if event["event"] == "prompt":
            run.answer("training-word")
    assert seen[0] == "run-started" and seen[-1] == "run-ended"
    assert {"prompt", "command-ended", "reboot-needed"} <= set(seen)
    assert run.state == "reboot"
    exercise.reboot("training-word")
    assert exercise.judgement().solved


def test_hints_questions_and_score() -> None:
    exercise = begin(mode="guided")
    rung = exercise.guided()[0]
    assert exercise.answered(rung, rung.question.answer)
    assert not exercise.answered(rung, rung.question.answer % len(rung.question.choices) + 1)
    exercise.hint()
    exercise.solution()
    tally = exercise.tally
    assert (tally.questions, tally.wrong_answers, tally.hints) == (2, 1, ("weak",))
    assert tally.solution_seen
    auto.solve(exercise)
    assert exercise.score().points == 20


class Watch:
    """Everything that this process asks of the real machine, by Python's audit events."""

    STARTS = (
        "subprocess.",
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.fork",
        "os.spawn",
        "pty.",
        "socket.connect",
    )
    CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.chmod",
               "os.chown", "os.truncate", "os.utime", "shutil.")  # fmt: skip

    def __init__(self, allowed: Path) -> None:
        self.allowed = str(allowed)
        self.on = False
        self.found: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event.startswith(self.STARTS):
            self.found.append(f"{event} {arguments}")
        elif event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if writes and not self._inside(path):
                self.found.append(f"open {path}")
        elif event.startswith(self.CHANGES) and not self._inside(arguments[0]):
            self.found.append(f"{event} {arguments}")

    def _inside(self, path: Any) -> bool:
        return isinstance(path, int) or str(os.fsdecode(path)).startswith(self.allowed)


@pytest.fixture
def watch(state: Path) -> Iterator[Watch]:
    found = Watch(state / "training")
    state.mkdir(parents=True)
    # An audit hook can't be taken away again: it is switched off at the end.
    sys.addaudithook(found)
    yield found
    found.on = False


def test_nothing_reaches_the_real_host(watch: Watch) -> None:
    lines = (
        "rm -rf /", "rm -rf /etc /usr", "rm -r /boot", "reboot", "apt-get update",
        "apt-get purge -y 'nvidia*'", "modprobe nvidia", "rmmod nvidia", "echo x > /etc/passwd",
        "echo x >> /root/.bashrc", "cat /etc/shadow", "systemctl stop ssh", "dd if=/dev/zero of=/dev/sda",
        "bash -c 'id'", "sh /tmp/x.sh", "kill -9 1", "curl http://archive.example.org",
        "nvidia-smi --gpu-reset", "mv /etc /tmp/etc", "cp /etc/os-release /x", "update-initramfs -u",
        "python3 -c 1", "/bin/ls /", "../../bin/ls", "mokutil --import /var/lib/dkms/mok.pub",
    )  # fmt: skip
    watch.on = True
    for lesson in ("reading-the-ladder", "fresh-server", "secure-boot-mok"):
        exercise = begin(lesson)
        type_in(exercise, *lines, "hint", "check", "solution", "back", "again")
        auto.solve(exercise)
        exercise.damage("loud-log")
        exercise.finish()
    watch.on = False
    assert watch.found == []


def test_the_watch_sees_what_it_should(watch: Watch, tmp_path: Path) -> None:
    watch.on = True
    (tmp_path / "outside").write_text("x")
    (tmp_path / "outside").unlink()
    watch.on = False
    assert len(watch.found) == 2


def test_a_folder_that_cannot_be_written_is_said(state: Path) -> None:
    state.mkdir(parents=True)
    (state / "training").write_text("in the way")
    with pytest.raises(BringupError, match="can't be written"):
        begin()


def test_two_logs_see_each_others_events(tmp_path: Path) -> None:
    first = Log.begin(tmp_path / "x", lesson="a")
    second = Log.load(tmp_path / "x")
    assert first.append("hint") is True
    assert second.append("hint") is False
    assert [event["event"] for event in second.foreign()] == ["hint", "hint"]
    assert [event["event"] for event in first.foreign()] == ["hint"]
    assert first.foreign() == [] and second.foreign() == []
