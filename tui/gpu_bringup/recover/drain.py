"""Make room before work stops: wait for programs, stop named services and containers, end by name.

Nothing is ended by itself: each process, container and service is one that the operator named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.errors import InputError
from gpu_bringup.ladder.steps import systemctl
from gpu_bringup.ladder.words import listed, plural
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.in_use import Holder, InUse

KILL_WAIT = 60
"""Seconds that a program has to end after it was asked to."""
_ENGINES = ("docker", "podman")


@dataclass(frozen=True, slots=True)
class Drain:
    """What the operator allows."""

    wait: int = 0
    """Seconds to wait for each program to end by itself; 0: don't wait."""
    stop: tuple[str, ...] = ()
    """Units ("vllm.service") and containers (name or id) to stop."""
    kill: tuple[int, ...] = ()
    """Processes to end; each was confirmed by typing."""

    def __bool__(self) -> bool:
        return bool(self.wait or self.stop or self.kill)


def stoppable(in_use: InUse) -> tuple[str, ...]:
    """Names that ``Drain.stop`` takes: units and containers that hold a GPU."""
    names = []
    for holder in in_use.known:
        if holder.engine in _ENGINES and not holder.pod:
            names.append(holder.container_name or holder.container[:12])
        elif holder.unit and not holder.unit.startswith("user@"):
            names.append(holder.unit)
    return tuple(dict.fromkeys(names))


def _by_name(in_use: InUse, name: str) -> tuple[Holder, ...]:
    """The holders in the unit or container of this name."""
    return tuple(
        h
        for h in in_use.known
        if name in (h.unit, h.unit.removesuffix(".service"), h.container_name)
        or (h.container and len(name) >= 12 and h.container.startswith(name))
    )


def _stop_step(in_use: InUse, name: str) -> Step:
    found = _by_name(in_use, name)
    if not found:
        known = listed(stoppable(in_use)) or "none"
        raise InputError(
            f"nothing of this name holds a GPU: {name}",
            file="--stop",
            meaning="Nothing was changed on this server.",
            hint=f"Services and containers on the GPUs: {known}.",
        )
    first = found[0]
    if first.pod:
        raise InputError(
            f"{name} belongs to the pod {first.pod}: Kubernetes would start it again at once",
            file="--stop",
            meaning="Nothing was changed on this server.",
            hint="Drain the node from where kubectl is: kubectl drain NODE --ignore-daemonsets.",
        )
    if first.container:
        if first.engine not in _ENGINES:
            raise InputError(
                f"containers of {first.engine} can't be stopped from here",
                file="--stop",
                meaning="Nothing was changed on this server.",
                hint="Stop it where it was started.",
            )
        what = first.container_name or first.container[:12]
        command, back = (
            Command((first.engine, verb, what), ok_statuses=(0,)) for verb in ("stop", "start")
        )
    else:
        what = first.unit
        command, back = systemctl("stop", what), systemctl("start", what)
    return Step(
        id=f"stop-{what}",
        rung="loaded",
        title=f"Stop {what}",
        why=f"It holds GPUs ({listed(holder.words for holder in found)}), and you named it.",
        commands=(command,),
        undo=(back,),
        stops_workloads=True,
        estimate_seconds=15,
    )


