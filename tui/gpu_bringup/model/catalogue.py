"""What the project knows of the field: entries of ``profiles/``, each with its sources."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gpu_bringup.model.facts import Flavour


@dataclass(frozen=True, slots=True)
class Source:
    """Where an entry's facts come from, and when that was read."""

    id: str
    title: str
    url: str
    read: date


@dataclass(frozen=True, slots=True)
class Architecture:
    id: str
    """"hopper", "blackwell-ultra"."""
    name: str
    compute_capabilities: tuple[str, ...]
    pci_ranges: tuple[tuple[int, int], ...]
    """Device ids (first, last) that place an unlisted board."""
    open_modules: str
    """"required", "supported", "unsupported"."""
    first_branch: str
    last_branch: str | None
    """Last driver branch that serves it; None: still served."""
    first_cuda: str
    last_cuda: str | None
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A board of the catalogue."""

    id: str
    name: str
    aliases: tuple[str, ...]
    """Names people type: "h100", "h200", "b200"."""
    pci_ids: tuple[str, ...]
    architecture: str
    compute_capability: str
    first_driver: str | None
    """First driver version whose supported list names it; None: not known, use the architecture's."""
    open_modules: str
    fabric: str
    """"none", "fabricmanager", "fabricmanager+nvlsm", "imex", "nvswitch-board", "unknown"."""
    memory_gb: float | None
    data_centre: bool
    sources: tuple[str, ...]
    note: str = ""
    memory_bandwidth_gbs: float | None = None
    """Vendor's figure, GB/s (10^9)."""
    pcie_generation: int | None = None
    subsystem_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DriverRelease:
    version: str
    released: date | None
    security_fix: bool
    """Carries the fixes of the newest bulletin known for its branch."""
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Branch:
    id: str
    """"580"."""
    type: str
    """"lts", "production", "new-feature", "unknown"."""
    first_release: str
    last_release: str
    end_of_support: date | None
    """Last day of support; None: not known."""
    status: str
    """"supported", "ended", "unknown"."""
    cuda: str
    """Highest CUDA version that it serves natively."""
    flavours: tuple[Flavour, ...]
    security_floor: str | None
    sources: tuple[str, ...]
    note: str = ""
    type_certain: bool = True


@dataclass(frozen=True, slots=True)
class Toolkit:
    version: str
    released: date | None
    driver: str
    """Driver for the full feature set."""
    minor_driver: str
    """Lowest driver under minor-version compatibility."""
    cc_min: str
    cc_max: str
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class KernelLimit:
    """Newest upstream kernel series that a driver version is known to build on."""

    driver: str
    flavour: Flavour | None
    newest: str
    """"6.12", or with a sublevel "6.6.14"."""
    certainty: str
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class StableBreak:
    """An API change that was taken over into long-term kernels: the sublevel decides."""

    id: str
    symptom: str
    flavour: Flavour
    mainline: str
    series: tuple[tuple[str, int, int], ...]
    """(series, last sublevel known good, first sublevel known bad): between them it is unknown."""
    fixed: tuple[tuple[str, str], ...]
    """(branch, first fixed version, "all" or "never")."""
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """A build that somebody really made: outranks every limit."""

    driver: str
    package: str
    flavour: Flavour
    kernel: str
    """Upstream version ("6.12.107") or exact release."""
    passed: bool
    error: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DriverPackage:
    """A way to install one driver on one distribution release."""

    id: str
    source: str
    """"distribution", "nvidia-repository"."""
    branch: str
    version: str
    """Driver version; empty: the newest of the branch that the repository has."""
    package_version: str
    flavour: Flavour
    route: str
    """"dkms", "prebuilt"."""
    kernel_package: str
    """The package with the modules or their source; {kernel} stands for the kernel release."""
    packages: tuple[str, ...]
    """All packages of a headless install, kernel_package included."""
    components: tuple[str, ...]
    """Archive components that must be on."""
    repository: str
    """Id of the repository that has it; empty: the distribution's own archive."""
    pin: tuple[str, ...]
    """Packages that keep the branch (nvidia-driver-pinning-580)."""
    module_names: tuple[str, ...]
    """File stems of its modules ("nvidia-current-open", …)."""
    sources: tuple[str, ...]
    note: str = ""
    suite: str = ""


@dataclass(frozen=True, slots=True)
class PackageRepository:
    """A repository that isn't the distribution's, with the fingerprints of its signing keys."""

    id: str
    name: str
    uri: str
    """{distro} and {arch} are filled in."""
    suite: str
    key_uri: str
    fingerprints: tuple[str, ...]
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class DistributionRelease:
    os_id: str
    version: str
    codename: str
    name: str
    family: str
    """"debian", "ubuntu", "rhel", "suse", "amazon", "fedora"."""
    kernel: str
    """Upstream series of its standard kernel, or the vendor's release number."""
    end_of_support: date | None
    nvidia_distro: str
    """Its name in NVIDIA's repository ("debian13"); empty: none."""
    drivers: tuple[DriverPackage, ...]
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Framework:
    id: str
    name: str
    version: str
    released: date | None
    cuda: str
    """CUDA version its default wheels or images are built for."""
    driver_min: str
    sources: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a server is for: which branches are preferred and what must stand at the end."""

    id: str
    title: str
    summary: str
    branch_types: tuple[str, ...]
    """Accepted branch types, best first."""
    min_support_months: int
    containers: bool
    hold: bool
    """Hold kernel and driver against unattended upgrades."""
    extras: tuple[str, ...]
    sources: tuple[str, ...]
    pinned_driver: str = ""
    os: tuple[str, ...] = ()
    guide: str = ""
    """What the selection guide of 2024-25 named here."""
    guide_difference: str = ""


@dataclass(frozen=True, slots=True)
class Catalogue:
    sources: dict[str, Source]
    architectures: dict[str, Architecture]
    gpus: tuple[Gpu, ...]
    nvswitch_ids: tuple[str, ...]
    branches: dict[str, Branch]
    releases: dict[str, DriverRelease]
    toolkits: tuple[Toolkit, ...]
    kernel_limits: tuple[KernelLimit, ...]
    stable_breaks: tuple[StableBreak, ...]
    builds: tuple[Build, ...]
    distributions: tuple[DistributionRelease, ...]
    repositories: dict[str, PackageRepository]
    frameworks: tuple[Framework, ...]
    scenarios: dict[str, Scenario]
    kernel_series_end: dict[str, date]
    """Upstream end of life of a kernel series ("6.12")."""
    as_of: date
