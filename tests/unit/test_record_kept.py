"""A record keeps what is read of long answers, answers as the host does, and says what is no record."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.cli import main
from gpu_bringup.commands.output import beside, wrap
from gpu_bringup.errors import InputError
from gpu_bringup.facts import history, thinning
from gpu_bringup.facts.collect import collect
from gpu_bringup.hosts.record_format import parse_record, read_record
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.hosts.recording import RecordingHost, record_text
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.facts import OsFacts
from gpu_bringup.model.ladder import State
from unit import make_facts as make
from unit.fakes import FakeHost

HOSTS = Path(__file__).parent.parent / "hosts"
STATUS = "/var/lib/dpkg/status"


def stanza(name: str, version: str = "1.0-1", *more: str) -> str:
    told = (f"Package: {name}", "Status: install ok installed", f"Version: {version}", *more)
    return "\n".join((*told, f"Description: {name} is a program", " of many words", ""))


def long_host() -> FakeHost:
    """A server with a long life: thousands of packages and changes that don't matter."""
    others = [stanza(f"desktop-tool{n}", f"1.2.{n}-1", "Depends: libc6") for n in range(900)]
    status = "\n".join(
        [
            stanza("dpkg", "1.22.21", "Pre-Depends: libc6 (>= 2.38), zlib1g (>= 1:1.2.0.2)"),
            stanza("libc6", "2.41-12"),
            stanza("zlib1g", "1:1.3.dfsg+really1.3.1-1"),
            stanza("dkms", "3.2.2-1", "Depends: some-virtual (>= 1.2.0.2), absent-thing"),
            stanza("provider", "4-1", "Provides: some-virtual (= 1.4.0.1)"),
            stanza("linux-image-amd64", "6.12.107-1"),
            *others,
        ]
    )
    log = "".join(
        f"2026-10-{1 + n % 28:02d} 10:00:00 status installed desktop-tool{n}:amd64 1.0\n"
        f"2026-10-{1 + n % 28:02d} 10:00:00 upgrade desktop-tool{n}:amd64 1.0 1.1\n"
        for n in range(4000)
    )
    log += "2026-11-01 06:00:00 upgrade dkms:amd64 3.2.1-1 3.2.2-1\n"
    apt = "".join(
        f"Start-Date: 2026-10-01  10:00:{n % 60:02d}\nCommandline: apt upgrade\n"
        f"Upgrade: desktop-tool{n}:amd64 (1.0, 1.1)\nEnd-Date: 2026-10-01  10:00:59\n\n"
        for n in range(800)
    )
    apt += (
        "Start-Date: 2026-11-02  06:00:00\nCommandline: /usr/bin/unattended-upgrade\n"
        "Upgrade: desktop-tool1:amd64 (1.0, 1.1), libcuda1:amd64 (550.1-1, 560.1-1, automatic)\n"
        "End-Date: 2026-11-02  06:01:00\n"
    )
    linker = "".join(f"\tlibdesktop{n}.so.1 (libc6,x86-64) => /usr/lib/l{n}\n" for n in range(900))
    return FakeHost(
        files={
            "/usr/bin/apt-get": "",
            STATUS: status,
            "/var/log/dpkg.log": log,
            "/var/log/apt/history.log": apt,
            "/var/log/apt/history.log.1.gz": "",
            "/var/lib/dpkg/info/dkms.list": "",
            "/var/lib/dpkg/info/desktop-tool1.list": "",
        },
        digests={"log /var/log/apt/history.log.1.gz": {"text": apt, "whole": False}},
        commands={"ldconfig -p": (0, linker)},
        log="[    0.000000] Linux version 6.12\n"
        + "".join(f"[ {n}.0] usb 1-1: new device\n" for n in range(2000))
        + "[ 9.0] NVRM: loading NVIDIA UNIX\n",
    )


def test_a_record_of_a_long_life_is_short_and_answers_as_the_host() -> None:
    host = long_host()
    wide, lean = RecordingHost(host), RecordingHost(host, thinning)
    for recorder in (wide, lean):
        facts = collect(recorder, deadline=60)
        history.observe(recorder)
    text = record_text(lean.record())
    assert len(text) < 60_000 < len(record_text(wide.record()))
    assert "desktop-tool" not in text
    again = RecordedHost(parse_record(text.encode(), "lean"), "lean")
    seen = collect(again)
    assert seen.packages == replace(facts.packages, lock_owner=seen.packages.lock_owner)
    assert seen.packages.unmet == ("dkms needs absent-thing",)
    assert seen.log == facts.log
    assert history.observe_noting(again) == history.observe_noting(host)
    assert len(history.observe_noting(again)[0]) == 3


