"""What stands around the driver: bulletins, known faults, companions, base images, compatibility.

Entries of ``profiles/catalogue/{bulletins,known_bad,stack,images,cuda}.toml``, each with its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gpu_bringup.model.enums import Flavour


@dataclass(frozen=True, slots=True)
class Bulletin:
    """A security bulletin: from which release on each branch has its fixes."""

    id: str
    """Number that the vendor gives it, such as "5861"."""
    title: str
    """What it is about, with its month where a source tells that."""
    component: str
    """"driver", or the id of the component of the stack that it is about."""
    published: date | None
    """Day of publication; None: no source that was read says it."""
    fixed: tuple[tuple[str, str], ...]
    """(driver branch, or series of a component; first version with the fixes)."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    complete: bool = True
    """It was read itself; False: only what a distribution's changelog says of it is known."""


@dataclass(frozen=True, slots=True)
class KnownBad:
    """A fault of released drivers: which, on what, what it looks like and what ends it."""

    id: str
    """Short name, unique."""
    first: str
    """First driver version that has it; of a branch that never had a good one, its first."""
    fixed: str
    """First driver version without it; empty: none is known."""
    symptom: str
    """What an operator sees, in a sentence."""
    certainty: str
    """"confirmed" (the vendor says so), "reported" (users do), "unverifiable" (a claim without evidence)."""
    scope: str
    """"server"; "desktop": needs a display, a laptop or suspend to be seen; "special": needs a host of
    an unusual kind, which its texts name (listed, but held against nobody)."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    last: str = ""
    """Last driver version that is known to have it; empty: up to the fix, or to the end of the branch."""
    flavour: Flavour | None = None
    """Kind of modules that has it; None: both, or not known."""
    architectures: tuple[str, ...] = ()
    """Ids of architectures that it was seen on; empty: not bound to any."""
    gpus: tuple[str, ...] = ()
    """Ids of boards that it was seen on; empty: not bound to any."""
    remedy: str = ""
    """What helps besides a newer driver; empty: nothing is known."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class Component:
    """A companion of the driver and what ties its version to the driver's."""

    id: str
    """Short name, unique, such as "fabricmanager"."""
    name: str
    """Name for people."""
    purpose: str
    """What it is for and who needs it, in a sentence."""
    follows: str
    """"driver" (exactly the driver's version), "branch" (a version for the driver's branch),
    "independent"."""
    latest: str
    """Newest version on record; empty: the driver's own, or not known."""
    released: date | None
    """Day of release of that version; None: not known."""
    minimum: str
    """Lowest version that is safe to run; empty: none is known."""
    minimum_why: str
    """Why no older one."""
    packages: tuple[tuple[str, str], ...]
    """(family of distributions, name of its package); {branch} and {version} are the driver's."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    service: str = ""
    """Name of its systemd unit; empty: it has none."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class ComponentRelease:
    """One release of a companion, where it matters which."""

    component: str
    """Id of the component."""
    version: str
    """Such as "26.7.0"."""
    released: date | None
    """Day of release; None: not known."""
    support: str
    """"supported", "deprecated", "ended", "unknown"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    drivers: tuple[str, ...] = ()
    """Driver versions that it was made for; empty: not bound to any, or not known."""
    default_driver: str = ""
    """Driver that it installs by itself; empty: none, or not known."""
    systems: tuple[str, ...] = ()
    """Systems that it supports ("ubuntu:24.04"); empty: not known."""
    kernels: tuple[str, ...] = ()
    """(system kernel branch, …) it has precompiled drivers for, such as "ubuntu:24.04 6.8 580"."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class ForwardCompatibility:
    """Older driver branches on which a toolkit runs by its cuda-compat package."""

    toolkit: str
    """CUDA version, such as "13.0"."""
    package: str
    """Name of the package, such as "cuda-compat-13-0"."""
    branches: tuple[str, ...]
    """Driver branches that NVIDIA names for it."""
    certainty: str
    """"high", "medium", "low"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """A tag of a container base image that somebody really uses."""

    repository: str
    """Such as "nvidia/cuda"."""
    tag: str
    """Such as "13.0.2-runtime-ubuntu24.04"."""
    cuda: str
    """CUDA version in it, such as "13.0"."""
    kind: str
    """"base" (runtime library only), "runtime" (all libraries), "devel" (compiler too)."""
    system: str
    """What it is built on, such as "ubuntu:24.04"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    cudnn: bool = False
    """cuDNN is in it."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything of this module that the catalogue has."""

    bulletins: tuple[Bulletin, ...] = ()
    """Newest first."""
    known_bad: tuple[KnownBad, ...] = ()
    components: tuple[Component, ...] = ()
    component_releases: tuple[ComponentRelease, ...] = ()
    forward: tuple[ForwardCompatibility, ...] = ()
    images: tuple[BaseImage, ...] = ()

    def component(self, name: str) -> Component | None:
        """The component of that id; None: not in the catalogue."""
        return next((item for item in self.components if item.id == name), None)
