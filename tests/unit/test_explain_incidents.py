"""Real incidents: the evidence alone must name the confirmed cause."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpu_bringup.explain.context import Context, parse
from gpu_bringup.explain.explain import explain
from gpu_bringup.failures.loader import load

FOLDER = Path(__file__).parents[1] / "cases" / "incidents"
CASES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
FAILURES = load()
_KEYS = (("distro", "os"), ("kernel", "kernel"), ("driver", "driver"), ("gpu", "gpu"))


def context_of(case: dict[str, Any]) -> Context:
    """What a case tells of its host, as the flags of the command would."""
    words = [f"{key}={case[field]}" for field, key in _KEYS if case.get(field)]
    if case.get("secure_boot"):
        words.append(f"secure-boot={case['secure_boot']}")
    return parse(words)


def causes_of(case: dict[str, Any]) -> list[str]:
    text = "\n".join(str(value) for value in case["evidence"].values())
    found = explain(io.BytesIO(text.encode()), FAILURES, context_of(case))
    return [finding.cause for finding in found.findings]


@pytest.fixture(scope="module")
def answers() -> dict[str, list[str]]:
    return {name: causes_of(case) for name, case in CASES.items()}


def test_every_cause_is_known() -> None:
    assert {case["cause"] for case in CASES.values()} <= FAILURES.keys()


def test_the_first_answer_is_right_in_nine_of_ten(answers: dict[str, list[str]]) -> None:
    wrong = {
        n: (CASES[n]["cause"], a[:3]) for n, a in answers.items() if a[:1] != [CASES[n]["cause"]]
    }
    assert len(wrong) <= len(CASES) * 0.10, wrong


def test_the_right_one_is_among_the_first_three(answers: dict[str, list[str]]) -> None:
    missed = {
        n: (CASES[n]["cause"], a[:3]) for n, a in answers.items() if CASES[n]["cause"] not in a[:3]
    }
    assert len(missed) <= len(CASES) * 0.03, missed