def test_a_damaged_database_stays_damaged_in_the_record_at_the_same_place() -> None:
    host = long_host()
    status = host.files[STATUS]
    for damaged in (status[: len(status) // 2], status[:2000] + "\0" * 90_000, "\0" * 90_000, ""):
        broken = replace(host, files={**host.files, STATUS: damaged})
        recorder = RecordingHost(broken, thinning)
        told = collect(recorder, deadline=60).packages.damage
        record = parse_record(record_text(recorder.record()).encode(), "x")
        assert told
        assert collect(RecordedHost(record, "x")).packages.damage == told
        assert record.files[STATUS].count("\0") <= 1


def test_zypps_history_keeps_commands_with_what_they_did() -> None:
    text = (
        "2026-11-01 10:00:00|command|root@h|'zypper' 'up'|\n2026-11-01 10:00:01|install|cowsay|1|x|||\n"
        "2026-11-02 10:00:00|command|root@h|'zypper' 'in'|\n2026-11-02 10:00:01|install|dkms|3|x|||\n"
    )
    assert thinning.file("/var/log/zypp/history", text).splitlines() == text.splitlines()[2:]


def test_dnfs_history_and_rpms_list() -> None:
    value = {
        "transactions": [
            {"begin": 1, "items": [["install", "cowsay", "1-1"]]},
            {"begin": 2, "items": [["upgrade", "kernel", "6-1"], ["upgrade", "cowsay", "2-1"]]},
        ]
    }
    kept = thinning.digest("dnf-history /var/lib/dnf/history.sqlite", value)
    assert kept["transactions"] == [{"begin": 2, "items": [["upgrade", "kernel", "6-1"]]}]
    lines = (
        "bash|5-1|x86_64\nzip|1-1|x86_64\ncowsay|1-1|noarch\nkernel|6-1|x86_64\nerror: rpmdb: x\n"
    )
    kept_lines = thinning.output("rpm -qa --qf X", lines).splitlines()
    assert "cowsay|1-1|noarch" not in kept_lines
    assert {"kernel|6-1|x86_64", "error: rpmdb: x"} <= set(kept_lines)


def test_other_files_and_answers_are_kept_whole() -> None:
    assert thinning.file("/etc/os-release", "ID=x\n") == "ID=x\n"
    assert thinning.output("uname -r", "6.1\n") == "6.1\n"
    assert thinning.listing("/lib/modules", ("a",)) == ("a",)
    assert thinning.digest("initramfs /boot/x", {"a": 1}) == {"a": 1}


# --- what is no record


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bytes(range(128, 256)) * 9, "binary data"),
        (b"\x00" * 300, "NUL bytes only"),
        (b'{"schema": 1, "files"\x00: {}}', "binary data"),
        (gzip.compress(b'{"schema": 1}', mtime=0), "packed with gzip"),
        (b"\xfd7zXZ\x00\xff\xff", "packed with xz"),
        (b"PK\x03\x04\xff\xfe\x00", "packed with zip"),
        ('{"schema": 1}'.encode("utf-16"), "UTF-16"),
    ],
    ids=["junk", "nuls", "a NUL", "gzip", "xz", "zip", "UTF-16"],
)
def test_binary_data_is_called_so(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    with pytest.raises(InputError, match=words):
        read_record(path)
    assert main(["check", "--host", str(path)]) == 2


# --- a record whose parts were emptied


@pytest.mark.parametrize(
    "name", ["debian13-kernel-upgraded", "h200-x1", "debian13-fresh", "h200-x2"]
)
def test_an_emptied_files_part_makes_the_gpu_unknown_not_absent(name: str) -> None:
    told = read_record(HOSTS / f"{name}.json")
    facts = collect(RecordedHost(replace(told, files={}), name))
    report = climb(replace(make.context(facts), family=None))
    assert report.rung("gpu").state is State.UNKNOWN
    causes = {item.cause for rung in report.rungs for item in rung.causes}
    assert not causes & {"no-gpu-found", "distribution-not-known"}


def test_nothing_at_all_is_unknown_everywhere() -> None:
    facts = collect(RecordedHost(parse_record(b'{"schema": 1}', "x"), "x"))
    report = climb(replace(make.context(facts), family=None))
    assert report.verdict == "unknown"
    assert not [rung.id for rung in report.rungs if rung.state in (State.BROKEN, State.OK)]


def test_a_known_distribution_that_is_not_in_the_catalogue_is_still_said_to_be_so() -> None:
    facts = replace(make.fresh(), os=OsFacts("slackware", "15", "Slackware"))
    report = climb(replace(make.context(facts), family=None))
    causes = {item.cause for item in report.rung("packages").causes}
    assert "distribution-not-known" in causes


def test_modinfo_of_the_same_files_in_another_order_is_the_same_answer() -> None:
    record = parse_record(
        json.dumps(
            {"schema": 1, "commands": {"modinfo /b.ko /a.ko": {"exit": 0, "output": "x"}}}
        ).encode(),
        "x",
    )
    host = RecordedHost(record, "x")
    answer = host.run(("modinfo", "/a.ko", "/b.ko"))
    assert getattr(answer, "output", None) == "x"
    assert not hasattr(host.run(("modinfo", "/a.ko")), "output")


# --- lines and decisions


@pytest.mark.parametrize("name", ["debian13-kernel-upgraded", "h200-x1", "debian13-fresh"])
@pytest.mark.parametrize("options", [(), ("--ledger",), ("--next-boot",)])
def test_no_line_is_longer_than_the_terminal(
    name: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", *options, "--host", str(HOSTS / f"{name}.json")])
    lines = capsys.readouterr().out.splitlines()
    # A word that is longer than the line (an address) is the only thing that may stand out.
    assert not [line for line in lines if len(line) > 80 and max(map(len, line.split())) < 60]


def test_lines_keep_their_indent() -> None:
    text = beside("  Kernel modules   ", "word " * 40)
    assert all(line.startswith(" " * 19) for line in text.splitlines()[1:])
    assert max(map(len, text.splitlines())) <= 80
    assert "linux-headers-6.12.115" in wrap("x " * 36 + "linux-headers-6.12.115 y", 2)


def test_deciding_where_nothing_is_open_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(HOSTS / "h200-x1.json")
    main(["check", "--decide", "--host", path])
    assert "Nothing is left to decide" in capsys.readouterr().out
    main(["check", "--decide", "--json", "--host", path])
    assert json.loads(capsys.readouterr().out)["decided"] is None
