"""What an operator may type wrongly: each is named, with what to do, and exit status 2."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from bad_input.program import FRESH, H200, told

LONG = "x" * 6000
HOST = ("--host", str(FRESH))


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("recommend", "--scenario", "long-term", *HOST), ("--scenario", "long-term-stable")),
        (("recommend", "--gpu", "H1000", *HOST), ("--gpu", "'H1000'", "PCI id")),
        (("recommend", "--gpu", "10de:zzzz", *HOST), ("--gpu", "10de:zzzz")),
        (("recommend", "--gpu", "", *HOST), ("--gpu",)),
        (("recommend", "--framework", "vllm:abc", *HOST), ("--framework", "'abc'", "vllm:1.2.3")),
        (("recommend", "--os", "debian", "--gpu", "H100"), ("--os", "ID:VERSION")),
        (("recommend", "--os", "debain:13", "--gpu", "H100"), ("--os", "debian:13")),
        (("recommend", "--driver", "five", *HOST), ("--driver", "580")),
        (("recommend", "--driver", "999", *HOST), ("--driver", "999")),
        (("recommend", "--today", "22.11.2026", *HOST), ("--today", "2026-11-22")),
        (("recommend", "--source", "local", *HOST), ("--source local", "--packages")),
        (("recommend", "--kernel", "latest", *HOST), ("--kernel", "uname -r")),
        (("plan", "--kernel", "6.1; rm -rf /", *HOST), ("--kernel", "uname -r")),
        (("plan", "--kernel", "6.1\n", *HOST), ("--kernel", "uname -r")),
        (("plan", "--kernel", "", *HOST), ("--kernel", "empty")),
        (("recommend", "--os", "", "--gpu", "H100"), ("--os", "empty")),
        (("plan", "--kernel", "../../etc", *HOST), ("--kernel", "uname -r")),
        (
            ("plan", "--gpu", "H100", "--kernel", "6.99.0-1-amd64", *HOST),
            ("--kernel", "6.99.0-1-amd64", "is not installed", "6.12.107+deb13-amd64"),
        ),
        (("plan", "-o", "missing/plan.txt", *HOST), ("-o missing/plan.txt", "there is no folder")),
        (("plan", "-o", ".", *HOST), ("-o .", "folder")),
        (("plan", "-o", LONG, *HOST), ("-o", "File name too long")),
        (
            ("record", "-o", "missing/host.json", *HOST),
            ("missing/host.json", "Nothing was written"),
        ),
        (("record", "-o", "/proc", *HOST), ("-o /proc", "folder")),
        (("compat", "--driver", "x", "--kernel", "6.12.1"), ("--driver", "580.178.04")),
        (("compat", "--driver", "580.65.06", "--kernel", "new"), ("--kernel", "uname -r")),
        (("check", "--profiles", "missing", *HOST), ("--profiles missing", "no such folder")),
        (("check", "--profiles", LONG, *HOST), ("File name too long",)),
        (("profiles", "validate", LONG), ("File name too long",)),
        (("profiles", "validate", "missing"), ("missing: there is no such file",)),
        (("profiles", "show"), ("which profile",)),
        (("profiles", "show", "kubernets"), ("Did you mean kubernetes?",)),
        (("profiles", "explode"), ("invalid choice",)),
        (("undo", "20260101-000000-abcd"), ("20260101-000000-abcd", "undo --list")),
        (("undo", "../../etc"), ("there is no run",)),
        (("undo",), ("no run has been made",)),
        (("frobnicate",), ("invalid choice",)),
        (("plan", "--format", "pdf"), ("invalid choice",)),
        (("check", "--secure-boot", "maybe"), ("invalid choice",)),
        (("compat",), ("--driver, --kernel",)),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else str(value),
)
def test_bad_usage_is_named(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    status, output, errors = told(capsys, *arguments)
    assert status == 2
    assert output == ""
    for word in words:
        assert word in errors


def test_a_recorded_or_described_host_is_never_changed(capsys: pytest.CaptureFixture[str]) -> None:
    for host in (HOST, ("--os", "debian:13")):
        status, output, errors = told(capsys, "apply", "--gpu", "H100", "--yes", *host)
        assert (status, output) == (4, "")
        assert "can't be changed" in errors
        assert "gpu-bringup plan" in errors


def test_the_folder_of_packages_must_be_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine; on a recorded host the folder is the other machine's."""
    local = ("--source", "local", "--packages", "/no/such/folder", "--gpu", "H100")
    status, _, errors = told(capsys, "recommend", *local)
    assert status == 2
    assert "--packages /no/such/folder: there is no such folder" in errors
    assert told(capsys, "recommend", *local, *HOST)[0] != 2


