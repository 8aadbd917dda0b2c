"""Runs scenarios on virtual machines and prints a row for each; see ../vm.sh."""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import pexpect
from console import Missed
from scenarios import SCENARIOS

from rig import Rig


def main() -> int:
    """0: every scenario ended as it must."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/gpu-bringup-vm"))
    parser.add_argument("--suites", default="bookworm trixie")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.list:
        for name, scenario in SCENARIOS.items():
            print(f"{name:<14} {(scenario.run.__doc__ or '').splitlines()[0]}")
        return 0
    unknown = set(arguments.names) - set(SCENARIOS)
    if unknown:
        print(f"no such scenario: {', '.join(sorted(unknown))}; --list names them", file=sys.stderr)
        return 2
    wanted = [name for name in SCENARIOS if not arguments.names or name in arguments.names]
    rows, begun = [], time.monotonic()
    for suite in arguments.suites.split():
        rig = Rig(arguments.cache, suite, os.environ["VM_PASSWORD"])
        for name in wanted:
            with turn():
                rows.append(row(rig, name))
            print("  ".join(rows[-1]), flush=True)
    print()
    table = [("DEBIAN", "SCENARIO", "SECONDS", "OUTCOME"), *rows]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    for line in table:
        print(
            "  ".join(
                [*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[3]]
            )
        )
    print(
        f"=== {time.monotonic() - begun:.0f} s; logs and pictures are in {arguments.cache / 'run'}"
    )
    return 0 if all(line[3].startswith("ok") for line in rows) else 1


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Have this host's cores alone for a scenario, where RIG_LOCK names the file that rigs lock.

    After RIG_LOCK_WAIT seconds (default: 600) it goes on beside the others.
    """
    path = os.environ.get("RIG_LOCK")
    if not path:
        yield
        return
    with Path(path).open("a") as file:
        number, patience = str(file.fileno()), os.environ.get("RIG_LOCK_WAIT", "600")
        # The lock belongs to the open file: flock(1) takes it for this process.
        subprocess.run(["flock", "-w", patience, number], pass_fds=[file.fileno()], check=False)
        yield
    # Whoever waits comes in between.
    time.sleep(1)


def row(rig: Rig, name: str) -> tuple[str, str, str, str]:
    """Run one scenario; (suite, name, seconds, outcome)."""
    begun = time.monotonic()
    folder = rig.run_folder(name)
    try:
        outcome = "ok: " + rig.perform(name, SCENARIOS[name])
    except (Missed, AssertionError, OSError, pexpect.ExceptionPexpect) as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "failure.txt").write_text(traceback.format_exc(), "utf-8")
        words = str(error).strip().splitlines() or [type(error).__name__]
        outcome = f"FAILED: {words[0]}"
    return rig.suite, name, f"{time.monotonic() - begun:.0f}", outcome


if __name__ == "__main__":
    sys.exit(main())
