"""The recommendation on a small catalogue: choice, order, refusal, words."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.enums import InstallMethod, SecureBoot
from gpu_bringup.model.facts import (
    ContainerFacts,
    DeviceFacts,
    Facts,
    Kernel,
    KernelFacts,
    LibraryFacts,
    LogFacts,
    ModuleFacts,
    OsFacts,
    PackageFacts,
    PciDevice,
    PciFacts,
    PlatformFacts,
    SecureBootFacts,
    ServiceFacts,
    StorageFacts,
    ToolkitFacts,
)
from gpu_bringup.model.target import Assessment, Reason, Recommendation, Verdict
from gpu_bringup.model.trial import BuildEvidence
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.recommend import proving_order, rank, recommend, validate_answers
from small_catalogue import CATALOGUE, OPEN

KERNEL = "6.12.107+deb13-amd64"
H100 = Answers(gpus=("10de:2330",), os="debian:13", kernel=KERNEL, secure_boot=True)
BY_DISTRIBUTION = replace(H100, source=SourceKind.DISTRIBUTION)


def ask(answers: Answers, facts: Facts | None = None) -> Recommendation:
    return recommend(facts, answers, CATALOGUE)


def chosen(result: Recommendation) -> Assessment:
    assert result.chosen is not None, [reason.detail for reason in result.refusal]
    return result.chosen


def short(assessment: Assessment) -> str:
    driver = assessment.target.driver
    return f"{driver.version} {driver.flavour.value} {assessment.target.source_kind}"


def reason(assessment: Assessment, rule: str) -> Reason:
    return next(reason for reason in assessment.reasons if reason.rule == rule)


def host(
    gpus: tuple[str, ...] = ("10de:2330",),
    running: str = KERNEL,
    kernels: tuple[Kernel, ...] | None = None,
    os: OsFacts | Unknown | None = None,
    **changes: object,
) -> Facts:
    facts = Facts(
        os=OsFacts("debian", "13", "Debian GNU/Linux 13 (trixie)") if os is None else os,
        platform=PlatformFacts(),
        kernels=KernelFacts(
            running, (Kernel(running, running=True),) if kernels is None else kernels
        ),
        pci=PciFacts(tuple(PciDevice(f"0000:0{i}:00.0", pci) for i, pci in enumerate(gpus)), ()),
        secure_boot=SecureBootFacts(SecureBoot.DISABLED),
        packages=PackageFacts(),
        modules=ModuleFacts(),
        devices=DeviceFacts(),
        libraries=LibraryFacts(),
        nvml=None,
        cuda=None,
        services=ServiceFacts(),
        containers=ContainerFacts(),
        storage=StorageFacts(),
        toolkit=ToolkitFacts(),
        log=LogFacts(),
    )
    return replace(facts, **changes)


def test_the_supported_branch_comes_from_nvidias_repository() -> None:
    result = ask(H100)
    best = chosen(result)
    assert short(best) == "580.178.04 open nvidia-repository"
    assert best.target.keep_kernel
    assert best.target.kernels == (KERNEL,)
    assert best.target.cuda == "13.0"
    assert best.target.fabric == "none"
    assert reason(best, "fabric").verdict is Verdict.UNKNOWN
    assert best.target.hold
    assert not best.blocked_by
    assert "580.126.09" in reason(best, "stable-break").detail
    assert reason(best, "gpu-branch").detail == (
        "NVIDIA H100 SXM5 80GB needs R525 or newer; 580.178.04 is R580."
    )
    assert all(r.sources for r in best.reasons if r.rule.startswith("gpu-"))
    assert "enrolled" in reason(best, "secure-boot-route").detail


def test_every_alternative_says_why_it_is_not_first() -> None:
    why = {short(item): text for item, text in ask(H100).alternatives}
    assert "open modules" in why["580.178.04 proprietary nvidia-repository"]
    assert "March 2027" in why["595.91.07 open nvidia-repository"]
    assert "kind of branch R620 is was not confirmed" in why["620.70.06 open nvidia-repository"]
    assert "pci_resize_resource" in why["550.163.01 open distribution"]
    assert "no security fixes since April 2025" in why["550.163.01 open distribution"]
    assert "pci_resize_resource" not in why["550.163.01 proprietary distribution"]
    assert all(why.values())


def test_an_ended_branch_is_taken_when_the_distribution_was_asked_for() -> None:
    result = ask(BY_DISTRIBUTION)
    assert short(chosen(result)) == "550.163.01 proprietary distribution"
    assert reason(chosen(result), "measured-build").verdict is Verdict.OK
    assert any("R550 has had no security fixes since April 2025" in note for note in result.notes)
    assert any("580.178.04" in note and "June 2028" in note for note in result.notes)
    [(other, why)] = result.alternatives
    assert short(other) == "550.163.01 open distribution"
    assert "too few arguments to function 'pci_resize_resource'" in why


def test_trial_builds_start_with_the_preferred_candidate_whatever_is_foretold() -> None:
    order = [short(item) for item in proving_order(None, BY_DISTRIBUTION, CATALOGUE)]
    assert order == ["550.163.01 open distribution", "550.163.01 proprietary distribution"]
    ranked = [short(item) for item in rank(None, BY_DISTRIBUTION, CATALOGUE)]
    assert ranked == order[::-1]


def trial(passed: bool) -> BuildEvidence:
    return BuildEvidence(
        "nvidia-open-kernel-dkms", "550.163.01-2", "550.163.01", OPEN, KERNEL, "gcc-14", passed,
        "" if passed else "too few arguments", "2026-11-22T10:00:00Z",
    )  # fmt: skip


def test_a_trial_that_passed_overrules_the_prediction() -> None:
    result = recommend(None, BY_DISTRIBUTION, CATALOGUE, [trial(True)])
    assert short(chosen(result)) == "550.163.01 open distribution"


def test_a_trial_that_failed_is_tried_last() -> None:
    order = proving_order(None, BY_DISTRIBUTION, CATALOGUE, [trial(False)])
    assert [short(item) for item in order] == [
        "550.163.01 proprietary distribution",
        "550.163.01 open distribution",
    ]
    assert "trial build" in order[1].why_not


def test_what_can_never_work_is_not_tried() -> None:
    answers = replace(H100, gpus=("b200",))
    tried = proving_order(None, answers, CATALOGUE)
    assert tried
    assert {item.target.driver.flavour for item in tried} == {OPEN}
    assert len(rank(None, answers, CATALOGUE)) > len(tried)


@pytest.mark.parametrize(
    ("gpus", "expected", "cuda", "fabric"),
    [
        (("b200",), "580.178.04 open", "13.0", "fabricmanager+nvlsm"),
        (("B300 SXM6",), "580.178.04 open", "13.0", "fabricmanager+nvlsm"),
        (("GB200",), "580.178.04 open", "13.0", "imex"),
        (("V100",), "580.178.04 proprietary", "12.9", "none"),
        (("v100", "h100"), "580.178.04 proprietary", "12.9", "none"),
        (("h100",) * 8, "580.178.04 open", "13.0", "fabricmanager"),
        (("10de:2335",), "580.178.04 open", "13.0", "none"),
        (("10de:ffff",), "580.178.04 open", "13.0", "none"),
        (("10de:3001",), "620.70.06 open", "13.5", "none"),
    ],
)
def test_boards(gpus: tuple[str, ...], expected: str, cuda: str, fabric: str) -> None:
    target = chosen(ask(replace(H100, gpus=gpus))).target
    assert f"{target.driver.version} {target.driver.flavour.value}" == expected
    assert (target.cuda, target.fabric) == (cuda, fabric)


def test_an_unlisted_board_is_placed_by_its_id() -> None:
    best = chosen(ask(replace(H100, gpus=("10de:2335",))))
    assert best.target.gpus == ("NVIDIA Hopper GPU 10de:2335",)
    assert "placed as Hopper" in reason(best, "gpu-branch").detail


def test_a_wholly_unknown_board_is_unknown_and_not_blocked() -> None:
    best = chosen(result := ask(replace(H100, gpus=("10de:ffff",))))
    assert reason(best, "gpu-branch").verdict is Verdict.UNKNOWN
    assert reason(best, "gpu-flavour").verdict is Verdict.UNKNOWN
    assert any("10de:ffff" in note for note in result.notes)


def test_boards_that_cannot_share_a_system_are_refused() -> None:
    result = ask(replace(H100, gpus=("v100", "b200")))
    assert result.status == "refused"
    assert [r.rule for r in result.refusal] == ["mixed-gpus"]
    assert "two machines" in result.refusal[0].detail
    assert result.alternatives


def test_a_point_release_before_the_boards_first_is_refused() -> None:
    result = ask(replace(H100, gpus=("b300",), driver="580.65.06"))
    assert result.status == "refused"
    assert any(r.rule == "gpu-release" and "580.82.07 or newer" in r.detail for r in result.refusal)


def test_a_pinned_driver_names_everything_that_it_breaks() -> None:
    result = ask(replace(H100, driver="535.129.03"))
    assert result.status == "refused"
    broken = {r.rule for r in result.refusal if r.verdict is Verdict.VIOLATED}
    assert {
        "driver-kernel",
        "stable-break",
        "lifecycle",
        "security-floor",
        "source-reachable",
    } <= broken
    assert any("no security fixes since June 2026" in r.detail for r in result.refusal)
    why = {short(item): text for item, text in result.alternatives}
    assert why["580.178.04 open nvidia-repository"] == (
        "You asked for driver 535.129.03; this is 580.178.04."
    )


def test_a_pinned_older_release_is_taken_with_a_warning() -> None:
    result = ask(replace(H100, driver="580.126.09"))
    target = chosen(result).target
    assert target.driver.version == "580.126.09"
    assert target.package.pin == ("nvidia-driver-pinning-580.126.09",)
    assert "nvidia-driver-pinning-580.126.09" in target.package.packages
    assert any("lacks known security fixes" in note for note in result.notes)


def test_a_distribution_keeps_no_older_releases() -> None:
    ubuntu = Answers(
        os="ubuntu:24.04", gpus=("h100",), kernel="6.8.0-87-generic", driver="580.126.09"
    )
    tried = rank(None, replace(ubuntu, source=SourceKind.DISTRIBUTION), CATALOGUE)
    pinned = [item for item in tried if item.target.driver.version == "580.126.09"]
    assert pinned
    assert all("No package source" in item.why_not for item in pinned)
    assert short(chosen(ask(ubuntu))) == "580.126.09 open nvidia-repository"


@pytest.mark.parametrize("name", ["595", "R595"])
def test_a_pinned_branch_is_taken(name: str) -> None:
    result = ask(replace(H100, driver=name))
    assert short(chosen(result)) == "595.91.07 open nvidia-repository"
    assert any("March 2027" in note for note in result.notes)


def test_a_wanted_flavour_is_kept() -> None:
    result = ask(replace(H100, flavour="proprietary"))
    assert short(chosen(result)) == "580.178.04 proprietary nvidia-repository"
    gone = ask(replace(H100, flavour="proprietary", driver="620"))
    assert gone.status == "refused"
    assert any(
        r.rule in ("flavour-available", "operator-choice") and "open" in r.detail
        for r in gone.refusal
    )


def test_the_local_source_has_the_repositorys_shape() -> None:
    result = ask(replace(H100, source=SourceKind.LOCAL, local_packages="/srv/nvidia"))
    target = chosen(result).target
    assert (target.source_kind, target.local_packages) == ("local", "/srv/nvidia")
    assert target.driver.version == "580.178.04"
    without = ask(replace(H100, source=SourceKind.LOCAL))
    assert without.status == "refused"
    assert any("folder" in r.detail for r in without.refusal)


def test_secure_boot_prefers_modules_that_come_signed() -> None:
    answers = Answers(
        gpus=("h100",), os="ubuntu:24.04", kernel="6.8.0-87-generic", secure_boot=True
    )
    best = chosen(ask(answers))
    assert best.target.package.route == "prebuilt"
    assert short(best) == "580.173.02 open distribution"
    assert "no key to enrol" in reason(best, "secure-boot-route").detail
    assert "6.8.0-87-generic" in reason(best, "driver-kernel").detail


def test_a_kernel_from_elsewhere_has_no_prebuilt_modules() -> None:
    answers = Answers(gpus=("h100",), os="ubuntu:24.04", kernel="6.18.44-cloud", secure_boot=True)
    result = ask(answers)
    assert chosen(result).target.package.route == "dkms"
    told = [why for item, why in result.alternatives if item.target.package.route == "prebuilt"]
    assert all("no kernel of Ubuntu 24.04's own" in why for why in told)
    assert told


def test_a_vendor_kernel_is_unknown_and_recommended() -> None:
    answers = Answers(
        gpus=("h100",), os="rocky:9.8", kernel="5.14.0-687.12.1.el9_8.x86_64", scenario="compliance"
    )
    result = ask(answers)
    assert chosen(result).target.driver.branch == "580"
    assert reason(chosen(result), "driver-kernel").verdict is Verdict.UNKNOWN
    assert any("vendor kernel" in note for note in result.notes)


def test_a_kernel_newer_than_all_records_warns_and_blocks_nothing() -> None:
    result = ask(replace(H100, kernel="7.3.4+deb13-amd64"))
    assert chosen(result).target.driver.version == "580.178.04"
    assert reason(chosen(result), "driver-kernel").verdict is Verdict.UNKNOWN
    assert any("trial build" in note for note in result.notes)


def test_a_realtime_kernel_is_refused() -> None:
    result = ask(replace(H100, kernel="6.12.107+deb13-rt-amd64"))
    assert result.status == "refused"
    assert any(r.rule == "realtime-kernel" for r in result.refusal)


def test_another_scenario_prefers_another_branch() -> None:
    assert chosen(ask(replace(H100, scenario="new-hardware"))).target.driver.branch == "595"
    eight = replace(H100, gpus=("h100",) * 8, scenario="kubernetes")
    target = chosen(ask(eight)).target
    assert "fabricmanager" in target.extras
    assert target.containers
    assert "container-toolkit" in target.extras


def test_a_scenario_for_other_systems_is_said_and_stops_nobody() -> None:
    result = ask(replace(H100, scenario="compliance"))
    assert result.status == "recommended"
    assert any("meant for rhel:9" in note for note in result.notes)


def test_frameworks() -> None:
    best = chosen(ask(replace(H100, framework="vllm")))
    assert "vLLM 0.33.0" in reason(best, "framework-driver").detail
    old = ask(replace(BY_DISTRIBUTION, framework="vllm"))
    assert old.status == "refused"
    assert any(r.rule == "framework-driver" and "580.65.06" in r.detail for r in old.refusal)
    assert ask(replace(BY_DISTRIBUTION, framework="vllm:0.10.0")).status == "recommended"
    never_seen = chosen(ask(replace(H100, framework="vllm:9.9")))
    assert reason(never_seen, "framework-driver").verdict is Verdict.UNKNOWN
    volta = ask(replace(H100, gpus=("v100",), framework="vllm"))
    assert any("no longer compiles for NVIDIA V100" in note for note in volta.notes)


def test_time_is_what_the_operator_says() -> None:
    later = ask(replace(H100, today=date(2028, 7, 1)))
    why = {short(item): text for item, text in later.alternatives}
    assert "no security fixes since June 2028" in why["580.178.04 open nvidia-repository"]


def test_an_old_system_is_said() -> None:
    result = ask(Answers(gpus=("h100",), os="debian:12", kernel="6.1.0-56-amd64"))
    assert short(chosen(result)) == "580.178.04 open nvidia-repository"
    assert any(
        "Debian 12 has been out of regular support since July 2026" in n for n in result.notes
    )


def test_without_a_kernel_the_standard_one_is_judged_and_none_is_prepared() -> None:
    best = chosen(ask(replace(H100, kernel="")))
    assert best.target.kernels == ()
    assert "Linux 6.12" in reason(best, "driver-kernel").detail


# Hosts that were looked at.


def test_a_host_is_served_on_every_kernel_that_it_can_boot() -> None:
    newer, old = "6.12.117+deb13-amd64", "6.12.30+deb13-amd64"
    facts = host(
        kernels=(Kernel(newer), Kernel(KERNEL, running=True), Kernel(old, bootable=False)),
    )
    best = chosen(ask(Answers(), facts))
    assert best.target.kernels == (KERNEL, newer)
    assert not best.target.prepare_only
    assert best.target.fabric == "none"  # no NVSwitch was seen
    old_open = ask(Answers(driver="580.119.02", flavour="open"), facts)
    assert any(newer in r.detail for r in old_open.refusal if r.rule == "stable-break")


def test_a_realtime_kernel_that_nobody_boots_is_left_out() -> None:
    spare = "6.12.107+deb13-rt-amd64"
    facts = host(kernels=(Kernel(KERNEL, running=True), Kernel(spare)))
    result = ask(Answers(), facts)
    assert chosen(result).target.kernels == (KERNEL,)
    assert any(spare in note for note in result.notes)


def test_nvswitches_that_were_seen_need_fabric_manager() -> None:
    facts = host(("10de:2330",) * 8)
    switch = PciDevice("0000:10:00.0", "10de:22a3")
    facts = replace(facts, pci=replace(facts.pci, nvswitches=(switch,) * 4))
    best = chosen(ask(Answers(), facts))
    assert best.target.fabric == "fabricmanager"
    assert best.target.gpus == ("NVIDIA H100 SXM5 80GB",)


def test_an_image_is_prepared_for_a_kernel_that_does_not_run() -> None:
    facts = host(running="5.15.0-1-cloud", kernels=(Kernel(KERNEL),))
    chroot = replace(facts, platform=PlatformFacts(chroot=True))
    target = chosen(ask(Answers(), chroot)).target
    assert target.prepare_only
    assert target.kernels == (KERNEL,)
    assert chosen(ask(replace(Answers(), kernel="6.12.1-x"), host())).target.prepare_only
    assert not chosen(ask(replace(Answers(), kernel=KERNEL), host())).target.prepare_only


def test_a_driver_from_outside_is_said() -> None:
    facts = host(packages=PackageFacts(method=InstallMethod.OUTSIDE))
    assert any("provided from outside" in note for note in ask(Answers(), facts).notes)


@pytest.mark.parametrize(
    ("facts", "rule", "verdict"),
    [
        (host(()), "gpu-present", Verdict.VIOLATED),
        (host(pci=PciFacts(Unknown("/sys can't be read"), ())), "gpu-present", Verdict.UNKNOWN),
        (host(os=OsFacts("slackware", "15.0", "Slackware 15.0")), "os-known", Verdict.UNKNOWN),
        (host(os=Unknown("/etc/os-release is missing")), "os-known", Verdict.UNKNOWN),
    ],
)
def test_a_host_that_nothing_can_be_said_of_is_refused(
    facts: Facts, rule: str, verdict: Verdict
) -> None:
    result = ask(Answers(), facts)
    assert result.status == "refused"
    assert [(r.rule, r.verdict) for r in result.refusal[:1]] == [(rule, verdict)]
    # What the board alone decides is told where only the system isn't known.
    assert [r.rule for r in result.refusal[1:]] == ["gpu-branch"] * (rule == "os-known")
    assert "--" in result.refusal[0].detail
    assert result.to_json()["target"] is None
    assert rank(facts, Answers(), CATALOGUE) == proving_order(facts, Answers(), CATALOGUE) == ()


def test_a_system_by_flag_that_is_not_known_is_explained() -> None:
    result = ask(replace(H100, os="slackware:15.0"))
    assert (result.status, result.refusal[0].rule) == ("refused", "os-known")
    assert "Debian 13" in result.refusal[0].detail


@pytest.mark.parametrize(
    ("answers", "place", "hint"),
    [
        (Answers(scenario="long-term"), "--scenario", "long-term-stable"),
        (Answers(gpus=("h10",)), "--gpu", "h100"),
        (Answers(gpus=("8086:1234",)), "--gpu", "10de:XXXX"),
        (Answers(os="debain:13"), "--os", "debian:13"),
        (Answers(os="debian"), "--os", "debian:13"),
        (Answers(flavour="closed"), "--flavour", "proprietary"),
        (Answers(driver="newest"), "--driver", "580"),
        (Answers(driver="585"), "--driver", "580"),
    ],
)
def test_answers_that_name_nothing(answers: Answers, place: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        validate_answers(answers, CATALOGUE)
    assert error.value.place == place
    assert hint in error.value.hint.lower() or hint in error.value.hint


def test_good_answers_pass() -> None:
    validate_answers(
        replace(H100, framework="vllm:0.33.0", driver="R580", flavour="open"), CATALOGUE
    )
