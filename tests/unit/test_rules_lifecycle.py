"""Support against the day, security fixes by bulletin, and faults of releases."""

from __future__ import annotations

from datetime import date
from functools import cache

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.stack import Bulletin
from gpu_bringup.model.target import Reason, Verdict
from gpu_bringup.recommend import rank
from gpu_bringup.rules.known_bad import has_fault
from gpu_bringup.rules.security import floor_of, lacking, silent


@cache
def catalogue() -> Catalogue:
    return load()


def reasons(
    rule: str, version: str, *, gpu: str = "h100", today: date | None = None
) -> list[Reason]:
    """What a rule says of one driver version on Debian 13."""
    wish = Answers(
        os="debian:13", gpus=(gpu,), kernel="6.12.90+deb13-amd64", driver=version, today=today
    )
    for assessment in rank(None, wish, catalogue()):
        if assessment.target.driver.version == version:
            return [reason for reason in assessment.reasons if reason.rule == rule]
    raise AssertionError(f"{version} isn't judged")


@pytest.mark.parametrize(
    ("version", "today", "verdict", "words"),
    [
        ("580.178.04", date(2026, 11, 22), Verdict.OK, "until June 2028, 18 months"),
        ("580.178.04", date(2027, 8, 1), Verdict.VIOLATED, "10 months from now"),
        ("580.178.04", date(2028, 7, 1), Verdict.VIOLATED, "no security fixes since June 2028"),
        ("595.91.07", date(2026, 11, 22), Verdict.VIOLATED, "only until March 2027"),
        ("615.71.10", date(2026, 11, 22), Verdict.UNKNOWN, "isn't known"),
        ("535.309.01", date(2026, 5, 1), Verdict.VIOLATED, "1 month from now"),
    ],
)
def test_support_is_held_against_the_day(
    version: str, today: date, verdict: Verdict, words: str
) -> None:
    (found,) = reasons("lifecycle", version, today=today)
    assert found.verdict is verdict
    assert words in found.detail
    assert found.sources


@pytest.mark.parametrize(
    ("version", "verdict", "words"),
    [
        ("580.178.04", [Verdict.OK], "newest security fixes known for R580"),
        ("580.173.02", [Verdict.VIOLATED], "bulletin 5861 (GPU Display Driver, September 2026)"),
        ("580.95.05", [Verdict.VIOLATED], "5861"),
        ("595.71.05", [Verdict.VIOLATED], "has them from 595.91.07"),
        # Its branch has all that was ever made for it, and none of the later ones.
        ("570.211.01", [Verdict.OK, Verdict.UNKNOWN], "R570"),
        ("535.129.03", [Verdict.VIOLATED, Verdict.UNKNOWN], "535.309.01"),
        ("620.70.06", [Verdict.UNKNOWN], "No security bulletin on record names R620"),
    ],
)
def test_a_release_is_held_against_the_bulletins(
    version: str, verdict: list[Verdict], words: str
) -> None:
    found = reasons("security-floor", version)
    assert [reason.verdict for reason in found] == verdict
    assert words in found[0].detail
    assert all(reason.sources for reason in found)


def test_a_package_that_security_updates_move_on_is_no_old_release() -> None:
    wish = Answers(os="ubuntu:24.04", gpus=("h100",), kernel="6.8.0-87-generic")
    found = {
        (item.target.source_kind, item.target.package.route): reason
        for item in rank(None, wish, catalogue())
        for reason in item.reasons
        if reason.rule == "security-floor" and item.target.driver.version == "580.173.02"
    }
    prebuilt = found["distribution", "prebuilt"]
    assert prebuilt.verdict is Verdict.UNKNOWN
    assert "lacks known security fixes: R580 has them from 580.178.04" in prebuilt.detail
    assert rank(None, wish, catalogue())[0].target.package.route == "prebuilt"


