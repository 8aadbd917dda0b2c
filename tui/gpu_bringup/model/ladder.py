"""Verdicts about the rungs of the ladder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

RUNG_IDS = (
    "gpu",
    "platform",
    "packages",
    "kernel",
    "headers",
    "compiler",
    "nouveau",
    "module",
    "signature",
    "loaded",
    "devices",
    "libraries",
    "nvml",
    "fabric",
    "cuda",
    "containers",
    "guard",
)


class State(str, Enum):
    OK = "ok"
    BROKEN = "broken"
    BLOCKED = "blocked"
    """Doesn't hold, but rests on a broken rung below: a consequence."""
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    """Doesn't apply here, or can only be seen later; the summary says which."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen, and where."""

    source: str
    """File, command or interface that said so."""
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "text": self.text}


@dataclass(frozen=True, slots=True)
class Cause:
    """A named cause of a broken rung."""

    cause: str
    """Id of the failure ("headers-missing")."""
    title: str
    confidence: float
    """0 to 1."""
    evidence: tuple[Evidence, ...] = ()
    sources: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "title": self.title,
            "confidence": self.confidence,
            "evidence": [item.to_json() for item in self.evidence],
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True)
class RungResult:
    """What became of one rung."""

    id: str
    state: State
    summary: str
    evidence: tuple[Evidence, ...] = ()
    causes: tuple[Cause, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state.value,
            "summary": self.summary,
            "evidence": [item.to_json() for item in self.evidence],
            "causes": [cause.to_json() for cause in self.causes],
        }


WISHES = frozenset(
    {
        "repository-not-configured",
        "driver-other-than-target",
        "kernel-not-installed",
        "dnf-modular-filtering",
    }
)
"""Causes that only say that what was chosen isn't there yet: nothing that worked is broken."""
SET_UP = WISHES | {
    "driver-not-installed",
    "kernel-upgraded-module-not-built",
    "headers-missing",
    "headers-meta-not-following",
    "gcc-mismatch",
    "nouveau-loaded",
    "module-not-loaded",
    "driver-libraries-missing",
    "container-toolkit-missing",
    "unattended-upgrade-unguarded",
    "partial-hold",
    "persistenced-failed",
    "device-nodes-missing",
    "fabricmanager-not-running",
}
"""On a server that never had a driver these are no faults either: they are what set-up is for."""


@dataclass(frozen=True, slots=True)
class LadderReport:
    """All rungs, lowest first."""

    rungs: tuple[RungResult, ...]
    cause_rung: str = ""
    """The rung that keeps the server from working as it is; empty: the lowest broken one."""

    @property
    def fresh(self) -> bool:
        """Was no driver ever installed here?"""
        return any(item.cause == "driver-not-installed" for r in self.rungs for item in r.causes)

    def not_yet(self, rung: RungResult) -> bool:
        """Doesn't it hold only because it hasn't been set up yet?"""
        if rung.state is not State.BROKEN or not rung.causes:
            return False
        fine = SET_UP if self.fresh else WISHES
        return all(item.cause in fine for item in rung.causes)

    @property
    def root_cause(self) -> RungResult | None:
        """The broken rung that mending starts with, or None."""
        for rung in self.rungs:
            if rung.id == self.cause_rung and rung.state is State.BROKEN:
                return rung
        return next((rung for rung in self.rungs if rung.state is State.BROKEN), None)

    @property
    def verdict(self) -> str:
        """ "broken" if a rung is; else "unknown" if one that matters is; else "healthy"."""
        if self.root_cause is not None:
            return "broken"
        if any(rung.state is State.UNKNOWN for rung in self.rungs):
            return "unknown"
        return "healthy"

    def rung(self, rung_id: str) -> RungResult:
        """The result of one rung.

        Raises:
            KeyError: no such rung.
        """
        for rung in self.rungs:
            if rung.id == rung_id:
                return rung
        raise KeyError(rung_id)
