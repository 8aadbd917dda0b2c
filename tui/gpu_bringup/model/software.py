"""What runs on the driver: CUDA toolkits and inference frameworks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Toolkit:
    """A CUDA toolkit and the drivers that serve it."""

    version: str
    """Such as "12.9"."""
    released: date | None
    """Day of release; None: not known."""
    driver: str
    """Driver for the full feature set."""
    minor_driver: str
    """Lowest driver under minor-version compatibility."""
    cc_min: str
    """Lowest compute capability that it compiles for."""
    cc_max: str
    """Highest compute capability that it compiles for."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    updates: tuple[tuple[str, str], ...] = ()
    """(version of an update such as "12.4.1", driver for its full feature set)."""
    gcc_max: str = ""
    """Newest major version of gcc that its compiler takes; empty: not known."""
    driver_certain: bool = True
    """False: no table that was read names its driver; the note says how it was inferred."""


@dataclass(frozen=True, slots=True)
class Framework:
    """A release of an inference framework and what its default wheels need."""

    id: str
    """Name that people type, such as "vllm"."""
    name: str
    """Name for people."""
    version: str
    """Release of the framework."""
    released: date | None
    """Day of release; None: not known."""
    cuda: str
    """CUDA version its default wheels or images are built for."""
    driver_min: str
    """Lowest driver version that runs it."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    torch: str = ""
    """Version of torch that it requires; empty: none, or not known."""
    cc_min: str = ""
    """Lowest compute capability that its default wheels or images have code for; empty: not known."""
    cc_max: str = ""
    """Highest compute capability that they have code for; empty: not known."""
    image: str = ""
    """Container image of that release; empty: none on record."""
    forward_branches: tuple[str, ...] = ()
    """Older driver branches that its image's own cuda-compat is said to serve on data-centre boards."""
