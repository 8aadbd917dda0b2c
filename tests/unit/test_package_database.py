"""A damaged package database is named with its place and put back; unmet dependencies are a cause."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpu_bringup.facts import dpkg_damage, dpkg_depends, packages
from gpu_bringup.facts.collect import collect
from gpu_bringup.facts.databases import read_rpm
from gpu_bringup.hosts.record_format import parse_record, read_record
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.ladder.ladder import climb
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.facts import OsFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.plan import make_plan
from unit import make_facts as make
from unit.fakes import FakeHost

HOSTS = Path(__file__).parent.parent / "hosts"
STATUS = "/var/lib/dpkg/status"
DEBIAN = OsFacts("debian", "13", "Debian GNU/Linux 13", "trixie")


def stanza(
    name: str, *more: str, status: str = "install ok installed", version: str = "1.0-1"
) -> str:
    return "\n".join([f"Package: {name}", f"Status: {status}", f"Version: {version}", *more, ""])


WHOLE = "\n".join(
    [
        stanza("dpkg", "Pre-Depends: libc6 (>= 2.38), tar (>= 1.28-1), zlib1g (>= 1:1.1.4)"),
        stanza("libc6", version="2.41-12"),
        stanza("libcuda1", "Depends: libnvidia-ptxjitcompiler1 (= 550.163.01-2)", version="550.163.01-2"),
        stanza("libnvidia-ptxjitcompiler1", version="550.163.01-2"),
        stanza("tar", version="1.35+dfsg-3"),
        stanza("zlib1g", version="1:1.3.dfsg+really1.3.1-1"),
    ]
)  # fmt: skip


def debian(status: str | None, **files: str) -> FakeHost:
    own = {} if status is None else {STATUS: status}
    return FakeHost(files={"/usr/bin/apt-get": "", "/var/lib/dpkg/lock": "", **own, **files})


# --- the status file


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "empty"),
        ("\0" * 4096, 1, "filled with NUL bytes"),
        (WHOLE[:200] + "\0" * 100, 10, "NUL bytes instead of packages"),
        (WHOLE[:-5], 25, "middle of a line"),
        (stanza("a") + "\nPackage: b\nStatus: install ok installed\n", 5, "b, has no version"),
        (stanza("a") + "\nPackage: b\n", 5, "b, has no status"),
        (stanza("a") + "\nStatus: install ok installed\n", 5, "has no name"),
        (stanza("a") + "{]garbage\n" + stanza("b"), 4, "no field of a package"),
    ],
)
def test_damage_is_named_with_its_line(text: str, line: int, words: str) -> None:
    place, said = dpkg_damage.damage(text)
    assert (place, words in said) == (line, True), said


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        WHOLE + "\n",
        stanza("a") + "\nPackage: gone\nStatus: purge ok not-installed\n",
        "Package: x\nStatus: install ok installed\nVersion: 1\nConffiles:\n /etc/x 0123\n# note\n\n",
    ],
)
def test_a_whole_file_is_not_called_damaged(text: str) -> None:
    assert dpkg_damage.damage(text) == (0, "")


def test_a_cut_between_two_packages_shows_in_dpkgs_own_dependencies() -> None:
    cut = WHOLE[: WHOLE.index("Package: zlib1g")]
    assert dpkg_damage.damage(cut) == (0, "")
    found = packages.observe(debian(cut), DEBIAN)
    assert isinstance(found.installed, Unknown)
    assert "entries are missing: dpkg needs zlib1g" in found.damage


def test_a_missing_status_file_is_damage_and_a_missing_dpkg_is_none() -> None:
    assert packages.observe(debian(None), DEBIAN).damage == f"{STATUS}: the file is missing"
    bare = FakeHost(files={"/usr/bin/apt-get": ""}, commands={"dpkg-query": (127, "")})
    assert packages.observe(bare, DEBIAN).damage == ""


def test_older_copies_are_offered_only_where_they_are_whole() -> None:
    host = debian(
        "",
        **{
            "/var/lib/dpkg/status-old": WHOLE[:-9],
            "/var/backups/dpkg.status.0": "\0\0\0",
            "/var/backups/dpkg.status.1.gz": "packed",
        },
    )
    host = replace(
        host, digests={"log /var/backups/dpkg.status.1.gz": {"text": WHOLE, "whole": True}}
    )
    assert packages.observe(host, DEBIAN).backups == ("/var/backups/dpkg.status.1.gz",)
    cut = {"log /var/backups/dpkg.status.1.gz": {"text": WHOLE, "whole": False}}
    assert packages.observe(replace(host, digests=cut), DEBIAN).backups == ()


# --- what the ladder makes of it


def damaged(*backups: str, what: str = f"{STATUS}:58: the file ends in the middle of a line"):
    facts = make.healthy()
    reason = Unknown(f"the package database is damaged: {what}")
    found = replace(
        facts.packages, installed=reason, unfinished=reason, method=reason, damage=what,
        backups=backups,
    )  # fmt: skip
    return replace(facts, packages=found)


def test_the_place_and_the_repair_are_named() -> None:
    ctx = make.context(damaged("/var/lib/dpkg/status-old"))
    report = climb(ctx)
    root = report.root_cause
    assert root is not None
    assert root.causes[0].cause == "package-database-damaged"
    assert root.causes[0].evidence[0].source == f"{STATUS}:58"
    (step,) = make_plan(ctx, report).steps
    told = [" ".join(command.argv) for command in step.commands]
    assert told[0] == f"cp -a {STATUS} {STATUS}.damaged"
    assert f"cp /var/lib/dpkg/status-old {STATUS}.restored" in told
    assert told[-2:] == [f"mv {STATUS}.restored {STATUS}", "dpkg --audit"]
    assert not any(line.startswith("rm ") for line in told)
    assert step.undo[0].argv == ("cp", "-a", f"{STATUS}.damaged", STATUS)


def test_a_packed_copy_is_unpacked_first() -> None:
    ctx = make.context(damaged("/var/backups/dpkg.status.1.gz"))
    (step,) = make_plan(ctx, climb(ctx)).steps
    told = [" ".join(command.argv) for command in step.commands]
    assert f"gzip -df {STATUS}.restored.gz" in told


def test_without_a_copy_it_says_where_to_look_and_changes_nothing() -> None:
    ctx = make.context(damaged())
    plan = make_plan(ctx, climb(ctx))
    assert plan.steps == ()
    assert any("/var/backups/dpkg.status" in text for text in plan.blocked)


def test_a_missing_file_is_put_back_without_a_copy_of_it() -> None:
    ctx = make.context(damaged("/var/lib/dpkg/status-old", what=f"{STATUS}: the file is missing"))
    (step,) = make_plan(ctx, climb(ctx)).steps
    assert step.commands[0].argv[0] == "cp"
    assert step.commands[0].argv[1] == "/var/lib/dpkg/status-old"
    assert step.undo == ()


def record(name: str, status: str | None, **more: object) -> RecordedHost:
    told = read_record(HOSTS / name)
    files = {path: text for path, text in told.files.items() if path != STATUS}
    if status is not None:
        files[STATUS] = status
    return RecordedHost(replace(told, files=files, **more), name)


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.5, 0.9])
def test_a_record_with_half_a_database_is_never_a_driver_from_outside(keep: float) -> None:
    whole = read_record(HOSTS / "debian13-kernel-upgraded.json").files[STATUS]
    for status in (whole[: int(len(whole) * keep)].rstrip("\n"), whole[:99] + "\0" * 4000):
        facts = collect(record("debian13-kernel-upgraded.json", status))
        assert facts.packages.method is not InstallMethod.OUTSIDE
        report = climb(make.context(facts))
        assert report.root_cause is not None
        assert report.root_cause.causes[0].cause == "package-database-damaged"


def test_file_lists_without_entries_tell_a_cut_between_two_packages() -> None:
    told = read_record(HOSTS / "debian13-kernel-upgraded.json")
    status = told.files[STATUS][: told.files[STATUS].index("Package: libcuda1")]
    lists = ("bash.list", "libcuda1:amd64.list", "libcuda1:amd64.triggers")
    listings = {**told.listings, "/var/lib/dpkg/info": lists}
    kept = "\n\n".join(s for s in status.split("\n\n") if "nvidia" not in s) + "\n"
    facts = collect(record("debian13-kernel-upgraded.json", kept, listings=listings))
    assert "libcuda1" in facts.packages.damage
    assert isinstance(facts.packages.method, Unknown)


def test_a_driver_that_really_comes_from_outside_stays_so() -> None:
    facts = collect(RecordedHost.from_file(HOSTS / "h200-x1.json"))
    assert facts.packages.method is InstallMethod.OUTSIDE


# --- rpm


def rpm_host(output: str, status: int = 0) -> FakeHost:
    question = "rpm -qa --qf %{NAME}|%{VERSION}-%{RELEASE}|%{ARCH}\\n"
    return FakeHost(files={"/var/lib/rpm/rpmdb.sqlite": ""}, commands={question: (status, output)})


def test_rpms_own_words_for_a_damaged_database() -> None:
    said = "error: sqlite failure: CREATE TABLE IF NOT EXISTS 'Packages': database disk image is malformed\n"
    found, damage = read_rpm(rpm_host(said + "bash|5.2-1|x86_64\n"))
    assert isinstance(found, Unknown)
    assert damage.startswith("/var/lib/rpm: rpm says: error: sqlite failure")
    _, damage = read_rpm(rpm_host("", 0))
    assert "not one package" in damage
    found, damage = read_rpm(rpm_host("bash|5.2-1|x86_64\n"))
    assert (damage, not isinstance(found, Unknown)) == ("", True)


def test_a_damaged_rpm_database_is_rebuilt_from_a_copy_kept_aside() -> None:
    ctx = make.context(damaged(what="/var/lib/rpm: rpm says: error: rpmdb: damaged"))
    (step,) = make_plan(ctx, climb(ctx)).steps
    assert step.commands[0].argv == ("cp", "-a", "/var/lib/rpm", "/var/lib/rpm.damaged")
    assert step.commands[1].argv == ("rpmdb", "--rebuilddb")


# --- dependencies


@pytest.mark.parametrize(
    ("depends", "met"),
    [
        ("libc6", True),
        ("libc6 (>= 2.30)", True),
        ("libc6 (>= 2.99)", False),
        ("absent | libc6", True),
        ("absent", False),
        ("virtual-thing", True),
        ("virtual-thing (>= 2)", True),
        ("virtual-thing (>= 3)", False),
        ("plain-virtual (>= 1)", False),
        ("libc6:any (<< 3)", True),
        ("half", True),
        ("removed", False),
        ("strange $relation", True),
    ],
)
def test_relations(depends: str, met: bool) -> None:
    text = "\n".join(
        [
            stanza("nvidia-x", f"Depends: {depends}"),
            stanza("libc6", "Provides: virtual-thing (= 2.0), plain-virtual", version="2.41-12"),
            stanza("half", status="install ok unpacked"),
            stanza("removed", status="deinstall ok config-files"),
        ]
    )
    found = dpkg_depends.unmet(dpkg_depends.stanzas(text), lambda name: name == "nvidia-x")
    assert found == (() if met else (f"nvidia-x needs {depends}",))


def test_a_part_that_was_removed_by_force_is_the_cause() -> None:
    text = WHOLE.replace("Package: libnvidia-ptxjitcompiler1", "Package: something-else")
    found = packages.observe(debian(text), DEBIAN)
    assert found.unmet == ("libcuda1 needs libnvidia-ptxjitcompiler1 (= 550.163.01-2)",)
    facts = make.healthy()
    facts = replace(facts, packages=replace(facts.packages, unmet=found.unmet))
    ctx = make.context(facts)
    report = climb(ctx)
    assert report.root_cause is not None
    assert report.root_cause.causes[0].cause == "unmet-dependencies"
    (step,) = [
        s
        for s in make_plan(ctx, report).steps
        if s.rung == "packages" and s.id != "refresh-packages"
    ]
    assert any("--fix-broken" in command.argv for command in step.commands)


def test_other_packages_dependencies_are_not_this_programs_business() -> None:
    text = WHOLE + "\n" + stanza("some-desktop", "Depends: not-here")
    assert packages.observe(debian(text), DEBIAN).unmet == ()


def test_records_from_bytes_keep_nul_bytes_as_damage() -> None:
    text = (
        '{"schema": 1, "files": {"/usr/bin/apt-get": "", "/var/lib/dpkg/status": "\\u0000\\u0000"}}'
    )
    host = RecordedHost(parse_record(text.encode(), "x"), "x")
    assert "NUL" in packages.observe(host, DEBIAN).damage


def test_a_damaged_database_is_no_consequence_of_a_missing_gpu() -> None:
    facts = damaged("/var/lib/dpkg/status-old")
    facts = replace(facts, pci=replace(facts.pci, gpus=()))
    report = climb(make.context(facts))
    assert report.rung("packages").state.value == "broken"
