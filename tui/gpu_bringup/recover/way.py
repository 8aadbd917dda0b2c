"""A way on, with its price: what an operator reads before choosing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.in_use import NOT_LOOKED, InUse

if TYPE_CHECKING:
    from gpu_bringup.model.plan import Plan

RELOAD, LOAD, BOOT_ONCE, BOOT_DEFAULT, MEND, LATER = (
    "reload",
    "load",
    "boot-once",
    "boot-default",
    "mend",
    "later",
)


@dataclass(frozen=True, slots=True)
class Way:
    number: int
    id: str
    title: str
    what: str
    """What is done and what is had afterwards."""
    cost: str
    """Time, and what stands still meanwhile."""
    plan: Plan
    risk: str = ""
    stops: tuple[str, ...] = ()
    """What it stops: programs on the GPUs, containers, services; empty: nothing."""
    reboots: bool = False

    @property
    def stops_workloads(self) -> bool:
        """Does anything that uses a GPU have to end for it?"""
        return any(step.stops_workloads for step in self.plan.steps)

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "id": self.id,
            "title": self.title,
            "what": self.what,
            "cost": self.cost,
            "risk": self.risk,
            "stops": list(self.stops),
            "reboot": self.reboots,
            "steps": [step.to_json() for step in self.plan.steps],
            "blocked": list(self.plan.blocked),
        }


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a broken host offers."""

    ways: tuple[Way, ...]
    not_here: tuple[tuple[str, str], ...] = ()
    """(title, reason) of ways that this host does not have."""
    in_use: InUse = NOT_LOOKED
    refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """(id of a way, every reason why this host does not have it)."""

    def reasons(self, word: str) -> tuple[str, ...]:
        """Every reason why the way of this id isn't offered; empty: it is, or there is no such."""
        return next((reasons for way_id, reasons in self.refused if way_id == word), ())

    def way(self, word: str) -> Way | None:
        """The way of a number or an id; None: there is none."""
        return next((way for way in self.ways if word in (str(way.number), way.id)), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "ways": [way.to_json() for way in self.ways],
            "not_here": [{"title": title, "why": why} for title, why in self.not_here],
            "refused": [{"id": way_id, "why": list(why)} for way_id, why in self.refused],
            "in_use": self.in_use.to_json(),
        }
