"""Histories of apt, dpkg, zypper and dnf: real captures, and what real life does to logs."""

from __future__ import annotations

import gzip
import json
import lzma
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from gpu_bringup.facts import history
from gpu_bringup.facts.history_parsers import parse_apt, parse_dnf, parse_dpkg, parse_zypp
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.hosts.package_history import HistoryError, read_history
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.hosts.recording import RecordingHost
from gpu_bringup.model.change import Change
from gpu_bringup.model.unknown import Unknown
from unit.fakes import FakeHost

CASES = Path(__file__).parent.parent / "cases/history"
UNATTENDED = """
Start-Date: 2026-11-20  06:12:03
Commandline: /usr/bin/unattended-upgrade
Upgrade: libnvidia-compute-580:amd64 (580.95.05-0ubuntu1, 580.105.08-0ubuntu1), bash:amd64 (1, 2)
End-Date: 2026-11-20  06:12:41

Start-Date: 2026-11-21  10:00:00
Commandline: apt purge nvidia-dkms-580
Requested-By: alice (1000)
Purge: nvidia-dkms-580:amd64 (580.95.05-0ubuntu1)
End-Date: 2026-11-21  10:00:09
"""


def test_apt_real_run() -> None:
    changes = parse_apt((CASES / "apt-debian13.log").read_text(), "history.log")
    last = {change.package: change for change in changes}
    assert last["libcuda1"].new == "550.163.01-2"
    assert last["libcuda1"].action == "install"
    assert last["libcuda1"].when == "2026-11-22 18:47:47"
    assert "install" in last["libcuda1"].command
    assert not last["libcuda1"].unattended
    assert "pciutils" not in last


def test_apt_unattended_and_called_by_a_person() -> None:
    upgrade, purge = parse_apt(UNATTENDED, "history.log")
    assert (upgrade.old, upgrade.new) == ("580.95.05-0ubuntu1", "580.105.08-0ubuntu1")
    assert upgrade.unattended
    assert upgrade.by == "unattended-upgrade"
    assert (purge.action, purge.old, purge.new, purge.user) == (
        *("purge", "580.95.05-0ubuntu1", "", "alice"),
    )
    assert purge.by == "'apt purge nvidia-dkms-580' (called by alice)"


def test_options_hide_nothing_of_what_was_done() -> None:
    change = Change(
        "", "", "", "", "", "apt-get -y -o A::B=0 --quiet install libcuda1", "root", False, ""
    )
    assert change.by == "'apt-get install libcuda1'"


def test_dpkg_real_run() -> None:
    changes = parse_dpkg((CASES / "dpkg-debian13.log").read_text(), "dpkg.log")
    assert changes
    assert {change.action for change in changes} <= {"install", "upgrade", "remove", "purge"}
    libcuda = next(change for change in changes if change.package == "libcuda1")
    assert (libcuda.old, libcuda.new, libcuda.command) == ("", "550.163.01-2", "")


def test_zypp_real_run() -> None:
    changes = parse_zypp((CASES / "zypp.history").read_text(), "history")
    assert [(c.action, c.old, c.new) for c in changes] == [
        ("install", "", "580.95.05-1"),
        ("upgrade", "580.95.05-1", "580.105.08-1"),
        ("remove", "580.105.08-1", ""),
    ]
    assert changes[1].user == "root"
    assert changes[1].by == "'zypper /srv/root update'"


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "\x00\xff\ufffd" * 500,
        "Start-Date: 22. November 2026\nUpgrade: libcuda1:amd64 (1, 2)\n",
        "Start-Date: 2026-11-20  06:12:03\nUpgrade: libcuda1:amd64 (",
        "2026-11-22 20:59:48|install|nvidia-x",
        "2026-11-22 20:59:48 upgrade",
        "|" * 10_000,
    ],
)
def test_junk_is_passed_over(junk: str) -> None:
    assert parse_apt(junk, "x") == ()
    assert parse_dpkg(junk, "x") == ()
    assert parse_zypp(junk, "x") == ()


def test_dnf_junk_is_passed_over() -> None:
    digest = {
        "transactions": [
            "x",
            {"begin": "?", "items": [["install"], 3, ["install", "nvidia-x", "1"]]},
        ]
    }
    (change,) = parse_dnf(digest, "x")
    assert (change.package, change.when) == ("nvidia-x", "")


