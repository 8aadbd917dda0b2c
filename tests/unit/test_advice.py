"""Tuning advice: who gets which, and that every entry can be followed and taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.advice import advise, applies, capabilities, without_effect
from gpu_bringup.catalogue.loader import load
from gpu_bringup.cli import main
from gpu_bringup.model.advice import Advice, Setting
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.target import Target
from gpu_bringup.rules.describe import named_board
from gpu_bringup.rules.subject import Board

ROOT = Path(__file__).resolve().parents[2]
BOARDS = ("t4", "v100", "a100", "l4", "l40s", "h100", "h200", "b200", "b300", "p100")
FRAMEWORKS: tuple[tuple[str, ...], ...] = ((), ("vllm",), ("sglang",), ("transformers",))
SCENARIOS = ("long-term-stable", "new-hardware", "kubernetes", "compliance")


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    return load()


@lru_cache(maxsize=1)
def target() -> Target:
    """A real target, to be changed in single fields."""
    answers = Answers(gpus=("h200",), os="ubuntu:24.04", kernel="6.8.0-87-generic")
    chosen = engine.recommend(None, answers, catalogue()).chosen
    assert chosen is not None
    return chosen.target


def board(name: str, count: int = 1) -> Board:
    return replace(named_board(name, catalogue()), count=count)


def given(
    *boards: Board,
    frameworks: tuple[str, ...] = (),
    scenario: str = "long-term-stable",
    what: Target | None = None,
) -> dict[str, Advice]:
    found = advise(what or target(), boards, frameworks, scenario, entries=catalogue().advice)
    return {item.id: item for item in found}


@pytest.mark.parametrize(
    ("name", "native", "weights"),
    [
        ("v100", False, False),
        ("t4", False, True),
        ("a100", False, True),
        ("l4", True, False),
        ("h200", True, False),
        ("b200", True, False),
    ],
)
def test_fp8_by_compute_capability(name: str, native: bool, weights: bool) -> None:
    """vLLM: FP8 arithmetic from 8.9, FP8 weights in 16-bit arithmetic from 7.5."""
    found = given(board(name), frameworks=("vllm",))
    assert ("vllm-fp8" in found) == native
    assert ("vllm-kv-cache-fp8" in found) == native
    assert ("vllm-fp8-weights" in found) == weights


def test_one_gpu_without_fp8_takes_it_from_all() -> None:
    found = given(board("h100"), board("a100"), frameworks=("vllm",))
    assert "vllm-fp8" not in found
    assert "vllm-fp8-weights" in found


def test_a_gpu_that_nothing_is_known_of_gets_only_what_asks_for_nothing() -> None:
    found = given(Board("NVIDIA GPU 10de:ffff", "10de:ffff"), frameworks=("vllm",))
    assert "persistence-daemon" in found
    assert "vllm-memory" in found
    assert not {"vllm-fp8", "vllm-fp8-weights", "mig", "row-remapping", "mps"} & set(found)
    assert "vllm-fp8" not in given(frameworks=("vllm",)), "no GPU at all"


def test_frameworks_get_their_own_advice_only() -> None:
    assert not [item for item in given(board("h200")).values() if item.frameworks]
    for name in ("vllm", "sglang", "transformers"):
        own = [i for i in given(board("h200"), frameworks=(name,)).values() if i.frameworks]
        assert own
        assert all(name in item.frameworks for item in own)


def test_several_gpus_links_and_containers() -> None:
    single = given(board("h200"))
    assert not {"nccl-basics", "pcie-acs", "numa-binding"} & set(single)
    assert {"nccl-basics", "pcie-acs", "numa-binding"} <= set(given(board("h200", 8)))
    assert "container-shared-memory" not in given(board("h200"))
    boxed = replace(target(), containers=True)
    assert "container-shared-memory" in given(board("h200"), what=boxed)
    assert "nvlink-fabric" not in given(board("h200"))
    fabric = replace(target(), fabric="fabricmanager")
    assert next(iter(given(board("h200"), what=fabric))) == "nvlink-fabric"


def test_flavour_and_health_by_generation() -> None:
    assert "gsp-open" in given(board("h200"))
    closed = replace(target(), driver=replace(target().driver, flavour=Flavour.PROPRIETARY))
    assert "gsp-open" not in given(board("v100"), what=closed)
    assert "page-retirement" in given(board("v100"))
    assert "row-remapping" in given(board("a100"))
    assert "mig" in given(board("a100")) and "mig" not in given(board("l4"))
    assert "mig-operator" in given(board("h100"), scenario="kubernetes")
    assert "mig-operator" not in given(board("h100"))


def test_the_most_useful_comes_first_and_always_the_same() -> None:
    found = list(given(board("h200", 8), frameworks=("vllm",)).values())
    assert [item.priority for item in found] == sorted(item.priority for item in found)
    assert found[0].priority == 1
    again = advise(
        target(), (board("h200", 8),), ("vllm",), "long-term-stable",
        entries=tuple(reversed(catalogue().advice)),
    )  # fmt: skip
    assert list(again) == found


def test_more_knowledge_never_takes_advice_for_everybody_away() -> None:
    anybody = {item.id for item in catalogue().advice if item == replace(
        item, architectures=(), compute_capabilities=(), cc_min="", cc_below="", frameworks=(),
        scenarios=(), fabrics=(), min_gpus=0, containers=False, data_centre=False, flavour="",
    )}  # fmt: skip
    assert anybody
    for name, frameworks, scenario in product(BOARDS, FRAMEWORKS, SCENARIOS):
        assert anybody <= set(given(board(name), frameworks=frameworks, scenario=scenario))


def test_every_entry_applies_to_somebody_and_says_all_of_it() -> None:
    boxed = replace(target(), containers=True)
    targets = [boxed, replace(boxed, fabric="fabricmanager"), replace(boxed, fabric="imex")]
    boards = [(board(name, 8),) for name in BOARDS]
    for entry in catalogue().advice:
        assert any(
            applies(entry, what, own, (framework,), scenario)
            for what in targets
            for own in boards
            for framework in ("vllm", "sglang", "transformers", "llama.cpp")
            for scenario in SCENARIOS
        ), entry.id
        assert entry.apply and entry.risk.endswith(".") and entry.why.endswith("."), entry.id
        assert entry.undo or "None" in entry.risk or entry.topic == "health", entry.id
        assert 1 <= entry.priority <= 3


def test_scenarios_and_architectures_that_entries_name_exist() -> None:
    data = catalogue()
    for entry in data.advice:
        assert set(entry.architectures) <= set(data.architectures), entry.id
        assert set(entry.scenarios) <= set(data.scenarios), entry.id
    known = {cc for item in data.architectures.values() for cc in item.compute_capabilities}
    for entry in data.advice:
        assert set(entry.compute_capabilities) <= known, entry.id


def test_capabilities_of_a_placed_board_are_its_architectures() -> None:
    hopper = catalogue().architectures["hopper"]
    assert capabilities(Board("x", "10de:23ff", None, hopper)) == ("9.0",)
    assert capabilities(Board("x")) == ()


# --- settings that do nothing -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["NV_GPU_MAX_HEAP_SIZE", "NV_GPU_MAX_RANGES", "CUDA_MEMORY_POOL_SUPPORTED"]
)
def test_the_guides_variables_are_known_to_do_nothing(name: str) -> None:
    (found,) = without_effect([Setting(name, "1", "x")], catalogue().void_settings)
    document = found.to_json()
    assert document["name"] == name
    assert document["instead"]
    assert "value" not in document


def test_real_variables_are_not_reported() -> None:
    real = [Setting(name, "1", "x") for name in ("PYTORCH_ALLOC_CONF", "CUDA_VISIBLE_DEVICES")]
    assert without_effect(real, catalogue().void_settings) == ()


def test_recommend_tells_both(capsys: pytest.CaptureFixture[str]) -> None:
    described = ["--os", "ubuntu:24.04", "--kernel", "6.8.0-87-generic"]
    wish = ["recommend", "--gpu", "h200", "--framework", "vllm", *described]
    assert main(wish) == 0
    text = capsys.readouterr().out
    assert "Tuning (nothing of this is done for you)" in text
    assert "FP8 weights and activations" in text
    assert "Settings without effect" not in text
    assert main([*wish, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"id", "topic", "title", "why", "apply", "undo", "risk", "sources"} <= set(
        document["advice"][0]
    )
    assert document["no_effect"] == []


def test_recommend_on_a_host_reports_what_is_set_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    record = json.loads((ROOT / "tests/hosts/debian13-fresh.json").read_text())
    record["files"]["/etc/environment"] = "PATH=/bin\nNV_GPU_MAX_RANGES=1024\n"
    path = tmp_path / "host.json"
    path.write_text(json.dumps(record))
    main(["recommend", "--host", str(path), "--json"])
    (found,) = json.loads(capsys.readouterr().out)["no_effect"]
    assert (found["name"], found["place"]) == ("NV_GPU_MAX_RANGES", "/etc/environment:2")
    main(["recommend", "--host", str(path)])
    assert "NV_GPU_MAX_RANGES   /etc/environment:2" in capsys.readouterr().out
