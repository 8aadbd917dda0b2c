"""Runs the kill matrix; see kill-matrix.sh. Standard library only: it runs with the rig's own Python."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import faults
from machine import TOOL, Machine, run
from state import differences, state
from turn import Turns

FAULTS = ("ssh", "wizard", "executor", "power", "disk", "network", "lock")
MOMENTS = ("start", "middle", "end")
_PATIENCE = 150.0
BEGIN: dict[str, Any] = {"id": "begin", "rung": "", "commands": []}
"""The run itself, before its first step: its worker starts, makes its journal, writes its first event."""
_BEGINNINGS = (
    ("ssh", "start"), ("wizard", "start"), ("executor", "start"), ("executor", "middle"),
    ("executor", "end"), ("power", "start"), ("power", "middle"), ("power", "end"), ("disk", "start"),
    ("network", "start"), ("lock", "start"),
)  # fmt: skip
_LOCKING = ("apt-get", "apt-mark", "dpkg")


@dataclass
class Cell:
    """One step, one fault, one moment; and how it went."""

    number: int
    step: dict[str, Any]
    fault: str
    moment: str
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.number:02d}-{self.step['id']}-{self.fault}-{self.moment}"


class Rig:
    """Everything that the cells share: layers, the plan, the state that must be reached."""

    def __init__(self, cache: Path, code: Path, place: Path, keep: bool, turns: Turns) -> None:
        self.base, self.code, self.place, self.keep = cache / "base", code, place, keep
        self.turns = turns
        self.logs = cache / "logs"
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir()
        self.layers: list[list[Path]] = []
        """For each number of done steps: the layers of a server whose run got so far."""
        self.steps: list[dict[str, Any]] = []
        self.wanted: dict[str, str] = {}
        self.wish: list[str] = []

    def prepare(self) -> None:
        kernel = (self.base / "srv/kernel").read_text().strip()
        self.wish = ["--gpu", "H200", "--scenario", "long-term-stable", "--source",
                     "nvidia-repository", "--kernel", kernel, "--profiles", "/srv/profiles"]  # fmt: skip
        began = time.monotonic()
        machine = Machine(self.place / "undisturbed", [self.code, self.base])
        machine.boot()
        # Its exit status also tells of rungs that can't hold without a GPU: the journal decides.
        self._apply(machine, self.logs / "undisturbed.log")
        ended = machine.events()[-1:]
        if not ended or ended[0].get("state") != "done":
            raise SystemExit(f"the undisturbed run is not done: {self.logs}/undisturbed.log")
        self.wanted = state(machine)
        if self.wanted.get("audit"):
            raise SystemExit(f"dpkg --audit after the undisturbed run: {self.wanted['audit']}")
        plan = json.loads((machine.run_folder / "plan.json").read_text())
        self.steps = plan["steps"]
        machine.scrap()
        print(f"=== an undisturbed run: {len(self.steps)} steps, {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        self._begin()
        for done in range(1, len(self.steps) + 1):
            self._advance(done)
        print(f"=== a server before each step: {time.monotonic() - began:.0f} s", flush=True)

    def _apply(self, machine: Machine, log: Path) -> int:
        process = machine.start(TOOL, "apply", *self.wish, "--yes", "--no-color", log=log)
        return process.wait(_PATIENCE)

    def _begin(self) -> None:
        """A run that was cut off before its first step did anything."""
        disk = self.place / "layers/0"
        machine = Machine(self.place / "begin", [self.code, self.base], disk)
        machine.boot()
        log = self.logs / "begin.log"
        process = machine.start(TOOL, "apply", *self.wish, "--yes", "--no-color", log=log)
        until = time.monotonic() + _PATIENCE
        while not any(event["event"] == "step-started" for event in machine.events()):
            if time.monotonic() > until:
                raise SystemExit(f"the run does not begin: {log}")
            time.sleep(0.005)
        machine.power_off()
        process.wait()
        keep_events(machine.run_folder, lambda events: events[: first(events, "step-started")])
        shutil.rmtree(machine.run_folder / "logs", ignore_errors=True)
        machine.scrap()
        self.layers.append([disk / "upper", self.code, self.base])

    def _advance(self, done: int) -> None:
        """The server before plus one step, with the journal as if it were cut off after it."""
        disk = self.place / f"layers/{done}"
        machine = Machine(self.place / f"advance{done}", self.layers[-1], disk)
        machine.boot()
        file = machine.run_folder / "plan.json"
        whole = file.read_text()
        plan = json.loads(whole)
        file.write_text(json.dumps({**plan, "steps": plan["steps"][:done]}))
        log = self.logs / f"advance{done}.log"
        status = faults.plain(machine, log).wait(_PATIENCE)
        if status not in (0, 3):
            raise SystemExit(f"step {done} fails undisturbed ({status}): {log}")
        file.write_text(whole)
        if done == len(plan["steps"]):
            rest = differences(self.wanted, state(machine))
            if rest:
                raise SystemExit("step by step the run ends elsewhere:\n" + "\n".join(rest[:20]))
        machine.power_off()
        keep_events(
            machine.run_folder, lambda events: [e for e in events if e["event"] != "run-ended"]
        )
        machine.scrap()
        self.layers.append([disk / "upper", *self.layers[-1]])

    # --- a cell

    def take(self, cell: Cell) -> None:
        with self.turns.turn():
            self._take(cell)

    def _take(self, cell: Cell) -> None:
        began = time.monotonic()
        layers = self.layers[cell.number - 1] if cell.number else [self.code, self.base]
        machine = Machine(self.place / cell.name, layers)
        log = self.logs / f"{cell.name}.log"
        try:
            machine.boot()
            if cell.number:
                self._disturb(machine, cell, log)
            else:
                self._disturb_beginning(machine, cell, log)
            self._judge(machine, cell)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            cell.problems.append(f"{type(error).__name__}: {error}")
        cell.seconds = time.monotonic() - began
        if cell.problems:
            with log.open("a") as file:
                file.write("\n".join(["", "=== problems", *cell.problems, ""]))
            if self.keep:
                target = self.logs / f"{cell.name}.run"
                shutil.copytree(machine.run_folder, target, ignore=shutil.ignore_patterns("socket"))
        machine.scrap()
        shutil.rmtree(machine.folder, ignore_errors=True)

    def _disturb(self, machine: Machine, cell: Cell, log: Path) -> None:
        before = len(machine.events())
        if cell.fault == "lock":
            faults.hold_lock(machine, log)
        start = {"ssh": faults.over_ssh, "wizard": faults.wizard}.get(cell.fault, faults.plain)
        front_end = start(machine, log)
        wait_until(machine, cell, before)
        join = None
        if cell.fault == "ssh":
            faults.cut_ssh(machine)
        elif cell.fault == "wizard":
            faults.kill_front_end(machine)
        elif cell.fault == "executor":
            faults.kill_worker(machine)
        elif cell.fault == "power":
            machine.power_off()
            machine.boot()
        elif cell.fault == "disk":
            faults.fill_disk(machine)
            front_end.wait(_PATIENCE)
            ended = machine.events()[-1]
            cell.notes.append(
                f"{ended['event']} {ended.get('state')}: {ended.get('message', '')[:300]}"
            )
            faults.make_room(machine)
        elif cell.fault == "lock":
            faults.release_lock(machine)
        elif cell.fault == "network":
            join = faults.network_away(machine)
        elif cell.fault == "no-network":
            machine.network(up=False)
            front_end.wait(_PATIENCE)
            machine.network(up=True)
        status = front_end.wait(_PATIENCE)
        if join is not None:
            join()
        for _ in range(3):
            if cell.fault in ("network", "lock") and status == 0:
                break
            status = faults.plain(machine, log).wait(_PATIENCE)
            if status != 3:
                break
            machine.power_off()
            machine.boot()
        if status != 0:
            cell.problems.append(f"the restart ends with {status}")

    def _disturb_beginning(self, machine: Machine, cell: Cell, log: Path) -> None:
        """A new run is disturbed as it begins; then it is gone on with, or begun again if it never was."""
        wish = ("apply", *self.wish, "--yes", "--no-color")
        if cell.fault == "lock":
            faults.hold_lock(machine, log)
        if cell.fault == "network":
            machine.network(up=False)
        if cell.fault == "disk":
            faults.fill_disk(machine)
        start = faults.over_ssh if cell.fault == "ssh" else faults.plain
        front_end = start(machine, log, *wish)
        if cell.fault in ("disk", "network"):
            # Without these it is refused before there is any run.
            front_end.wait(_PATIENCE)
            faults.make_room(machine)
            machine.network(up=True)
        else:
            wait_for_worker(machine, cell)
        if cell.fault == "ssh":
            faults.cut_ssh(machine)
        elif cell.fault == "wizard":
            faults.kill_front_end(machine)
        elif cell.fault == "executor":
            faults.kill_worker(machine)
        elif cell.fault == "power":
            machine.power_off()
            machine.boot()
        elif cell.fault == "lock":
            faults.release_lock(machine)
        front_end.wait(_PATIENCE)
        status = faults.plain(machine, log).wait(_PATIENCE)
        if not machine.events():
            # It never began, and said that nothing was changed.
            status = faults.plain(machine, log, *wish).wait(_PATIENCE)
        if status != 0:
            cell.problems.append(f"the restart ends with {status}")

    def _judge(self, machine: Machine, cell: Cell) -> None:
        cell.problems += differences(self.wanted, state(machine))[:20]
        events = machine.events()
        ended = events[-1] if events else {}
        if (ended.get("event"), ended.get("state")) != ("run-ended", "done"):
            cell.problems.append(f"the journal ends with {ended}")
        for step in self.steps:
            times = sum(
                event["event"] == "step-ended" and event["state"] == "done"
                and event["step"] == step["id"] for event in events
            )  # fmt: skip
            if times != 1:
                cell.problems.append(f"the step {step['id']} ended {times} times")
            for index, command in enumerate(step["commands"]):
                times = sum(
                    event["event"] == "command-ended" and event["step"] == step["id"]
                    and event["command"] == index
                    and event["status"] in command.get("ok_statuses", [0])
                    for event in events
                )  # fmt: skip
                if times < 1 or (times > 1 and not command.get("network")):
                    words = " ".join(command["argv"][:1])
                    cell.problems.append(f"{words} of {step['id']} was finished {times} times")
        locking = any(command["argv"][0] in _LOCKING for command in cell.step["commands"])
        if cell.fault == "lock" and locking and not any(
            "unattended-upgr" in str(event.get("reason")) for event in events
        ):  # fmt: skip
            cell.problems.append("nobody was told who holds the lock")


def first(events: list[dict[str, Any]], name: str) -> int:
    return next(number for number, event in enumerate(events) if event["event"] == name)


def keep_events(folder: Path, chosen: Any) -> None:
    """Write the journal anew with these of its events."""
    file = folder / "journal.jsonl"
    events = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(event) + "\n" for event in chosen(events)))


def wait_until(machine: Machine, cell: Cell, before: int) -> None:
    """Wait for the cell's moment: its step has begun, is in the midst of its work, or is almost over."""
    commands = len(cell.step["commands"])
    until = time.monotonic() + _PATIENCE / 2
    while time.monotonic() < until:
        events = [e for e in machine.events()[before:] if e.get("step") == cell.step["id"]]
        kinds = {event["event"] for event in events}
        if "step-ended" in kinds:
            return
        if "step-started" in kinds:
            if cell.moment == "start" or not commands:
                return
            started = [e for e in events if e["event"] == "command-started"]
            ended = [e for e in events if e["event"] == "command-ended"]
            if cell.moment == "end" and len(ended) >= commands:
                return
            if cell.moment == "middle" and started and at_work(machine, cell, started[-1]):
                return
        time.sleep(0.004)
    raise RuntimeError(f"the moment {cell.moment} of {cell.step['id']} does not come")


