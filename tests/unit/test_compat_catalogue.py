"""``compat`` with the real catalogue: held against every build that was made, and its properties."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.compat import assess
from gpu_bringup.model.catalogue import Build, Catalogue, DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.buildable import predict
from gpu_bringup.rules.finding import Module, series_of
from gpu_bringup.rules.fixes import parse
from gpu_bringup.rules.limits import frontier
from gpu_bringup.rules.release import target_kernel

OPEN, CLOSED = Flavour.OPEN, Flavour.PROPRIETARY
KERNELS = (
    *("4.14.300", "4.19.300", "5.4.280", "5.10.218", "5.10.259", "5.10.262", "5.15.150", "6.1.38"),
    *("6.1.75", "6.1.76", "6.1.176", "6.1.192", "6.2.16", "6.3.13", "6.4.16", "6.5.13", "6.6.14"),
    *(
        "6.6.15",
        "6.7.2",
        "6.8.12",
        "6.9.12",
        "6.10.14",
        "6.11.11",
        "6.12.95",
        "6.12.107",
        "6.13.12",
    ),
    *(
        "6.14.11",
        "6.15.11",
        "6.16.12",
        "6.17.13",
        "6.18.39",
        "6.18.45",
        "6.19.14",
        "7.0.13",
        "7.1.8",
    ),
    *("7.2.6", "7.3.4"),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load()


def module_of(build: Build) -> Module:
    package = None
    if build.package:
        name, _, version = build.package.rpartition(" ")
        package = DriverPackage(
            "", "distribution", branch_of(build.driver), build.driver, version, build.flavour, "dkms",
            name or "nvidia-kernel-dkms", (), (), "", (), (), (),
        )  # fmt: skip
    return Module(build.driver, build.flavour, package)


def test_no_prediction_contradicts_a_build(
    catalogue: Catalogue, record_property: pytest.RecordProperty
) -> None:
    """What the rules say without the rows of builds, held against each of them."""
    wrong, open_ones = [], []
    for build in catalogue.builds:
        kernel = target_kernel(build.kernel)
        verdict = predict(catalogue, module_of(build), kernel)[0].verdict
        name = f"{build.driver} {build.package} {build.flavour.value} {build.kernel}"
        if verdict is Verdict.UNKNOWN:
            open_ones.append(name)
        elif (verdict is Verdict.OK) is not build.passed:
            wrong.append(f"{name}: predicted {verdict.value}, {build.error or 'passed'}")
    record_property(
        "predicted", f"{len(catalogue.builds) - len(open_ones)}/{len(catalogue.builds)}"
    )
    record_property("unknown", "; ".join(open_ones))
    assert wrong == []
    assert len(open_ones) <= len(catalogue.builds) // 4, open_ones


def test_a_newer_release_of_a_branch_keeps_the_kernels_of_the_older(catalogue: Catalogue) -> None:
    versions: dict[str, set[str]] = {}
    for version in (*catalogue.releases, *(row.driver for row in catalogue.kernel_limits)):
        versions.setdefault(branch_of(version), set()).add(version)
    rank = {Verdict.VIOLATED: 0, Verdict.UNKNOWN: 1, Verdict.OK: 2}
    lost = []
    for found in versions.values():
        ordered = sorted(found, key=driver_key)
        for flavour in Flavour:
            for release in KERNELS:
                kernel = target_kernel(release)
                worth = [
                    rank[predict(catalogue, Module(version, flavour), kernel)[0].verdict]
                    for version in ordered
                ]
                lost += [
                    f"{flavour.value} {release}: {older} -> {newer}"
                    for (older, before), (newer, now) in pairwise(zip(ordered, worth, strict=True))
                    if now < before
                ]
    assert lost == []


def test_nothing_builds_on_a_kernel_that_nobody_has_confirmed(catalogue: Catalogue) -> None:
    major, minor = frontier(catalogue)
    for kernel in (f"{major}.{minor + 1}.4", f"{major + 1}.0.1"):
        for version in (*catalogue.releases, "620.99.01", "999.10"):
            for flavour in Flavour:
                found = predict(catalogue, Module(version, flavour), target_kernel(kernel))[0]
                assert found.verdict is not Verdict.OK, (version, flavour, kernel)


def test_limits_agree_with_the_changes(catalogue: Catalogue) -> None:
    """No release is known for a kernel whose change it surely can't take."""
    for row in catalogue.kernel_limits:
        for flavour in (row.flavour,) if row.flavour is not None else Flavour:
            kernel = target_kernel(f"{row.newest}.0" if row.newest.count(".") == 1 else row.newest)
            found = predict(catalogue, Module(row.driver, flavour), kernel)[0]
            gpl = "gpl" in found.detail
            assert found.verdict is not Verdict.VIOLATED or gpl, (row.driver, found.detail)


