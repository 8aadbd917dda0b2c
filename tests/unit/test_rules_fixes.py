"""Which releases have a fix, and which kernels have a change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.model.catalogue import StableBreak
from gpu_bringup.rules.breaks import reached
from gpu_bringup.rules.fixes import fix
from gpu_bringup.rules.release import target_kernel
from small_catalogue import CLOSED, OPEN

CHANGE = StableBreak(
    id="change",
    symptom="error: it changed",
    flavour=CLOSED,
    mainline="6.8",
    series=(("5.10", 209, 210), ("5.15", 130, -1), ("6.1", 75, 76), ("6.6", -1, -1)),
    fixed=(
        ("470", "never"),
        ("515", "never"),
        ("525", "never"),
        ("535", "535.129.03..535.161.07"),
        ("545", "545.29.06.."),
        ("550", "..550.54.14"),
        ("555", "unknown"),
        ("580", "580.126.09"),
        ("595", "all"),
    ),
    sources=("doc",),
    healed=(("6.1", 170),),
    vendors=("5.14.0-687.el9",),
    ubuntu=(("6.5", 17),),
)


@pytest.mark.parametrize(
    ("driver", "known"),
    [
        ("535.86.05", False),
        ("535.129.03", False),
        ("535.154.05", None),
        ("535.161.07", True),
        ("545.23.06", False),
        ("545.29.06", False),
        ("545.30.01", None),
        ("550.40.07", None),
        ("550.54.14", True),
        ("555.58.02", None),
        ("580.119.02", False),
        ("580.126.09", True),
        ("595.45.04", True),
        # Branches that the table leaves out.
        ("520.61.05", False),
        ("530.41.03", None),
        ("460.106.00", None),
        ("620.70.06", True),
    ],
)
def test_fixes(driver: str, known: bool | None) -> None:
    found = fix(CHANGE, driver)
    assert found.known is known
    assert found.words


def test_a_fix_of_the_branch_itself_is_worth_a_line() -> None:
    assert fix(CHANGE, "580.126.09").within
    assert not fix(CHANGE, "595.45.04").within
    assert not fix(CHANGE, "580.119.02").within


@pytest.mark.parametrize(
    ("release", "has"),
    [
        ("5.10.209", False),
        ("5.10.210", True),
        ("5.10.262", True),
        ("5.15.130", False),
        ("5.15.131", None),
        ("6.1.75", False),
        ("6.1.76", True),
        # Between the first bad and the one that is good again nothing is known.
        ("6.1.100", None),
        ("6.1.170", False),
        ("6.1.192", False),
        ("6.6.1", None),
        ("6.7.1", False),
        ("6.8.0", True),
        ("7.2.6", True),
        # A vendor's kernel has it where that was seen, and in later builds of the same system.
        ("5.14.0-687.el9.x86_64", True),
        ("5.14.0-701.3.1.el9.x86_64", True),
        ("5.14.0-611.5.1.el9_7.x86_64", None),
        ("5.14.0-6.el8.x86_64", None),
        ("6.4.0-150700.53.31-default", None),
        # Ubuntu: known to be older than the change, or not known.
        ("6.5.0-17-generic", False),
        ("6.5.0-18-generic", None),
        ("6.5.0-1017-aws", None),
        ("6.8.0-20-generic", True),
        ("not a kernel", None),
    ],
)
def test_kernels(release: str, has: bool | None) -> None:
    assert reached(CHANGE, target_kernel(release)) is has


def test_a_change_that_was_taken_back_before_a_mainline_release() -> None:
    taken_back = replace(CHANGE, healed=(("6.1", 170), ("6.8", 0)))
    for release in ("6.8.0", "6.12.107", "7.2.6"):
        assert reached(taken_back, target_kernel(release)) is False
    assert reached(taken_back, target_kernel("6.1.76")) is True
    assert reached(replace(taken_back, flavour=OPEN), target_kernel("6.7.9")) is False
