"""Driver x CUDA in its kinds, frameworks, and the base image that goes with a target."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.catalogue.lookup import find_gpu
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import DriverChoice, Reason, Target, Verdict
from gpu_bringup.recommend import recommend
from gpu_bringup.rules.cuda import compatibility, newest_update, toolkit_of
from gpu_bringup.rules.frameworks import entry_for, framework_named
from gpu_bringup.rules.images import choose_image
from gpu_bringup.rules.subject import Board


@cache
def catalogue() -> Catalogue:
    return load()


def board(name: str) -> Board:
    gpu = find_gpu(catalogue(), name)
    assert gpu is not None, name
    return Board(gpu.name, gpu.pci_ids[0], gpu, catalogue().architectures[gpu.architecture])


@pytest.mark.parametrize(
    ("driver", "wanted", "gpu", "kind", "words"),
    [
        ("580.178.04", "13.0", "h100", "native", ""),
        ("580.178.04", "12.4", "h100", "native", ""),
        ("580.178.04", "13.5", "h100", "minor", "CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222"),
        ("580.65.06", "13.0", "h100", "native", ""),
        ("580.65.06", "13.0.2", "h100", "minor", "222"),
        ("535.309.01", "12.9", "h100", "minor", "222"),
        ("535.309.01", "13.0", "h100", "forward", "cudaErrorInsufficientDriver, 35"),
        ("535.309.01", "13.0", "rtx 5090", "none", "cudaErrorCompatNotSupportedOnDevice, 804"),
        ("550.163.01", "13.0", "h100", "forward", "without cuda-compat-13-0"),
        # R560 is in no list of cuda-compat-13-0, R530 in none at all.
        ("560.35.03", "13.0", "h100", "none", "not for R560"),
        ("530.41.03", "13.1", "h100", "none", "not for R530"),
        # The package exists, but nobody says on which branches.
        ("570.211.01", "13.3", "h100", "unknown", "35"),
        ("520.61.05", "12.4", "h100", "none", "35"),
        ("470.256.02", "12.4", "a100", "forward", "cuda-compat-12-4"),
        ("580.178.04", "14.0", "h100", "unknown", ""),
    ],
)
def test_each_kind_says_what_breaks(
    driver: str, wanted: str, gpu: str, kind: str, words: str
) -> None:
    found = compatibility(catalogue(), driver, wanted, (board(gpu),))
    assert found.kind == kind
    assert words in found.breaks
    assert bool(found.breaks) == (kind in ("minor", "forward", "none") or words != "")
    assert found.runs == (kind in ("native", "minor"))
    if kind not in ("native", "unknown"):
        assert found.remedy
        assert found.sources


def test_an_update_of_a_toolkit_needs_a_driver_of_its_own() -> None:
    toolkit = toolkit_of(catalogue(), "12.4.1")
    assert toolkit is not None and toolkit.version == "12.4"
    assert newest_update(toolkit, "550.54.14") == "12.4"
    assert newest_update(toolkit, "550.54.15") == "12.4.1"
    assert compatibility(catalogue(), "550.54.14", "12.4.1").kind == "minor"


def reasons(
    rule: str, gpus: tuple[str, ...], framework: str = "", driver: str = ""
) -> list[Reason]:
    wish = Answers(
        os="debian:13",
        kernel="6.12.107+deb13-amd64",
        gpus=gpus,
        framework=framework,
        driver=driver,
    )
    result = recommend(None, wish, catalogue())
    found = result.chosen.reasons if result.chosen is not None else result.refusal
    return [reason for reason in found if reason.rule == rule]


def test_a_framework_says_in_which_kind_its_cuda_is_served() -> None:
    (vllm,) = reasons("framework-driver", gpus=("h100",), framework="vllm")
    assert vllm.verdict is Verdict.OK and "serves CUDA 13.0 in full" in vllm.detail
    (torch,) = reasons("framework-driver", gpus=("h100",), framework="torch:2.15.0")
    assert torch.verdict is Verdict.OK and "minor-version compatibility only" in torch.detail
    old = reasons("framework-driver", gpus=("h100",), framework="vllm", driver="535.309.01")
    assert [reason.verdict for reason in old] == [Verdict.VIOLATED]
    assert "cuda-compat-13-0" in old[0].detail


def test_an_unlisted_release_is_judged_by_the_nearest_older_one_and_said_so() -> None:
    first, second = reasons("framework-driver", gpus=("h100",), framework="vllm:0.29.7")
    assert first.verdict is Verdict.UNKNOWN
    assert "of 0.28.0, the nearest older release" in first.detail
    assert second.verdict is Verdict.OK and "vLLM 0.28.0" in second.detail
    (older,) = reasons("framework-driver", gpus=("h100",), framework="vllm:0.1.0")
    assert older.verdict is Verdict.UNKNOWN and "what it needs isn't known" in older.detail


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("llama-cpp", "", "b11118"),
        ("llama-cpp", "b12000", "b11118"),
        ("llama-cpp", "b9000", "b8967"),
        ("llama-cpp", "b17", None),
        ("vllm", "v0.8.5.post1", "0.8.5.post1"),
        ("vllm", "0.9.0", "0.8.5.post1"),
        ("triton", "26.03", "26.02"),
    ],
)
def test_versions_of_frameworks_are_ordered_as_their_makers_count(
    name: str, version: str, expected: str | None
) -> None:
    found = entry_for((item for item in catalogue().frameworks if item.id == name), version)
    assert (found.version if found is not None else None) == expected


@pytest.mark.parametrize(
    ("gpu", "framework", "verdict", "words"),
    [
        ("v100", "vllm", "violated", "no longer compiles for"),
        ("v100", "vllm:0.15.1", None, ""),
        ("p100", "torch:2.9.1", "violated", "has code from compute capability 7.0 on"),
        ("p100", "torch:2.7.1", None, ""),
        ("b200", "vllm:0.8.5.post1", "violated", "needs a newer release"),
        ("gb10", "torch:2.9.1", "unknown", "of the same family"),
        ("b200", "vllm", None, ""),
    ],
)
def test_a_framework_must_have_code_for_the_boards(
    gpu: str, framework: str, verdict: str | None, words: str
) -> None:
    found = reasons("framework-gpu", gpus=(gpu,), framework=framework)
    assert [reason.verdict.value for reason in found] == ([verdict] if verdict else [])
    assert all(words in reason.detail for reason in found)
    assert not any(reason.blocking for reason in found)


def test_the_next_family_of_cuda_is_told_where_the_driver_lacks_it() -> None:
    old = reasons("driver-cuda", gpus=("h100",), driver="550.163.01")
    assert any("CUDA 13 doesn't run on 550.163.01" in reason.detail for reason in old)
    now = reasons("driver-cuda", gpus=("h100",))
    assert [reason.verdict for reason in now] == [Verdict.OK]
    assert "580.178.04 serves CUDA 13.0.2 natively (it needs 580.95.05)" in now[0].detail


def target(version: str, *gpus: str) -> Target:
    wish = Answers(os="ubuntu:24.04", gpus=gpus, driver=version.split(".")[0])
    result = recommend(None, wish, catalogue())
    assert result.chosen is not None
    made = result.chosen.target
    return replace(made, driver=DriverChoice(version.split(".")[0], version, Flavour.OPEN))


@pytest.mark.parametrize(
    ("version", "gpu", "kind", "system", "name"),
    [
        ("580.178.04", "h100", "runtime", "ubuntu:22.04", "13.0.1-runtime-ubuntu22.04"),
        ("580.178.04", "h100", "devel", "ubuntu:24.04", "13.0.2-devel-ubuntu24.04"),
        ("580.178.04", "h100", "runtime", "rhel", "12.9.1-devel-ubi9"),
        ("580.178.04", "h100", "runtime", "debian:13", ""),
    ],
)
def test_the_base_image_is_one_that_the_driver_serves_in_full(
    version: str, gpu: str, kind: str, system: str, name: str
) -> None:
    choice = choose_image(catalogue(), target(version, gpu), kind, system)
    assert choice.name == (f"nvidia/cuda:{name}" if name else "")
    assert "driver isn't in the image" in choice.why_no_driver
    assert "NVIDIA_REQUIRE_CUDA" in choice.require
    assert bool(choice.sources) == bool(name)
    if not name:
        assert "isn't known" in choice.reason


def test_boards_bound_the_base_image_too() -> None:
    volta = choose_image(catalogue(), target("580.178.04", "v100"))
    assert volta.image is not None and volta.image.cuda == "12.9"
    ultra = choose_image(catalogue(), target("580.178.04", "b300"), "runtime", "ubuntu")
    assert ultra.image is not None and ultra.image.cuda == "13.0"
    assert all(item.cuda in ("12.9", "13.0") for item in ultra.alternatives)
    assert "which fulfils it" in ultra.require


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("llama.cpp:b8967", ("llama-cpp", "b8967")),
        ("Transformers+Accelerate", ("transformers", "")),
        ("TRT-LLM", ("tensorrt-llm", "")),
        ("vLLM:0.33.0", ("vllm", "0.33.0")),
        ("something-else", ("something-else", "")),
    ],
)
def test_frameworks_go_by_the_names_that_people_use(said: str, meant: tuple[str, str]) -> None:
    assert framework_named(said) == meant
