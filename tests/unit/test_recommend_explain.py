"""``recommend --explain``: the table, what would change its mind, and how both are printed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from gpu_bringup.catalogue.loader import load
from gpu_bringup.cli import main
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.recommend import recommend
from gpu_bringup.recommend.change import Change, changes
from gpu_bringup.recommend.table import table_of
from gpu_bringup.rules.registry import BY_ID, REGISTRY

H100 = Answers(gpus=("10de:2330",), os="debian:13", kernel="6.12.107+deb13-amd64")
FLAGS = ("--gpu", "10de:2330", "--os", "debian:13", "--kernel", "6.12.107+deb13-amd64")
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


def test_the_table_holds_every_candidate_and_says_what_the_reasons_say(
    catalogue: Catalogue,
) -> None:
    result = recommend(None, H100, catalogue)
    table = table_of(result)
    assert len(table.rows) == 1 + len(result.alternatives)
    assert [row.chosen for row in table.rows] == [True] + [False] * len(result.alternatives)
    for row in table.rows:
        verdicts = dict(zip(table.rules, row.verdicts, strict=True))
        blocking = {reason.rule for reason in row.assessment.blocked_by}
        assert {rule for rule, verdict in verdicts.items() if verdict == "blocks"} == blocking
        silent = {rule for rule, verdict in verdicts.items() if verdict == "silent"}
        assert silent == set(table.rules) - {reason.rule for reason in row.assessment.reasons}
    assert "blocks" not in table.rows[0].verdicts


def test_a_refusal_has_a_table_too(catalogue: Catalogue) -> None:
    table = table_of(recommend(None, replace(H100, gpus=("10de:1db4", "10de:2901")), catalogue))
    assert table.rows
    assert not any(row.chosen for row in table.rows)
    assert all(row.verdicts[table.rules.index("mixed-gpus")] == "blocks" for row in table.rows)


def found(catalogue: Catalogue, answers: Answers) -> dict[str, list[Change]]:
    by_kind: dict[str, list[Change]] = {}
    for change in changes(None, answers, catalogue):
        by_kind.setdefault(change.kind, []).append(change)
    return by_kind


def test_each_change_is_true(catalogue: Catalogue) -> None:
    """Asking with that one answer changed gives the choice that was told."""
    now = recommend(None, H100, catalogue).chosen
    assert now is not None
    by_kind = found(catalogue, H100)
    asked = {
        "scenario": lambda value: replace(H100, scenario=value),
        "framework": lambda value: replace(H100, framework=value),
        "date": lambda value: replace(H100, today=date.fromisoformat(value)),
        "kernel": lambda value: replace(H100, kernel=value),
    }
    told = 0
    for kind, ask in asked.items():
        for change in by_kind.get(kind, []):
            for value in change.values:
                then = recommend(None, ask(value), catalogue).chosen
                told += 1
                if change.choice is None:
                    assert then is None, (kind, value)
                    continue
                assert then is not None, (kind, value)
                driver = then.target.driver
                assert change.choice == (
                    driver.version,
                    driver.flavour.value,
                    then.target.source_kind,
                )
    assert told


def test_what_must_change_the_mind_does(catalogue: Catalogue) -> None:
    by_kind = found(catalogue, H100)
    boards = {name: change for change in by_kind["gpu"] for name in change.values}
    volta = next(change for name, change in boards.items() if "V100" in name)
    assert volta.choice is not None
    assert volta.choice[1] == "proprietary"
    assert not any("A100" in name for name in boards)
    assert by_kind["date"][0].values[0] > "2026-11-22"
    trial = by_kind["trial-build"][0]
    assert trial.values == ("fails for 6.12.107+deb13-amd64",)
    now = recommend(None, H100, catalogue).chosen
    assert now is not None
    assert trial.choice != (
        now.target.driver.version,
        now.target.driver.flavour.value,
        now.target.source_kind,
    )


def test_secure_boot_changes_the_choice_where_modules_come_signed(catalogue: Catalogue) -> None:
    """Asking the other way round must agree with what is told."""
    answers = Answers(gpus=("10de:2330",), os="ubuntu:24.04", kernel="6.8.0-87-generic")
    told = {
        value
        for change in found(catalogue, answers).get("secure-boot", ())
        for value in change.values
    }
    now = recommend(None, answers, catalogue).chosen
    for state, word in ((True, "on"), (False, "off")):
        then = recommend(None, replace(answers, secure_boot=state), catalogue).chosen
        assert now is not None
        assert then is not None
        same = (now.target.driver, now.target.package) == (then.target.driver, then.target.package)
        assert (word in told) is not same


def test_nothing_can_change_where_nothing_is_recommended(catalogue: Catalogue) -> None:
    assert changes(None, replace(H100, gpus=("10de:1db4", "10de:2901")), catalogue) == ()
    assert changes(None, replace(H100, os="slackware:15.0"), catalogue) == ()


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_bringup.commands.recommend_text.columns", lambda: width)
    assert main(["recommend", "--explain", *FLAGS]) == 0
    text = capsys.readouterr().out
    start, end = text.index("Candidates and rules"), text.index("What would change its mind")
    lines = text[start:end].splitlines()
    assert all(len(line) <= width for line in lines)
    assert any(re.match(r"  lifecycle +[.!?X]", line) for line in lines)
    assert any("kept" in line and "rules it out" in line for line in lines)
    assert bool(re.search(r"\n +580\.178\.04 .*\n +o/n ", text)) == (width == 200)


def test_the_table_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--explain", "--json", *FLAGS]) == 0
    document = json.loads(capsys.readouterr().out)
    table = document["explain"]["table"]
    assert document["status"] == "recommended"
    assert table["candidates"][0]["chosen"] is True
    assert set(table["candidates"][0]["verdicts"]) == {rule["id"] for rule in table["rules"]}
    assert all(rule["about"] for rule in table["rules"])
    assert {"kind", "values", "driver", "why"} == set(document["explain"]["changes"][0])


def test_pins_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    pins = ("--pin", "driver=535.129.03", "--pin", "cuda=12.2")
    assert main(["recommend", *FLAGS, *pins]) == 1
    text = capsys.readouterr().out
    assert "What it breaks" in text
    assert "The nearest good choice" in text
    assert main(["recommend", *FLAGS, *pins, "--json", "--explain"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["pinned"]["pins"]["driver"] == "535.129.03"
    assert document["explain"]["table"]["candidates"]
    assert main(["recommend", *FLAGS, "--pin", "driver=580", "--pin", "driver=595"]) == 2
    assert "--pin" in capsys.readouterr().err


def test_what_is_not_known_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "--gpu", "H100", "--os", "slackware:15.0"]) == 1
    text = capsys.readouterr().out
    assert "slackware:15.0" in text
    assert "What holds on any system" in text
    assert main(["recommend", *FLAGS, "--framework", "tgi:3.0"]) == 0
    assert "tgi 3.0 isn't in this catalogue" in " ".join(capsys.readouterr().out.split())


def test_every_rule_is_registered_with_what_it_asks(catalogue: Catalogue) -> None:
    seen = set()
    for gpus in (("10de:2330",), ("10de:2941",), ("10de:ffff",), ("10de:1db4", "10de:2330")):
        for system in catalogue.distributions:
            answers = Answers(
                gpus=gpus,
                os=f"{system.os_id}:{system.version}",
                cuda="12.4",
                framework="vllm",
                driver="535.129.03",
                scenario="compliance",
            )
            result = recommend(None, answers, catalogue)
            items = [item for item, _ in result.alternatives]
            items += [result.chosen] if result.chosen is not None else []
            seen |= {reason.rule for item in items for reason in item.reasons}
            seen |= {reason.rule for reason in result.refusal}
    assert seen <= set(BY_ID), seen - set(BY_ID)


def test_the_registry_is_whole(catalogue: Catalogue) -> None:
    assert len(BY_ID) == len(REGISTRY)
    texts = "\n".join(
        path.read_text()
        for path in [*TESTS.rglob("test_*.py"), *TESTS.rglob("cases/recommend/*.json")]
    )
    for entry in REGISTRY:
        assert entry.about, entry.id
        assert set(entry.sources) <= set(catalogue.sources), entry.id
        assert f'"{entry.id}"' in texts, f"no test speaks of the rule {entry.id}"
