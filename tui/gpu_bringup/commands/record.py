"""``gpu-bringup record``: write this host down (redacted), to look at it elsewhere."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.commands.output import say, size, usable_output
from gpu_bringup.errors import ExitCode

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def run(arguments: argparse.Namespace) -> int:
    """Observe through a recording host and write the record."""
    from gpu_bringup.facts import thinning
    from gpu_bringup.hosts.recording import RecordingHost, write_record

    output: Path | None = getattr(arguments, "output", None)
    usable_output(output)
    host = RecordingHost(engine.open_host(getattr(arguments, "host", None)), thinning)
    facts = engine.observe(host)
    # What `check --next-boot` and `check --ledger` ask, so that the record can answer it as well.
    engine.look_deeper(host, facts)
    record = host.record()
    if output is None or str(output) == "-":
        json.dump(record, sys.stdout, indent=1, sort_keys=True)
        print()
        return ExitCode.OK
    write_record(output, record)
    say(
        f"{output}: {size(output.stat().st_size)}, redacted: passwords, keys, serial numbers, "
        "addresses and the names that were recognised."
    )
    say("No program knows every secret: look through it before you send it.")
    say(f"Look at it anywhere: gpu-bringup --host {output}")
    return ExitCode.OK
