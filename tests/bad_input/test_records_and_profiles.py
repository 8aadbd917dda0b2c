"""Files that are cut off, hostile or misspelt: named with their place, never believed, never obeyed."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bad_input.program import FRESH, H200, KERNEL, told

Record = dict[str, Any]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_BRINGUP_STATE", str(tmp_path / "state"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Record | bytes], str]:
    def written(record: Record | bytes) -> str:
        path = tmp_path / "host.json"
        path.write_bytes(record if isinstance(record, bytes) else json.dumps(record).encode())
        return str(path)

    return written


def record(path: Path = FRESH) -> Record:
    content: Record = json.loads(path.read_text())
    return content


def deep(levels: int) -> bytes:
    return b'{"schema": 1, "files": ' + b"[" * levels + b"]" * levels + b"}"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (FRESH.read_bytes()[:9000], ("line ", "column ", "cut off")),
        (FRESH.read_bytes()[:-3], ("cut off",)),
        (b"", ("empty",)),
        (b"\x7fELF\x02\x01\x01\x00\xff\xfe" * 100, ("byte 8", "binary")),
        (b"\0" * 4096, ("byte 0", "NUL bytes")),
        (deep(100_000), ("nested",)),
        (deep(40), ("nested",)),
        (b'{"schema": ' + b"9" * 10_000 + b"}", ("number",)),
        (b'{"schema": 1, "files": {"etc/passwd": ""}}', ("/files/etc~1passwd", "absolute")),
        (b'{"schema": 1, "files": {"/a": 5}}', ("/files/~1a", "text")),
        (b'{"schema": 1, "listings": {"/a": ["../b"]}}', ("/listings/~1a/0",)),
        (b'{"schema": 1, "commands": {"id": {"exit": -1, "output": ""}}}', ("/commands/id/exit",)),
        (b'{"schema": 1, "time": "now"}', ("/time",)),
        (b'{"schema": 2}', ("/schema", "2")),
        (b'{"schema": 1, "fiels": {}}', ("/fiels", "files")),
        (b"[]", ("object",)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_record_is_named_with_its_place(
    capsys: pytest.CaptureFixture[str],
    write: Callable[[Record | bytes], str],
    data: bytes,
    words: tuple[str, ...],
) -> None:
    path = write(data)
    for command in ("check", "plan"):
        status, output, errors = told(capsys, command, "--host", path)
        assert (status, output) == (2, "")
        assert path in errors
        assert "gpu-bringup record" in errors
        for word in words:
            assert word in errors


def test_what_is_no_file_is_not_opened(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (fifo, tmp_path, tmp_path / "missing", Path("/dev/zero")):
        status, output, errors = told(capsys, "check", "--host", str(path))
        assert (status, output) == (2, "")
        assert str(path) in errors


def test_a_record_can_not_play_with_the_terminal(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    """``told`` sees to it that nothing gets through that a terminal would obey."""
    evil = "\x1b]0;owned\x07\x1b[2J\x1b[8m\x9b31m\u202e"
    hostile = record()
    hostile["files"]["/etc/os-release"] = f'ID=debian\nVERSION_ID="13"\nPRETTY_NAME="{evil}"\n'
    hostile["listings"]["/lib/modules"] = [KERNEL, f"6.1{evil}"]
    path = write(hostile)
    for command in (("check",), ("check", "--json"), ("recommend",), ("plan",), ("plan", "--json")):
        status, output, errors = told(capsys, *command, "--host", path)
        assert status in (0, 1)
        assert "\x1b" not in output + errors
        assert "\u202e" not in output + errors
        if "--json" in command:
            assert json.loads(output)["schema"] == 1
    assert "owned" in told(capsys, "check", "--host", path)[1]


def test_devices_that_vanish_are_not_there(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    """Listed by the bus, gone when its files were read; the other devices are seen all the same."""
    vanishing = record()
    bus = "/sys/bus/pci/devices"
    vanishing["listings"][bus] = [*vanishing["listings"][bus], "0000:fe:00.0"]
    vanishing["absent"] += [f"{bus}/0000:fe:00.0/{name}" for name in ("vendor", "class", "device")]
    before = told(capsys, "check", "--json", "--host", str(FRESH))
    after = told(capsys, "check", "--json", "--host", write(vanishing))
    assert json.loads(after[1])["host"]["gpus"] == json.loads(before[1])["host"]["gpus"]
    assert after[0] == before[0]


def test_a_bus_that_can_not_be_read_is_unknown(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    blind = record()
    bus = "/sys/bus/pci/devices"
    blind["listings"] = {k: v for k, v in blind["listings"].items() if not k.startswith(bus)}
    blind["files"] = {k: v for k, v in blind["files"].items() if not k.startswith(bus)}
    blind.setdefault("unknown", {})[bus] = f"{bus} gave an input/output error"
    status, output, _ = told(capsys, "check", "--json", "--host", write(blind))
    rungs = {rung["id"]: rung for rung in json.loads(output)["rungs"]}
    assert status == 1
    assert rungs["gpu"]["state"] == "unknown"
    assert "input/output error" in json.dumps(rungs["gpu"])


def test_an_unreadable_boot_is_said(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    closed = record()
    for part in ("files", "listings", "links"):
        closed[part] = {k: v for k, v in closed[part].items() if not k.startswith("/boot")}
    closed["absent"] = [path for path in closed["absent"] if not path.startswith("/boot")]
    closed.setdefault("unknown", {})["/boot"] = "reading /boot needs root"
    path = write(closed)
    status, output, _ = told(capsys, "check", "--json", "--host", path)
    document = json.loads(output)
    assert status == 1
    assert document["host"]["kernel"]["running"] == KERNEL
    assert KERNEL in document["host"]["kernel"]["bootable"]
    # It still plans for the kernel that runs.
    assert told(capsys, "plan", "--host", path)[0] == 0


def test_a_clock_in_1970_is_said_before_anything_is_downloaded(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    early = record() | {"time": 3600.0}
    path = write(early)
    status, output, errors = told(capsys, "plan", "--gpu", "H100", "--host", path)
    assert status == 1
    assert "clock" in output + errors
    status, output, errors = told(capsys, "check", "--host", path)
    assert status == 1
    assert "clock" in output


def test_a_build_log_with_binary_junk(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str]
) -> None:
    junk = bytes(random.Random(1).randbytes(20_000)).decode("latin-1")
    build = "/var/lib/dkms/nvidia-current/550.163.01/build/make.log"
    error = "nv-pci.c:202:9: error: too few arguments to function 'pci_resize_resource'"
    head = f"DKMS make.log for nvidia-current-550.163.01 for kernel {KERNEL} (x86_64)\n"
    for text in (junk, f"{head}{junk}\n{error}\n{junk}"):
        broken = record()
        broken["files"][build] = text
        broken["absent"] = [p for p in broken["absent"] if not p.startswith("/var/lib/dkms")]
        broken["listings"] |= {
            "/var/lib/dkms": ["nvidia-current"],
            "/var/lib/dkms/nvidia-current": ["550.163.01"],
            "/var/lib/dkms/nvidia-current/550.163.01": ["build"],
            "/var/lib/dkms/nvidia-current/550.163.01/build": ["make.log"],
        }
        for command in (("check",), ("check", "--json"), ("plan",)):
            status, output, _ = told(capsys, *command, "--host", write(broken))
            assert status in (0, 1)
            assert len(output) < 60_000
            if error in text and "--json" in command:
                assert "pci_resize_resource" in output


JUNK: tuple[Any, ...] = (
    *("", "\0\1\xff", "9" * 5000, "-1", "\x1b[2J", "a" * 50_000, "\n\n", "nan", "[bold]x", "%s{}"),
    *(None, [], {}, True, -1, 1 << 62, 1e15, [[]], {"a": {}}),
)
TEXTS = tuple(value for value in JUNK if isinstance(value, str))


def spoil(values: Any, random_: random.Random) -> None:
    """Put junk somewhere into a probe's answer."""
    for _ in range(5):
        keys: list[Any] = list(values) if isinstance(values, dict) else list(range(len(values)))
        if not keys:
            return
        key = random_.choice(keys)
        if random_.random() < 0.3 or not isinstance(values[key], (dict, list)):
            values[key] = random_.choice(JUNK)
            return
        values = values[key]


