"""Progress from apt's, dpkg's and dkms's own words."""

from __future__ import annotations

import pytest

from gpu_bringup.model.plan import Command
from gpu_bringup.run.output import transient_error, waiting_for
from gpu_bringup.run.progress import ProgressReader, overall, reads_progress
from run_tools import plan, shell, step

INSTALL = """\
The following NEW packages will be installed:
  dkms nvidia-open-kernel-dkms
0 upgraded, 2 newly installed, 0 to remove and 1 not upgraded.
Need to get 10.0 MB of archives.
After this operation, 40.1 MB of additional disk space will be used.
Get:1 http://archive.example.org trixie/main amd64 dkms all 3.2.2-1 [4,000 kB]
Get:2 http://archive.example.org trixie/non-free amd64 nvidia-open-kernel-dkms amd64 1 [6,000 kB]
Fetched 10.0 MB in 1s (10.0 MB/s)
Selecting previously unselected package dkms.
Preparing to unpack .../dkms_3.2.2-1_all.deb ...
Unpacking dkms (3.2.2-1) ...
Unpacking nvidia-open-kernel-dkms (1) ...
Setting up dkms (3.2.2-1) ...
Setting up nvidia-open-kernel-dkms (1) ...
"""


def test_an_installation_goes_from_nothing_to_nearly_all() -> None:
    reader = ProgressReader()
    fractions = []
    for line in INSTALL.splitlines():
        reader.line(line)
        fractions.append(reader.now(1).fraction)
    assert fractions[:4] == [None] * 4
    known = [fraction for fraction in fractions if fraction is not None]
    assert known == sorted(known)
    assert known[0] == pytest.approx(0.12)
    assert 0.3 in [round(fraction, 3) for fraction in known]
    assert known[-1] == pytest.approx(0.75)
    assert reader.now(1).text == "setting up nvidia-open-kernel-dkms"
    assert reader.now(1).remaining_seconds is None
    assert reader.now(30).remaining_seconds == 10


def test_dkms_counts_its_objects() -> None:
    counts = [(0, 200), (100, 200), (200, 200)]
    reader = ProgressReader(lambda: counts.pop(0))
    for line in INSTALL.splitlines():
        reader.line(line)
    reader.line("Building module(s).....")
    assert reader.building
    assert reader.now(1).fraction == pytest.approx(0.75)
    halfway = reader.now(1)
    assert halfway.fraction == pytest.approx(0.875)
    assert halfway.text == "compiling: 100 of about 200 files"
    assert (reader.now(1).fraction or 1) < 1
    reader.line("Signing module /var/lib/dkms/nvidia/1/build/nvidia.ko")
    assert not reader.building


def test_without_totals_it_is_unknown() -> None:
    reader = ProgressReader()
    reader.line("Get:1 http://archive.example.org trixie InRelease [140 kB]")
    reader.line("Unpacking x (1) ...")
    assert reader.now(60).fraction is None
    assert reader.now(60).remaining_seconds is None
    assert reader.now(60).text == "unpacking x"


def test_percentages() -> None:
    reader = ProgressReader()
    assert reader.partial("Progress: [ 45%] [####....]")
    assert reader.now(1).fraction == 0.45
    assert reader.partial("(Reading database ... 55%")
    assert reader.now(1).fraction == 0.45
    assert not reader.partial("something else")


def test_whose_progress_is_read() -> None:
    assert reads_progress(Command(("/usr/sbin/dkms", "install")))
    assert reads_progress(Command(("x",), package_manager=True))
    assert not reads_progress(Command(("modprobe", "nvidia")))


def test_a_run_weighs_its_steps() -> None:
    chosen = plan(step("a", estimate_seconds=10), step("b", estimate_seconds=90))
    assert overall(chosen, frozenset(), "", None) == 0
    assert overall(chosen, frozenset({"a"}), "b", 0.5) == pytest.approx(0.55)
    assert overall(chosen, frozenset({"a", "b"}), "", None) == 1
    assert overall(plan(), frozenset(), "", None) == 1


@pytest.mark.parametrize(
    "line",
    [
        "W: Failed to fetch http://archive.example.org/x  Temporary failure resolving 'archive.example.org'",
        "E: Failed to fetch http://archive.example.org/x.deb  502  Bad Gateway [IP: 192.0.2.1 80]",
        "   Could not connect to archive.example.org:80 (192.0.2.1). - connect (113: No route to host)",
        "E: Failed to fetch http://archive.example.org/x  Hash Sum mismatch",
        "Connection timed out",
        "Curl error (28): Timeout was reached for https://repo.example.org/repodata/repomd.xml",
    ],
)
def test_transient(line: str) -> None:
    assert transient_error(["first", line, "last"]) == line.strip()


@pytest.mark.parametrize(
    "line",
    [
        "E: Unable to locate package nvidia-driver",
        "E: Failed to fetch http://archive.example.org/x  404  Not Found [IP: 192.0.2.1 80]",
        "The following packages have unmet dependencies:",
        "make: *** [Makefile:50: modules] Error 2",
        "E: The repository 'http://archive.example.org trixie Release' is not signed.",
    ],
)
def test_not_transient(line: str) -> None:
    assert transient_error([line]) == ""


def test_who_holds_the_lock() -> None:
    line = (
        "Waiting for cache lock: Could not get lock /var/lib/dpkg/lock-frontend. It is held by "
        "process 4211 (unattended-upgr)... 3s"
    )
    assert waiting_for(line).startswith("unattended-upgr (process 4211)")
    assert "process 99" in waiting_for("Waiting for process with pid 99 to finish.")
    assert waiting_for("Waiting for headers") == ""
    assert shell("x").root is False
