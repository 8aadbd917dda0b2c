"""Rules about the host's processor, what is pinned besides the driver, and vGPU guests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpu_bringup import engine
from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Package
from gpu_bringup.model.target import Reason, Verdict
from gpu_bringup.recommend import recommend
from gpu_bringup.recommend.judging import judge, subject_of
from gpu_bringup.rules.platform import host_arch, machine
from gpu_bringup.rules.subject import Subject
from gpu_bringup.settled import prefer_installed

GRACE = {"GH200": "10de:2342", "GB200": "10de:2941", "GB300": "10de:31c2"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def subject(catalogue: Catalogue, answers: Answers) -> Subject:
    found = subject_of(None, answers, catalogue, ())
    assert isinstance(found, Subject)
    return found


def told(item: Subject, rule: str) -> list[Reason]:
    """What a rule says of every candidate."""
    return [r for each in judge(item) for r in each.assessment.reasons if r.rule == rule]


@pytest.mark.parametrize("name", GRACE)
def test_grace_boards_make_the_host_aarch64(catalogue: Catalogue, name: str) -> None:
    answers = Answers(gpus=(GRACE[name],), os="ubuntu:24.04")
    item = subject(catalogue, answers)
    assert host_arch(item.boards) == item.arch == "aarch64"
    facts = engine.described(answers, catalogue)
    assert not isinstance(facts.os, str)
    assert getattr(facts.os, "arch", "") == "aarch64"


def test_the_arm_part_of_nvidias_repository_is_said_to_be_the_one(catalogue: Catalogue) -> None:
    reasons = told(subject(catalogue, Answers(gpus=(GRACE["GB200"],), os="rhel:9")), "platform")
    assert any(r.verdict is Verdict.OK and "sbsa" in r.detail for r in reasons)
    assert all(r.sources for r in reasons)


def test_a_system_that_is_documented_for_one_processor_is_an_open_question(
    catalogue: Catalogue,
) -> None:
    answers = Answers(gpus=(GRACE["GB200"],), os="debian:13")
    reasons = told(subject(catalogue, answers), "platform")
    assert {r.verdict for r in reasons} == {Verdict.UNKNOWN}
    result = recommend(None, answers, catalogue)
    assert any("aarch64" in note for note in result.notes)


def test_a_grace_board_in_another_host_is_refused(catalogue: Catalogue) -> None:
    item = replace(subject(catalogue, Answers(gpus=(GRACE["GB200"],), os="rhel:9")), arch="x86_64")
    assert all(r.verdict is Verdict.VIOLATED and r.blocking for r in told(item, "platform"))
    assert all(each.tier == 0 for each in judge(item))


def test_an_ordinary_host_is_not_bothered(catalogue: Catalogue) -> None:
    assert not told(subject(catalogue, Answers(gpus=("10de:2330",), os="rhel:9")), "platform")


def test_the_distributions_names_of_a_processor() -> None:
    assert [machine(name) for name in ("amd64", "arm64", "ppc64le")] == [
        "x86_64",
        "aarch64",
        "ppc64le",
    ]


@pytest.mark.parametrize(
    ("cuda", "driver", "gpu", "verdict", "words"),
    [
        ("12.2", "535.129.03", "10de:2330", Verdict.OK, "all its features"),
        ("12.4.1", "535.129.03", "10de:2330", Verdict.OK, "minor-version compatibility only"),
        ("13.0", "535.129.03", "10de:2330", Verdict.VIOLATED, "580.65.06"),
        ("13.0", "535.129.03", "10de:2684", Verdict.VIOLATED, "data-centre"),
        ("12.4", "580.178.04", "10de:2901", Verdict.VIOLATED, "12.8"),
        ("13.0", "580.178.04", "10de:1db4", Verdict.VIOLATED, "12.9"),
        ("99.1", "580.178.04", "10de:2330", Verdict.UNKNOWN, "isn't in this catalogue"),
    ],
)
def test_three_kinds_of_compatibility_and_none(
    catalogue: Catalogue, cuda: str, driver: str, gpu: str, verdict: Verdict, words: str
) -> None:
    answers = Answers(gpus=(gpu,), os="debian:13", cuda=cuda, driver=driver)
    item = subject(catalogue, answers)
    pinned = [each for each in judge(item) if each.candidate.version == driver]
    assert pinned
    for each in pinned:
        reasons = [r for r in each.assessment.reasons if r.rule == "cuda-wanted"]
        assert [r.verdict for r in reasons] == [verdict]
        assert words in reasons[0].detail


def test_a_minor_version_says_what_breaks(catalogue: Catalogue) -> None:
    answers = Answers(gpus=("10de:2330",), os="debian:13", cuda="12.4", driver="535.129.03")
    assert any("PTX" in r.detail for r in told(subject(catalogue, answers), "cuda-wanted"))


def test_a_scenario_that_pins_is_kept(catalogue: Catalogue) -> None:
    """An operator's certified stack: driver, CUDA and kernel."""
    stable = catalogue.scenarios["long-term-stable"]
    own = replace(
        stable, id="own", pinned_driver="580.178.04", pinned_cuda="12.9", pinned_kernel="6.12"
    )
    mine = replace(catalogue, scenarios={**catalogue.scenarios, "own": own})
    answers = Answers(scenario="own", gpus=("10de:2330",), os="debian:13")
    chosen = recommend(None, answers, mine).chosen
    assert chosen is not None
    assert (chosen.target.driver.version, chosen.target.cuda) == ("580.178.04", "12.9")
    other = replace(answers, kernel="7.0.1-1-amd64")
    reasons = told(subject(mine, other), "kernel-wanted")
    assert reasons
    assert {(r.verdict, r.blocking) for r in reasons} == {(Verdict.VIOLATED, False)}
    fitting = replace(answers, kernel="6.12.107+deb13-amd64")
    assert {r.verdict for r in told(subject(mine, fitting), "kernel-wanted")} == {Verdict.OK}