# --- files -----------------------------------------------------------------------------------------


def test_rotated_logs_in_order_and_cut_off_ones(tmp_path: Path) -> None:
    old = UNATTENDED.replace("2026-11", "2026-10").encode()
    (tmp_path / "history.log.2.gz").write_bytes(gzip.compress(old)[:-12])
    (tmp_path / "history.log.1.xz").write_bytes(
        lzma.compress(b"Start-Date: 2026-11-01  01:00:00\n")
    )
    (tmp_path / "history.log.3.gz").write_bytes(b"no archive at all")
    host = LocalHost()
    answer = host.digest("log", str(tmp_path / "history.log.2.gz"))
    assert isinstance(answer, dict)
    assert answer["whole"] is False
    assert [c.when[:7] for c in parse_apt(answer["text"], "x")] == ["2026-10", "2026-10"]
    whole = host.digest("log", str(tmp_path / "history.log.1.xz"))
    assert isinstance(whole, dict)
    assert whole["whole"] is True
    assert isinstance(host.digest("log", str(tmp_path / "history.log.3.gz")), Unknown)
    assert host.digest("log", str(tmp_path / "none.gz")) is None


def test_observe_merges_apt_and_dpkg() -> None:
    host = FakeHost(
        files={
            "/var/log/apt/history.log": UNATTENDED,
            "/var/log/dpkg.log": (
                "2026-11-20 06:12:30 upgrade libnvidia-compute-580:amd64 580.95.05-0ubuntu1 "
                "580.105.08-0ubuntu1\n"
                "2026-11-22 09:00:00 install nvidia-dkms-580:amd64 <none> 580.105.08-0ubuntu1\n"
            ),
        },
        digests={
            "log /var/log/apt/history.log.1.gz": {
                "text": UNATTENDED.replace("2026-11", "2026-10"),
                "whole": True,
            }
        },
        listings={
            "/var/log/apt": ("history.log", "history.log.1.gz", "term.log"),
            "/var/log": ("dpkg.log",),
        },
    )
    changes = history.observe(host)
    assert isinstance(changes, tuple)
    assert [(c.when[:10], c.package) for c in changes] == [
        ("2026-10-20", "libnvidia-compute-580"),
        ("2026-10-21", "nvidia-dkms-580"),
        ("2026-11-20", "libnvidia-compute-580"),
        ("2026-11-21", "nvidia-dkms-580"),
        ("2026-11-22", "nvidia-dkms-580"),
    ]
    assert changes[-1].by == "a package manager's run that no history names"


def test_unreadable_history_is_unknown() -> None:
    host = FakeHost(unreadable=("/var/log/apt", "/var/log"))
    assert isinstance(history.observe(host), Unknown)


def test_no_history_is_none() -> None:
    assert history.observe(FakeHost()) == ()


# --- dnf -------------------------------------------------------------------------------------------

SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: synthetic
License: none
BuildArch: x86_64
AutoReqProv: no
%description
synthetic
%files
"""


def _run(*argv: str) -> None:
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def dnf_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installation root in which the real dnf installed, upgraded and removed packages."""
    for tool in ("dnf", "rpmbuild", "createrepo_c"):
        assert shutil.which(tool), f"these tests need {tool}"
    top = tmp_path_factory.mktemp("dnf")
    for name, version in (
        ("nvidia-driver-cuda-libs", "580.95.05"),
        ("nvidia-driver-cuda-libs", "580.105.08"),
        ("kernel-core", "5.14.0"),
        ("unrelated", "1"),
    ):
        spec = top / f"{name}.spec"
        spec.write_text(SPEC.format(name=name, version=version))
        _run(
            *("rpmbuild", "--quiet", "--target", "x86_64", "-bb", str(spec)),
            *("--define", f"_topdir {top}/build", "--define", f"_rpmdir {top}/repo"),
        )
    _run("createrepo_c", "-q", f"{top}/repo")
    root = top / "root"
    (root / "var/log").mkdir(parents=True)
    (root / "var/cache/dnf").mkdir(parents=True)
    (top / "repos").mkdir()
    (top / "repos/local.repo").write_text(
        f"[local]\nname=local\nbaseurl=file://{top}/repo\nenabled=1\ngpgcheck=0\n"
    )
    dnf = (
        *("dnf", "-y", f"--installroot={root}", "--releasever=9"),
        *(f"--setopt=reposdir={top}/repos", "--setopt=cachedir=/var/cache/dnf"),
        "--setopt=logdir=/var/log",
    )
    _run(*dnf, "install", "nvidia-driver-cuda-libs-580.95.05", "kernel-core", "unrelated")
    _run(*dnf, "upgrade")
    _run(*dnf, "remove", "kernel-core")
    return root


