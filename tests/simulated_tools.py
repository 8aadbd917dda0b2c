"""What tests of the simulated host share: look, plan, take the steps in this process, look again."""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup import engine
from gpu_bringup.errors import InputError
from gpu_bringup.hosts.base import Exited, Lines, Prompt
from gpu_bringup.hosts.simulated import booting, builders, faults
from gpu_bringup.hosts.simulated.host import SimulatedHost, SimulatedSession
from gpu_bringup.hosts.simulated.work import Ask
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.plan import Command, Plan
from gpu_bringup.run.journal import Journal
from gpu_bringup.run.runner import Runner

if TYPE_CHECKING:
    from gpu_bringup.engine import Situation
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.catalogue import Catalogue

BY_OPERATOR = "boot-partition-full"
"""Where every kernel is needed (one runs, one is new, one alone has a module), none is removed."""
PASSWORD = "enrol-it-1"
"""What is typed wherever a simulated command asks for a secret."""


class AttendedHost(SimulatedHost):
    """Somebody is there who answers each question with the password."""

    def open(self, command: Command, *, rows: int = 24, columns: int = 100) -> SimulatedSession:
        session = SimulatedSession(self, command)
        for _ in range(4):
            session.send(PASSWORD)
        return session


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The project's own data."""
    return engine.load_catalogue()


def look(machine: Machine, answers: Answers | None = None) -> Situation:
    """Facts, ladder and plan of a machine."""
    host = SimulatedHost(machine)
    return engine.examine(host, engine.observe(host), answers or Answers(), catalogue())


def run(machine: Machine, *argv: str) -> tuple[int, str]:
    """(exit status, output) of one command, by a person who answers with the password."""
    lines: list[str] = []
    status = -1
    for event in AttendedHost(machine).open(Command(argv)):
        if isinstance(event, Lines):
            lines += event.lines
        elif isinstance(event, Exited):
            status = event.status
        else:
            assert isinstance(event, Prompt)
    return status, "".join(f"{line}\n" for line in lines)


def reboot(machine: Machine, password: str = PASSWORD) -> None:
    """Restart, with somebody at the console who answers MokManager."""
    work = booting.reboot(machine)
    said = next(work, None)
    while said is not None:
        try:
            said = work.send(password) if isinstance(said, Ask) else next(work)
        except StopIteration:
            return


def take(machine: Machine, plan: Plan) -> tuple[str, str]:
    """Take a plan's steps, restarting where it says so: (state at the end, its message)."""
    shared = Path("/dev/shm")
    place = shared if shared.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        state, message = "", ""
        for _ in range(4):
            journal = Journal(folder)
            state = Runner(AttendedHost(machine), plan, folder, journal, backoff=(0,)).run()
            message = str(journal.events[-1].get("message", ""))
            journal.close()
            if state != "reboot":
                break
            reboot(machine)
        if state not in ("done", "reboot"):
            logs = sorted((folder / "logs").glob("*"))
            message += "".join(path.read_text()[-600:] for path in logs[-1:])
    return state, message


@dataclass(frozen=True)
class Broken:
    """How a random broken server was made; written down, so that it can be made again."""

    builder: str
    parameters: tuple[tuple[str, str], ...]
    faults: tuple[str, ...]

    def make(self) -> Machine:
        """The machine.

        Raises:
            InputError: these faults can't happen to this server, or not together.
        """
        machine = builders.build(self.builder, **dict(self.parameters))
        for name in self.faults:
            faults.breaks(machine, name)
        return machine

    def __str__(self) -> str:
        told = " ".join(f"{key}={value}" for key, value in self.parameters)
        return f"{self.builder} {told}: {' + '.join(self.faults) or 'fresh'}"


MENDABLE = tuple(
    name for name in faults.FAULTS
    if name not in ("xid-79", "running-job", "loud-log")
)  # fmt: skip
"""Faults that the engine's plan mends; a GPU that fell off the bus needs hands."""


