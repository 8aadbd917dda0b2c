"""The recorded host: what it makes of a record, of real ones, and of files that are none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.errors import ExitCode, InputError, ReadOnlyHostError
from gpu_bringup.hosts.base import CommandResult, Host
from gpu_bringup.hosts.record_format import SIZE_LIMIT
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.facts import Certificate
from gpu_bringup.model.plan import Command
from gpu_bringup.model.unknown import Unknown

RECORDS = Path(__file__).resolve().parents[1] / "hosts"


def make(**parts: Any) -> RecordedHost:
    data = json.dumps({"schema": 1, **parts}).encode()
    return RecordedHost.from_bytes(data, "test.json")


def is_unknown(answer: object) -> bool:
    return isinstance(answer, Unknown)


@pytest.fixture(params=["h200-x1.json", "h200-x2.json"])
def h200(request: pytest.FixtureRequest) -> RecordedHost:
    return RecordedHost.from_file(RECORDS / request.param)


# --- real records --------------------------------------------------------------------------------


def test_a_real_record(h200: RecordedHost) -> None:
    checked: Host = h200
    assert checked.kind == "recorded"
    assert checked.label in ("h200-x1.json", "h200-x2.json")
    device = "/sys/bus/pci/devices/0000:00:06.0"
    assert h200.read_text(f"{device}/vendor") == "0x10de\n"
    assert h200.read_link(f"{device}/driver") == "../../../bus/pci/drivers/nvidia"
    assert h200.resolve(f"{device}/driver") == "/sys/bus/pci/drivers/nvidia"
    assert h200.exists(device) is True
    assert h200.uid() == 0
    assert is_unknown(h200.now())
    assert is_unknown(h200.environment("PATH"))
    assert is_unknown(h200.space("/").free)
    log = h200.kernel_log()
    assert isinstance(log, str)
    assert "Linux version 6.18.44" in log
    nvml = h200.nvml()
    assert isinstance(nvml, dict)
    assert nvml["driver_version"] == "580.159.04"
    cuda = h200.cuda(deep=True)
    assert isinstance(cuda, dict)
    assert cuda["cuInit"] == 0


def test_absent_and_unknown_are_two_things(h200: RecordedHost) -> None:
    # Said to be absent, below that, and missing from a folder whose names are known.
    for path in ("/lib/modules", "/lib/modules/6.18.44/build", "/boot/vmlinuz", "/usr/src/linux/x"):
        assert h200.exists(path) is False, path
        assert h200.read_text(path) is None, path
        assert h200.list_dir(path) is None, path
        assert h200.read_link(path) is None, path
        assert h200.resolve(path) is None, path
        assert h200.certificates(path) is None, path
    for path in ("/etc/hosts", "/usr/local/cuda/bin/nvcc"):
        assert is_unknown(h200.read_text(path)), path
    assert is_unknown(h200.exists("/etc/hosts"))
    assert is_unknown(h200.read_link("/etc/os-release"))
    assert h200.exists("/dev/nvidiactl") is True
    assert is_unknown(h200.read_text("/dev/nvidiactl"))
    assert h200.list_dir("/boot") == ()
    assert h200.list_dir("/etc/os-release") is None
    assert h200.read_text("/boot") is None


def test_the_query_of_dpkg_is_found_as_it_is_asked(h200: RecordedHost) -> None:
    """dpkg-query itself turns backslash-n into a line end, so argv has the two characters."""
    form = r"${db:Status-Abbrev}|${Package}|${Version}\n"
    argv = ("dpkg-query", "-W", "-f", form, "*nvidia*", "*cuda*", "linux-*")
    answer = h200.run(argv)
    assert isinstance(answer, CommandResult)
    assert answer.ok
    assert "ii |cuda-cccl-13-0|13.0.85-1\n" in answer.output


def test_commands_that_were_not_recorded(h200: RecordedHost) -> None:
    answer = h200.run(("apt-cache", "policy"))
    assert isinstance(answer, Unknown)
    assert "'apt-cache policy'" in answer.reason
    # "mokutil --sb-state" ended with 127 and said nothing: there is no mokutil to ask anything of.
    assert h200.run(("mokutil", "--list-new")) == CommandResult(127, "")


def test_it_can_only_be_looked_at(h200: RecordedHost) -> None:
    actions: list[Callable[[], object]] = [
        lambda: h200.open(Command(("apt-get", "update"))),
        lambda: h200.write_file("/etc/x", "", 0o644),
        lambda: h200.remove_file("/etc/x"),
    ]
    for action in actions:
        with pytest.raises(ReadOnlyHostError, match="recorded host") as caught:
            action()
        assert caught.value.exit_code == ExitCode.REFUSED
        assert "without --host" in caught.value.hint


# --- single rules --------------------------------------------------------------------------------


def test_links_are_followed_in_the_middle_of_a_path() -> None:
    host = make(
        files={"/usr/lib/modules/6.1/modules.dep": "dep"},
        links={
            "/lib": "usr/lib",
            "/vmlinuz": "boot/vmlinuz-6.1",
            "/a": "/b",
            "/b": "a",
            "/d": "/e",
        },
        listings={"/boot": ["vmlinuz-6.1"], "/usr/lib/modules": ["6.1"]},
        absent=["/e"],
    )
    assert host.read_text("/lib/modules/6.1/modules.dep") == "dep"
    assert host.list_dir("/lib/modules") == ("6.1",)
    assert host.exists("/lib/modules/6.2") is False
    assert host.resolve("/vmlinuz") == "/boot/vmlinuz-6.1"
    assert host.exists("/vmlinuz") is True
    assert host.read_link("/d") == "/e"
    assert (host.exists("/d"), host.resolve("/d"), host.read_text("/d")) == (False, None, None)
    assert is_unknown(host.read_text("/a"))
    assert is_unknown(host.resolve("/nowhere"))


def test_the_keys_of_our_own() -> None:
    host = make(
        kinds={"/dev/nvidia0": "not-folder", "/opt": "folder", "/x": "present"},
        not_links=["/opt"],
        real_paths={"/etc/alternatives/gcc": "/usr/bin/gcc-12"},
        unknown={"/boot/grub/grub.cfg": "reading /boot/grub/grub.cfg needs root"},
        spaces={"/": {"free": 10, "total": 20, "read_only": True}, "/boot": {"free": 5}},
        certificates={"/var/lib/dkms/mok.pub": [{"sha1": "aa", "subject": "s", "serial": "01"}]},
        environment={"PATH": "/bin", "LD_PRELOAD": None},
        time=12.5,
        nvml=None,
        commands={
            "dmesg": {"exit": 1, "output": "not permitted"},
            "id -u": {"exit": 0, "output": "x"},
        },
    )
    assert host.list_dir("/dev/nvidia0") is None
    assert host.read_text("/opt") is None
    assert is_unknown(host.read_text("/x"))
    assert host.exists("/x") is True
    assert host.read_link("/opt") is None
    assert host.resolve("/etc/alternatives/gcc") == "/usr/bin/gcc-12"
    assert host.read_text("/boot/grub/grub.cfg") == Unknown(
        "reading /boot/grub/grub.cfg needs root"
    )
    space = host.space("/")
    assert (space.free, space.total, space.read_only) == (10, 20, True)
    assert host.space("/boot").free == 5
    assert is_unknown(host.space("/boot").total)
    assert host.certificates("/var/lib/dkms/mok.pub") == (Certificate("aa", "s", "01"),)
    assert (host.environment("PATH"), host.environment("LD_PRELOAD")) == ("/bin", None)
    assert host.now() == 12.5
    assert host.nvml() is None
    assert is_unknown(host.cuda())
    assert host.kernel_log() == Unknown("not permitted")
    assert is_unknown(host.uid())


def test_the_limit_counts_bytes() -> None:
    host = make(files={"/a": "grün"})
    assert host.read_text("/a", limit=3) == "gr\ufffd"
    assert host.read_text("/a", limit=4) == "grü"


# --- bad input -----------------------------------------------------------------------------------

BAD: list[tuple[bytes, str]] = [
    (b"", "line 1 column 1: it is empty"),
    (b"hello", "line 1 column 1: it isn't JSON"),
    (b'{"schema": 1, "files": {"/etc/os-', "may have been cut off"),
    (b'{"schema": 1,\n "files": {,}}', "line 2 column"),
    (b"\xff\xfe{}", "byte 0: it is UTF-16 text, not UTF-8"),
    (b"[]", "an object is expected"),
    (b"{}", "'schema' is missing"),
    (b'{"schema": 2}', "/schema: schema 2 isn't known"),
    (b'{"schema": true}', "/schema: a whole number"),
    (b'{"schema": "1"}', "/schema: a whole number"),
    (b'{"schema": 1, "schema": 1}', "'schema' stands there twice"),
    (b'{"schema": 1, "flies": {}}', "/flies: this key isn't known: is 'files' meant?"),
    (b'{"schema": 1, "files": []}', "/files: an object"),
    (b'{"schema": 1, "files": {"/a": 1}}', "/files/~1a: a text"),
    (b'{"schema": 1, "files": {"etc/passwd": ""}}', "no absolute path"),
    (b'{"schema": 1, "files": {"/a/../../b": ""}}', "/files/~1a~1..~1..~1b: "),
    (b'{"schema": 1, "files": {"/a//b": ""}}', "no plain path"),
    (b'{"schema": 1, "files": {"/a\\u0000": ""}}', "control characters"),
    (b'{"schema": 1, "files": {"/' + b"a" * 5000 + b'": ""}}', "longer than 4096"),
    (b'{"schema": 1, "files": {"/a": "\\ud800"}}', "/files/~1a: the text holds half a character"),
    (b'{"schema": 1, "files": {"/\\ud800": ""}}', "half a character"),
    (b'{"schema": 1, "absent": {}}', "/absent: a list"),
    (b'{"schema": 1, "absent": [1]}', "/absent/0: a text"),
    (b'{"schema": 1, "absent": ["/a"], "files": {"/a": ""}}', "also stands under 'absent'"),
    (b'{"schema": 1, "listings": {"/a": "b"}}', "/listings/~1a: a list"),
    (b'{"schema": 1, "listings": {"/a": ["../b"]}}', "/listings/~1a/0: '../b' is no name"),
    (b'{"schema": 1, "listings": {"/a": [".."]}}', "/listings/~1a/0: "),
    (b'{"schema": 1, "links": {"/a": ""}}', "/links/~1a: '' is no target"),
    (
        b'{"schema": 1, "commands": {"id": {"exit": 0}}}',
        "/commands/id: the key 'output' is missing",
    ),
    (b'{"schema": 1, "commands": {"id": {"exit": true, "output": ""}}}', "/commands/id/exit"),
    (b'{"schema": 1, "commands": {"id": {"exit": 256, "output": ""}}}', "between 0 and 255"),
    (b'{"schema": 1, "commands": {"id": "0"}}', "/commands/id: an object"),
    (b'{"schema": 1, "nvml": []}', "/nvml: an object"),
    (b'{"schema": 1, "kinds": {"/a": "fifo"}}', "/kinds/~1a: one of folder"),
    (b'{"schema": 1, "spaces": {"/": {"free": -1}}}', "/spaces/~1/free"),
    (b'{"schema": 1, "spaces": {"/": {"read_only": 1}}}', "/spaces/~1/read_only"),
    (b'{"schema": 1, "certificates": {"/a": [{}]}}', "/certificates/~1a/0: the key 'sha1'"),
    (b'{"schema": 1, "environment": {"PATH": 1}}', "/environment/PATH"),
    (b'{"schema": 1, "time": "now"}', "/time: seconds"),
    (b'{"schema": 1, "time": 1e300}', "/time: the number is too large"),
    (b'{"schema": 1, "time": 1e999}', "too large"),
    (b'{"schema": 1, "time": NaN}', "NaN is no JSON number"),
    (b'{"schema": 1, "time": ' + b"9" * 10_000 + b"}", "can't be read"),
    (b'{"schema": 1, "nvml": {"a": ' + b"[" * 50 + b"]" * 50 + b"}}", "deeper than 32"),
    (b'{"schema": 1, "nvml": {"a": ' + b"[" * 200_000, "deeper than 32"),
    (b'{"a":' * 100_000, "deeper than 32"),
]


@pytest.mark.parametrize(("data", "words"), BAD)
def test_bad_input_names_the_file_and_the_place(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        RecordedHost.from_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in caught.value.message
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert len(caught.value.message) < 700 + len(str(path))


def test_every_truncation_of_a_real_record_is_bad_input() -> None:
    data = (RECORDS / "h200-x1.json").read_bytes().rstrip()
    for end in range(0, len(data), 499):
        with pytest.raises(InputError):
            RecordedHost.from_bytes(data[:end], "cut.json")


def test_files_that_cannot_be_records(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    huge = tmp_path / "huge.json"
    with huge.open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    cases = {
        fifo: "no regular file",
        tmp_path: "no regular file",
        huge: "larger than 64 MiB",
        tmp_path / "none.json": "No such file",
        Path("nul\0"): "no file can have this name",
    }
    for path, words in cases.items():
        with pytest.raises(InputError, match=words):
            RecordedHost.from_file(path)


def test_later_versions_may_add_keys() -> None:
    assert make(bios={"version": "1"}).exists("/") is True
