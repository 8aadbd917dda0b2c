"""What a rung is given and what it gives back.

A rung is a module with ``RUNG = Rung(...)``: three pure functions over a ``Context``. ``check`` says
whether the layer holds, with evidence and, if not, causes; ``repair`` says which steps make it hold.
Neither does I/O, neither knows a distribution: ``Context.family`` gives names and commands.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.model.ladder import RungResult, State
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.families.base import Family
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts, Kernel
    from gpu_bringup.model.plan import Step
    from gpu_bringup.model.target import Target


@dataclass(frozen=True, slots=True)
class Context:
    """Everything a rung may look at."""

    facts: Facts
    catalogue: Catalogue
    target: Target | None = None
    """None: nothing to be installed was agreed on; the rung judges what is there."""
    family: Family | None = None
    """None: a distribution that isn't known; nothing can be repaired by package."""
    files: dict[str, str] = field(default_factory=dict)
    """Texts of the package manager's source files, by path, for careful editing."""
    below: tuple[RungResult, ...] = ()
    """Results of the rungs below, lowest first."""

    @property
    def broken_below(self) -> RungResult | None:
        """The lowest broken rung below, or None."""
        return next((r for r in self.below if r.state is State.BROKEN), None)

    @property
    def outside_driver(self) -> bool:
        """Is the driver provided by the platform, not by this system's packages?"""
        from gpu_bringup.model.enums import InstallMethod

        return self.facts.packages.method is InstallMethod.OUTSIDE

    @property
    def releases(self) -> tuple[str, ...]:
        """Kernel releases that the driver must work on: the target's, else running and next."""
        if self.target is not None and self.target.kernels:
            return self.target.kernels
        return relevant_kernels(self.facts)

    def kernels(self) -> tuple[tuple[str, Kernel | None], ...]:
        """(release, what is known of it) for each of ``releases``."""
        return tuple((release, self.facts.kernel(release)) for release in self.releases)


def relevant_kernels(facts: Facts) -> tuple[str, ...]:
    """Releases that matter: the running one, the default, a one-shot entry, every bootable one."""
    releases: list[str] = []
    if isinstance(facts.kernels.running, str):
        releases.append(facts.kernels.running)
    if not isinstance(facts.kernels.installed, Unknown):
        releases += [kernel.release for kernel in facts.kernels.installed if kernel.bootable]
    return tuple(dict.fromkeys(releases))


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung and the check of it."""

    id: str
    title: str
    holds_when: str
    """What must be true, in one sentence (shown as the rung's definition)."""
    teaches: str
    """What this layer is, for an operator who has never seen it."""
    check: Callable[[Context], RungResult]
    repair: Callable[[Context], tuple[Step, ...]]