def spoilt(seed: int) -> Record:
    """A real record with junk in many of its answers, in types that the format allows."""
    random_ = random.Random(seed)
    result = record(random_.choice((FRESH, H200)))
    for _ in range(random_.randint(5, 60)):
        path = random_.choice(list(result["files"]))
        text = result["files"][path]
        result["files"][path] = random_.choice(
            (random_.choice(TEXTS), text[: len(text) // 2], text + random_.choice(TEXTS), text * 2)
        )[:200_000]
        command = random_.choice(list(result["commands"]))
        result["commands"][command] = {
            "exit": random_.choice((0, 1, 124, 127)),
            "output": random_.choice(TEXTS),
        }
        folder = random_.choice(list(result["listings"]))
        names = result["listings"][folder]
        result["listings"][folder] = [*names[: len(names) // 2], "-rf", "a b", "6.99.99", "\n"]
        for probe in ("nvml", "cuda"):
            if isinstance(result.get(probe), dict):
                spoil(result[probe], random_)
    return result


@pytest.mark.parametrize("seed", range(12))
def test_junk_in_every_answer(
    capsys: pytest.CaptureFixture[str], write: Callable[[Record | bytes], str], seed: int
) -> None:
    path = write(spoilt(seed))
    commands = (
        ("check",), ("check", "--json"), ("recommend", "--gpu", "H100"), ("recommend", "--json"),
        ("plan", "--gpu", "H100"), ("plan", "--format", "shell"), ("plan", "--format", "ansible"),
    )  # fmt: skip
    for command in commands:
        status, output, errors = told(capsys, *command, "--host", path)
        assert status in (0, 1, 4), errors
        if "--json" in command:
            assert json.loads(output)["schema"] == 1


# --- profiles -----------------------------------------------------------------------------------

SCENARIO = """
[[scenario]]
id = "mine"
title = "Mine"
summary = "x"
branch_types = ["lts"]
min_suport_months = 12
containers = false
hold = true
extras = []
sources = []
"""


def test_a_misspelt_key_is_named_with_file_and_entry(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "mine.toml").write_text(SCENARIO)
    for command in (("check", "--host", str(FRESH)), ("recommend", "--host", str(FRESH))):
        status, output, errors = told(capsys, *command, "--profiles", str(folder))
        assert (status, output) == (2, "")
        assert f"{folder}/mine.toml" in errors
        assert "'mine'" in errors
        assert "min_suport_months" in errors
        assert "min_support_months" in errors
    assert told(capsys, "profiles", "validate", str(folder / "mine.toml"))[0] == 2


@pytest.mark.parametrize(
    "content",
    [b"\x7fELF\x00\xff\xfe", b"\0" * 4096, b"[[scenario]]\nid = ", b"x" * 100_000, b"[a]\n" * 3],
    ids=["elf", "zeros", "cut off", "long", "twice"],
)
def test_a_profile_of_junk(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    arguments = ("recommend", "--host", str(FRESH), "--profiles", str(tmp_path))
    status, output, errors = told(capsys, *arguments)
    assert (status, output) == (2, "")
    assert f"{tmp_path}/a.toml" in errors


def test_a_fifo_among_the_profiles_is_not_waited_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "a.toml")
    status, _, errors = told(capsys, "profiles", "list", "--profiles", str(tmp_path))
    assert status == 2
    assert "a.toml: it is no regular file" in errors
    (tmp_path / "a.toml").unlink()
    (tmp_path / "b.toml").symlink_to(tmp_path / "missing")
    assert told(capsys, "profiles", "list", "--profiles", str(tmp_path))[0] == 2