def drain_steps(in_use: InUse, drain: Drain) -> tuple[Step, ...]:
    """Stop what was named, end what was confirmed, wait for the rest.

    Raises:
        InputError: a name or process holds no GPU, or can't be stopped from here.
    """
    steps = [_stop_step(in_use, name) for name in dict.fromkeys(drain.stop)]
    gone = {h.pid for name in drain.stop for h in _by_name(in_use, name)}
    pids = {holder.pid: holder for holder in in_use.known}
    for pid in dict.fromkeys(drain.kill):
        if pid not in pids:
            raise InputError(
                f"process {pid} holds no GPU", file="--kill", meaning="Nothing was changed."
            )
        gone.add(pid)
        steps.append(
            Step(
                id=f"end-{pid}",
                rung="loaded",
                title=f"End {pids[pid].words}",
                why="You confirmed it by typing its number. It is asked to end (SIGTERM) and may tidy "
                "up; it is never forced.",
                commands=(
                    Command(("kill", "-TERM", str(pid)), ok_statuses=(0, 1)),
                    _wait(pid, KILL_WAIT),
                ),
                stops_workloads=True,
                estimate_seconds=KILL_WAIT,
                risk="What it has not written yet is lost.",
            )
        )
    left = [holder for holder in in_use.known if holder.pid not in gone]
    if drain.wait and left:
        steps.append(
            Step(
                id="wait-for-programs",
                rung="loaded",
                title=f"Wait for {plural(len(left), 'program')} to end",
                why=f"They hold GPUs: {listed(holder.words for holder in left)}. Nothing is ended; "
                f"after {drain.wait} s without an end the run stops here (exit status 124).",
                commands=tuple(_wait(holder.pid, drain.wait) for holder in left),
                estimate_seconds=drain.wait,
            )
        )
    return tuple(steps)


def _wait(pid: int, seconds: int) -> Command:
    # tail(1) ends when the process does; timeout(1) sets the limit. Both are coreutils.
    return Command(("timeout", str(seconds), "tail", f"--pid={pid}", "-f", "/dev/null"))


def start_again(in_use: InUse, drain: Drain) -> tuple[Step, ...]:
    """Start what was stopped by name, once the GPUs work."""
    names = dict.fromkeys(drain.stop)
    steps = []
    for name in reversed(list(names)):
        stop = _stop_step(in_use, name)
        steps.append(
            Step(
                id=f"start-{stop.id.removeprefix('stop-')}",
                rung="loaded",
                title=f"Start {stop.id.removeprefix('stop-')} again",
                why="It was stopped for this, and the GPUs are there again.",
                commands=stop.undo,
                estimate_seconds=15,
            )
        )
    return tuple(steps)


def undecided(in_use: InUse, drain: Drain) -> tuple[Holder, ...]:
    """Holders that nothing was said about: a way that stops work waits for a word about them."""
    if drain.wait:
        return ()
    named = {h.pid for name in drain.stop for h in _by_name(in_use, name)} | set(drain.kill)
    return tuple(holder for holder in in_use.known if holder.pid not in named)


def in_the_way(in_use: InUse) -> tuple[str, ...]:
    """A line for each program that holds a GPU, with what has to be done about it."""
    texts = []
    for holder in in_use.known:
        how = "wait for it (--wait SECONDS), or end it (--kill PID)"
        if holder.pod:
            how = "Kubernetes starts it again: drain the node first (kubectl drain)"
        elif holder.container and holder.engine not in _ENGINES:
            how = f"stop it where {holder.engine} is driven from"
        elif holder.container or holder.unit:
            how = "stop it (--stop NAME), or wait for it (--wait SECONDS)"
        texts.append(f"{holder.words} holds {', '.join(holder.devices)}: {how}")
    if in_use.unseen:
        hidden = plural(in_use.unseen, "process", "processes")
        texts.append(f"{hidden} of other users could not be looked at: look as root")
    return tuple(texts)


def stops(in_use: InUse) -> tuple[str, ...]:
    """What would be stopped, for people; says what could not be seen."""
    if isinstance(in_use.holders, Unknown):
        return (f"Which programs hold the GPUs is not known: {in_use.holders.reason}.",)
    texts = [holder.words for holder in in_use.holders]
    if in_use.services:
        texts.append(f"services of the driver: {listed(in_use.services)}")
    if in_use.unseen:
        hidden = plural(in_use.unseen, "process", "processes")
        texts.append(f"{hidden} of other users could not be looked at: look as root")
    return tuple(texts)
