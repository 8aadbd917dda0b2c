"""``explain`` on logs of any size: seconds and peak memory, in processes of their own."""

from __future__ import annotations

import gzip
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ORDINARY = (
    'audit: type=1400 apparmor="ALLOWED" operation="open" profile="sssd" name="/proc/{n}" pid={n}',
    "pcieport 0000:{b}:1c.0: PME: Signaling with IRQ {n}",
    "nvidia 0000:{b}:00.0: enabling device (0140 -> 0142) {n}",
    "EXT4-fs (sda{b}): mounted filesystem with ordered data mode. Quota mode: {n}",
)
ANCHORED = ("NVRM: Xid is in this line, and no sign fits: module nvidia failed {n}",)
HITS = ("NVRM: Xid (PCI:0000:{b}:00): 31, pid={n}, name=python3, Ch 00000008 MMU Fault",)


TUI = Path(__file__).parents[2] / "tui"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TUI)}


def _write(path: Path, mebibytes: int, lines: tuple[str, ...]) -> None:
    chance = random.Random(1)
    part = "".join(
        f"Nov 22 06:{i % 60:02}:{i % 59:02} host kernel: [{i}.{chance.randrange(10**6):06}] "
        + chance.choice(lines).format(n=chance.randrange(10**5), b=chance.randrange(10, 90))
        + "\n"
        for i in range(50_000)
    ).encode()
    with path.open("wb") as stream:
        for _ in range((mebibytes << 20) // len(part) + 1):
            stream.write(part)


def _pack(path: Path) -> Path:
    packed = path.with_suffix(".gz")
    with path.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return packed


def _run(path: Path) -> tuple[float, float]:
    """(seconds, peak memory in MiB so far) of one run in a process of its own."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "gpu_bringup", "explain", str(path), "--json"],
        stdout=subprocess.DEVNULL,
        env=ENVIRONMENT,
        check=False,
    )
    seconds = time.perf_counter() - begin
    if done.returncode not in (0, 1):
        raise SystemExit(f"explain ended with {done.returncode}")
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def measure(mebibytes: int) -> Iterator[tuple[str, float, float]]:
    """(kind of log, seconds, peak memory in MiB) of one run each, the start of Python included."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        for name, lines in (
            ("ordinary lines", ORDINARY),
            ("an anchor in every line", ANCHORED),
            ("a hit in every line", HITS),
        ):
            _write(path, mebibytes, lines)
            yield name, *_run(path)
            yield f"{name}, gzip", *_run(_pack(path))


if __name__ == "__main__":
    for size in (1, 200):
        for kind, took, memory in measure(size):
            print(f"explain, {size} MiB, {kind}: {took:.2f} s, peak {memory:.0f} MiB")
