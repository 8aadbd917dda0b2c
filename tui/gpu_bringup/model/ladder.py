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
    source: str
    """File, command or interface that said so."""
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"source": self.source, "text": self.text}


@dataclass(frozen=True, slots=True)
class Cause:
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


@dataclass(frozen=True, slots=True)
class LadderReport:
    rungs: tuple[RungResult, ...]

    @property
    def root_cause(self) -> RungResult | None:
        """The lowest broken rung, or None."""
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
