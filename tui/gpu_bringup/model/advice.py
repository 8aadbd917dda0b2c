"""Tuning advice: what to set for which GPUs and frameworks, and settings that do nothing at all.

Entries of ``profiles/catalogue/tuning.toml``. Advice is told, never applied by the tool itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Advice:
    """One setting that is worth thinking of, for whom, and how to take it back."""

    id: str
    """Short name, unique."""
    topic: str
    """What it is about: "driver", "memory", "precision", "links", "cpu", "power", "containers",
    "sharing", "health"."""
    title: str
    """What to do, in a few words."""
    why: str
    """What it changes and when that matters, in a sentence or two."""
    apply: tuple[str, ...]
    """Commands or settings, in order; words in capitals are to be filled in."""
    undo: tuple[str, ...]
    """What takes it back; empty: nothing was changed."""
    risk: str
    """What it can cost."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    priority: int = 2
    """1: for nearly everybody that it applies to, 2: often worth it, 3: for a special need."""
    certainty: str = "high"
    """"high", "medium", "low": how well the sources bear it out."""
    architectures: tuple[str, ...] = ()
    """Ids of architectures, one of which must be there; empty: any."""
    compute_capabilities: tuple[str, ...] = ()
    """Compute capabilities, one of which every GPU must have; empty: any."""
    cc_min: str = ""
    """Lowest compute capability that every GPU must have; empty: any."""
    cc_below: str = ""
    """Compute capability that at least one GPU must be below; empty: any."""
    frameworks: tuple[str, ...] = ()
    """Ids of frameworks, one of which must be wanted; empty: any, also none."""
    scenarios: tuple[str, ...] = ()
    """Ids of scenarios; empty: any."""
    fabrics: tuple[str, ...] = ()
    """Words for the NVLink fabric that the target must have; empty: any."""
    min_gpus: int = 0
    """Least number of GPUs."""
    containers: bool = False
    """Only where containers must get the GPUs."""
    data_centre: bool = False
    """Only where every GPU is known to be a data-centre board."""
    flavour: str = ""
    """Kind of modules, "open" or "proprietary"; empty: either."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""

    def to_json(self) -> dict[str, Any]:
        """One entry of ``advice`` in ``recommend --json``."""
        return {
            "id": self.id,
            "topic": self.topic,
            "title": self.title,
            "why": self.why,
            "apply": list(self.apply),
            "undo": list(self.undo),
            "risk": self.risk,
            "certainty": self.certainty,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True)
class VoidSetting:
    """An environment variable that guides recommend and that nothing reads."""

    name: str
    """The variable."""
    claim: str
    """What it is said to do, and by whom."""
    why: str
    """Why it does nothing, in a sentence."""
    instead: str
    """What serves the purpose it was meant for."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A variable that is set somewhere on a host."""

    name: str
    value: str
    place: str
    """"this process's environment", or file and line: "/etc/environment:3"."""


@dataclass(frozen=True, slots=True)
class NoEffect:
    """A setting of this host that does nothing."""

    setting: Setting
    about: VoidSetting

    def to_json(self) -> dict[str, Any]:
        """One entry of ``no_effect`` in ``recommend --json``; the value is not repeated."""
        return {
            "name": self.setting.name,
            "place": self.setting.place,
            "why": self.about.why,
            "instead": self.about.instead,
            "sources": list(self.about.sources),
        }
