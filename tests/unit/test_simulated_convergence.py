"""Random broken servers: check, plan, apply ends with a healthy ladder, and a second plan is empty.

A seeded sample; ``tests/benchmarks/recoveries.py`` does a thousand and more, with figures.
"""

from __future__ import annotations

import pytest

from simulated_tools import SAFETY, Recovery, needless, random_broken, recover

GROUPS = 15
EACH = 10


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_servers_are_mended_by_one_plan(group: int) -> None:
    found = [recover(*random_broken(seed)) for seed in range(group * EACH, group * EACH + EACH)]
    wrong = [f"{item.made}: {item.steps}: {item.wrong}" for item in found if item.wrong]
    assert not wrong
    assert sum(_mended(item) for item in found) > EACH // 2


def _mended(item: Recovery) -> bool:
    return bool(item.steps) and not item.left


@pytest.mark.parametrize("seed", range(2000, 2012))
def test_no_step_is_needless(seed: int) -> None:
    made, machine = random_broken(seed)
    spare = [name for name in needless(machine) if not name.startswith(tuple(SAFETY))]
    assert not spare, f"{made}: left out, and it is healthy all the same: {spare}"


def test_a_seed_always_makes_the_same_server() -> None:
    first, second = random_broken(42), random_broken(42)
    assert first[0] == second[0] and first[1].loaded == second[1].loaded
