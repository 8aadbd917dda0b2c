"""The wish: what shall stand on the host, and why. Made by ``recommend``, read by ladder and plan."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.catalogue import DriverPackage
from gpu_bringup.model.enums import Flavour

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(str, Enum):
    OK = "ok"
    VIOLATED = "violated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule applied to one candidate."""

    rule: str
    verdict: Verdict
    detail: str
    sources: tuple[str, ...] = ()
    blocking: bool = True
    """A violated rule that only warns (an ended branch that the operator chose) blocks nothing."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "verdict": self.verdict.value,
            "detail": self.detail,
            "sources": list(self.sources),
            "blocking": self.blocking,
        }


@dataclass(frozen=True, slots=True)
class DriverChoice:
    """A driver and its kind of kernel modules."""

    branch: str
    version: str
    flavour: Flavour

    def to_json(self) -> dict[str, Any]:
        return {"branch": self.branch, "version": self.version, "flavour": self.flavour.value}


def fill_kernels(names: Iterable[str], kernels: Iterable[str]) -> tuple[str, ...]:
    """Package names with each kernel release filled in; "KERNEL" stands for one that isn't known."""
    # A series ("5.15") is no release: no package is named after it.
    releases = [name for name in kernels if not re.fullmatch(r"(?:\d+\.\d+)?", name)] or ["KERNEL"]
    found: list[str] = []
    for name in names:
        each = releases if "{kernel}" in name else releases[:1]
        found += [name.replace("{kernel}", release) for release in each]
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class Target:
    """What shall stand on a host."""

    scenario: str
    gpus: tuple[str, ...]
    """Catalogue names, for words on the screen."""
    kernels: tuple[str, ...]
    """Releases that the driver must work on."""
    keep_kernel: bool
    driver: DriverChoice
    package: DriverPackage
    cuda: str
    """CUDA version to use with it ("13.0")."""
    extras: tuple[str, ...] = ()
    containers: bool = False
    fabric: str = "none"
    """"none", "fabricmanager", "fabricmanager+nvlsm", "imex"."""
    hold: bool = True
    prepare_only: bool = False
    """The kernel isn't the running one (image, chroot): what runs is seen at its first boot."""
    source_kind: str = "distribution"
    local_packages: str = ""
    signing_key: str = ""
    """The operator's own signing key (path or pkcs11: URI); empty: the host's scheme."""
    signing_certificate: str = ""
    instead: str = ""
    """Why this driver takes the place of the installed one, in a sentence; empty: it doesn't."""

    def on(self, kernels: tuple[str, ...], prepare_only: bool) -> Target:
        """The same for these kernels. ``dataclasses.replace`` takes twice the time, which counts where
        every candidate of every host of a fleet gets its target."""
        return Target(
            scenario=self.scenario,
            gpus=self.gpus,
            kernels=kernels,
            keep_kernel=self.keep_kernel,
            driver=self.driver,
            package=self.package,
            cuda=self.cuda,
            extras=self.extras,
            containers=self.containers,
            fabric=self.fabric,
            hold=self.hold,
            prepare_only=prepare_only,
            source_kind=self.source_kind,
            local_packages=self.local_packages,
            signing_key=self.signing_key,
            signing_certificate=self.signing_certificate,
        )

    @property
    def exact_package(self) -> DriverPackage:
        """The package with the chosen driver's version, where it is certain to carry it."""
        if self.package.version or not self.package.branch_certain:
            return self.package
        return replace(self.package, version=self.driver.version)

    @property
    def package_names(self) -> tuple[str, ...]:
        """The packages by name: one for each kernel where the name holds a release."""
        return fill_kernels(self.package.packages, self.kernels)

    def to_json(self) -> dict[str, Any]:
        return {
            "kernel": {
                "keep": self.keep_kernel,
                "release": self.kernels[0] if self.kernels else None,
                "releases": list(self.kernels),
            },
            "driver": {
                **self.driver.to_json(),
                **({} if self.package.branch_certain else {"certain": False}),
            },
            "cuda": {"toolkit": self.cuda},
            "source": {"kind": self.source_kind, "packages": list(self.package_names)},
            "extras": list(self.extras),
        }


@dataclass(frozen=True, slots=True)
class Assessment:
    """A candidate held against every rule."""

    target: Target
    reasons: tuple[Reason, ...]
    score: tuple[int, ...] = ()
    """Higher is better; only compared within one recommendation."""
    blocked_by: tuple[Reason, ...] = field(init=False, repr=False, compare=False)
    """Those of the reasons that stand against it."""

    def __post_init__(self) -> None:
        # Asked for again and again, of every candidate of every host.
        found = [r for r in self.reasons if r.blocking and r.verdict is Verdict.VIOLATED]
        object.__setattr__(self, "blocked_by", tuple(found))

    @property
    def why_not(self) -> str:
        """The reasons against it, in one text; empty when nothing blocks it."""
        return "; ".join(reason.detail for reason in self.blocked_by)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The choice, or why there is none."""

    status: str
    """"recommended" or "refused"."""
    profile: str
    chosen: Assessment | None
    alternatives: tuple[tuple[Assessment, str], ...] = ()
    """Other candidates and why each isn't the first choice, best first."""
    refusal: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    """What an operator must be told loudly (a branch past its end of support)."""
    trials: tuple[str, ...] = field(default=())
    """One sentence a trial build: what was compiled, for which kernel, with which result."""

    sizes: tuple[tuple[str, int, int], ...] = ()
    """(rung, bytes to download, bytes more on disk) of its install steps, where a trial told."""

    def to_json(self) -> dict[str, Any]:
        chosen = self.chosen
        return {
            "schema": 1,
            "status": self.status,
            "profile": self.profile,
            "target": chosen.target.to_json() if chosen else None,
            "reasons": [r.to_json() for r in (chosen.reasons if chosen else self.refusal)],
            "alternatives": [
                {
                    "driver": {
                        **assessment.target.driver.to_json(),
                        "source": assessment.target.source_kind,
                    },
                    "why_not": why,
                }
                for assessment, why in self.alternatives
            ],
            "notes": list(self.notes),
            "trials": list(self.trials),
        }
