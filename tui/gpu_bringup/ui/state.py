"""Everything that the wizard knows while it runs; pages read it, nothing in it is on the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.engine import Situation
from gpu_bringup.hosts.base import Host
from gpu_bringup.model.answers import Answers
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.plan import Plan
from gpu_bringup.model.target import Recommendation
from gpu_bringup.model.trial import TrialEvent
from gpu_bringup.recover.way import Recovery
from gpu_bringup.run.follow import Follower
from gpu_bringup.ui.steps import STEPS, index_of

if TYPE_CHECKING:
    from gpu_bringup.signing.report import Report


@dataclass
class Wizard:
    """One session of the wizard."""

    host: Host
    source: Catalogue | Callable[[], Catalogue]
    """The catalogue, or what loads it: that takes longer than the first picture may."""
    answers: Answers
    recorded_label: str = ""
    basic: bool = False

    facts: Facts | None = None
    situation: Situation | None = None
    proven: Recommendation | None = None
    trials: list[TrialEvent] = field(default_factory=list)
    follower: Follower | None = None
    undoing: bool = False
    """The run that is shown takes an earlier one back."""
    run_state: str = ""
    """ "", "running", "done", "failed", "cancelled", "reboot", "lost"."""
    recovery: Recovery | None = None
    """The ways on, where a host that had a driver is broken."""
    enrolment: tuple[Facts, Report] | None = None
    """Where the signing key's enrolment stood, with the facts that told it."""
    after: Situation | None = None
    """The host as it was found when it was verified."""

    current: str = STEPS[0].id
    done: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    """Steps whose result rests on an answer that was changed since."""

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue; loaded at its first use, which is the look at the host, in a thread.

        Raises:
            InputError: an entry is wrong.
        """
        if callable(self.source):
            self.source = self.source()
        return self.source

    @property
    def recorded(self) -> bool:
        """Is this a host that can only be looked at?"""
        return self.host.kind != "local"

    @property
    def plan(self) -> Plan | None:
        return self.situation.plan if self.situation else None

    def answer(self, **changes: Any) -> bool:
        """Take changed answers; what rests on them must be looked at again.

        Returns:
            Whether anything changed.
        """
        changed = replace(self.answers, **changes)
        if changed == self.answers:
            return False
        self.answers = changed
        self.situation = None
        self.proven = None
        self.trials.clear()
        later = {step.id for step in STEPS[index_of("questions") + 1 :]}
        self.stale |= later & self.done
        self.done -= later
        return True

    def looked(self, facts: Facts, situation: Situation, recovery: Recovery | None = None) -> None:
        """The host was looked at (again)."""
        self.facts = facts
        self.recovery = recovery
        self.situation = situation
        self.proven = None
        self.trials.clear()

    def step_state(self, step_id: str) -> str:
        """ "here", "done", "again" (an answer was changed since: check it again), or ""."""
        if step_id == self.current:
            return "here"
        if step_id in self.stale:
            return "again"
        return "done" if step_id in self.done else ""