def test_each_failure_is_told_with_its_change(catalogue: Catalogue) -> None:
    """No release fails only because its entry ends: a change must say why."""
    bare = []
    for version in (*catalogue.releases, *(row.driver for row in catalogue.kernel_limits)):
        branch = catalogue.branches[branch_of(version)]
        for flavour in branch.flavours:
            for release in KERNELS:
                found = predict(catalogue, Module(version, flavour), target_kernel(release))[0]
                if (found.verdict, found.basis) == (Verdict.VIOLATED, "inferred"):
                    bare.append(f"{version} {flavour.value} {release}: {found.detail}")
    assert bare == []


def test_of_the_releases_of_supported_branches_little_is_unknown(catalogue: Catalogue) -> None:
    """On the kernels that distributions have today, at most a seventh of the answers is open."""
    kernels = ("5.10.0-46-amd64", "6.1.0-56-amd64", "6.12.107+deb13-amd64", "7.2.6+deb13-amd64")
    answers = [
        assess(catalogue, version, kernel, flavour)["verdict"]
        for version in catalogue.releases
        if int(branch_of(version)) >= 535
        for flavour in catalogue.branches[branch_of(version)].flavours
        for kernel in kernels
    ]
    assert answers.count("unknown") <= len(answers) / 7, answers.count("unknown") / len(answers)


def test_fixes_are_written_as_the_model_says(catalogue: Catalogue) -> None:
    for item in catalogue.stable_breaks:
        for branch, text in item.fixed:
            broken, first = parse(text)
            for version in (broken, first):
                if text not in ("all", "never") and version:
                    assert branch_of(version) == branch, (item.id, text)
            if broken and first:
                assert driver_key(broken) < driver_key(first), (item.id, text)


@pytest.mark.parametrize("text", ["", "..", "soon", "580.x", "580.95.05..later"])
def test_a_fix_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^" + text.replace(".", r"\.") + "$"):
        parse(text)


@pytest.mark.parametrize(
    ("driver", "kernel", "flavour", "verdict", "basis", "words"),
    [
        # Debian hides the sublevel: the ABI number tells it.
        ("570.211.01", "6.1.0-50-amd64", OPEN, "builds", "inferred", "Linux 6.1.176"),
        ("570.211.01", "6.1.0-53-amd64", OPEN, "fails", "documented", "Linux 6.1.187"),
        ("570.211.01", "6.1.0-51-amd64", OPEN, "unknown", "none", "Linux 6.1.177"),
        ("570.211.01", "6.1.0-0.deb11.50-amd64", OPEN, "builds", "inferred", "Linux 6.1.176"),
        ("570.211.01", "6.1.0-56-cloud-amd64", OPEN, "fails", "documented", "Linux 6.1.192"),
        ("570.211.01", "6.1.0-99-amd64", OPEN, "unknown", "none", "doesn't tell the sublevel"),
        ("570.211.01", "5.10.0-45-amd64", OPEN, "builds", "inferred", "Linux 5.10.259"),
        ("570.211.01", "5.10.0-46-amd64", OPEN, "fails", "documented", "pci_resize_resource"),
        ("535.129.03", "6.1.0-17-amd64", CLOSED, "builds", "inferred", "Linux 6.1.69"),
        ("535.129.03", "6.1.0-18-amd64", CLOSED, "fails", "documented", "__rcu_read_lock"),
        # 6.1 took over what frees pfn_valid() of the lock; 5.10 didn't.
        ("535.129.03", "6.1.0-19-amd64", CLOSED, "unknown", "none", "pfn_valid_gpl"),
        ("535.129.03", "6.1.0-47-amd64", CLOSED, "builds", "inferred", "Linux 6.1.170"),
        ("535.129.03", "5.10.0-28-amd64", CLOSED, "builds", "inferred", "Linux 5.10.209"),
        ("535.129.03", "5.10.0-29-amd64", CLOSED, "fails", "documented", "rcu_read_unlock_strict"),
        # Vendors' kernels: documented, or known to fail, or not known; never by their number.
        ("580.178.04", "5.14.0-687.12.1.el9_8.x86_64", OPEN, "builds", "documented", "RHEL 9.8"),
        ("580.105.08", "5.14.0-611.54.1.el9_7.x86_64", CLOSED, "builds", "documented", "RHEL 9.7"),
        ("575.57.08", "5.14.0-687.12.1.el9_8.x86_64", OPEN, "fails", "documented", "RHEL 9.8"),
        ("580.95.05", "6.12.0-254.el10.x86_64", OPEN, "fails", "documented", "580.126.09"),
        ("580.95.05", "6.12.0-124.8.1.el10_1.x86_64", OPEN, "unknown", "none", "RHEL 10.1"),
        ("550.163.01", "6.12.0-160000.5-default", OPEN, "unknown", "none", "SLES 16.0"),
        ("580.178.04", "5.14.0-6871.el9.x86_64", OPEN, "unknown", "none", "vendor kernel"),
        ("580.178.04", "6.4.0-150700.53.31-default", OPEN, "builds", "documented", "SLES 15 SP7"),
        # Ubuntu takes stable patches over without saying so.
        ("580.178.04", "6.8.0-87-generic", OPEN, "builds", "inferred", "580.178.04"),
        ("570.211.01", "6.8.0-120-generic", OPEN, "unknown", "none", "Ubuntu"),
        ("570.211.01", "6.8.0-1030-aws", OPEN, "unknown", "none", "Ubuntu"),
        # … but a kernel that is older than the change doesn't have it.
        ("570.211.01", "6.8.0-87-generic", OPEN, "builds", "inferred", "6.18"),
        ("580.126.18", "7.0.0-14-generic", CLOSED, "fails", "documented", "VMA_LOCK_OFFSET"),
        # Too old a kernel, and modules that a branch doesn't have.
        ("580.178.04", "4.14.300", OPEN, "fails", "documented", "4.15 or newer"),
        ("580.178.04", "4.19.300", OPEN, "builds", "inferred", "7.2"),
        ("620.70.06", "6.12.107", CLOSED, "fails", "documented", "no proprietary modules"),
        ("470.256.02", "6.1.192", OPEN, "fails", "documented", "no open modules"),
        # 7.3: nobody's unless it was built.
        ("615.71.09", "7.3.4+deb13-amd64", OPEN, "unknown", "none", "nobody is known"),
        ("570.211.01", "7.3.4+deb13-amd64", OPEN, "fails", "documented", "R570"),
    ],
)
def test_answers(
    catalogue: Catalogue,
    driver: str,
    kernel: str,
    flavour: Flavour,
    verdict: str,
    basis: str,
    words: str,
) -> None:
    document = assess(catalogue, driver, kernel, flavour)
    assert (document["verdict"], document["basis"]) == (verdict, basis), document["detail"]
    assert words in document["detail"]
    if verdict == "builds":
        assert document["first_error"] is None