@pytest.mark.process
def test_real_dnf(dnf_root: Path) -> None:
    path = dnf_root / "var/lib/dnf/history.sqlite"
    before = sorted((p.name, p.stat().st_mtime_ns) for p in path.parent.iterdir())
    changes = parse_dnf(read_history(str(path)), "history.sqlite")
    assert sorted((p.name, p.stat().st_mtime_ns) for p in path.parent.iterdir()) == before
    assert [(c.package, c.action, c.old, c.new) for c in changes] == [
        ("kernel-core", "install", "", "5.14.0-1"),
        ("nvidia-driver-cuda-libs", "install", "", "580.95.05-1"),
        ("nvidia-driver-cuda-libs", "upgrade", "580.95.05-1", "580.105.08-1"),
        ("kernel-core", "remove", "5.14.0-1", ""),
    ]
    assert changes[2].by == "'dnf upgrade'"
    assert changes[2].when.endswith(" UTC")


def test_dnf5_tables(tmp_path: Path) -> None:
    path = tmp_path / "transaction_history.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE trans (id INTEGER PRIMARY KEY, dt_begin INTEGER, user_id INTEGER, description TEXT);
        CREATE TABLE trans_item (id INTEGER PRIMARY KEY, trans_id INTEGER, item_id INTEGER, action_id);
        CREATE TABLE pkg_names (id INTEGER PRIMARY KEY, name TEXT);
        CREATE TABLE rpm (item_id INTEGER, name_id INTEGER, version TEXT, release TEXT);
        INSERT INTO pkg_names VALUES (1, 'nvidia-driver-cuda-libs');
        INSERT INTO trans VALUES (1, 1795381186, 1000, 'dnf upgrade');
        INSERT INTO rpm VALUES (1, 1, '580.105.08', '1'), (2, 1, '580.95.05', '1');
        INSERT INTO trans_item VALUES (1, 1, 1, 2), (2, 1, 2, 6);
        """
    )
    connection.commit()
    connection.close()
    (change,) = parse_dnf(read_history(str(path)), "x")
    assert (change.action, change.old, change.new) == ("upgrade", "580.95.05-1", "580.105.08-1")
    assert change.user == "user id 1000"
    assert change.command == "dnf upgrade"


def test_no_database(tmp_path: Path) -> None:
    junk = tmp_path / "history.sqlite"
    junk.write_bytes(b"SQLite format 3\0" + b"\xff" * 3000)
    with pytest.raises(HistoryError, match="no history of dnf"):
        read_history(str(junk))
    assert isinstance(LocalHost().digest("dnf-history", str(junk)), Unknown)
    assert LocalHost().digest("dnf-history", str(tmp_path / "none")) is None


def test_record_answers_the_same_and_names_nobody(tmp_path: Path) -> None:
    log = tmp_path / "history.log.1.gz"
    log.write_bytes(gzip.compress(UNATTENDED.encode()))
    recording = RecordingHost(LocalHost())
    recording.digest("log", str(log))
    recording.digest("log", str(tmp_path / "none.gz"))
    data = json.dumps(recording.record())
    assert "alice" not in data
    recorded = RecordedHost.from_bytes(data.encode(), "record")
    answer = recorded.digest("log", str(log))
    assert isinstance(answer, dict)
    assert parse_apt(answer["text"], "x")[0] == parse_apt(UNATTENDED, "x")[0]
    assert recorded.digest("log", str(tmp_path / "none.gz")) is None
    assert isinstance(recorded.digest("log", "/elsewhere.gz"), Unknown)
