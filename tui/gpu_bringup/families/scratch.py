"""A package manager's private copy: resolve, download and unpack without changing the host.

Only what is written below the scratch folder differs from the host's own configuration, so what is
found here is what the real installation would find.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gpu_bringup.families.base import Resolution


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A folder that packages were unpacked to, as if it were ``/``."""

    root: Path
    packages: tuple[tuple[str, str], ...]
    """(package, version) that were unpacked."""
    error: str = ""


class Scratch(Protocol):
    """Made by a family for one host; see ``apt_scratch`` for the one on apt."""

    def prepare(self) -> str:
        """Read the indexes of the repositories as they will be. Returns what went wrong, or ""."""

    def resolve(self, packages: Sequence[str]) -> Resolution:
        """What installing these would do."""

    def unpack(self, packages: Sequence[str], *, wanted: Sequence[str] = ()) -> Unpacked:
        """Download these and whatever of their dependencies a build needs, and unpack them.

        ``wanted``: packages that must be unpacked even where they are installed already.
        """
