"""The table scenario x GPU x distribution is as it was; a difference is shown row by row."""

from __future__ import annotations

import difflib

import pytest

from golden.recommendation_table import GOLDEN, GPUS, SCENARIOS, table
from gpu_bringup.catalogue.loader import load
from gpu_bringup.model.catalogue import Catalogue

SHOWN = 60


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load(None)


@pytest.fixture(scope="module")
def rows(catalogue: Catalogue) -> list[str]:
    return table(catalogue)


def golden() -> list[str]:
    return [line for line in GOLDEN.read_text().splitlines() if not line.startswith("#")]


def test_the_table_is_as_it_was(rows: list[str]) -> None:
    changed = [
        line
        for line in difflib.unified_diff(golden(), rows, "golden", "now", n=0, lineterm="")
        if not line.startswith(("---", "+++", "@@"))
    ]
    more = f"\n… and {len(changed) - SHOWN} more lines" if len(changed) > SHOWN else ""
    assert not changed, (
        "\n".join(["", *changed[:SHOWN]])
        + more
        + "\nIf that is meant: PYTHONPATH=tui python tests/golden/recommendation_table.py"
    )


def test_the_table_is_whole(catalogue: Catalogue) -> None:
    assert set(SCENARIOS) <= set(catalogue.scenarios)
    assert len(golden()) == len(SCENARIOS) * len(GPUS) * len(catalogue.distributions)


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.split("|")]


def test_no_board_gets_what_cannot_drive_it(rows: list[str]) -> None:
    """What is true of the hardware, whatever the data says: open only, proprietary only, R580 last."""
    open_only = {"B200", "B300", "GB200", "GH200", "RTX-PRO-6000", "Rubin"}
    closed_only = {"M60", "P100", "V100", "V100+H100"}
    for row in rows:
        _, gpu, _, verdict, *_ = cells(row)
        words = verdict.split()
        if gpu == "V100+B200":
            assert words[0] == "refused", row
        if words[0] == "refused":
            continue
        assert gpu not in open_only or words[1] == "open", row
        assert gpu not in closed_only or words[1] == "proprietary", row
        assert gpu not in closed_only or int(words[0].split(".")[0]) <= 580, row
