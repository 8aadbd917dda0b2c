"""What commands and wizard call for recovery: the deciding question, the ways, putting it off.

Each takes the situation that ``engine.examine`` has found; none changes the host it looks at.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from gpu_bringup.facts import thinning
from gpu_bringup.facts.collect import collect
from gpu_bringup.facts.deeper import with_initramfs
from gpu_bringup.facts.in_use import observe as who
from gpu_bringup.hosts.recording import RecordingHost, write_record
from gpu_bringup.ladder.decide import decided, decider
from gpu_bringup.model.in_use import InUse
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.paths import state_folder
from gpu_bringup.recover import reminder
from gpu_bringup.recover.way import Recovery
from gpu_bringup.recover.ways import had_driver, way_of, ways, with_drain

if TYPE_CHECKING:
    from pathlib import Path

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.ladder.decide import Decider
    from gpu_bringup.model.ladder import LadderReport
    from gpu_bringup.model.plan import Plan
    from gpu_bringup.recover.drain import Drain
    from gpu_bringup.recover.reminder import Reminder
    from gpu_bringup.recover.way import Way


class Found(Protocol):
    """A host as it was found: ``engine.Situation``."""

    @property
    def context(self) -> Context: ...

    @property
    def report(self) -> LadderReport: ...

    @property
    def plan(self) -> Plan: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What one command was asked, and what it settled."""

    asked: Decider
    answered: bool
    """The host gave an answer (a record may not hold it)."""
    output: str
    cause: str
    """The cause that it named; empty: it did not decide."""
    report: LadderReport

    def to_json(self) -> dict[str, object]:
        """The additive ``decided`` part of ``check --decide --json``."""
        return {
            "argv": list(self.asked.argv),
            "between": list(self.asked.between),
            "answered": self.answered,
            "cause": self.cause or None,
        }


def would_decide(found: Found) -> Decider | None:
    """The one read-only command that would settle what the facts leave open; None: nothing is open."""
    return decider(found.context, found.report)


def decide(host: Host, found: Found) -> Decision | None:
    """Ask that command through the host (it changes nothing) and judge again."""
    asked = would_decide(found)
    if asked is None:
        return None
    answer = host.run(asked.argv, timeout=20.0)
    if isinstance(answer, Unknown) or answer.missing or answer.timed_out:
        return Decision(asked, False, "", "", found.report)
    cause, line = asked.judge(answer.exit, answer.output)
    report = decided(found.report, asked, cause, line) if cause else found.report
    return Decision(asked, True, answer.output, cause, report)


def recovery(host: Host | None, found: Found) -> Recovery:
    """The ways on from a broken host, numbered; looks at what runs on its GPUs, changes nothing."""
    nobody = InUse(Unknown("this host is only described"))
    used = who(host) if host is not None else nobody
    ctx, installed = found.context, found.context.facts.kernels.installed
    several = not isinstance(installed, Unknown) and len(installed) > 1
    if host is not None and several and found.report.verdict == "broken" and not found.report.fresh:
        # Another kernel is only a way back where no old module waits in its initramfs.
        ctx = replace(ctx, facts=with_initramfs(host, ctx.facts))
    return ways(ctx, found.report, found.plan, used)


def recovery_of_known(host: Host | None, found: Found) -> Recovery | None:
    """The ways on where a host that had a driver is broken; None: healthy, or never set up."""
    broken = found.report.verdict == "broken" and not found.report.fresh
    if not broken or not had_driver(found.context):
        return None
    return recovery(host, found)


def way_plan(recovery: Recovery, way: Way, drain: Drain) -> Plan:
    """The way's plan with room made on the GPUs first, as the operator said.

    Raises:
        InputError: what was named holds no GPU.
    """
    return with_drain(way, recovery.in_use, drain)


def before(host: Host | None, plan: Plan) -> tuple[Recovery, Way] | None:
    """What a plan would stop on this host now; None: it stops nothing, or nothing runs there.

    Where it can't be told who uses the GPUs, the answer says so instead of None.
    """
    if not any(step.stops_workloads for step in plan.steps) or host is None:
        return None
    used = who(host)
    nothing = not isinstance(used.holders, Unknown) and not used.holders and not used.unseen
    if nothing:
        return None
    return Recovery((), (), used), way_of(plan, used)


def put_off(host: Host, report: LadderReport, state: Path | None = None) -> Reminder:
    """Mend it later: write a record and a reminder into the state folder, change nothing else.

    Raises:
        HostError: they can't be written.
    """
    folder = state or state_folder()
    listening = RecordingHost(host, thinning)
    collect(listening)
    reminder.make_folder(folder)
    write_record(folder / reminder.RECORD, listening.record())
    when = time.strftime("%Y-%m-%d %H:%M")
    told = reminder.reminder_of(report, when, str(folder / reminder.RECORD))
    reminder.keep(folder, told)
    return told


def reminded(report: LadderReport, state: Path | None = None) -> Reminder | None:
    """What was put off on this host and still doesn't hold; a reminder of what is mended goes."""
    folder = state or state_folder()
    told = reminder.load(folder)
    if told is not None and report.verdict == "healthy":
        reminder.forget(folder)
        return None
    return told
