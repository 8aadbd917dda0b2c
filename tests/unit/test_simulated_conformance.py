"""The same commands on a real Debian 13 and on its simulated twin: same exit statuses, same facts.

The real answers are those that ``tests/rig/conformance.sh`` captured.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import conformance
import simulated_tools
from gpu_bringup.hosts.simulated import builders

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine

CAPTURED = Path(__file__).parent.parent / "cases" / "conformance" / "debian13.json"
NAMES = {
    "new": "6.12.117+deb13-amd64",
    "old": "6.12.107+deb13-amd64",
    "driver": "580.178.04",
    "before": "580.159.03",
    "running": "6.12.107+deb13-amd64",
}
HELD = ("linux-image-amd64", "linux-headers-amd64")


@lru_cache(maxsize=1)
def _made() -> Machine:
    machine = builders.build("debian13", driver=NAMES["driver"])
    builders.do(
        machine, f"apt-get install -y --allow-change-held-packages {' '.join(HELD)} mokutil"
    )
    builders.do(machine, f"apt-mark hold {' '.join(HELD)}")
    # A root file system that is entered has no EFI variables.
    machine.firmware.efi = False
    machine.changed()
    return machine


def twin() -> Machine:
    """A server in the state that the rig's base is in: two kernels, the module built for both."""
    return _made().copy()


@lru_cache(maxsize=1)
def captured() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(CAPTURED.read_text())
    return found


def test_every_group_was_captured_as_it_is_now() -> None:
    told = {group: [row["line"] for row in rows] for group, rows in captured().items()}
    assert told == {group: [row.line for row in rows] for group, rows in conformance.GROUPS.items()}


@pytest.mark.parametrize("group", conformance.GROUPS)
def test_real_and_simulated_answers_agree(group: str) -> None:
    machine = twin()
    table, wrong = [], []
    for row, real in zip(conformance.GROUPS[group], captured()[group], strict=True):
        status, output = simulated_tools.run(machine, *row.argv(NAMES))
        output = conformance.common(output, NAMES)
        same = status == real["status"]
        compared = "exit status"
        if row.reader:
            compared += f", {row.reader}"
            read = conformance.READERS[row.reader]
            expected, found = read(real["status"], real["output"]), read(status, output)
            same = same and expected == found
        table.append(
            f"{'same  ' if same else 'DIFFER'}  {real['status']:>3}  {compared:<24} {row.line}"
        )
        if not same:
            wrong.append(
                f"{row.line}\n  real {real['status']}: {real['output']!r}\n  simulated {status}: {output!r}"
            )
    print("\n".join(table))
    assert not wrong, "\n".join(wrong)