def wait_for_worker(machine: Machine, cell: Cell) -> None:
    """Wait until a run's worker is there (start), has its journal (middle), its first event (end)."""
    until = time.monotonic() + _PATIENCE / 2
    while time.monotonic() < until:
        if cell.moment == "start" and machine.processes("gpu_bringup.run.worker"):
            return
        try:
            journal = machine.run_folder / "journal.jsonl"
            if cell.moment == "middle" and journal.exists():
                return
        except (OSError, ValueError):
            continue
        if cell.moment == "end" and machine.events():
            return
    raise RuntimeError("the run does not begin")


def at_work(machine: Machine, cell: Cell, started: dict[str, Any]) -> bool:
    """Has the package manager begun to change things (or the step come to its last command)?"""
    changes = [
        index for index, command in enumerate(cell.step["commands"])
        if {"install", "purge", "remove"} & set(command["argv"]) and command["argv"][0] == "apt-get"
    ]  # fmt: skip
    if not changes:
        return bool(started["command"] >= len(cell.step["commands"]) // 2)
    if started["command"] > changes[-1]:
        return True
    if started["command"] < changes[-1]:
        return False
    try:
        text = (machine.root / started["log"].lstrip("/")).read_bytes()
    except OSError:
        return False
    word = b"Setting up" if cell.fault in ("executor", "disk") else b"Unpacking"
    return word in text or b"Building" in text


def cells_of(steps: list[dict[str, Any]], wanted: list[str]) -> list[Cell]:
    cells = []
    for number, step in enumerate(steps, 1):
        for column, fault in enumerate(FAULTS):
            moment = MOMENTS[(number + column) % 3] if step["commands"] else "start"
            if fault == "lock":
                moment = "start"
            cells.append(Cell(number, step, fault, moment))
        if step["rung"] == "module":
            # The longest step, in which most can go wrong: every moment of it.
            there = {(cell.fault, cell.moment) for cell in cells if cell.number == number}
            for fault in ("executor", "power", "disk"):
                cells += [
                    Cell(number, step, fault, moment)
                    for moment in MOMENTS
                    if (fault, moment) not in there
                ]
            cells.append(Cell(number, step, "no-network", "start"))
    # The longest step first: what fails most is seen soonest.
    cells.sort(key=lambda cell: cell.step["rung"] != "module")
    cells += [Cell(0, BEGIN, fault, moment) for fault, moment in _BEGINNINGS]
    return [cell for cell in cells if not wanted or any(word in cell.name for word in wanted)]


def table(cells: list[Cell], steps: list[dict[str, Any]]) -> str:
    columns = [*FAULTS, "further"]
    lines = [f"{'STEP':<38}" + "".join(f"{name:>13}" for name in columns)]
    for number, step in enumerate([BEGIN, *steps]):
        row = f"{number:>2} {step['id'][:34]:<35}"
        mine = [cell for cell in cells if cell.number == number]
        for fault in FAULTS:
            shown = next((cell for cell in mine if cell.fault == fault), None)
            row += f"{words(shown) if shown else '':>13}"
            mine = [cell for cell in mine if cell is not shown]
        good = sum(not cell.problems for cell in mine)
        row += f"{f'{good}/{len(mine)} ok' if mine else '':>13}"
        lines.append(row)
    return "\n".join(lines)


def words(cell: Cell) -> str:
    return f"{'ok' if not cell.problems else 'FAILED'} {cell.moment[0]} {cell.seconds:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--code", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("cells", nargs="*")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="work.", dir=options.cache))
    run("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(place))
    began = time.monotonic()
    try:
        turns = Turns(os.environ.get("RIG_LOCK", ""))
        rig = Rig(options.cache, options.code, place, options.keep, turns)
        with turns.turn():
            rig.prepare()
        cells = cells_of(rig.steps, options.cells)
        told = threading.Lock()

        def take(cell: Cell) -> None:
            rig.take(cell)
            with told:
                print(f"{cell.name:<60} {words(cell)}", flush=True)
                for line in cell.problems[:6]:
                    print(f"      {line}", flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(take, cells))
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
        place.rmdir()
    bad = [cell for cell in cells if cell.problems]
    print("\n" + table(cells, rig.steps))
    print("moment of the fault: s(tart), m(iddle) or e(nd) of the step")
    print(f"=== {len(cells)} cells, {len(cells) - len(bad)} green, {len(bad)} failed; "
          f"{(time.monotonic() - began) / 60:.1f} min; logs are in {rig.logs}")  # fmt: skip
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
