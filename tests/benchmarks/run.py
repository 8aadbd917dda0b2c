"""Speed and memory, as medians and ratios of one run: ``python tests/benchmarks/run.py``.

Prints figures, asserts nothing: a shared machine's times are no test. ``--fast`` leaves out what
takes more than a few seconds. Uses the interpreter that it is started with.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP / "tui"), "TERM": "xterm-256color"}
WISH = [
    "--gpu",
    "10de:2330",
    "--os",
    "debian:13",
    "--kernel",
    "6.12.107+deb13-amd64",
    "--secure-boot",
    "on",
    "--scenario",
    "long-term-stable",
    "--json",
]


def once(argv: list[str]) -> float:
    """Seconds that one process takes."""
    begin = time.perf_counter()
    subprocess.run(
        argv, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    )
    return time.perf_counter() - begin


def median(argv: list[str], repeat: int) -> float:
    """Median seconds of ``repeat`` runs, after one that warms the file cache."""
    once(argv)
    return statistics.median(once(argv) for _ in range(repeat))


def line(name: str, value: str, wanted: str = "") -> None:
    print(f"{name:<58} {value:>18}   {wanted}")


def starts(repeat: int) -> None:
    python = [sys.executable, "-c", "pass"]
    program = [sys.executable, "-m", "gpu_bringup"]
    bare = median(python, repeat)
    shown = median([*program, "--help"], repeat)
    line("python3 -c pass", f"{bare * 1000:.0f} ms")
    line("gpu-bringup --help", f"{shown * 1000:.0f} ms", f"{shown / bare:.1f}x bare (wanted: < 3x)")
    recommended = median([*program, "recommend", *WISH], repeat)
    line("recommend --json, described host", f"{recommended * 1000:.0f} ms", "wanted: < 200 ms")
    checked = median([*program, "check", "--json"], repeat)
    line("check --json, this machine", f"{checked * 1000:.0f} ms", "wanted: < 400 ms")
    record = TOP / "tests/hosts/h200-x2.json"
    recorded = median([*program, "check", "--host", str(record), "--json"], repeat)
    line("check --json, recorded H200 x2", f"{recorded * 1000:.0f} ms", "wanted: < 400 ms")


def processes() -> None:
    code = (
        "from gpu_bringup import engine\n"
        "host = engine.open_host()\n"
        "engine.observe(host)\n"
        "print(host.processes_started)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    line("processes started by a check, this machine", done.stdout.strip(), "wanted: <= 6")


def first_paint(repeat: int) -> None:
    """Process start to the first painted rung, on a real terminal."""
    record = TOP / "tests/hosts/h200-x2.json"
    times = []
    for _ in range(repeat):
        begin = time.perf_counter()
        child, master = pty.fork()
        if child == 0:
            os.execve(
                sys.executable,
                [sys.executable, "-m", "gpu_bringup", "--host", str(record)],
                {**ENVIRONMENT, "COLUMNS": "120", "LINES": "36"},
            )
        seen = b""
        while time.perf_counter() - begin < 20:
            ready, _, _ = select.select([master], [], [], 0.05)
            if ready:
                try:
                    seen += os.read(master, 65536)
                except OSError:
                    break
            if b"RECORDED" in seen or b"Look" in seen:
                times.append(time.perf_counter() - begin)
                break
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(master)
    value = f"{statistics.median(times) * 1000:.0f} ms" if times else "not seen"
    line("first painted screen of the wizard", value, "wanted: < 500 ms")


def output_pane(lines: int) -> None:
    """Coloured lines through the wizard's output pane: worst stall and growth of memory."""
    script = TOP / "tests/benchmarks/output_pane.py"
    done = subprocess.run(
        [sys.executable, str(script), str(lines)], env=ENVIRONMENT, capture_output=True, text=True
    )
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        line(f"{lines} coloured lines", "failed", done.stderr.strip()[-80:])
        return
    line(f"{lines} coloured lines shown in", f"{result['seconds']:.2f} s")
    line("  worst stall of the screen", f"{result['stall'] * 1000:.0f} ms", "wanted: < 100 ms")
    line("  growth of memory", f"{result['growth'] / 1e6:.1f} MB", "wanted: < 20 MB")


def overhead(repeat: int) -> None:
    """The same work alone and as a step of a run: what journal, terminal and log cost."""
    work = [sys.executable, "-c", "s=0\nfor i in range(30_000_000): s+=i\nprint(s)"]
    code = f"""
import sys, time
from gpu_bringup import engine
from gpu_bringup.model.plan import Command, Plan, Step
argv = {work!r}
step = Step(id="work", rung="module", title="work", why="", commands=(Command(tuple(argv), root=False),))
follower = engine.apply(Plan({{}}, (step,)), label="benchmark")
seconds = None
for event in follower.events():
    if event["event"] == "command-ended":
        print(event["seconds"])
"""
    alone, inside = [], []
    with tempfile.TemporaryDirectory() as state:
        environment = {**ENVIRONMENT, "GPU_BRINGUP_STATE": state}
        for _ in range(repeat):
            alone.append(once(work))
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True
            )
            inside.append(float(done.stdout.strip().splitlines()[-1]))
    ratio = statistics.median(inside) / statistics.median(alone) - 1
    line(
        "a command as a step of a run, against alone",
        f"{ratio * 100:+.1f} %",
        f"{statistics.median(inside):.2f} s / {statistics.median(alone):.2f} s (wanted: < 2 %)",
    )


def fleet(count: int) -> None:
    """A fleet of records, one after another in one process."""
    script = TOP / "tests/benchmarks/fleet.py"
    done = subprocess.run(
        [sys.executable, str(script), str(count)], env=ENVIRONMENT, capture_output=True, text=True
    )
    try:
        result = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        line(f"recommend for {count} records", "failed", done.stderr.strip()[-80:])
        return
    told = f"{result['different']} different answers (wanted: < 10 s)"
    line(f"recommend for {count} records, read to answer (CPU)", f"{result['whole']:.1f} s", told)
    for part in ("reading", "looking", "choosing"):
        line(f"  of it {part}", f"{result[part]:.1f} s")


def package_sets() -> None:
    """The headless set against the distribution's desktop driver, in download and disk."""
    from package_sets import compare

    for name, download, disk in compare():
        line(name, f"{download / 1e6:.0f} / {disk / 1e6:.0f} MB", "download / disk")


def logs() -> None:
    """``explain`` on small and large logs."""
    from explain import measure

    os.environ.update(ENVIRONMENT)
    for size, wanted in ((1, "wanted: < 1 s"), (200, "wanted: < 10 s, < 200 MiB")):
        for kind, seconds, peak in measure(size):
            line(f"explain {size} MiB, {kind}", f"{seconds:.1f} s", f"{peak:.0f} MiB ({wanted})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true", help="only what takes a few seconds")
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    sys.path[:0] = [str(Path(__file__).parent), str(TOP / "tui")]
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, Python {sys.version.split()[0]}")
    tasks: list[Callable[[], None]] = [lambda: starts(arguments.repeat), processes]
    if not arguments.fast:
        tasks += [
            lambda: first_paint(5),
            lambda: output_pane(100_000),
            lambda: overhead(5),
            lambda: fleet(10_000),
            package_sets,
            logs,
        ]
    for task in tasks:
        task()
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    line("largest process of all these", f"{peak / 1000:.0f} MB")


if __name__ == "__main__":
    main()
