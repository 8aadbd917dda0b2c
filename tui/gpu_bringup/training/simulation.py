"""The one door to the simulated host: what a lesson's words make, and what replays an action."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.entries import guess
from gpu_bringup.errors import HostError, InputError
from gpu_bringup.hosts.base import Exited, Lines, Prompt
from gpu_bringup.hosts.simulated.host import SimulatedHost
from gpu_bringup.model.plan import Command
from gpu_bringup.training import named

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host, Session
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.model.lesson import Lesson
    from gpu_bringup.training.library import Library
    from gpu_bringup.training.named import Named

PASSWORD = "training1"
"""The one-time password for MokManager where nobody types one."""
_MOST_PROMPTS = 20


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
        for item in session:
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
