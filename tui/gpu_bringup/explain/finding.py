"""What ``explain`` gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpu_bringup.model.plan import Step


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, with what speaks for it and what to do."""

    cause: str
    rung: str
    title: str
    summary: str
    """The cause in plain words."""
    confidence: float
    """0 to 1."""
    lines: tuple[tuple[int, str], ...]
    """(number, text) of the lines that speak for it."""
    tell_apart: str
    look_alikes: tuple[str, ...]
    fetch: tuple[tuple[str, ...], ...]
    """Commands whose answers would decide, where the text can't."""
    confirm: tuple[tuple[str, ...], ...]
    quick: str
    repair: tuple[Step, ...]
    prevention: str
    sources: tuple[str, ...]
    consequence_of: str = ""
    decoded: tuple[str, ...] = ()
    """What the evidence says in codes, in plain words: Xid lines, the transaction of an upgrade."""
    certainty: str = "confirmed"
    """"unconfirmed": known from working experience, no public source was found."""
    suspected: bool = False
    """Only messages that other causes give as well speak for it: title and summary are no facts yet."""
    family: str = ""
    """Of the system, by context or text; empty: not known, and the commands of all are given."""
    unfilled: Mapping[str, str] = field(default_factory=dict)
    """Words in capitals that stand in the commands -> how to find what to put there."""

    def to_json(self) -> dict[str, Any]:
        return {
            "cause": self.cause,
            "rung": self.rung,
            "title": self.title,
            "summary": self.summary,
            "confidence": self.confidence,
            "certainty": self.certainty,
            "lines": [{"number": number, "text": text} for number, text in self.lines],
            "decoded": list(self.decoded),
            "tell_apart": self.tell_apart,
            "look_alikes": list(self.look_alikes),
            "fetch": [list(argv) for argv in self.fetch],
            "confirm": [list(argv) for argv in self.confirm],
            "quick": self.quick,
            "repair": [step.to_json() for step in self.repair],
            "prevention": self.prevention,
            "consequence_of": self.consequence_of or None,
            "sources": list(self.sources),
            "suspected": self.suspected,
            "family": self.family or None,
            "unfilled": dict(self.unfilled),
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """All findings in a text, best first, and what was noticed while it was read."""

    findings: tuple[Finding, ...]
    lines: int
    bytes: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "findings": [finding.to_json() for finding in self.findings],
            "read": {"lines": self.lines, "bytes": self.bytes},
            "notes": list(self.notes),
        }
