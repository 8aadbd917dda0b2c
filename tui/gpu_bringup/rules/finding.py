"""What is built, and one thing that speaks for or against it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.enums import Flavour
    from gpu_bringup.model.target import Verdict


@dataclass(frozen=True, slots=True)
class Module:
    """What shall be built."""

    driver: str
    flavour: Flavour
    package: DriverPackage | None = field(default=None, hash=False)
    """The package it comes in, where that is known: a distribution's own may carry patches."""
    packaged: bool = False
    """Is a distribution's package of this version meant, though it isn't known which?"""

    @property
    def label(self) -> str:
        return f"{self.driver} {self.flavour.value}"

    @property
    def patched(self) -> bool:
        return self.package is not None and self.package.source == "distribution"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that speaks for or against a build."""

    rule: str
    verdict: Verdict
    basis: str
    """ "host" (measured on this very host), "measured", "documented", "inferred", "none"."""
    detail: str
    sources: tuple[str, ...] = ()
    first_error: str = ""


def series_of(text: str) -> tuple[int, int]:
    """The series of a kernel version as a sort key: "6.6.14" -> (6, 6)."""
    key = driver_key(text)
    return (key[0], key[1] if len(key) > 1 else 0)
