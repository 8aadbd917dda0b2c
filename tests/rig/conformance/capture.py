"""Runs the conformance commands in layers over a real root file system and keeps what they answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import conformance

HERE = Path(__file__).resolve().parent.parent
TARGET = HERE.parent / "cases" / "conformance" / "debian13.json"
DRIVER, BEFORE = "580.178.04", "580.159.03"
"""The releases of the stand-in driver, as in ``faults/packages.sh``."""
_CALL = '. "$1/lib.sh"; . "$1/faults/enter.sh"; shift; "$@"'


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    """Call a function of the rig; both streams in the order in which they were written."""
    return subprocess.run(
        ("bash", "-c", _CALL, "_", str(HERE), *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def capture(base: Path, names: dict[str, str], group: str) -> list[dict[str, Any]]:
    """Exit status and output of each command of a group."""
    with tempfile.TemporaryDirectory(prefix="gpu-bringup-conformance-", dir="/var/tmp") as name:
        layer = Path(name) / "layer"
        opened = shell("layer_open", str(base), str(layer))
        if opened.returncode:
            raise SystemExit(f"the layer could not be made: {opened.stdout}")
        try:
            rows = []
            for row in conformance.GROUPS[group]:
                done = shell("in_layer", str(layer), *row.argv(names))
                # Of a row that only its exit status is compared of, the words would only take room.
                output = conformance.common(done.stdout, names) if row.reader else ""
                rows.append({"line": row.line, "status": done.returncode, "output": output})
                print(f"  {done.returncode:>3}  {row.line}", flush=True)
            return rows
        finally:
            shell("layer_close", str(layer))


def main() -> None:
    """Capture the groups that are named, or all."""
    base = Path(sys.argv[1]) / "base"
    names = {
        "new": (base / "srv/newest").read_text().strip(),
        "old": (base / "srv/older").read_text().strip(),
        "driver": DRIVER,
        "before": BEFORE,
        "running": os.uname().release,
    }
    kept = json.loads(TARGET.read_text()) if TARGET.exists() else {}
    for group in sys.argv[2:] or conformance.GROUPS:
        print(f"=== {group}", flush=True)
        kept[group] = capture(base, names, group)
        TARGET.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
