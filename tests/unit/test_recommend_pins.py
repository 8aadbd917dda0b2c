"""``recommend --pin``: a combination that somebody has in mind, judged on the real catalogue."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.trial import BuildEvidence
from gpu_bringup.recommend import recommend
from gpu_bringup.recommend.pins import Pinned, judge_pins, parse_pins

H100 = Answers(gpus=("10de:2330",), os="debian:13")
B200 = Answers(gpus=("10de:2901",), os="ubuntu:24.04")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def judge(
    catalogue: Catalogue, answers: Answers, *words: str, evidence: tuple[BuildEvidence, ...] = ()
) -> Pinned:
    pins = parse_pins(words, answers, catalogue)
    return judge_pins(None, answers, pins, catalogue, evidence)


def rules(pinned: Pinned) -> set[str]:
    return {reason.rule for reason in pinned.breaks}


GUIDE = [
    # (what the guide of 2024-25 named, the host, every rule that must be among those broken)
    (
        ("driver=535.129.03", "cuda=12.2", "kernel=5.15"),
        H100,
        {"lifecycle", "security-floor"},
    ),
    (
        ("driver=535.129.03", "flavour=proprietary", "kernel=6.12.107+deb13-amd64"),
        H100,
        {"lifecycle", "security-floor", "driver-kernel"},
    ),
    (
        ("driver=550.54.15", "cuda=12.4", "kernel=6.8.0-87-generic"),
        B200,
        {"gpu-branch", "cuda-wanted", "lifecycle"},
    ),
    (
        ("driver=550.54.15", "flavour=proprietary"),
        B200,
        {"gpu-branch", "gpu-flavour", "lifecycle"},
    ),
    (
        ("driver=525.105.17", "cuda=12.2", "kernel=6.8.0-87-generic"),
        Answers(gpus=("10de:20b2",), os="ubuntu:24.04", scenario="kubernetes"),
        {"driver-kernel", "lifecycle"},
    ),
    (
        ("driver=535.129.03", "framework=vllm:0.33.0"),
        H100,
        {"framework-driver", "lifecycle"},
    ),
    (("driver=620", "flavour=proprietary"), H100, {"flavour-available"}),
    (("driver=580", "cuda=13.0"), Answers(gpus=("10de:1db4",), os="debian:13"), {"cuda-wanted"}),
]


@pytest.mark.parametrize(("words", "answers", "broken"), GUIDE)
def test_every_constraint_that_it_breaks_is_named(
    catalogue: Catalogue, words: tuple[str, ...], answers: Answers, broken: set[str]
) -> None:
    pinned = judge(catalogue, answers, *words)
    assert pinned.recommendation.status == "refused"
    assert broken <= rules(pinned), rules(pinned)
    document = pinned.to_json()
    assert document["status"] == "refused"
    assert {"rule", "verdict", "detail", "sources"} <= set(document["reasons"][0])
    assert {item["rule"] for item in document["pinned"]["breaks"]} == rules(pinned)


def test_the_pinned_driver_is_what_is_judged(catalogue: Catalogue) -> None:
    pinned = judge(catalogue, H100, "driver=535.129.03", "cuda=12.2", "kernel=5.15")
    assert pinned.recommendation.chosen is not None
    target = pinned.recommendation.chosen.target
    assert (target.driver.version, target.cuda, target.kernels) == ("535.129.03", "12.2", ("5.15",))
    assert pinned.installable is None
    told = next(
        reason
        for reason in pinned.recommendation.chosen.reasons
        if reason.rule == "source-reachable"
    )
    assert told.verdict is Verdict.UNKNOWN
    assert "keeps older releases" in told.detail
    # The pinned CUDA runs: what the next one would need breaks nothing.
    assert "driver-cuda" not in rules(pinned)


def test_the_nearest_good_choice_keeps_what_it_can(catalogue: Catalogue) -> None:
    pinned = judge(catalogue, H100, "driver=535.129.03", "cuda=12.2", "kernel=5.15")
    assert pinned.given_up == ("driver",)
    assert pinned.nearest is not None
    assert pinned.nearest.chosen is not None
    assert pinned.nearest.chosen.blocked_by == ()
    assert pinned.nearest.chosen.target.kernels == ("5.15",)
    assert pinned.nearest.chosen.target.driver.version != "535.129.03"
    blackwell = judge(catalogue, B200, "driver=550.54.15", "cuda=12.4")
    assert blackwell.given_up == ("driver", "cuda")


def test_a_sound_combination(catalogue: Catalogue) -> None:
    best = recommend(None, H100, catalogue).chosen
    assert best is not None
    pinned = judge(
        catalogue,
        H100,
        f"driver={best.target.driver.version}",
        f"flavour={best.target.driver.flavour.value}",
        f"cuda={best.target.cuda}",
        f"source={best.target.source_kind}",
    )
    assert pinned.recommendation.status == "recommended"
    assert pinned.nearest is None
    assert not any(reason.blocking for reason in pinned.breaks)
    assert pinned.recommendation.chosen is not None
    assert pinned.recommendation.chosen.target.driver == best.target.driver


def test_age_is_no_obstacle_to_installing(catalogue: Catalogue) -> None:
    pinned = judge(catalogue, H100, "driver=550.163.01", "flavour=proprietary")
    assert "lifecycle" in rules(pinned)
    assert pinned.recommendation.status == "refused"
    assert pinned.installable is not False


def test_a_runfile_is_named_for_what_it_is(catalogue: Catalogue) -> None:
    pinned = judge(catalogue, H100, "driver=535.129.03", "source=runfile")
    told = next(reason for reason in pinned.breaks if reason.rule == "source-reachable")
    assert ".run installer" in told.detail
    assert pinned.installable is False
    assert pinned.given_up == ("driver", "source")


def test_a_trial_build_on_this_host_is_believed(catalogue: Catalogue) -> None:
    words = ("driver=580.178.04", "flavour=open", "kernel=6.12.107+deb13-amd64")
    before = judge(catalogue, H100, *words)
    assert before.recommendation.chosen is not None
    target = before.recommendation.chosen.target
    failed = BuildEvidence(
        target.package.kernel_package,
        target.package.package_version,
        target.driver.version,
        target.driver.flavour,
        target.kernels[0],
        "",
        False,
        "error: it fails",
        "2026-11-22T12:00:00Z",
    )
    after = judge(catalogue, H100, *words, evidence=(failed,))
    assert "measured-build" in rules(after)
    assert after.installable is False
    assert after.recommendation.status == "refused"


def test_the_guides_pins_by_one_word(catalogue: Catalogue) -> None:
    named = {
        "long-term-stable": "535.129.03",
        "new-hardware": "550.54.15",
        "kubernetes": "525.105.17",
        "compliance": "535.129.03",
    }
    for scenario, driver in named.items():
        pins = parse_pins(("guide",), replace(H100, scenario=scenario), catalogue)
        assert pins["driver"] == driver
        assert pins["kernel"]


def test_a_kernel_that_was_pinned_beside_the_guide_is_kept(catalogue: Catalogue) -> None:
    pins = parse_pins(("guide",), replace(H100, kernel="6.12.107+deb13-amd64"), catalogue)
    assert pins["kernel"] == "6.12.107+deb13-amd64"


def test_a_system_that_is_not_known_is_said_so(catalogue: Catalogue) -> None:
    pinned = judge(catalogue, replace(H100, os="slackware:15.0"), "driver=580")
    assert [reason.rule for reason in pinned.recommendation.refusal] == ["os-known", "gpu-branch"]
    assert pinned.installable is None


@pytest.mark.parametrize(
    ("words", "answers", "place", "told"),
    [
        (("driver=580", "driver=535"), H100, "--pin", "580 and to 535"),
        (("driver=580",), replace(H100, driver="535"), "--pin", "--driver 535"),
        (("flavour=open",), replace(H100, flavour="proprietary"), "--pin", "--flavour proprietary"),
        (
            ("source=distribution",),
            replace(H100, source=SourceKind.NVIDIA_REPOSITORY),
            "--pin",
            "--source nvidia-repository",
        ),
        (("driver",), H100, "--pin", "KEY=VALUE"),
        (("driver=",), H100, "--pin", "KEY=VALUE"),
        (("divers=580",), H100, "--pin", "driver"),
        (("cuda=twelve",), H100, "--pin cuda", "12.4"),
        (("flavour=closed",), H100, "--pin flavour", "proprietary"),
        (("source=distributon",), H100, "--pin source", "distribution"),
        (("driver=999.1",), H100, "--driver", "999"),
        (("kernel=newest",), H100, "--kernel", "uname -r"),
    ],
)
def test_pins_that_contradict_or_name_nothing(
    catalogue: Catalogue, words: tuple[str, ...], answers: Answers, place: str, told: str
) -> None:
    with pytest.raises(InputError) as error:
        judge(catalogue, answers, *words)
    assert error.value.place == place
    assert told in str(error.value)
