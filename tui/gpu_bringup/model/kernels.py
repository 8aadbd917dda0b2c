"""What is known of single kernels: the version behind an ABI number, packages and vendors."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_bringup.model.enums import Flavour


@dataclass(frozen=True, slots=True)
class KernelAbi:
    """Kernel releases that carry an ABI number where others carry the sublevel."""

    series: str
    """Such as "6.1": of the releases 6.1.0-NN-…"""
    sublevels: tuple[tuple[int, int], ...]
    """(ABI number, upstream sublevel that a kernel of this ABI was last built from)."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class PackageLimit:
    """Newest upstream series that a distribution's patched driver package is made for."""

    package: str
    """Version of the package, such as "550.163.01-5.1"."""
    flavour: Flavour
    """Kind of modules that the package builds."""
    newest: str
    """Newest series that its patches are for: "7.0"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class VendorKernel:
    """A kernel whose number says nothing of its API, and the drivers that are known to build on it."""

    kernel: str
    """How its releases begin: "5.14.0-611" (RHEL 9.7), "6.4.0-150700" (SLES 15 SP7)."""
    name: str
    """The system that has it, for people: "RHEL 9.7"."""
    first: tuple[tuple[str, str], ...]
    """(branch, first release of it that is known to build on this kernel, in both flavours)."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    broken: tuple[tuple[str, str, Flavour], ...] = ()
    """(branch, last release of it that is known to fail on this kernel, its kind of modules)."""
    certainty: str = "medium"
    """ "high", "medium", "low": low says that nobody is known to have built it."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