def test_days_at_the_ends_of_time(capsys: pytest.CaptureFixture[str]) -> None:
    for day in ("0001-01-01", "1970-01-01", "9999-12-31"):
        for command in (("recommend", "--json"), ("plan", "--json"), ("check", "--json")):
            status, output, _ = told(capsys, *command, "--gpu", "H100", "--today", day, *HOST)
            assert status in (0, 1)
            assert json.loads(output)["schema"] == 1


HOSTILE = (
    "",
    "\x1b]0;owned\x07\x1b[2J\u202e%s%n{}[bold]$(reboot)",
    "\udcff\udcfe",
    "../../../etc/passwd",
    "9" * 5000,
)
COMMANDS = (
    ("check", "--host", "{}"),
    ("check", "--json", "--host", str(FRESH), "--profiles", "{}"),
    ("check", "--host", str(FRESH), "--gpu", "{}"),
    ("check", "--host", str(H200), "--lang", "{}"),
    ("recommend", "--host", str(FRESH), "--scenario", "{}"),
    ("recommend", "--host", str(FRESH), "--framework", "vllm:{}"),
    ("recommend", "--os", "{}", "--gpu", "H100"),
    ("recommend", "--host", str(FRESH), "--pin", "{}"),
    ("recommend", "--host", str(FRESH), "--gpu", "H100", "--pin", "driver={}"),
    ("recommend", "--host", str(FRESH), "--gpu", "H100", "--pin", "cuda={}", "--explain"),
    ("recommend", "--host", str(FRESH), "--gpu", "H100", "--pin", "framework={}"),
    ("recommend", "--host", str(FRESH), "--kernel", "{}", "--gpu", "H100"),
    ("recommend", "--host", str(FRESH), "--source", "local", "--packages", "{}"),
    ("explain", "{}"),
    ("explain", str(FRESH), "--context", "{}"),
    ("explain", str(FRESH), "--context", "os={}", "kernel={}"),
    ("compat", "--driver", "{}", "--kernel", "6.1.1"),
    ("compat", "--driver", "580.65.06", "--kernel", "{}"),
    ("compat", "--driver", "580.65.06", "--kernel", "6.1.1", "--os", "{}"),
    ("plan", "--host", str(FRESH), "--driver", "{}"),
    ("plan", "--host", str(FRESH), "--today", "{}"),
    ("plan", "--host", str(FRESH), "--gpu", "H100", "--format", "shell", "--packages", "{}"),
    ("apply", "--host", str(FRESH), "--gpu", "{}"),
    ("enrol", "--host", "{}"),
    ("enrol", "--host", str(FRESH), "--lang", "{}"),
    (
        "plan",
        "--host",
        str(FRESH),
        "--gpu",
        "H100",
        "--signing-key",
        "{}",
        "--signing-certificate",
        "c",
    ),
    ("undo", "{}"),
    ("undo", "--yes", "--json", "{}"),
    ("record", "--host", "{}"),
    ("hooks", "{}"),
    ("recover", "--host", str(FRESH), "--way", "{}"),
    ("recover", "--host", str(FRESH), "--kill", "{}"),
    ("recover", "--host", str(FRESH), "--stop", "{}", "--wait", "1"),
    ("check", "--next-boot", "--host", "{}"),
    ("check", "--ledger", "--json", "--host", "{}"),
    ("profiles", "show", "{}"),
    ("profiles", "validate", "{}"),
    ("train", "{}"),
    ("train", "{}", "--auto", "--json"),
    ("train", "--list", "--operator", "{}"),
    ("train", "--list", "--profiles", "{}"),
    ("train", "boot-full", "--break", "{}"),
    ("train", "--from-record", "{}"),
    ("train", "--from-record", str(H200), "--break", "{}"),
    ("train", "--report", "--operator", "{}"),
    ("--host", "{}"),
    ("{}",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command)[:60])
def test_no_traceback_whatever_is_typed(
    capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    """Every command with hostile values: an exit status of the contract, words where it failed."""
    for value in HOSTILE:
        arguments = [part.replace("{}", value) for part in command]
        status, output, errors = told(capsys, *arguments)
        assert "Traceback" not in output + errors
        assert status in (0, 1, 2, 4)
        if status in (2, 4):
            assert errors.strip()


def test_every_command_is_covered() -> None:
    import argparse

    from gpu_bringup.cli import build_parser

    actions = build_parser()._actions
    names = next(a.choices for a in actions if isinstance(a, argparse._SubParsersAction))
    assert set(names) <= set(itertools.chain.from_iterable(COMMANDS))
