"""Golden cases on the real catalogue: one JSON file a case in tests/cases/recommend.

``expect`` names only what matters of a case; a triple in ``reasons`` and ``refusal`` is
(rule, verdict, words in its detail), an entry of ``alternatives`` (version, flavour, source, words).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.target import Assessment, Reason, Recommendation
from gpu_bringup.recommend import proving_order, recommend

CASES = sorted((Path(__file__).parents[1] / "cases" / "recommend").glob("*.json"))


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def answers_of(data: dict[str, Any]) -> Answers:
    values = {**data, "gpus": tuple(data.get("gpus", ()))}
    if "source" in values:
        values["source"] = SourceKind(values["source"])
    return Answers(**values)


def shape(assessment: Assessment) -> list[str]:
    target = assessment.target
    return [target.driver.version, target.driver.flavour.value, target.source_kind]


def has(reasons: tuple[Reason, ...], rule: str, verdict: str, words: str) -> bool:
    return any(r.rule == rule and r.verdict.value == verdict and words in r.detail for r in reasons)


def check_target(chosen: Assessment, expect: dict[str, Any]) -> None:
    target = chosen.target
    driver = target.driver
    found = {
        "driver": [driver.branch, driver.version, driver.flavour.value],
        "branch": driver.branch,
        "flavour": driver.flavour.value,
        "source": target.source_kind,
        "kernel": target.kernels[0] if target.kernels else None,
        "cuda": target.cuda,
        "fabric": target.fabric,
        "route": target.package.route,
    }
    for key, value in found.items():
        if key in expect:
            assert value == expect[key], key
    assert target.keep_kernel
    assert target.package.packages
    for words in expect.get("packages", ()):
        assert any(words in name for name in target.package_names), target.package_names
    assert set(expect.get("extras", ())) <= set(target.extras)


def check(result: Recommendation, expect: dict[str, Any]) -> None:
    assert result.status == expect["status"], result.to_json()
    reasons = result.chosen.reasons if result.chosen else result.refusal
    for triple in [*expect.get("reasons", ()), *expect.get("refusal", ())]:
        assert has(reasons, *triple), (
            triple,
            [(r.rule, r.verdict.value, r.detail) for r in reasons],
        )
    for *which, words in expect.get("alternatives", ()):
        told = [why for item, why in result.alternatives if shape(item) == which]
        assert any(words in why for why in told), (which, words, told)
    for words in expect.get("notes", ()):
        assert any(words in note for note in result.notes), result.notes


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path, catalogue: Catalogue) -> None:
    case = json.loads(path.read_text("utf-8"))
    answers, expect = answers_of(case["answers"]), case["expect"]
    result = recommend(None, answers, catalogue)
    check(result, expect)
    if result.chosen is not None:
        check_target(result.chosen, expect)
        known = [
            r for r in result.chosen.reasons if r.rule == "gpu-flavour" and r.verdict.value == "ok"
        ]
        assert all(reason.sources for reason in known)
        assert all(url.startswith("https://") for reason in known for url in reason.sources)
    assert all(why for _, why in result.alternatives)
    if "proving_first" in expect:
        assert shape(proving_order(None, answers, catalogue)[0]) == expect["proving_first"]


def test_there_are_cases() -> None:
    assert len(CASES) >= 15
