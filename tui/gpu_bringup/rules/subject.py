"""What rules look at: one host with a wish (``Subject``), one way to fulfil it (``Candidate``)."""

from __future__ import annotations

from calendar import month_name
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.answers import Answers, SourceKind
from gpu_bringup.model.target import Reason, Verdict

if TYPE_CHECKING:
    from datetime import date

    from gpu_bringup.model.catalogue import (
        Architecture,
        Branch,
        Catalogue,
        DistributionRelease,
        DriverPackage,
        Framework,
        Gpu,
        Scenario,
    )
    from gpu_bringup.model.enums import Flavour
    from gpu_bringup.model.trial import BuildEvidence
    from gpu_bringup.model.versions import UpstreamKernel


@dataclass(frozen=True, slots=True)
class Board:
    """A GPU to serve: from the catalogue, placed by its PCI id, or wholly unknown."""

    name: str
    pci_id: str = ""
    gpu: Gpu | None = None
    architecture: Architecture | None = None
    count: int = 1
    vgpu: bool = False
    """A hypervisor's slice of a board (NVIDIA vGPU), not a board."""

    @property
    def last_branch(self) -> str | None:
        """Last driver branch that serves it; None: still served, or not known."""
        if self.gpu is not None and self.gpu.last_branch:
            return self.gpu.last_branch
        return self.architecture.last_branch if self.architecture is not None else None

    @property
    def open_modules(self) -> str:
        """ "required", "supported", "unsupported", or "unknown"."""
        if self.gpu is not None and self.gpu.open_modules:
            return self.gpu.open_modules
        return self.architecture.open_modules if self.architecture is not None else "unknown"

    @property
    def fabric(self) -> str:
        return self.gpu.fabric if self.gpu is not None else "unknown"

    @property
    def sources(self) -> tuple[str, ...]:
        """Ids of the catalogue's sources for this board."""
        own = self.gpu.sources if self.gpu is not None else ()
        return own + (self.architecture.sources if self.architecture is not None else ())


@dataclass(frozen=True, slots=True)
class TargetKernel:
    """A kernel that the driver must work on."""

    release: str
    """Empty: none was named; ``upstream`` then is the distribution's standard series."""
    upstream: UpstreamKernel | None
    vendor: str = ""
    """ "rhel" or "suse": its number says nothing about its API; empty: it follows upstream."""
    realtime: bool = False
    stable_patches: str = ""
    """Name of a distribution that takes stable patches over without saying so in the release."""
    foreign: str = ""
    """Whose kernel it is, where it carries patches that nobody here has looked at; empty: nobody's."""
    compiler: str = ""
    """The command that built it, such as "gcc-12"; empty: not known."""
    compiler_present: bool | None = None
    """Is that compiler installed? None: not looked."""

    @property
    def label(self) -> str:
        """Words for it: the release, with the upstream version where the release hides it."""
        if not self.release:
            return f"Linux {self.upstream.series}" if self.upstream else "the kernel"
        version = self.version
        if version and not self.release.startswith(version):
            return f"{self.release} (Linux {version})"
        return self.release

    @property
    def version(self) -> str:
        """Upstream version with its sublevel, "6.12.107"; empty where that isn't known."""
        if self.upstream is None or self.upstream.sublevel is None or self.vendor:
            return ""
        return f"{self.upstream.series}.{self.upstream.sublevel}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One driver from one place in one flavour."""

    package: DriverPackage
    version: str
    flavour: Flavour
    branch: Branch | None
    source_kind: str
    """ "distribution", "nvidia-repository", "local", or empty: nobody is known to offer it."""
    pinned: bool = False
    """The operator named this branch or version."""

    @property
    def label(self) -> str:
        return f"{self.version} {self.flavour.value}"

    @property
    def patched(self) -> bool:
        """Is it a distribution's own package, which may carry fixes of the distribution's?"""
        return self.package.source == "distribution"


@dataclass(frozen=True, slots=True)
class Subject:
    """A host and what is wanted of it."""

    catalogue: Catalogue
    answers: Answers
    scenario: Scenario
    distribution: DistributionRelease
    boards: tuple[Board, ...]
    kernels: tuple[TargetKernel, ...]
    secure_boot: bool | None
    """None: not known."""
    today: date
    frameworks: tuple[Framework, ...] = ()
    nvswitches: int | None = None
    """NVSwitches on the PCI bus; None: not looked."""
    nvlink5: bool | None = None
    evidence: tuple[BuildEvidence, ...] = ()
    notes: tuple[str, ...] = ()
    """What was noticed of the host itself and must be told."""
    strict: bool = False
    """A combination is judged, not wished for: naming a driver excuses nothing."""
    arch: str = ""
    """Machine name of the host ("x86_64", "aarch64"); empty: not known."""
    os_version: str = ""
    """The system's version as it was said ("9.4"), where the catalogue knows "9"; empty: not known."""

    def excused(self, candidate: Candidate) -> bool:
        """Did the operator insist on what makes this candidate old?

        Choosing the distribution's packages or naming a driver turns age into a warning.
        """
        if self.strict:
            return False
        return candidate.pinned or self.answers.source is SourceKind.DISTRIBUTION

    def insisted(self, candidate: Candidate) -> bool:
        """Did the operator name this very driver, and must have it whatever else it lacks?"""
        return candidate.pinned and not self.strict


Rule = Callable[[Subject, Candidate], Iterable[Reason]]


def urls(catalogue: Catalogue, ids: Iterable[str]) -> tuple[str, ...]:
    """The addresses (or titles) behind source ids, each once, in order.

    Sources of names and of figures (memory, bandwidth) say nothing for a rule, and are left out.
    """
    return _urls(catalogue, tuple(ids))


@lru_cache(maxsize=4096)
def _urls(catalogue: Catalogue, ids: tuple[str, ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for source_id in ids:
        source = catalogue.sources.get(source_id)
        if source is not None and source.about:
            continue
        text = (source.url or source.title) if source is not None else source_id
        if text:
            found[text] = None
    return tuple(found)


def ok(rule: str, detail: str, sources: tuple[str, ...] = ()) -> Reason:
    return Reason(rule, Verdict.OK, detail, sources, blocking=False)


def violated(
    rule: str, detail: str, sources: tuple[str, ...] = (), *, blocking: bool = True
) -> Reason:
    return Reason(rule, Verdict.VIOLATED, detail, sources, blocking)


def unknown(rule: str, detail: str, sources: tuple[str, ...] = ()) -> Reason:
    return Reason(rule, Verdict.UNKNOWN, detail, sources, blocking=False)


def month(day: date) -> str:
    """ "June 2028": end dates are known to the month at best."""
    return f"{month_name[day.month]} {day.year}"


def months_between(start: date, end: date) -> int:
    """Whole months from ``start`` to ``end``; negative when it has passed."""
    months = (end.year - start.year) * 12 + end.month - start.month
    return months - 1 if end.day < start.day else months


def join(words: Iterable[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    items = list(words)
    if len(items) < 2:
        return items[0] if items else ""
    return f"{', '.join(items[:-1])} {last} {items[-1]}"
