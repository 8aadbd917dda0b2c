"""Trial builds: what they report while they go on, and the evidence that they leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gpu_bringup.model.enums import Flavour


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """One thing that happened while candidates are proven."""

    kind: str
    """"candidate", "resolve", "fetch", "build", "progress", "result", "rejected", "chosen"."""
    candidate: str
    """Words for the candidate: "550.163.01 open (nvidia-open-kernel-dkms 550.163.01-2)"."""
    text: str
    kernel: str = ""
    passed: bool | None = None
    log: str = ""
    """Path of the build's log."""
    fraction: float | None = None
    """How far the build is, 0 to 1; None: not known."""

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "candidate": self.candidate,
            "text": self.text,
            "kernel": self.kernel,
            "passed": self.passed,
            "log": self.log,
        }


@dataclass(frozen=True, slots=True)
class BuildEvidence:
    """What one trial build showed; outranks the catalogue for exactly this combination."""

    package: str
    package_version: str
    driver: str
    flavour: Flavour
    kernel: str
    """Exact kernel release."""
    compiler: str
    passed: bool
    first_error: str
    time: str
    """ISO 8601, UTC."""
    log: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "package": self.package,
            "package_version": self.package_version,
            "driver": self.driver,
            "flavour": self.flavour.value,
            "kernel": self.kernel,
            "compiler": self.compiler,
            "passed": self.passed,
            "first_error": self.first_error,
            "time": self.time,
            "log": self.log,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BuildEvidence:
        return cls(**{**data, "flavour": Flavour(data["flavour"])})
