"""What a profile's guide claimed and what holds now, and where a profile comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GuideClaim:
    """A claim of a guide that people still follow, held against what is known."""

    id: str
    """Number of the claim in that guide, such as "11"."""
    topic: str
    """What it is about: "driver", "kernel", "cuda", "gpu", …"""
    said: str
    """What the guide says."""
    verdict: str
    """"true", "partly", "false", "outdated", "unverifiable"."""
    now: str
    """What holds now."""
    sources: tuple[str, ...]
    """Ids of the sources of what holds now."""
    reason: str = ""
    """Why that differs from what the guide says; empty where it doesn't."""
    note: str = ""
    """How certain that is, where it isn't."""

    @property
    def holds(self) -> bool:
        """Can one still go by it?"""
        return self.verdict == "true"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a profile comes from."""

    kind: str
    """"project", "host" (/etc/gpu-bringup/profiles) or "folder" (--profiles)."""
    file: str
    """The file that it stands in."""
    extends: tuple[str, ...] = ()
    """The profiles that it builds on, nearest first."""
    inherited: tuple[tuple[str, str], ...] = ()
    """(field, id of the profile that its value comes from)."""
    replaces: bool = False
    """It takes the place of a profile of the same id in an earlier folder."""
