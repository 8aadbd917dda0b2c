"""The one door to the simulated host: what a lesson's words make, and what replays an action."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.entries import guess
from gpu_bringup.errors import HostError, InputError
from gpu_bringup.hosts.base import Exited, Lines, Prompt
from gpu_bringup.hosts.simulated import builders, faults_lessons
from gpu_bringup.hosts.simulated.dkms_tree import NAMES as NVIDIA
from gpu_bringup.hosts.simulated.faults import FAULTS, breaks
from gpu_bringup.hosts.simulated.host import SimulatedHost
from gpu_bringup.hosts.simulated.programs.words import TABLE
from gpu_bringup.model.plan import Command
from gpu_bringup.training import named

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host, Session
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library, Place
    from gpu_bringup.training.named import Named

PASSWORD = "training1"
"""The one-time password for MokManager where nobody types one."""
_FURTHER = faults_lessons.CDI_UNIT
"""The module enters its faults into the table when it is imported."""


def host_of(machine: Machine) -> Host:
    """The machine as a host, for looking only: what is changed through it is noted by nobody."""
    return SimulatedHost(machine)


def drive(session: Session, answer: Callable[[Prompt], str]) -> tuple[str, ...]:
    """Let a command run to its end; returns what it printed."""
    lines: list[str] = []
    for event in session:
        if isinstance(event, Lines):
            lines += event.lines
        elif isinstance(event, Prompt):
            session.send(answer(event))
        elif isinstance(event, Exited):
            break
    return tuple(lines)


def usual_answer(prompt: Prompt) -> str:
    """What a careful operator answers: yes, a key at MokManager's screen, the one-time password."""
    return PASSWORD if prompt.secret else "y"


def redo(machine: Machine, event: dict[str, Any]) -> None:
    """Do to a machine once more what an event of the log says."""
    host = SimulatedHost(machine)
    kind = event["event"]
    if kind == "command":
        answers = [str(item) for item in event.get("answers", [])]
        session = host.open(Command(tuple(str(word) for word in event["argv"])))
        until = event.get("after")
        for number, item in enumerate(session, 1):
            if until is not None and number > int(until):
                break
            if isinstance(item, Prompt):
                if answers:
                    session.send(answers.pop(0))
                else:
                    session.interrupt()
    elif kind == "wait":
        let_pass(machine, float(event["for"]))
    elif kind == "write":
        _try(lambda: host.write_file(event["path"], event["content"], int(event["mode"])))
    elif kind == "remove":
        _try(lambda: host.remove_file(event["path"]))


def _try(change: Callable[[], object]) -> None:
    try:
        change()
    except HostError:
        # It failed before as well (a full disk): what it had changed until then is changed.
        return


def let_pass(machine: Machine, seconds: float) -> None:
    """Let time pass: the clock goes on, and jobs that would have ended have ended, by themselves."""
    machine.clock += max(0.0, seconds)
    machine.jobs = tuple(job for job in machine.jobs if not job.ends or job.ends > machine.clock)
    machine.changed()


# --- what lessons are made of


@dataclass(frozen=True, slots=True)
class Made:
    """A builder or a fault, as an author sees it."""

    name: str
    text: str
    parameters: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "text": self.text, "parameters": list(self.parameters)}


def known_builders() -> tuple[Made, ...]:
    """The builders, sorted."""
    text = " ".join((inspect.getdoc(builders.build) or "").split("parameters:")[-1].split())
    return tuple(Made(name, text.split("Raises:")[0].strip(), ()) for name in builders.SERVERS)


def known_faults() -> tuple[Made, ...]:
    """The faults, sorted."""
    return tuple(_made(name, function) for name, function in sorted(FAULTS.items()))


def _made(name: str, function: Callable[..., Any]) -> Made:
    text = inspect.getdoc(function) or ""
    parameters = tuple(inspect.signature(function).parameters)[1:]
    return Made(name, " ".join(text.split("\n\n")[0].split()), parameters)