def test_bulletins_are_read_newest_first() -> None:
    bulletins = catalogue().stack.bulletins
    assert [item.id for item in lacking(bulletins, "580.65.06")] == ["5861", "5821", "5747"]
    assert lacking(bulletins, "580.178.04") == ()
    assert [item.id for item in silent(bulletins, "570")] == ["5861", "5821"]
    assert silent(bulletins, "620") == ()
    assert floor_of(bulletins, "535") == "535.309.01"
    assert floor_of(bulletins, "620") == ""
    other = Bulletin("9", "", "container-toolkit", None, (("580", "580.999.01"),), ())
    assert lacking((other, *bulletins), "580.178.04") == ()


def test_the_floor_of_a_branch_is_that_of_its_bulletins() -> None:
    for branch in catalogue().branches.values():
        assert (branch.security_floor or "") == floor_of(
            catalogue().stack.bulletins, branch.id
        ) or int(branch.id) < 470, branch.id


@pytest.mark.parametrize(
    ("fault", "version", "flavour", "expected"),
    [
        ("gsp-timeout-525", "525.85.12", Flavour.PROPRIETARY, True),
        ("gsp-timeout-525", "525.105.17", Flavour.PROPRIETARY, False),
        ("gsp-timeout-525", "520.61.05", Flavour.PROPRIETARY, False),
        ("long-uptime-hang", "580.105.08", Flavour.OPEN, True),
        ("long-uptime-hang", "580.105.08", Flavour.PROPRIETARY, False),
        ("long-uptime-hang", "580.119.02", Flavour.OPEN, False),
        ("grace-ecc-580", "580.126.20", Flavour.OPEN, True),
        ("vram-leak-535", "535.54.03", Flavour.OPEN, True),
        ("vram-leak-535", "535.86.05", Flavour.OPEN, False),
        # Without a fix and without a last one: to the end of its branch.
        ("rtx-pro-6000-hmm", "575.64.05", Flavour.OPEN, True),
        ("rtx-pro-6000-hmm", "580.65.06", Flavour.OPEN, False),
    ],
)
def test_how_far_a_fault_reaches(
    fault: str, version: str, flavour: Flavour, expected: bool
) -> None:
    known = {item.id: item for item in catalogue().stack.known_bad}
    assert has_fault(known[fault], version, flavour) is expected


def test_what_is_known_and_what_is_only_said_are_told_apart() -> None:
    old = {r.verdict: r.detail for r in reasons("known-bad", "535.54.03")}
    assert "Fixed in 535" in old[Verdict.VIOLATED]
    told = [r for r in reasons("known-bad", "535.54.03") if r.verdict is Verdict.UNKNOWN]
    assert any("no evidence was found" in r.detail and "leak" in r.detail for r in told)
    assert not any(r.blocking for r in reasons("known-bad", "535.54.03"))


def test_a_fault_is_told_only_where_it_can_be_met() -> None:
    uptime = reasons("known-bad", "580.105.08", gpu="b200")
    assert any("66 days" in r.detail for r in uptime)
    assert reasons("known-bad", "580.105.08", gpu="h100") == []
    # Faults of displays on a server's boards, and those of hosts of a special kind.
    assert not any("screen" in r.detail for r in reasons("known-bad", "580.119.02"))
    assert reasons("known-bad", "580.178.04") == []
    told = reasons("known-bad", "580.105.08", gpu="rtx 5090")
    assert not any("DisplayPort" in r.detail for r in told)


def test_releases_for_everybody_are_taken_only_when_they_are_named() -> None:
    found = reasons("source-reachable", "595.104.02")
    assert [r.verdict for r in found] == [Verdict.UNKNOWN]
    assert "isn't among its releases on record" in found[0].detail
    wish = Answers(os="debian:13", gpus=("h100",), kernel="6.12.90+deb13-amd64")
    offered = {item.target.driver.version for item in rank(None, wish, catalogue())}
    assert {"595.91.07", "615.71.10"} <= offered
    assert not {"595.104.02", "615.78.08"} & offered
