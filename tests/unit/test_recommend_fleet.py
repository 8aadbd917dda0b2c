"""What makes a fleet of records fast changes no answer: fewer observers, parts that are kept."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu_bringup import engine
from gpu_bringup.facts.collect import observers
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.target import Reason
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.recommend import LOOKS_AT, recommend
from gpu_bringup.recommend.judging import judge, subject_of, target_of
from gpu_bringup.rules import RULES
from gpu_bringup.rules.kernel import failed_here
from gpu_bringup.rules.score import score
from gpu_bringup.settled import prefer_installed

TESTS = Path(__file__).parents[1]
RECORDS = sorted((TESTS / "hosts").glob("*.json"))
CHANGES = (
    ("0x2335", "0x1db4"),
    ("0x2335", "0x2901"),
    (r"VERSION_ID=\\\"13\\\"", r'VERSION_ID=\\"12\\"'),
    (r"\\nID=debian", r"\\nID=ubuntu"),
    (r"(6\.12\.\d+)\+deb13-amd64", r"\1-generic"),
    (r"6\.12\.(\d+)\+deb13-amd64", r"6.18.\1+deb14-rt-amd64"),
)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return engine.load_catalogue()


def _hosts(data: bytes, name: str) -> Iterator[RecordedHost]:
    """The host of a record, and hosts of which less is known or some words are others."""
    yield RecordedHost.from_bytes(data, name)
    text = data.decode()
    for pattern, other in CHANGES:
        yield RecordedHost.from_bytes(re.sub(pattern, other, text).encode(), name)
    record = json.loads(text)
    for part in ("files", "listings", "commands", "links"):
        for key in sorted(record.get(part, {})):
            rest = {name: value for name, value in record[part].items() if name != key}
            yield RecordedHost.from_bytes(json.dumps({**record, part: rest}).encode(), name)


def _answer(facts: Facts, scenario: str, catalogue: Catalogue) -> str:
    result = recommend(facts, Answers(scenario=scenario), catalogue)
    return json.dumps(prefer_installed(result, facts).to_json())


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_choice_rests_on_nothing_but_what_it_says_that_it_looks_at(
    path: Path, catalogue: Catalogue
) -> None:
    scenarios = tuple(catalogue.scenarios)
    for number, host in enumerate(_hosts(path.read_bytes(), path.name)):
        scenario = scenarios[number % len(scenarios)]
        lean = _answer(engine.observe(host, only=LOOKS_AT), scenario, catalogue)
        assert lean == _answer(engine.observe(host), scenario, catalogue)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_what_is_put_together_from_parts_is_what_the_rules_say(
    path: Path, catalogue: Catalogue
) -> None:
    facts = engine.observe(RecordedHost.from_file(path))
    for scenario in catalogue.scenarios:
        subject = subject_of(facts, Answers(scenario=scenario), catalogue, ())
        if isinstance(subject, Reason):
            continue
        for item in judge(subject, prepare_only=True):
            candidate = item.candidate
            whole = tuple(reason for rule in RULES for reason in rule(subject, candidate))
            assert item.assessment.reasons == whole
            assert item.assessment.score == score(subject, candidate)
            assert item.assessment.target == target_of(subject, candidate, prepare_only=True)
            assert item.failed_here == failed_here(subject, candidate)


def test_what_is_not_wanted_is_not_looked_at() -> None:
    host = RecordedHost.from_file(TESTS / "hosts/h200-x2.json")
    facts = engine.observe(host, only={"kernels"})
    assert facts.kernels == engine.observe(host).kernels
    assert facts.pci.gpus == Unknown("not looked at")
    assert facts.nvml == Unknown("not looked at")


def test_every_observer_stands_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for observer in observers(deep=False):
        assert seen.issuperset(observer.needs)
        seen.add(observer.name)
    assert seen >= LOOKS_AT
