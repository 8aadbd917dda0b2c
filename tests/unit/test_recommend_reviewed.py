"""What a reviewer asked ``recommend``: days, hardware by other names, frameworks, kernels, old releases."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.cli import main
from gpu_bringup.errors import InputError
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Recommendation, fill_kernels
from gpu_bringup.recommend import recommend
from gpu_bringup.recommend.pins import judge_pins, parse_pins
from gpu_bringup.rules.describe import named_board


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def ask(catalogue: Catalogue, gpu: str, os: str = "debian:13", **more: Any) -> Recommendation:
    return recommend(None, Answers(gpus=(gpu,), os=os, **more), catalogue)


def details(found: Recommendation, rule: str) -> list[str]:
    assert found.chosen is not None
    return [reason.detail for reason in found.chosen.reasons if reason.rule == rule]


def test_the_last_branch_of_a_board_that_has_ended_is_one_sentence(catalogue: Catalogue) -> None:
    found = ask(catalogue, "V100", today=date(2028, 7, 1))
    assert [reason.rule for reason in found.refusal] == ["gpu-branch"]
    assert "R580 is the last driver branch for it" in found.refusal[0].detail
    assert "ended in June 2028" in found.refusal[0].detail


def test_a_day_long_after_the_data_is_told(catalogue: Catalogue) -> None:
    late = ask(catalogue, "H100", today=date(2029, 1, 1))
    assert any(f"of {catalogue.as_of}, too old for 2029-01-01" in note for note in late.notes)
    assert not any("too old for" in note for note in ask(catalogue, "H100").notes)


def test_nothing_is_recommended_before_it_came_out(catalogue: Catalogue) -> None:
    day = date(2026, 3, 1)
    found = ask(catalogue, "H100", today=day)
    every = [found.chosen, *(item for item, _ in found.alternatives)]
    for item in every:
        assert item is not None
        release = catalogue.releases.get(item.target.driver.version)
        assert release is None or release.released is None or release.released <= day
    early = ask(catalogue, "H100", "ubuntu:24.04", today=date(2019, 1, 1))
    assert "was out on 2019-01-01" in early.refusal[0].detail


@pytest.mark.parametrize(
    ("name", "gpu", "count"),
    [
        ("DGX H100", "H100 SXM5 80GB", 8),
        ("HGX B300", "B300", 8),
        ("GB200 NVL72", "GB200", 4),
        ("DGX-2", "V100 SXM3", 16),
        ("HGX H100 4-GPU", "H100 SXM5", 4),
    ],
)
def test_a_machine_stands_for_its_gpus(
    catalogue: Catalogue, name: str, gpu: str, count: int
) -> None:
    board = named_board(name, catalogue)
    assert gpu in board.name
    assert board.count == count


def test_the_fabric_of_a_machine(catalogue: Catalogue) -> None:
    for name, fabric in (("DGX H100", "fabricmanager"), ("HGX B300", "fabricmanager+nvlsm")):
        chosen = ask(catalogue, name).chosen
        assert chosen is not None
        assert chosen.target.fabric == fabric


@pytest.mark.parametrize(
    ("name", "words"),
    [("10de:22a3", "is an NVSwitch, not a GPU"), ("10de:0000", "is the id of no GPU")],
)
def test_devices_that_are_no_gpu(catalogue: Catalogue, name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        ask(catalogue, name)


def test_a_jetson_is_no_server(catalogue: Catalogue) -> None:
    with pytest.raises(InputError) as caught:
        ask(catalogue, "Jetson Orin")
    assert "Thor" not in caught.value.hint


def test_a_framework_that_is_not_known_decides_nothing(catalogue: Catalogue) -> None:
    for name, near in (("vlm", "Did you mean vllm"), ("bogus", "decides nothing here.")):
        assert near in details(ask(catalogue, "H100", framework=name), "framework-driver")[0]


def test_the_newest_release_that_still_runs_is_named(catalogue: Catalogue) -> None:
    told = details(ask(catalogue, "V100", framework="vllm"), "framework-gpu")[0]
    older = [item for item in catalogue.frameworks if item.id == "vllm" and item.cuda < "13"]
    assert any(f"the newest on record is {item.version}" in told for item in older)


def test_a_minor_release_has_an_end_of_its_own(catalogue: Catalogue) -> None:
    told = details(ask(catalogue, "H100", "rhel:9.4"), "os-lifecycle")[0]
    assert "9.4 only until the next minor release" in told
    assert "supported until" in details(ask(catalogue, "H100", "rhel:9"), "os-lifecycle")[0]


def test_red_hats_kernel_on_another_system(catalogue: Catalogue) -> None:
    found = ask(catalogue, "H100", "ubuntu:22.04", kernel="5.14.0-427")
    assert any("numbered like a kernel of Red Hat" in note for note in found.notes)
    assert details(ask(catalogue, "H100", "rhel:9", kernel="5.14.0-427"), "kernel-wanted") == []


def test_a_series_names_no_package() -> None:
    assert fill_kernels(("modules-{kernel}",), ("5.15",)) == ("modules-KERNEL",)
    assert fill_kernels(("modules-{kernel}",), ("5.15.0-9-generic",)) == (
        "modules-5.15.0-9-generic",
    )


def test_an_old_release_can_be_taken_at_its_exact_version(catalogue: Catalogue) -> None:
    found = ask(catalogue, "H100", "ubuntu:22.04", driver="535.129.03")
    assert found.chosen is not None
    package = found.chosen.target.package
    assert package.package_version == "535.129.03-*"
    assert "nvidia-utils-535=535.129.03-*" in package.packages
    assert any("no security fixes since June 2026" in note for note in found.notes)


def test_modules_that_a_branch_does_not_have(catalogue: Catalogue) -> None:
    wish = Answers(gpus=("H100",), os="ubuntu:22.04")
    pins = parse_pins(("driver=620.70.06", "flavour=proprietary"), wish, catalogue)
    told = [r.detail for r in judge_pins(None, wish, pins, catalogue).breaks]
    assert any("620.70.06 with proprietary modules (R620 has none)" in text for text in told)


def test_steps_need_a_release_not_a_series(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["plan", "--os", "ubuntu:22.04", "--gpu", "H100", "--kernel", "5.15"]
    assert main(plan) == 2
    assert "uname -r" in capsys.readouterr().err
