"""``compat``: the contract's document, and its verdicts."""

from __future__ import annotations

import pytest

from gpu_bringup.cli import main
from gpu_bringup.compat import assess
from gpu_bringup.errors import InputError
from small_catalogue import CATALOGUE, CLOSED, OPEN


def test_a_measured_failure_gives_its_error() -> None:
    document = assess(CATALOGUE, "580.119.02", "6.12.107+deb13-amd64", OPEN)
    assert document["schema"] == 1
    assert (document["verdict"], document["basis"]) == ("fails", "measured")
    assert document["first_error"] == "too few arguments"
    assert document["sources"] == ["https://docs.example.org/doc"]
    assert set(document) == {
        *("schema", "verdict", "basis", "detail", "first_error", "sources", "flavours")
    }
    assert document["flavours"] == {"open": {"verdict": "fails", "basis": "measured"}}


def test_a_documented_break() -> None:
    document = assess(CATALOGUE, "570.211.01", "6.12.107+deb13-amd64", OPEN)
    assert (document["verdict"], document["basis"]) == ("fails", "documented")
    assert "pci_resize_resource" in document["first_error"]


def test_an_inferred_build() -> None:
    document = assess(CATALOGUE, "580.178.04", "7.2.6")
    assert (document["verdict"], document["basis"]) == ("builds", "inferred")
    assert document["first_error"] is None


def test_what_holds_for_both_flavours_is_told_once() -> None:
    detail = assess(CATALOGUE, "580.178.04", "7.3.4+deb13-amd64")["detail"]
    assert detail.count("nobody is known to have built 580.178.04 on it") == 1
    assert "open" not in detail


def test_a_vendor_kernel_is_said_first() -> None:
    document = assess(CATALOGUE, "570.211.01", "5.14.0-687.12.1.el9_8.x86_64", OPEN)
    assert document["verdict"] == "unknown"
    assert "never held against upstream limits" in document["detail"]


def test_without_a_flavour_one_failing_flavour_is_told_with_the_other() -> None:
    document = assess(CATALOGUE, "550.163.01", "6.12.107+deb13-amd64")
    assert document["verdict"] == "fails"
    assert "proprietary modules build" in document["detail"]
    assert "--flavour proprietary" in document["detail"]
    closed = assess(CATALOGUE, "550.163.01", "6.12.107+deb13-amd64", CLOSED)
    assert (closed["verdict"], closed["basis"]) == ("builds", "measured")


def test_the_distribution_decides_how_a_release_is_read() -> None:
    by_name = assess(CATALOGUE, "580.65.06", "6.12.50", OPEN)
    vendor = assess(CATALOGUE, "580.65.06", "6.12.50", OPEN, os="rhel:9")
    assert (by_name["verdict"], vendor["verdict"]) == ("builds", "unknown")


def test_a_branch_without_proprietary_modules_is_judged_by_the_open_ones() -> None:
    document = assess(CATALOGUE, "620.70.06", "7.2.1")
    assert document["verdict"] == "builds"
    assert "proprietary" not in document["detail"]


def test_unknown_stays_unknown() -> None:
    for driver, kernel in (
        ("580.178.04", "7.3.4+deb13-amd64"),
        ("580.178.04", "5.14.0-687.12.1.el9_8.x86_64"),
        ("999.10", "6.12.107"),
        ("580.178.04", "6.12.107+deb13-rt-amd64"),
    ):
        document = assess(CATALOGUE, driver, kernel)
        assert (document["verdict"], document["basis"]) == ("unknown", "none"), document


@pytest.mark.parametrize(
    ("driver", "kernel", "os"),
    [
        ("newest", "6.12.107", None),
        ("580", "6.12.107", None),
        ("580.178.04", "the running one", None),
        ("580.178.04", "6.12.107", "debain:13"),
    ],
)
def test_bad_input_is_named(driver: str, kernel: str, os: str | None) -> None:
    with pytest.raises(InputError) as error:
        assess(CATALOGUE, driver, kernel, os=os)
    assert error.value.place in ("--driver", "--kernel", "--os")
    assert error.value.hint


@pytest.mark.parametrize(
    ("driver", "kernel", "os", "verdict"),
    [
        ("580.178.04", "6.17.4-300.fc43.x86_64", "fedora:43", "builds"),
        ("580.119.02", "6.19.2-arch1-1", "arch:rolling", "fails"),
        ("580.95.05", "6.17.0-5-generic", "ubuntu:25.10", None),
    ],
)
def test_a_system_that_is_not_known_is_answered_for_nvidias_release(
    driver: str, kernel: str, os: str, verdict: str | None
) -> None:
    document = assess(CATALOGUE, driver, kernel, OPEN, os=os)
    assert f"The system {os} isn't in this catalogue" in document["detail"]
    if verdict is not None:
        assert document["verdict"] == verdict
    without = assess(CATALOGUE, driver, kernel, OPEN)
    assert document["verdict"] == without["verdict"]


def test_the_first_line_tells_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """On screen no reader takes one kind of modules for both."""
    assert main(["compat", "--driver", "550.163.01", "--kernel", "6.12.107+deb13-amd64"]) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert "open modules: fails (measured)" in first
    assert "proprietary modules: builds (measured)" in first
    both = ["compat", "--driver", "580.178.04", "--kernel", "6.12.107+deb13-amd64"]
    assert main(both) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(": builds (inferred)")


def test_a_package_can_be_named_as_the_driver() -> None:
    document = assess(CATALOGUE, "550.163.01-2", "6.12.107+deb13-amd64", CLOSED)
    assert (document["verdict"], document["basis"]) == ("builds", "measured")
    other = assess(CATALOGUE, "550.163.01-9", "6.12.107+deb13-amd64", CLOSED)
    assert other["basis"] != "measured"


def test_modules_that_a_branch_does_not_have_are_not_built() -> None:
    document = assess(CATALOGUE, "620.70.06", "6.12.107", CLOSED)
    assert (document["verdict"], document["basis"]) == ("fails", "documented")
    assert "no proprietary modules" in document["detail"]


def test_both_kinds_build_only_as_surely_as_the_lesser() -> None:
    document = assess(CATALOGUE, "580.126.09", "6.12.107+deb13-amd64")
    assert {name: found["basis"] for name, found in document["flavours"].items()} == {
        "open": "measured",
        "proprietary": "inferred",
    }
    assert (document["verdict"], document["basis"]) == ("builds", "inferred")
