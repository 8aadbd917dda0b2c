"""PtySession with real children on real terminals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from gpu_bringup.hosts.base import Exited, Lines, Partial, Prompt, SessionEvent
from gpu_bringup.hosts.echo import EchoFilter
from gpu_bringup.hosts.environment import STANDARD_PATH
from gpu_bringup.hosts.pty import PtySession, as_root
from gpu_bringup.model.plan import Command
from run_tools import python, shell

pytestmark = pytest.mark.process


def run(session: PtySession, answers: list[str] | None = None) -> list[SessionEvent]:
    seen: list[SessionEvent] = []
    for event in session:
        seen.append(event)
        if isinstance(event, Prompt) and answers:
            session.send(answers.pop(0))
    return seen


def text(seen: list[SessionEvent]) -> list[str]:
    return [line for event in seen if isinstance(event, Lines) for line in event.lines]


def test_lines_and_status() -> None:
    seen = run(PtySession(shell("echo one; echo two >&2; printf rest; exit 3")))
    assert text(seen) == ["one", "two", "rest"]
    assert seen[-1] == Exited(3)


def test_missing_command() -> None:
    assert run(PtySession(Command(("no-such-command-here",)))) == [
        Lines(("no-such-command-here: command not found",)),
        Exited(127),
    ]


def test_end_by_signal() -> None:
    assert run(PtySession(shell("kill -TERM $$")))[-1] == Exited(128 + signal.SIGTERM)


def test_environment_is_the_same_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/opt/conda/bin:/usr/bin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("https_proxy", "http://proxy.example.org:3128")
    seen = run(PtySession(Command(("env",), environment=(("DEBIAN_FRONTEND", "noninteractive"),))))
    got = dict(line.split("=", 1) for line in text(seen))
    assert got["PATH"] == STANDARD_PATH
    assert got["LC_ALL"] == "C.UTF-8"
    assert got["TERM"] == "dumb"
    assert got["https_proxy"] == "http://proxy.example.org:3128"
    assert got["DEBIAN_FRONTEND"] == "noninteractive"
    assert "PYTHONPATH" not in got


def test_secret_prompt_is_answered_and_never_shown() -> None:
    code = "import getpass; p = getpass.getpass('input password: '); print('length', len(p))"
    seen = run(PtySession(python(code)), ["hunter2-secret"])
    assert Prompt("input password:", secret=True) in seen
    assert "length 14" in text(seen)
    assert "hunter2-secret" not in repr(seen)


def test_secret_twice() -> None:
    code = "import getpass as g; print(g.getpass('one: ') == g.getpass('again: '))"
    seen = run(PtySession(python(code)), ["abc", "abc"])
    assert [event.text for event in seen if isinstance(event, Prompt)] == ["one:", "again:"]
    assert "True" in text(seen)


def test_question_with_echo_is_no_secret_and_its_answer_is_not_echoed() -> None:
    seen = run(PtySession(shell("printf 'Go on? [Y/n] '; read a; test $a = yes-please && echo ok")),
               ["yes-please"])  # fmt: skip
    assert Prompt("Go on? [Y/n]", secret=False) in seen
    assert text(seen)[-1] == "ok"
    assert "yes-please" not in repr(seen)


def test_terminal_modes_are_left_to_the_command() -> None:
    code = "printf 'Name: '; read a; stty -a | grep -o ' echo '; stty -echo; printf 'Key: '; read b"
    seen = run(PtySession(shell(code)), ["x", "y"])
    assert " echo " in text(seen)
    assert [event.secret for event in seen if isinstance(event, Prompt)] == [False, True]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_echo_filter(size: int) -> None:
    echo = EchoFilter()
    echo.expect("secret")
    data = b"sec: secret\r\nsecret\r\n"
    got = b"".join(echo.without(data[i : i + size]) for i in range(0, len(data), size))
    assert got + echo.release() == b"sec: \r\nsecret\r\n"


def test_echo_filter_without_an_echo() -> None:
    echo = EchoFilter()
    echo.expect("secret")
    assert echo.without(b"none: se") == b"none: "
    assert not echo.overdue
    assert echo.release() == b"se"
    echo.expect("")
    assert echo.without(b"\r\n") == b"\r\n"


def test_progress_is_no_prompt() -> None:
    seen = run(PtySession(shell("printf 'Building module(s)......'; sleep 1.5; echo done")))
    assert not [event for event in seen if isinstance(event, Prompt)]
    assert Partial("Building module(s)......") in seen


def test_silence_in_raw_mode_is_no_secret() -> None:
    """apt keeps the terminal in raw mode, without echo, while dpkg runs."""
    seen = run(PtySession(shell("stty raw -echo; printf 'Unpacking x'; sleep 1; stty sane; echo")))
    assert not [event for event in seen if isinstance(event, Prompt)]


def test_secret_words_in_raw_mode_are_a_secret() -> None:
    """sudo with pwfeedback reads so."""
    code = "stty -icanon -echo; printf '[sudo] password for me: '; read p; stty sane; echo got"
    seen = run(PtySession(shell(code)), ["pw"])
    assert Prompt("[sudo] password for me:", secret=True) in seen


def test_interrupt_reaches_the_foreground() -> None:
    session = PtySession(shell("trap 'echo stopped; exit 7' INT; echo ready; sleep 60 & wait"))
    seen: list[SessionEvent] = []
    for event in session:
        seen.append(event)
        if isinstance(event, Lines) and "ready" in event.lines:
            session.interrupt()
    assert seen[-1] == Exited(7)


def test_interrupt_works_where_the_starter_ignores_signals() -> None:
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        session = PtySession(Command(("sleep", "60")))
    finally:
        signal.signal(signal.SIGINT, old)
    threading.Timer(0.3, session.interrupt).start()
    assert list(session)[-1] == Exited(128 + signal.SIGINT)


def test_second_interrupt_is_firmer() -> None:
    session = PtySession(shell("trap '' INT; echo ready; while :; do sleep 0.1; done"))
    for event in session:
        if isinstance(event, Lines) and "ready" in event.lines:
            session.interrupt()
            session.interrupt()
    assert event == Exited(128 + signal.SIGTERM)


def test_a_pipe_that_breaks_ends_its_writer() -> None:
    """Python ignores SIGPIPE; were that inherited, this would complain of a broken pipe."""
    assert text(run(PtySession(shell("yes | head -1")))) == ["y"]


@pytest.mark.parametrize("noise", ["sleep 30", "while :; do echo noise; done"])
def test_descendants_that_keep_the_terminal_are_not_waited_for(noise: str) -> None:
    started = time.monotonic()
    command = shell(f"trap '' HUP; ({noise}) & echo child $!; exit 5")
    seen = run(PtySession(command))
    assert seen[-1] == Exited(5)
    assert time.monotonic() - started < 5
    child = int(next(line for line in text(seen) if line.startswith("child")).split()[1])
    os.kill(child, signal.SIGKILL)


def test_size_of_the_terminal() -> None:
    session = PtySession(shell("stty size; sleep 0.5; stty size"), rows=33, columns=111)
    seen: list[SessionEvent] = []
    for event in session:
        seen.append(event)
        if isinstance(event, Lines) and len(seen) == 1:
            session.resize(24, 80)
    assert text(seen) == ["33 111", "24 80"]


def test_root_by_sudo_keeps_the_environment() -> None:
    argv = as_root(("apt-get", "update"), {"LC_ALL": "C.UTF-8"})
    assert argv == ("sudo", "--", "env", "LC_ALL=C.UTF-8", "apt-get", "update")


def test_overhead_of_the_terminal(record_property: pytest.RecordProperty) -> None:
    """100,000 lines come through whole, and an ordinary command costs next to nothing more."""
    code = "for i in range(100_000): print('line', i, 'of a build, with some words in it')"
    session = PtySession(python(code))
    started = time.monotonic()
    count = sum(len(event.lines) for event in session if isinstance(event, Lines))
    flood = time.monotonic() - started
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    plain_flood = time.monotonic() - started
    slow = "import time\nfor i in range(100): print(i, flush=True); time.sleep(0.02)"
    ratios = []
    for _ in range(3):
        started = time.monotonic()
        list(PtySession(python(slow)))
        on_terminal = time.monotonic() - started
        started = time.monotonic()
        subprocess.run([sys.executable, "-c", slow], stdout=subprocess.PIPE, check=True)
        ratios.append(on_terminal / (time.monotonic() - started))
    record_property("flood_seconds", round(flood, 2))
    print(
        f"100k lines: terminal {flood:.2f} s, pipe {plain_flood:.2f} s; ordinary: {sorted(ratios)}"
    )
    assert count == 100_000
    assert flood < 10
    assert min(ratios) < 1.05


def test_a_download_line_that_rests_is_no_question() -> None:
    script = (
        "import sys,time\n"
        "sys.stdout.write('83% [Waiting for headers]'); sys.stdout.flush(); time.sleep(1.2)\n"
        "print()\n"
    )
    session = PtySession(Command((sys.executable, "-c", script), root=False))
    events = list(session)
    assert not [event for event in events if isinstance(event, Prompt)]
    assert isinstance(events[-1], Exited)
    assert events[-1].status == 0
