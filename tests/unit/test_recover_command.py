"""``gpu-bringup recover`` and a record's way to a laptop and back, as an operator meets them."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from gpu_bringup import cli
from gpu_bringup.errors import ExitCode

HOSTS = Path(__file__).parents[1] / "hosts"
BROKEN = str(HOSTS / "debian13-kernel-upgraded.json")
OLD, NEW = "6.12.107+deb13-amd64", "6.12.115+deb13-amd64"


@pytest.fixture(autouse=True)
def _own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))


def run(*argv):
    return cli.main(["recover", *argv])


def test_the_ways_as_json(capsys):
    assert run("--host", BROKEN, "--json") == ExitCode.FAILED
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1 and document["verdict"] == "broken"
    assert document["root_cause"]["cause"] == "headers-missing"
    assert [way["id"] for way in document["ways"]] == ["boot-once", "boot-default", "mend", "later"]
    assert document["ways"][0]["steps"][0]["commands"][0]["argv"][0] == "grub-reboot"
    assert document["in_use"]["unknown"].startswith("this is a record")


def test_the_ways_for_people(capsys):
    assert run("--host", BROKEN) == ExitCode.FAILED
    text = " ".join(capsys.readouterr().out.split())
    assert "Root cause: Kernel headers" in text
    assert f"1. Back to service now: boot {OLD} once" in text
    assert "Cost: about 3 min, one reboot" in text and "Risk: " in text


def test_a_listed_command_can_be_pasted(capsys):
    # Unquoted, the menu's ">" would be a redirection: another entry chosen, a stray file written.
    run("--host", BROKEN)
    line = next(row for row in capsys.readouterr().out.splitlines() if "# grub-reboot" in row)
    argv = shlex.split(line.partition("# ")[2])
    assert len(argv) == 2 and argv[1].endswith(f"with Linux {OLD}") and "'" in line


def test_a_healthy_host_has_nothing_to_recover(capsys):
    assert run("--host", str(HOSTS / "h200-x1.json")) == ExitCode.OK
    assert "nothing to recover" in capsys.readouterr().out
    assert run("--host", str(HOSTS / "h200-x1.json"), "--way", "1") == ExitCode.REFUSED


def test_a_way_of_a_record_is_only_written_down(capsys):
    assert run("--host", BROKEN, "--way", "1", "--yes") == ExitCode.OK
    told = capsys.readouterr()
    assert "Run this on the server" in told.err
    assert f"with Linux {OLD}" in told.out and "grub-editenv" in told.out
    assert run("--host", BROKEN, "--way", "later") == ExitCode.REFUSED


@pytest.mark.parametrize("word", ["9", "reboot", ""])
def test_a_way_that_is_not_there(word, capsys):
    assert run("--host", BROKEN, "--way", word) == ExitCode.BAD_INPUT
    assert "The ways here: 1 or boot-once" in capsys.readouterr().err


def test_what_holds_no_gpu_is_not_stopped(capsys):
    assert run("--host", BROKEN, "--way", "1", "--stop", "sshd") == ExitCode.BAD_INPUT
    assert "nothing of this name holds a GPU" in capsys.readouterr().err
    assert run("--host", BROKEN, "--way", "1", "--wait", "-5") == ExitCode.BAD_INPUT


@pytest.mark.process
def test_a_record_goes_to_a_laptop_and_its_commands_come_back(tmp_path, capsys):
    """Record on the server, diagnose and plan elsewhere; the script knows the server again."""
    record = tmp_path / "server.json"
    assert cli.main(["record", "--host", BROKEN, "-o", str(record)]) == ExitCode.OK
    told = capsys.readouterr().err
    assert "kB" in told and "redacted" in told, "the size is told"
    assert record.stat().st_size < 100_000 and record.stat().st_mode & 0o077 == 0

    assert cli.main(["check", "--host", str(record), "--json"]) == ExitCode.FAILED
    assert json.loads(capsys.readouterr().out)["root_cause"]["cause"] == "headers-missing"

    script = tmp_path / "plan.sh"
    assert cli.main(
        ["plan", "--host", str(record), "--format", "shell", "-o", str(script)]
    ) == ExitCode.OK  # fmt: skip
    text = script.read_text()
    assert "check_host" in text and f"linux-headers-{NEW}" in text
    # This machine is not that server: the script refuses before it changes anything.
    answer = subprocess.run(
        ["sh", str(script), "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 4 and "Nothing was changed" in answer.stderr

    way = tmp_path / "way.sh"
    capsys.readouterr()
    assert run("--host", str(record), "--way", "1", "--format", "shell") == ExitCode.OK
    way.write_text(capsys.readouterr().out)
    answer = subprocess.run(
        ["sh", str(way), "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert answer.returncode == 4, "nor does the way back to service"
    assert subprocess.run(["sh", "-n", str(way)], check=False).returncode == 0


def test_nothing_on_the_laptop_can_be_changed_by_a_record(capsys):
    assert cli.main(["apply", "--host", BROKEN, "--yes"]) == ExitCode.REFUSED
    assert "can't be changed" in capsys.readouterr().err
    assert cli.main(["recover", "--host", BROKEN, "--way", "mend", "--yes"]) == ExitCode.OK
    assert "Run this on the server" in capsys.readouterr().err


def test_a_way_that_is_impossible_says_each_reason(capsys):
    assert run("--host", BROKEN, "--way", "reload") == ExitCode.REFUSED
    told = " ".join(capsys.readouterr().err.split())
    assert "reload is not possible on this server:" in told
    assert "- no nvidia module is loaded" in told
    assert f"- the running kernel ({NEW}) has no nvidia module on disk" in told
    assert "The ways here: 1 or boot-once" in told
