"""Does it build: the order of truth, and what stays unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.model.catalogue import Build
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.trial import BuildEvidence
from gpu_bringup.rules.buildable import judge
from gpu_bringup.rules.finding import Module
from gpu_bringup.rules.release import target_kernel
from small_catalogue import CATALOGUE, CLOSED, DEBIAN13, OPEN

DEBIAN_OPEN, DEBIAN_CLOSED = DEBIAN13.drivers[:2]


def verdict(driver: str, flavour: Flavour, release: str, **kernel: str) -> tuple[str, str]:
    finding = judge(CATALOGUE, Module(driver, flavour), target_kernel(release, **kernel))[0]
    return finding.rule, finding.verdict.value


@pytest.mark.parametrize(
    ("driver", "flavour", "release", "expected"),
    [
        # Upstream limits, by series and by sublevel.
        ("580.178.04", OPEN, "7.2.6", ("driver-kernel", "ok")),
        ("580.119.02", CLOSED, "7.0.1", ("driver-kernel", "violated")),
        ("535.129.03", OPEN, "6.6.14", ("driver-kernel", "ok")),
        ("535.129.03", OPEN, "6.6.15", ("driver-kernel", "violated")),
        ("535.129.03", OPEN, "6.6.0-23-amd64", ("driver-kernel", "unknown")),
        # Between two entries: known only where both agree.
        ("580.95.05", CLOSED, "6.16.3", ("driver-kernel", "ok")),
        ("580.95.05", CLOSED, "6.17.3", ("driver-kernel", "unknown")),
        ("580.95.05", CLOSED, "6.19.1", ("driver-kernel", "violated")),
        # Newer than the branch's last entry, older than its first.
        ("580.200.01", CLOSED, "7.2.1", ("driver-kernel", "ok")),
        ("550.54.14", CLOSED, "6.15.1", ("driver-kernel", "violated")),
        ("550.54.14", CLOSED, "6.10.1", ("driver-kernel", "unknown")),
        # Stable breaks: the sublevel and the flavour decide.
        ("570.211.01", OPEN, "6.12.97", ("stable-break", "violated")),
        ("570.211.01", CLOSED, "6.12.97", ("driver-kernel", "unknown")),
        ("580.65.06", OPEN, "6.12.96", ("driver-kernel", "ok")),
        ("580.65.06", OPEN, "6.12.97", ("stable-break", "violated")),
        ("580.65.06", OPEN, "6.1.180", ("stable-break", "unknown")),
        ("580.65.06", OPEN, "6.1.0-50-amd64", ("stable-break", "unknown")),
        ("535.129.03", CLOSED, "6.1.76", ("stable-break", "violated")),
        ("535.129.03", CLOSED, "6.1.75", ("driver-kernel", "ok")),
        # A branch that the table leaves out, between two that never got the fix.
        ("560.35.03", OPEN, "6.12.107", ("stable-break", "violated")),
        ("540.10.01", OPEN, "6.12.107", ("stable-break", "unknown")),
        # Ubuntu takes stable patches over without saying so.
        ("580.65.06", OPEN, "6.8.0-87-generic", ("stable-break", "unknown")),
        ("580.178.04", OPEN, "6.8.0-87-generic", ("driver-kernel", "ok")),
        # Vendor kernels are never held against upstream limits.
        ("535.129.03", OPEN, "5.14.0-687.12.1.el9_8.x86_64", ("driver-kernel", "unknown")),
        ("595.91.07", OPEN, "6.4.0-150700.53.31-default", ("driver-kernel", "unknown")),
        # Newer than anything on record.
        ("580.178.04", OPEN, "7.3.4+deb13-amd64", ("driver-kernel", "unknown")),
        ("580.126.09", OPEN, "7.3.4+deb13-amd64", ("driver-kernel", "violated")),
        # Little evidence forbids nothing.
        ("595.91.07", CLOSED, "7.3.4", ("driver-kernel", "unknown")),
        # Real builds outrank all of it.
        ("580.126.09", OPEN, "6.12.107+deb13-amd64", ("measured-build", "ok")),
        ("580.119.02", OPEN, "6.12.107+deb13-amd64", ("measured-build", "violated")),
    ],
)
def test_verdicts(driver: str, flavour: Flavour, release: str, expected: tuple[str, str]) -> None:
    assert verdict(driver, flavour, release) == expected


def test_a_debian_12_release_gets_its_sublevel_from_the_package() -> None:
    kernel = target_kernel("6.1.0-56-amd64", package_version="6.1.192-2")
    assert kernel.version == "6.1.192"
    assert kernel.label == "6.1.0-56-amd64 (Linux 6.1.192)"
    assert verdict("580.65.06", OPEN, "6.1.0-56-amd64", package_version="6.1.192-2") == (
        "stable-break",
        "violated",
    )


def test_a_package_of_another_series_tells_nothing() -> None:
    assert target_kernel("6.1.0-56-amd64", package_version="6.12.3-1").version == ""


def test_an_ubuntu_package_version_is_no_sublevel() -> None:
    kernel = target_kernel("6.8.0-87-generic", family="ubuntu", package_version="6.8.0-87.88")
    assert kernel.version == ""


@pytest.mark.parametrize(
    ("release", "realtime"),
    [
        ("6.12.107+deb13-rt-amd64", True),
        ("6.1.0-56-rt-amd64", True),
        ("6.12.107+deb13-amd64", False),
        ("6.8.0-87-generic", False),
    ],
)
def test_realtime_by_name(release: str, realtime: bool) -> None:
    assert target_kernel(release).realtime is realtime


def test_limits_do_not_bind_a_package_that_the_distribution_patches() -> None:
    patched = Module("550.163.01", CLOSED, DEBIAN_CLOSED)
    head = judge(CATALOGUE, patched, target_kernel("7.0.1"))[0]
    assert (head.rule, head.verdict) == ("driver-kernel", Verdict.UNKNOWN)
    assert "550.163.01-2" in head.detail
    plain = judge(CATALOGUE, Module("550.163.01", CLOSED), target_kernel("7.0.1"))[0]
    assert plain.verdict is Verdict.VIOLATED


def test_a_patched_package_may_cope_with_a_newer_mainline_kernel_but_not_with_a_stable_update() -> (
    None
):
    module = Module("550.163.01", OPEN, DEBIAN_OPEN)
    by_mainline = judge(CATALOGUE, module, target_kernel("7.0.1"))[0]
    assert (by_mainline.rule, by_mainline.verdict) == ("stable-break", Verdict.UNKNOWN)
    by_stable = judge(CATALOGUE, module, target_kernel("6.12.107"))[0]
    assert (by_stable.rule, by_stable.verdict) == ("stable-break", Verdict.VIOLATED)


def test_a_build_of_one_package_says_nothing_of_another() -> None:
    kernel = target_kernel("6.12.107+deb13-amd64")
    same = judge(CATALOGUE, Module("550.163.01", CLOSED, DEBIAN_CLOSED), kernel)[0]
    assert same.rule == "measured-build"
    newer = replace(DEBIAN_CLOSED, package_version="550.163.01-9")
    assert judge(CATALOGUE, Module("550.163.01", CLOSED, newer), kernel)[0].rule == "driver-kernel"


def test_a_build_on_a_vendor_kernel_counts_for_exactly_that_release() -> None:
    build = Build("575.57.08", "", OPEN, "5.14.0-687.12.1.el9_8", False, "some error", ("doc",))
    catalogue = replace(CATALOGUE, builds=(build,))
    module = Module("575.57.08", OPEN)
    same = judge(catalogue, module, target_kernel("5.14.0-687.12.1.el9_8.x86_64"))[0]
    assert (same.rule, same.first_error) == ("measured-build", "some error")
    other = judge(catalogue, module, target_kernel("5.14.0-611.54.1.el9_7.x86_64"))[0]
    assert other.verdict is Verdict.UNKNOWN
    assert other.sources == ("https://docs.example.org/doc",)


def evidence(passed: bool, **changes: str) -> BuildEvidence:
    values = {
        "package": "nvidia-open-kernel-dkms",
        "package_version": "550.163.01-2",
        "driver": "550.163.01",
        "kernel": "6.12.107+deb13-amd64",
        "compiler": "gcc-14",
        "first_error": "" if passed else "nv-pci.c:1:2: error: too few arguments",
        "time": "2026-11-22T10:00:00Z",
        **changes,
    }
    return BuildEvidence(flavour=OPEN, passed=passed, **values)


def test_a_trial_build_on_this_host_outranks_a_known_break() -> None:
    kernel = target_kernel("6.12.107+deb13-amd64")
    module = Module("550.163.01", OPEN, DEBIAN_OPEN)
    assert judge(CATALOGUE, module, kernel)[0].verdict is Verdict.VIOLATED
    found = judge(CATALOGUE, module, kernel, [evidence(True)])
    assert found[0].verdict is Verdict.OK
    assert found[0].basis == "host"
    assert all(finding.verdict is Verdict.OK for finding in found)


@pytest.mark.parametrize(
    "other",
    [
        evidence(True, kernel="6.12.117+deb13-amd64"),
        evidence(True, package_version="550.163.01-4"),
        evidence(True, driver="550.144.03"),
    ],
)
def test_evidence_counts_for_exactly_its_combination(other: BuildEvidence) -> None:
    kernel = target_kernel("6.12.107+deb13-amd64")
    module = Module("550.163.01", OPEN, DEBIAN_OPEN)
    assert judge(CATALOGUE, module, kernel, [other])[0].rule == "stable-break"


def test_the_latest_trial_counts() -> None:
    kernel = target_kernel("6.12.107+deb13-amd64")
    module = Module("550.163.01", OPEN, DEBIAN_OPEN)
    trials = [evidence(True), evidence(False, time="2026-11-22T11:00:00Z")]
    head = judge(CATALOGUE, module, kernel, trials)[0]
    assert head.verdict is Verdict.VIOLATED
    assert "too few arguments" in head.first_error
