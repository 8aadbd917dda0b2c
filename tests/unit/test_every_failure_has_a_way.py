"""Each failure on each family of distributions: steps that mend it, or words that say what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.explain.repair import mends
from gpu_bringup.failures.loader import load
from gpu_bringup.families.detect import family_for
from gpu_bringup.ladder.base import Context
from gpu_bringup.ladder.by_hand import BY_HAND, IF_NO_STEP, TARGET_MENDS
from gpu_bringup.ladder.causes import cause
from gpu_bringup.model.facts import OsFacts
from gpu_bringup.model.ladder import RUNG_IDS, LadderReport, RungResult, State
from gpu_bringup.plan import make_plan
from unit import make_facts as make

SYSTEMS = {
    "debian": OsFacts("debian", "13", "Debian GNU/Linux 13 (trixie)", "trixie"),
    "ubuntu": OsFacts("ubuntu", "24.04", "Ubuntu 24.04 LTS", "noble"),
    "rhel": OsFacts("rhel", "9.8", "Red Hat Enterprise Linux 9.8", ""),
    "fedora": OsFacts("fedora", "43", "Fedora Linux 43", ""),
    "amazon": OsFacts("amzn", "2023", "Amazon Linux 2023", ""),
    "suse": OsFacts("sles", "15.7", "SUSE Linux Enterprise Server 15 SP7", ""),
}
ELSEWHERE = {
    "unmet-dependencies": {"debian", "ubuntu"},
    "precompiled-modules-missing-ubuntu": {"ubuntu"},
    "precompiled-kmod-missing": {"rhel", "fedora", "amazon"},
    "kmod-kabi-minor-upgrade": {"rhel", "fedora", "amazon"},
    "dnf-modular-filtering": {"rhel", "fedora", "amazon"},
    "suse-unsupported-module": {"suse"},
}
"""Failures that only some families can have."""
SUMMARY = "it does not hold"


def broken(failure: str, rung: str) -> LadderReport:
    results = [RungResult(name, State.OK, "holds") for name in RUNG_IDS]
    at = RUNG_IDS.index(rung)
    results[at] = RungResult(rung, State.BROKEN, SUMMARY, (), (cause(failure, 0.9),))
    return LadderReport(tuple(results))


def on(system: OsFacts) -> Context:
    facts = replace(make.healthy(), os=system)
    return replace(make.context(facts), family=family_for(system))


@pytest.mark.parametrize("family", SYSTEMS)
def test_each_failure_is_mended_or_told_how_to(family: str) -> None:
    ctx, silent = on(SYSTEMS[family]), []
    assert ctx.family is not None and ctx.family.id == family
    for failure in load().values():
        if family not in ELSEWHERE.get(failure.id, SYSTEMS):
            continue
        made = make_plan(ctx, broken(failure.id, failure.rung))
        words = [text for text in made.blocked if text.rstrip(".").lower() != SUMMARY]
        if not made.steps and not words:
            silent.append(failure.id)
    assert not silent


def test_words_for_people_name_failures_that_exist() -> None:
    known = set(load())
    assert {*BY_HAND, *IF_NO_STEP, *TARGET_MENDS} <= known
    assert not set(BY_HAND) & set(IF_NO_STEP)


def test_a_step_of_the_family_s_own_takes_the_place_of_its_relative_s() -> None:
    failure = load()["sb-mok-not-enrolled"]
    (debian,), (ubuntu,) = mends(failure, "debian"), mends(failure, "ubuntu")
    assert debian.commands[0][-1] == "/var/lib/dkms/mok.pub"
    assert ubuntu.commands[0][-1] == "/var/lib/shim-signed/mok/MOK.der"
    assert len(mends(failure, "")) == 2


@pytest.mark.parametrize("failure", ["weak-modules-stale-kmod", "dkms-tree-broken"])
def test_what_is_in_the_way_is_moved_aside_never_deleted(failure: str) -> None:
    commands = [" ".join(argv) for mend in load()[failure].repair for argv in mend.commands]
    assert any("move-aside.sh files" in command for command in commands)
    assert not any(
        "-delete" in command or command.startswith(("mv ", "rm ")) for command in commands
    )