def test_a_vgpu_guest_gets_no_public_driver(catalogue: Catalogue) -> None:
    item = subject(catalogue, Answers(gpus=("10de:2235",), os="ubuntu:24.04"))
    guest = replace(item, boards=tuple(replace(board, vgpu=True) for board in item.boards))
    reasons = told(guest, "vgpu-guest")
    assert reasons
    assert all(r.verdict is Verdict.VIOLATED and r.blocking and r.sources for r in reasons)
    assert not told(item, "vgpu-guest")


def test_no_reason_cites_a_source_of_names_or_figures(catalogue: Catalogue) -> None:
    idle = {source.url for source in catalogue.sources.values() if source.about} - {""}
    spoken = {source.url for source in catalogue.sources.values() if not source.about}
    assert idle
    for gpu in ("10de:2330", "10de:2335", "10de:20b2", "10de:2901"):
        for each in judge(subject(catalogue, Answers(gpus=(gpu,), os="debian:13"))):
            cited = {url for r in each.assessment.reasons for url in r.sources}
            assert not cited & (idle - spoken)


def test_a_cuda_that_the_board_needs_and_the_driver_lacks(catalogue: Catalogue) -> None:
    answers = Answers(gpus=("10de:2901",), os="ubuntu:24.04", driver="550.54.15")
    reasons = [r for r in told(subject(catalogue, answers), "gpu-cuda") if "550.54.15" in r.detail]
    assert reasons
    assert all(r.verdict is Verdict.VIOLATED and "12.8" in r.detail for r in reasons)
    old = told(subject(catalogue, Answers(gpus=("10de:1db4",), os="debian:13")), "gpu-cuda")
    assert any(r.verdict is Verdict.OK and "12.9" in r.detail for r in old)


def test_a_package_of_no_certain_branch_is_said_so(catalogue: Catalogue) -> None:
    reasons = told(subject(catalogue, Answers(gpus=("10de:2330",), os="sles:15")), "package-branch")
    assert reasons
    assert {r.verdict for r in reasons} == {Verdict.UNKNOWN}


def test_a_distribution_past_its_support_is_said_so_and_stops_nobody(catalogue: Catalogue) -> None:
    old = told(subject(catalogue, Answers(gpus=("10de:20b2",), os="debian:11")), "os-lifecycle")
    assert {(r.verdict, r.blocking) for r in old} == {(Verdict.VIOLATED, False)}
    new = told(subject(catalogue, Answers(gpus=("10de:20b2",), os="debian:13")), "os-lifecycle")
    assert {r.verdict for r in new} == {Verdict.OK}


def test_a_scenario_for_other_systems_only_warns(catalogue: Catalogue) -> None:
    answers = Answers(gpus=("10de:2330",), os="amzn:2023", scenario="compliance")
    reasons = told(subject(catalogue, answers), "scenario-os")
    assert {(r.verdict, r.blocking) for r in reasons} == {(Verdict.VIOLATED, False)}
    fitting = told(subject(catalogue, replace(answers, os="rhel:9")), "scenario-os")
    assert {r.verdict for r in fitting} == {Verdict.OK}


def test_what_is_installed_and_not_ruled_out_stays(catalogue: Catalogue) -> None:
    answers = Answers(gpus=("10de:2330",), os="debian:13", kernel="6.12.107+deb13-amd64")
    first = recommend(None, answers, catalogue)
    other = first.alternatives[0][0].target.package
    facts = engine.described(answers, catalogue)
    package = Package(other.kernel_package, other.package_version)
    there = replace(facts, packages=replace(facts.packages, installed=(package,)))
    kept = prefer_installed(recommend(there, answers, catalogue), there)
    assert kept.chosen is not None
    assert kept.chosen.target.package.kernel_package == other.kernel_package
    assert "already-installed" in {r.rule for r in kept.chosen.reasons}


def test_the_fabrics_software_must_come_from_the_drivers_source(catalogue: Catalogue) -> None:
    answers = Answers(gpus=("10de:2901",) * 8, os="debian:13", source=SourceKind.DISTRIBUTION)
    reasons = told(subject(catalogue, answers), "fabric-source")
    assert reasons
    assert {r.verdict for r in reasons} == {Verdict.VIOLATED}
    elsewhere = replace(answers, source=SourceKind.NVIDIA_REPOSITORY)
    assert not told(subject(catalogue, elsewhere), "fabric-source")


def test_reports_on_peer_to_peer_are_a_note_and_no_ground(catalogue: Catalogue) -> None:
    item = subject(catalogue, Answers(gpus=("10de:2684",) * 2, os="ubuntu:24.04"))
    assert {r.verdict for r in told(item, "peer-to-peer")} == {Verdict.OK}
    alone = subject(catalogue, Answers(gpus=("10de:2684",), os="ubuntu:24.04"))
    assert not told(alone, "peer-to-peer")
