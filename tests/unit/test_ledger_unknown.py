"""The ledger's verdict where a version isn't known: named, with the command that would tell it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.cli import main
from gpu_bringup.facts import history
from gpu_bringup.facts.nvml import parse_nvml
from gpu_bringup.ladder.ledger import ledger
from gpu_bringup.model.facts import LibraryFacts
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.initramfs import Initramfs
from gpu_bringup.model.unknown import Unknown
from unit import make_facts as make
from unit.fakes import FakeHost

HOSTS = Path(__file__).parent.parent / "hosts"
READ = (Initramfs(make.KERNEL, f"/boot/initrd.img-{make.KERNEL}", (), ()),)


def whole():
    return replace(make.healthy(), initramfs=READ)


def judged(facts):
    return ledger(make.context(facts))


def test_all_known_and_equal_agrees() -> None:
    found = judged(whole())
    assert (found.verdict, found.unknown, found.differing) == ("agrees", (), ())


@pytest.mark.parametrize(
    ("change", "unknown", "learn"),
    [
        (
            lambda f: replace(f, libraries=LibraryFacts(Unknown("no ldconfig"))),
            "libcuda",
            "ldconfig",
        ),
        (
            lambda f: replace(f, modules=replace(f.modules, loaded_version=Unknown("no /proc"))),
            "loaded",
            "cat /proc/driver/nvidia/version",
        ),
        (
            lambda f: replace(f, devices=replace(f.devices, firmware=Unknown("not read"))),
            "gsp",
            "ls /lib/firmware/nvidia",
        ),
        (
            lambda f: replace(f, initramfs=Unknown("not in this record")),
            "initramfs",
            f"lsinitramfs /boot/initrd.img-{make.KERNEL}",
        ),
    ],
)
def test_what_is_not_known_is_named_with_the_command_that_tells_it(change, unknown, learn) -> None:
    facts = change(replace(whole(), nvml=None, cuda=None))
    found = judged(facts)
    assert found.verdict == "unknown"
    items = [item for item in found.unknown if item.id == unknown]
    assert items
    assert items[0].learn.startswith(learn)


def test_a_difference_counts_more_than_what_is_not_known() -> None:
    facts = whole()
    libraries = tuple(replace(i, version="560.1.01") for i in facts.libraries.libraries)
    facts = replace(
        facts, libraries=replace(facts.libraries, libraries=libraries), initramfs=Unknown("x")
    )
    assert judged(facts).verdict == "differs"


def test_an_initramfs_of_a_driver_from_outside_has_no_part_in_it() -> None:
    facts = whole()
    modules = replace(facts.modules, files=())
    found = judged(replace(facts, modules=modules, initramfs=Unknown("not looked at")))
    assert "initramfs" not in {item.id for item in found.components}


@pytest.mark.parametrize("name", ["h200-x1", "h200-x2"])
def test_the_real_h200_hosts_are_known_by_what_answered(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(HOSTS / f"{name}.json")
    assert main(["check", "--ledger", "--json", "--host", path]) == 0
    document = json.loads(capsys.readouterr().out)
    versions = {item["id"]: item["version"] for item in document["components"]}
    assert document["verdict"] == "agrees"
    assert document["unknown"] == []
    assert {versions[key] for key in ("loaded", "libcuda", "libnvidia-ml", "gsp")} == {"580.159.04"}


def test_unknown_is_said_and_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(HOSTS / "debian13-kernel-upgraded.json")
    assert main(["check", "--ledger", "--host", path]) == 1
    text = capsys.readouterr().out
    assert "Unknown whether all agree" in text
    assert "All versions" not in text
    assert f"lsinitramfs /boot/initrd.img-{make.KERNEL}" in text
    assert main(["check", "--ledger", "--json", "--host", path]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "unknown"
    told = {item["id"]: item for item in document["components"]}
    assert told["gsp"]["learn"] == "ls /lib/firmware/nvidia"
    assert told["gsp"]["why_unknown"]


@pytest.mark.parametrize(
    ("told", "version"),
    [
        ("13.580.159.04", "580.159.04"),
        ("12.550.90", "550.90"),
        ("580.159.04", ""),
        ("", ""),
        (7, ""),
    ],
)
def test_nvmls_own_version(told: object, version: str) -> None:
    found = parse_nvml({"driver_version": "580.159.04", "nvml_version": told, "gpus": []})
    assert isinstance(found, NvmlFacts)
    assert found.library_version == version


# --- histories that can't be read to their end

APT = "Start-Date: 2026-11-01  10:00:00\nCommandline: apt install x\nInstall: libcuda1:amd64 (550.163.01-2)\n"


def logs(**digest: object) -> FakeHost:
    return FakeHost(
        files={"/var/log/apt/history.log": APT, "/var/log/apt/history.log.1.gz": ""},
        digests={"log /var/log/apt/history.log.1.gz": {"text": APT, **digest}},
    )


def test_a_packed_log_that_was_cut_is_noted_and_what_came_before_counts() -> None:
    found, notes = history.observe_noting(logs(whole=False))
    assert len(found) == 2
    assert notes == (
        "/var/log/apt/history.log.1.gz: the file is cut short or damaged: later changes in it are lost",
    )
    assert history.observe_noting(logs(whole=True))[1] == ()


def test_a_log_with_nul_bytes_is_noted() -> None:
    host = FakeHost(files={"/var/log/dpkg.log": "\0" * 50})
    assert "NUL" in history.observe_noting(host)[1][0]


def test_an_unreadable_log_is_noted() -> None:
    host = logs(whole=True)
    host = replace(host, unreadable=["/var/log/apt/history.log"])
    found, notes = history.observe_noting(host)
    assert len(found) == 1
    assert notes[0].startswith("/var/log/apt/history.log: not read")