def build(library: Library, lesson: Lesson) -> Machine:
    """The lesson's machine, broken as it says.

    Raises:
        InputError: a builder, fault or parameter doesn't exist or doesn't fit; names the place.
    """
    place = library.places[lesson.id]
    if lesson.host.record:
        machine = _recorded(place, lesson.host.record)
    else:
        words = library.builder(lesson)
        try:
            machine = builders.build(words.name, **words.as_dict)
        except InputError as error:
            raise place.fault(error.message, ".host.builder") from error
    for number, fault in enumerate(library.faults(lesson)):
        try:
            _break(machine, fault)
        except InputError as error:
            raise place.fault(error.message, f".host.faults[{number}]") from error
    # What happened before the story begins is nobody's doing.
    machine.events = ()
    return machine


def _recorded(place: Place, name: str) -> Machine:
    """A server like the one that a record beside the lesson tells of, with the same fault."""
    from gpu_bringup.engine import load_catalogue
    from gpu_bringup.training.from_record import server_of

    path = Path(str(place.folder)) / name
    try:
        return make(*server_of(path, load_catalogue()))
    except InputError as error:
        raise place.fault(error.message, ".host.record") from error


def make(builder: str, faults: Sequence[str]) -> Machine:
    """A machine from a lesson's words.

    Raises:
        InputError: a builder, fault or parameter doesn't exist or doesn't fit.
    """
    words = named.parse(builder)
    machine = builders.build(words.name, **words.as_dict)
    for text in faults:
        _break(machine, named.parse(text))
    machine.events = ()
    return machine


def damage(machine: Machine, text: str) -> str:
    """Break something of a machine; returns what, in words.

    Raises:
        InputError: there is no such fault, or it doesn't fit.
    """
    fault = named.parse(text, file="--break")
    _break(machine, fault)
    return next(item.text for item in known_faults() if item.name == fault.name)


def _break(machine: Machine, fault: Named) -> None:
    if fault.name not in FAULTS:
        raise InputError(f"there is no fault {fault.name!r}{guess(fault.name, FAULTS)}")
    try:
        breaks(machine, fault.name, **fault.as_dict)
    except (ValueError, LookupError) as error:
        raise InputError(f"the fault {fault.name}: {error}") from error


# --- what there is, for completion and checks


def programs(machine: Machine) -> tuple[str, ...]:
    """The commands of a machine, sorted."""
    return tuple(sorted(TABLE))


def package_names(machine: Machine) -> frozenset[str]:
    """Names of all packages that are installed or that an archive of the machine has."""
    offered = {offer.name for archive in machine.archives for offer in archive.offers}
    return frozenset(offered | machine.packages.installed.keys())


_ARGUMENTS: dict[str, Callable[[Machine], set[str]]] = {
    "systemctl": lambda m: {
        "status",
        "start",
        "stop",
        "restart",
        "enable",
        "daemon-reload",
        *m.units,
    },
    "modprobe": lambda m: set(NVIDIA) | {"nouveau", "-r"},
    "modinfo": lambda m: set(NVIDIA) | {"nouveau", "-F", "-k"},
    "rmmod": lambda m: set(m.loaded),
    "dkms": lambda m: {"status", "autoinstall", "build", "install", "remove", "add", "-k"},
    "mokutil": lambda m: {"--sb-state", "--import", "--list-new", "--list-enrolled", "--test-key"},
    "dpkg": lambda m: {"-l", "-s", "--audit", "--configure", "-a"},
    "nvidia-smi": lambda m: {"-L", "-q"},
    "update-initramfs": lambda m: {"-u", "-k", "all", *m.kernels()},
    "uname": lambda m: {"-r", "-a"},
    "df": lambda m: {"-h", "-i"},
    "lspci": lambda m: {"-k", "-nn", "-d", "10de:"},
}
_APT = frozenset({"apt", "apt-get", "apt-cache", "apt-mark"})
_APT_WORDS = frozenset(
    {"install", "update", "remove", "purge", "autoremove", "upgrade", "policy", "hold", "unhold",
     "--reinstall", "-y", "-s", "-f"}
)  # fmt: skip


def arguments(machine: Machine, program: str) -> tuple[str, ...]:
    """What may stand after a command, sorted; empty where that isn't known."""
    if program in _APT:
        return tuple(sorted(_APT_WORDS | package_names(machine)))
    known = _ARGUMENTS.get(program)
    return tuple(sorted(known(machine))) if known else ()