def test_a_patched_package_is_told_from_nvidias_own_release(catalogue: Catalogue) -> None:
    kernel = "7.2.6+deb13-amd64"
    bare = assess(catalogue, "470.256.02", kernel, CLOSED)
    assert bare["verdict"] == "unknown"
    assert "470.256.02-10" in bare["detail"]
    named = assess(catalogue, "470.256.02-10", kernel, CLOSED)
    assert (named["verdict"], named["basis"]) == ("builds", "measured")
    # Debian 13 itself has no such package: which one is meant isn't known.
    meant = assess(catalogue, "470.256.02", kernel, CLOSED, os="debian:13")
    assert meant["verdict"] == "unknown"


def test_a_package_version_that_is_not_on_record_is_unknown(catalogue: Catalogue) -> None:
    """Its patches may be just for that kernel, on which NVIDIA's own release fails."""
    revised = assess(catalogue, "525.147.05-7~deb12u1", "6.1.0-18-amd64", CLOSED)
    assert revised["verdict"] == "unknown"
    assert "pfn_valid_gpl" in revised["detail"]


@pytest.mark.parametrize(
    "kernel", ["6.17.9-76061709-generic", "6.14.8-2-pve", "6.17.1-x64v3-xanmod1", "6.17.5-cachyos1"]
)
def test_a_kernel_with_patches_of_its_own_is_never_said_to_take_a_driver(
    catalogue: Catalogue, kernel: str
) -> None:
    assert assess(catalogue, "580.119.02", kernel, OPEN)["verdict"] == "unknown"
    assert assess(catalogue, "550.54.15", kernel, OPEN)["verdict"] == "fails"


def test_a_package_that_is_patched_further_is_named(catalogue: Catalogue) -> None:
    bare = assess(catalogue, "450.248.02", "6.12.95", CLOSED)
    assert bare["verdict"] == "unknown"
    assert "450.248.02-14" in bare["detail"]
    # Nobody patched the open modules against the change of July 2026.
    assert assess(catalogue, "555.58.02", "6.12.107", OPEN)["verdict"] == "fails"


def test_a_package_is_good_for_the_kernels_that_its_patches_are_for(catalogue: Catalogue) -> None:
    fits = assess(catalogue, "550.163.01-5.1", "7.0.13", CLOSED)
    assert (fits["verdict"], fits["basis"]) == ("builds", "documented")
    newer = assess(catalogue, "550.163.01-5.1", "7.2.9", CLOSED)
    assert (newer["verdict"], newer["basis"]) == ("fails", "documented")
    stable = assess(catalogue, "550.163.01-4", "6.12.113", OPEN)
    assert stable["verdict"] == "fails"
    assert "pci_resize_resource" in stable["first_error"]


def test_series_of_changes_are_in_order(catalogue: Catalogue) -> None:
    """Older series come first: what a build meets first is what is told first."""
    both = [series_of(item.mainline) for item in catalogue.stable_breaks if item.flavour is None]
    assert both == sorted(both)