def random_server(draw: random.Random) -> Broken:
    """A server of some shape with one to three faults, or a fresh one."""
    server = draw.choice(("debian13", "debian13", "debian13", "debian12"))
    gpu = draw.choice(("h100", "h100", "h200", "a100", "l4", "blackwell"))
    secure = draw.random() < 0.3
    flavour = "proprietary" if gpu != "blackwell" and draw.random() < 0.25 else "open"
    parameters = {
        "gpu": gpu,
        "gpus": draw.choice(("1", "1", "2", "8")),
        "secure_boot": "on" if secure else "off",
        "flavour": flavour,
    }
    if draw.random() < 0.1:
        parameters["driver"] = "none"
        return Broken(server, tuple(parameters.items()), ())
    if server == "debian13" and draw.random() < 0.2:
        parameters["driver"] = draw.choice(("580.159.03", "580.142"))
    chosen = draw.sample(MENDABLE, draw.choice((1, 1, 1, 2, 2, 3)))
    return Broken(server, tuple(parameters.items()), tuple(chosen))


def random_broken(seed: int) -> tuple[Broken, Machine]:
    """The first server of a seed whose faults can happen together, and really break it."""
    draw = random.Random(seed)
    while True:
        made = random_server(draw)
        try:
            return made, made.make()
        except InputError:
            continue


@dataclass(frozen=True)
class Recovery:
    """How the mending of one server went."""

    made: Broken
    steps: tuple[str, ...]
    wrong: str
    """What does not hold; empty: it is healthy, and nothing is left to plan."""
    left: bool = False
    """It is deliberately left to the operator, who is told what to do."""


def recover(made: Broken, machine: Machine) -> Recovery:
    """Check, plan, apply; then the ladder must be healthy and a second plan empty."""
    before = look(machine)
    steps = tuple(step.id for step in before.plan.steps)
    if not steps and any(c.cause == BY_OPERATOR for c in before.report.rung("platform").causes):
        return Recovery(made, (), "" if before.plan.blocked else "nothing is said", left=True)
    if before.plan.steps:
        state, message = take(machine, before.plan)
        if state != "done":
            return Recovery(made, steps, f"{state}: {message}")
    after = look(machine) if before.plan.steps else before
    bad = [
        f"{r.id} {r.state.value} {r.summary} {[c.cause for c in r.causes]}"
        for r in after.report.rungs
        if r.state.value not in ("ok", "skipped")
    ]
    left = [step.id for step in after.plan.steps]
    wrong = "; ".join(bad) + (f" second plan: {left}" if left else "")
    return Recovery(made, steps, wrong)


def healthy(machine: Machine) -> bool:
    """Does every rung hold, with nothing left to plan?"""
    found = look(machine)
    states = {result.state.value for result in found.report.rungs}
    return states <= {"ok", "skipped"} and not found.plan.steps


SAFETY = {
    "build-module": "the package's hook builds too, where headers and compiler are there by then",
    "load-modules": "nvidia-modprobe of the next step loads them as well",
    "device-nodes": "loading makes them here, by udev's rules; not on every server",
    "persistence": "the boot or the load may have started it",
    "refresh-packages": "the indexes of a simulated server are never old",
    "pin-branch": "it guards against the next upgrade",
    "compiler": "apt's mending of dependencies brings it, where they name it",
    "initramfs": "an image that nobody looked into may hold a driver",
    "blacklist-nouveau": "which driver is first at a boot is a race",
    "mend-packages": "the package manager's next run configures what waits",
    "meet-dependencies": "the driver's own installation brings the same",
    "align-driver": "apt's mending of dependencies may bring that version, or take the package away",
    "headers": "apt's mending of dependencies brings them, where they are named",
}
"""Steps that something else may do as well on one server and not on the next, with what that is."""


def needless(machine: Machine) -> tuple[str, ...]:
    """Steps of a machine's plan that may be left out, and it is healthy all the same."""
    plan = look(machine).plan
    found = []
    for left_out in plan.steps:
        trial = machine.copy()
        steps = tuple(step for step in plan.steps if step is not left_out)
        state, _ = take(trial, replace(plan, steps=steps))
        if state == "done" and healthy(trial):
            found.append(left_out.id)
    return tuple(found)
