"""Terminals, pipes and keys as they come: closed, full, tiny, dumb, interrupted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pytest

from bad_input.program import FRESH, PROGRAM, environment, gb, is_plain

pytestmark = pytest.mark.process

HOST = ("--host", str(FRESH))


def shell(
    line: str, *arguments: str, state: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """``line`` of bash; "$@" in it is the program with ``arguments``."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}", "bash", *PROGRAM, *arguments],
        env=environment(state, **variables), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, errors="replace", timeout=60, check=False,
    )  # fmt: skip
    is_plain(done.stdout, done.stderr)
    return done


def terminal(
    state: Path, *arguments: str, size: tuple[int, int] = (24, 80), **variables: str
) -> pexpect.spawn:
    """The program on a pseudo-terminal of (rows, columns)."""
    return pexpect.spawn(
        sys.executable, ["-m", "gpu_bringup", *arguments],
        env=environment(state, **variables), dimensions=size, encoding="utf-8",
        codec_errors="replace", timeout=60,
    )  # fmt: skip


def ended(child: pexpect.spawn) -> tuple[int | None, str]:
    """Exit status and what was printed since the last expectation."""
    child.expect(pexpect.EOF)
    child.close()
    text = str(child.before)
    is_plain(text.replace("\r", ""), "")
    return child.exitstatus, text


# --- terminals ----------------------------------------------------------------------------------


def test_a_terminal_of_40x10(tmp_path: Path) -> None:
    status, text = ended(terminal(tmp_path, size=(10, 40)))
    assert status == 2
    assert "40x10" in text
    assert "gpu-bringup check" in " ".join(text.split())
    # Without a screen everything works there, and stays within its columns where words allow it.
    status, text = ended(terminal(tmp_path, "check", *HOST, size=(10, 40)))
    assert status == 1
    assert "What sets it up" in text


def test_a_terminal_that_does_not_know_its_size(tmp_path: Path) -> None:
    """Serial consoles say 0x0."""
    for size in ((0, 0), (1, 1)):
        status, text = ended(terminal(tmp_path, "check", *HOST, size=size))
        assert status == 1
        assert "What sets it up" in text


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_dumb_terminal(tmp_path: Path, term: str) -> None:
    status, text = ended(terminal(tmp_path, TERM=term))
    assert status == 2
    assert f"TERM={term or 'not set'}" in text
    assert "gpu-bringup check" in " ".join(text.split())
    status, text = ended(terminal(tmp_path, "check", *HOST, TERM=term))
    assert status == 1
    assert "\x1b" not in text


def test_no_terminal(tmp_path: Path) -> None:
    done = gb(state=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr


# --- pipes and files ----------------------------------------------------------------------------


def test_a_closed_pipe_is_no_error_message(tmp_path: Path) -> None:
    for command in (("plan", "--json", *HOST), ("profiles", "list"), ("--help",)):
        done = shell('"$@" | head -1', *command, state=tmp_path)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == 1
    # Nobody read the answer, so nobody is told that all is well.
    done = shell('"$@" | true', "profiles", "list", state=tmp_path)
    assert (done.returncode, done.stderr) in ((0, ""), (1, ""))


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams(tmp_path: Path, closed: str) -> None:
    """Cron jobs and service managers start programs like this."""
    for command, status in ((("check", "--json", *HOST), 1), (("undo",), 2), ((), 2)):
        done = shell(f'"$@" {closed}', *command, state=tmp_path)
        assert done.returncode == status
        if command[:1] == ("check",) and ">&-" not in closed.split():
            assert json.loads(done.stdout)["schema"] == 1


def test_messages_never_get_into_the_result(tmp_path: Path) -> None:
    """With standard error closed, Python would print there instead."""
    done = shell('"$@" 2>&-', "plan", "--json", "--gpu", "H100", *HOST, state=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["schema"] == 1


def test_an_output_that_is_full(tmp_path: Path) -> None:
    for command in (("check", *HOST), ("plan", "--json", *HOST), ("--help",)):
        done = shell('"$@" >/dev/full', *command, state=tmp_path)
        assert done.returncode == 1
        assert "no space is left" in done.stderr
        assert "df -h" in done.stderr
    done = gb("plan", "-o", "/dev/full", *HOST, state=tmp_path)
    assert done.returncode == 1
    assert "/dev/full can't be written: No space left on device" in done.stderr
    # The status still tells where the message can't.
    assert shell('"$@" 2>/dev/full', "undo", "x", state=tmp_path).returncode == 2


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf8(tmp_path: Path, encoding: str) -> None:
    for command in (("check", *HOST), ("recommend", "--gpu", "H100", *HOST)):
        done = gb(*command, state=tmp_path, variables={"PYTHONIOENCODING": encoding})
        assert done.returncode in (0, 1)
        assert "H100" in done.stdout
    done = gb("check", "--json", *HOST, state=tmp_path, variables={"PYTHONIOENCODING": encoding})
    plain = gb("check", "--json", *HOST, state=tmp_path)
    assert json.loads(done.stdout) == json.loads(plain.stdout)


# --- keys ---------------------------------------------------------------------------------------


def test_ctrl_c_while_it_looks(tmp_path: Path) -> None:
    """Programs of the host that never answer keep nobody from leaving."""
    slow = tmp_path / "bin"
    slow.mkdir()
    for name in ("dpkg-query", "apt-mark", "ldconfig", "dmesg", "apt-config"):
        (slow / name).write_text("#!/bin/sh\nexec sleep 60\n")
        (slow / name).chmod(0o755)
    child = terminal(tmp_path, "check", PATH=f"{slow}:{os.environ['PATH']}")
    time.sleep(1.5)
    assert child.isalive()
    child.sendintr()
    started = time.monotonic()
    status, text = ended(child)
    assert status == 1
    assert "stopped by you" in text
    assert time.monotonic() - started < 5
