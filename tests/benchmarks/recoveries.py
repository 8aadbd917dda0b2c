"""Recoveries of random broken servers, on every core that is here: how many, how fast, what stays broken.

    PYTHONPATH=tui:tests python tests/benchmarks/recoveries.py [COUNT] [FIRST_SEED]

Exit status 1 where one isn't mended by its first plan, or a thousand would take 60 s and more.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

from simulated_tools import random_broken, recover

LIMIT = 60.0
"""Seconds for a thousand on two cores."""


def one(seed: int) -> tuple[int, str, tuple[str, ...], str, bool, float]:
    """(seed, server, steps, what is wrong, left to the operator, seconds of processor time)."""
    started = time.process_time()
    made, machine = random_broken(seed)
    found = recover(made, machine)
    spent = time.process_time() - started
    return seed, str(made), found.steps, found.wrong, found.left, spent


def main() -> int:
    """Run them and print the figures; returns the exit status."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    started = time.monotonic()
    with Pool(min(2, os.cpu_count() or 1)) as pool:
        found = pool.map(one, range(first, first + count), chunksize=10)
    seconds = time.monotonic() - started
    processor = sum(item[5] for item in found)
    wrong = [item for item in found if item[3]]
    steps = Counter(step.split("-6.")[0] for item in found for step in item[2])
    for seed, made, taken, what, _, _ in wrong[:20]:
        print(f"seed {seed}: {made}\n  steps: {' '.join(taken)}\n  {what}")
    print(f"{count} servers, {len({item[1] for item in found})} of them different")
    print(f"mended by the first plan: {count - len(wrong) - sum(item[4] for item in found)}")
    print(
        f"left to the operator (every kernel on a full /boot is needed): {sum(i[4] for i in found)}"
    )
    print(f"still broken: {len(wrong)}")
    each = processor / count
    print(f"{seconds:.1f} s in all, {processor:.1f} s of processor time, {each * 1000:.0f} ms each")
    print(f"a thousand on two cores of one's own: {each * 500:.1f} s")
    print("steps: " + ", ".join(f"{name} {number}" for name, number in steps.most_common()))
    return int(bool(wrong) or each * 500 >= LIMIT)


if __name__ == "__main__":
    sys.exit(main())
