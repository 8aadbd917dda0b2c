"""What must hold of every recommendation, on the real catalogue and hosts drawn by a seeded chance."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Recommendation, Verdict
from gpu_bringup.model.trial import BuildEvidence
from gpu_bringup.recommend import rank, recommend
from gpu_bringup.recommend.choose import recommend_for
from gpu_bringup.recommend.judging import judge, subject_of
from gpu_bringup.rules import RULES
from gpu_bringup.rules.kernel import PREDICTIONS
from gpu_bringup.rules.subject import Subject

SEEDS = range(60)
KERNELS = {
    "debian:11": ("5.10.0-32-amd64",),
    "debian:12": ("6.1.0-37-amd64", "6.12.38+deb12-amd64"),
    "debian:13": ("6.12.48+deb13-amd64", "6.12.107+deb13-amd64", "7.3.4+deb13-amd64"),
    "ubuntu:22.04": ("5.15.0-119-generic", "6.8.0-87-generic"),
    "ubuntu:24.04": ("6.8.0-87-generic", "6.17.0-19-generic", "6.6.30"),
    "ubuntu:26.04": ("7.0.0-12-generic",),
    "rhel:9": ("5.14.0-427.el9.x86_64", "5.14.0-687.5.1.el9_8.x86_64"),
    "rhel:10": ("6.12.0-211.el10.x86_64",),
    "sles:15": ("6.4.0-150700.53.6-default",),
    "amzn:2023": ("6.1.82-99.168.amzn2023.x86_64",),
    "fedora:44": ("7.1.3-300.fc44.x86_64",),
}
ABOUT_KERNELS = {*PREDICTIONS, "realtime-kernel", "kernel-lifecycle", "kernel-wanted"}
"""Rules that name a kernel."""


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def drawn(seed: int, catalogue: Catalogue) -> Answers:
    """A host and a wish; the same for the same seed and catalogue."""
    chance = random.Random(seed)
    boards = [gpu for gpu in catalogue.gpus if gpu.pci_ids]
    ids = [chance.choice(boards).pci_ids[0] for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    if chance.random() < 0.1:
        ids.append("10de:ffff")
    system = chance.choice(sorted(KERNELS))
    frameworks = [f"{item.id}:{item.version}" for item in catalogue.frameworks]
    return Answers(
        scenario=chance.choice(sorted(catalogue.scenarios)),
        gpus=tuple(ids),
        os=system,
        kernel=chance.choice(("", *KERNELS[system])),
        secure_boot=chance.choice((None, True, False)),
        source=chance.choice((None, None, SourceKind.DISTRIBUTION, SourceKind.NVIDIA_REPOSITORY)),
        framework=chance.choice(("", "", *frameworks)),
    )


def choice(result: Recommendation) -> tuple[str, ...] | None:
    if result.chosen is None:
        return None
    target = result.chosen.target
    return (target.driver.version, target.driver.flavour.value, target.source_kind)


def evidence(result: Recommendation, *, passed: bool) -> tuple[BuildEvidence, ...]:
    """Trial builds of the choice on every kernel of the target."""
    assert result.chosen is not None
    target = result.chosen.target
    return tuple(
        BuildEvidence(
            package=target.package.kernel_package,
            package_version=target.package.package_version,
            driver=target.driver.version,
            flavour=target.driver.flavour,
            kernel=kernel,
            compiler="",
            passed=passed,
            first_error="" if passed else "error: too many arguments to function",
            time="2026-11-22T12:00:00Z",
        )
        for kernel in target.kernels
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_choice_breaks_no_rule_that_rules_out(seed: int, catalogue: Catalogue) -> None:
    result = recommend(None, drawn(seed, catalogue), catalogue)
    if result.chosen is None:
        assert result.refusal
        assert all(item.blocked_by for item, _ in result.alternatives)
        return
    assert result.chosen.blocked_by == ()
    for item, why in result.alternatives:
        assert why
        assert item.blocked_by or item.score <= result.chosen.score


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_input_gives_the_same_output(seed: int, catalogue: Catalogue) -> None:
    answers = drawn(seed, catalogue)
    first = recommend(None, answers, catalogue)
    recommend_for.cache_clear()
    again = recommend(None, answers, catalogue)
    assert first is not again
    assert first == again
    recommend_for.cache_clear()
    assert recommend(None, answers, load(None)).to_json() == first.to_json()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_boards_does_not_matter(seed: int, catalogue: Catalogue) -> None:
    answers = drawn(seed, catalogue)
    turned = replace(answers, gpus=tuple(reversed(answers.gpus)))
    first, second = recommend(None, answers, catalogue), recommend(None, turned, catalogue)
    assert choice(first) == choice(second)
    assert [choice_of.target.driver for choice_of in rank(None, answers, catalogue)] == [
        choice_of.target.driver for choice_of in rank(None, turned, catalogue)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_failed_trial_build_outranks_everything(seed: int, catalogue: Catalogue) -> None:
    answers = drawn(seed, catalogue)
    before = recommend(None, answers, catalogue)
    if before.chosen is None or before.chosen.target.package.route == "prebuilt":
        return
    failed = evidence(before, passed=False)
    if not failed:
        return
    after = recommend(None, answers, catalogue, failed)
    assert after.chosen is None or after.chosen.target.driver != before.chosen.target.driver
    ranked = rank(None, answers, catalogue, failed)
    same = [item for item in ranked if item.target.driver == before.chosen.target.driver]
    built = [item for item in same if item.target.package == before.chosen.target.package]
    assert all("measured-build" in {r.rule for r in item.blocked_by} for item in built)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_passed_trial_build_never_makes_it_worse(seed: int, catalogue: Catalogue) -> None:
    answers = drawn(seed, catalogue)
    before = recommend(None, answers, catalogue)
    if before.chosen is None:
        return
    after = recommend(None, answers, catalogue, evidence(before, passed=True))
    assert choice(after) == choice(before)
    assert after.chosen is not None
    assert after.chosen.score >= before.chosen.score


@pytest.mark.parametrize("seed", SEEDS)
def test_secure_boot_known_refuses_nobody(seed: int, catalogue: Catalogue) -> None:
    answers = replace(drawn(seed, catalogue), secure_boot=None)
    before = recommend(None, answers, catalogue)
    for state in (True, False):
        after = recommend(None, replace(answers, secure_boot=state), catalogue)
        assert after.status == before.status
        if choice(after) == choice(before):
            continue
        # Another choice is made for its sake only, and the reasons say so.
        assert state
        assert after.chosen is not None
        told = [r for r in after.chosen.reasons if r.rule == "secure-boot-route"]
        assert told
        assert told[0].verdict is Verdict.OK


@pytest.mark.parametrize("seed", SEEDS)
def test_a_known_kernel_makes_it_worse_only_with_a_reason(seed: int, catalogue: Catalogue) -> None:
    answers = replace(drawn(seed, catalogue), kernel="")
    before = recommend(None, answers, catalogue)
    for kernel in KERNELS[answers.os]:
        after = recommend(None, replace(answers, kernel=kernel), catalogue)
        if choice(after) == choice(before) or before.chosen is None:
            continue
        former = next(
            item
            for item in rank(None, replace(answers, kernel=kernel), catalogue)
            if item.target.driver == before.chosen.target.driver
            and item.target.package == before.chosen.target.package
        )
        named = [r for r in former.reasons if r.rule in ABOUT_KERNELS and kernel in r.detail]
        assert named, (choice(before), choice(after))


def test_the_draw_is_varied(catalogue: Catalogue) -> None:
    """The properties above would hold of hosts that are all refused, too."""
    results = [recommend(None, drawn(seed, catalogue), catalogue) for seed in SEEDS]
    chosen = {choice(result) for result in results}
    assert len(chosen) >= 8
    assert sum(result.chosen is not None for result in results) >= len(SEEDS) // 2


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_kept_for_other_kernels_is_what_the_rules_say(
    seed: int, catalogue: Catalogue
) -> None:
    """A rule that isn't declared to look at kernels says the same whichever there are."""
    answers = drawn(seed, catalogue)
    kernel = random.Random(seed).choice(KERNELS[answers.os])
    item = subject_of(None, replace(answers, kernel=kernel), catalogue, ())
    assert isinstance(item, Subject)
    for judged in judge(item):
        anew = [reason for rule in RULES for reason in rule(item, judged.candidate)]
        assert list(judged.assessment.reasons) == anew
