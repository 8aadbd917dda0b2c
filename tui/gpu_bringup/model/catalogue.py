"""What the project knows of the field: entries of ``profiles/``, each with its sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from gpu_bringup.model.advice import Advice, VoidSetting
from gpu_bringup.model.boards import ArchiveFabric, Chip, System
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.guide import GuideClaim, Origin
from gpu_bringup.model.kernels import KernelAbi, PackageLimit, VendorKernel
from gpu_bringup.model.software import Framework as Framework
from gpu_bringup.model.software import Toolkit as Toolkit
from gpu_bringup.model.stack import Stack


@dataclass(frozen=True, slots=True)
class Source:
    """Where an entry's facts come from, and when that was read."""

    id: str
    """Name that entries refer to it by."""
    title: str
    """What it is, for people."""
    url: str
    """Its address; empty: it has none."""
    read: date
    """Day on which it was read."""
    about: str = ""
    """"names" or "figures": it speaks of what boards are called or how fast they are, which no rule
    asks; empty: it may speak for a rule."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """A generation of GPUs: what places a board that the list of boards doesn't have."""

    id: str
    """"hopper", "blackwell-ultra"."""
    name: str
    """Name as people say it."""
    compute_capabilities: tuple[str, ...]
    """Of its chips, such as "9.0"."""
    pci_ranges: tuple[tuple[int, int], ...]
    """Device ids (first, last) that place an unlisted board."""
    open_modules: str
    """"required", "supported", "unsupported"."""
    first_branch: str
    """First driver branch known to serve it."""
    last_branch: str | None
    """Last driver branch that serves it; None: still served."""
    first_cuda: str
    """First CUDA version that compiles for it; empty: it is older than CUDA."""
    last_cuda: str | None
    """Last CUDA version that compiles for it; None: still supported."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A board of the catalogue."""

    id: str
    """Short name, unique."""
    name: str
    """Name of the board."""
    aliases: tuple[str, ...]
    """Names people type: "h100", "h200", "b200"."""
    pci_ids: tuple[str, ...]
    """Vendor and device id, such as "10de:2330"."""
    architecture: str
    """Id of its architecture."""
    compute_capability: str
    """Such as "9.0"."""
    first_driver: str | None
    """First driver version whose supported list names it; None: not known, use the architecture's."""
    open_modules: str
    """ "required", "supported", "unsupported"."""
    fabric: str
    """"none", "fabricmanager", "fabricmanager+nvlsm", "imex", "nvswitch-board", "unknown"."""
    memory_gb: float | None
    """Nominal memory of one GPU, GB; None: not known."""
    data_centre: bool
    """A board for servers, not for desks."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    memory_bandwidth_gbs: float | None = None
    """Vendor's figure, GB/s (10^9)."""
    pcie_generation: int | None = None
    """Generation of its PCIe link; None: not known."""
    subsystem_ids: tuple[str, ...] = ()
    """Vendor and device id of the subsystem, where boards share a device id."""
    last_branch: str | None = None
    """Last driver branch that serves it, where that is older than its architecture's; None: the same."""
    open_first: str | None = None
    """First driver whose open modules list it, where that is later than the board; None: no such."""
    not_listed: tuple[str, ...] = ()
    """Releases later than the first one whose lists of supported boards leave it out."""
    host_arch: str = ""
    """Machine name of the only hosts that it comes in ("aarch64": Grace); empty: any."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class DriverRelease:
    """One point release of the driver."""

    version: str
    """Such as "580.178.04"."""
    released: date | None
    """Day of release; None: not known."""
    security_fix: bool
    """Carries the fixes of the newest bulletin known for its branch."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    channel: str = ""
    """"data-centre" (NVIDIA's data-centre releases and repositories), "public" (the public download
    only), "beta"; empty: not known."""


@dataclass(frozen=True, slots=True)
class Branch:
    """A driver branch and how long it is supported."""

    id: str
    """"580"."""
    type: str
    """"lts", "production", "new-feature", "unknown"."""
    first_release: str
    """First release known."""
    last_release: str
    """Last release known."""
    end_of_support: date | None
    """Last day of support; None: not known."""
    status: str
    """"supported", "ended", "unknown"."""
    cuda: str
    """Highest CUDA version that it serves natively."""
    flavours: tuple[Flavour, ...]
    """Kinds of kernel modules that it ships."""
    security_floor: str | None
    """Lowest release with the fixes of the newest security bulletin known; None: not known."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    type_certain: bool = True
    """False: the type is a guess that no source confirms."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class KernelLimit:
    """Newest upstream kernel series that a driver version is known to build on."""

    driver: str
    """Driver version that it was found for."""
    flavour: Flavour | None
    """Kind of modules; None: both."""
    newest: str
    """"6.12", or with a sublevel "6.6.14"."""
    certainty: str
    """ "high", "medium", "low"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class StableBreak:
    """A change of the kernel's API that breaks drivers without a fix for it."""

    id: str
    """Short name, unique."""
    symptom: str
    """First error of the failing build; empty: its words aren't known."""
    flavour: Flavour | None
    """Kind of modules that fails; None: both."""
    mainline: str
    """Upstream series that brought the change."""
    series: tuple[tuple[str, int, int], ...]
    """Long-term series that took it over: (series, last sublevel known good, first known bad).

    Between the two it is unknown. -1 stands for a number that isn't known: (series, -1, -1) says that
    the series took the change over, but not when, so that every sublevel of it is uncertain, and
    (series, good, -1) that every sublevel above the good one is.
    """
    fixed: tuple[tuple[str, str], ...]
    """(branch, which of its releases have the fix).

    "580.126.09": that one and all newer ones; "all"; "never"; "unknown"; "..580.65.06": from there on, of
    older ones it isn't known; "535.183.01..535.216.01": not up to the first, from the second on, between
    them it isn't known; "590.48.01..": not up to that one, of newer ones it isn't known.
    """
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    vendors: tuple[str, ...] = ()
    """Vendor kernels that have it: "6.12.0-254.el10" stands for that build of el10 and all later ones."""
    healed: tuple[tuple[str, int], ...] = ()
    """(series, first sublevel that is known to be without it again); a series as new as ``mainline``
    or newer stands for itself and all newer ones. Below it only the first bad sublevel is sure."""
    ubuntu: tuple[tuple[str, int], ...] = ()
    """(series, ABI number of a -generic kernel of Ubuntu's that is known to be older than the change)."""


@dataclass(frozen=True, slots=True)
class Build:
    """A build that somebody really made: outranks every limit."""

    driver: str
    """Driver version that was built."""
    package: str
    """Version of the distribution's package; empty: NVIDIA's own source."""
    flavour: Flavour
    """Kind of modules."""
    kernel: str
    """Upstream version ("6.12.107") or exact release."""
    passed: bool
    """Did it compile."""
    error: str
    """First error; empty where it passed."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""


@dataclass(frozen=True, slots=True)
class DriverPackage:
    """A way to install one driver on one distribution release."""

    id: str
    """Short name, unique."""
    source: str
    """"distribution", "nvidia-repository"."""
    branch: str
    """Id of the driver branch."""
    version: str
    """Driver version; empty: the newest of the branch that the repository has."""
    package_version: str
    """Exact version of the package; empty: the newest that the source has."""
    flavour: Flavour
    """Kind of modules."""
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
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    suite: str = ""
    """Suite of the distribution's archive that has it (backports); empty: the usual ones."""
    branch_certain: bool = True
    """False: no source confirms that this package carries that branch; its note says why."""
    os: tuple[str, ...] = ()
    """Ids of the systems among those of its release that have it; empty: all of them."""
    arches: tuple[str, ...] = ()
    """Machine names that it exists for, where a source tells; empty: not known."""

    def __hash__(self) -> int:
        return hash((self.id, self.version, self.package_version))


@dataclass(frozen=True, slots=True)
class PackageRepository:
    """A repository that isn't the distribution's, with the fingerprints of its signing keys."""

    id: str
    """Short name, unique."""
    name: str
    """Name for people."""
    uri: str
    """{distro} and {arch} are filled in."""
    suite: str
    """Suite of an apt source; "/" for a flat one."""
    key_uri: str
    """Address of its signing key."""
    fingerprints: tuple[str, ...]
    """Of the keys that may sign it: 40 hexadecimal digits each."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    format: str = ""
    """"apt", "rpm": whose package manager reads it."""


@dataclass(frozen=True, slots=True)
class DistributionRelease:
    """A release of a distribution and the drivers that can be had for it."""

    os_id: str
    """ID of /etc/os-release."""
    version: str
    """VERSION_ID of /etc/os-release, or its major part."""
    codename: str
    """Such as "trixie"; empty: none."""
    name: str
    """Name for people."""
    family: str
    """"debian", "ubuntu", "rhel", "suse", "amazon", "fedora"."""
    kernel: str
    """Upstream series of its standard kernel, or the vendor's release number."""
    end_of_support: date | None
    """Last day of support, long-term support included; None: not known."""
    nvidia_distro: str
    """Its name in NVIDIA's repository ("debian13"); empty: none."""
    drivers: tuple[DriverPackage, ...]
    """Ways to install a driver on it."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
    nvidia_arches: tuple[str, ...] = ()
    """Machine names that NVIDIA documents its repository for this release for; empty: not known."""
    compilers: tuple[str, ...] = ()
    """Compilers that its archive has as packages ("gcc-12"); empty: not known."""

    def __hash__(self) -> int:
        return hash((self.os_id, self.version, self.name))


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a server is for: which branches are preferred and what must stand at the end."""

    id: str
    """Name that people type."""
    title: str
    """Title for people."""
    summary: str
    """What such a server is for, in a sentence or two."""
    branch_types: tuple[str, ...]
    """Accepted branch types, best first."""
    min_support_months: int
    """Support that the driver branch must have left, months."""
    containers: bool
    """Must containers get at the GPUs."""
    hold: bool
    """Hold kernel and driver against unattended upgrades."""
    extras: tuple[str, ...]
    """What else must be installed, such as "container-toolkit"."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    pinned_driver: str = ""
    """Driver version that it insists on; empty: none."""
    os: tuple[str, ...] = ()
    """Ids of distributions that it fits ("rhel"), or releases ("rhel:9"); empty: all."""
    guide: str = ""
    """What the selection guide of 2024-25 named here, in a sentence."""
    guide_difference: str = ""
    """What has changed since that guide, in a sentence or two."""
    extends: str = ""
    """Id of the profile whose values it takes over where it has none of its own; empty: none."""
    add_extras: tuple[str, ...] = ()
    """What must be installed besides the extras of the profile that it extends."""
    pinned_kernel: str = ""
    """Kernel series ("6.12") or release that it insists on; empty: none."""
    pinned_cuda: str = ""
    """CUDA version that it insists on; empty: none."""
    guide_driver: str = ""
    """Driver version that the guide named; can be asked for as a pin."""
    guide_kernel: tuple[str, ...] = ()
    """Kernel series or releases that the guide named."""
    guide_cuda: str = ""
    """CUDA version that the guide named; empty: none."""
    guide_os: str = ""
    """System that the guide named ("rhel:9.4"); empty: none."""
    claims: tuple[GuideClaim, ...] = ()
    """What the guide claims of such a server, each with what holds now."""

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Everything that is known of the field."""

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
    claims: tuple[GuideClaim, ...] = ()
    """What the selection guide of 2024-25 claims besides what its scenarios carry."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """Scenario id -> where it comes from."""
    stack: Stack = field(default_factory=Stack)
    """Bulletins, known faults, companions of the driver, base images, forward compatibility."""
    chips: tuple[Chip, ...] = ()
    """Chips with their PCI ids and the names of their boards."""
    systems: tuple[System, ...] = ()
    """Machines whose GPUs share an NVLink fabric."""
    archives: tuple[ArchiveFabric, ...] = ()
    """Software of NVLink fabrics in distributions' own archives."""
    kernel_abis: tuple[KernelAbi, ...] = ()
    """What ABI numbers of kernel releases stand for."""
    package_limits: tuple[PackageLimit, ...] = ()
    """Distributions' patched driver packages and the kernels that their patches are for."""
    vendor_kernels: tuple[VendorKernel, ...] = ()
    """Vendor kernels and the drivers that are known to build on them."""

    def __hash__(self) -> int:
        # It is large and never changes: what was worked out from one may be kept by its identity.
        return id(self)

    advice: tuple[Advice, ...] = ()
    """Tuning advice."""
    void_settings: tuple[VoidSetting, ...] = ()
    """Environment variables that nothing reads."""


@dataclass(frozen=True, slots=True)
class NvSwitch:
    """A PCI function that says "this is an NVSwitch system"."""

    pci_id: str
    """Vendor and device id."""
    name: str
    """Name for people."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""


@dataclass(frozen=True, slots=True)
class KernelSeries:
    """An upstream kernel series and its end of life (None: not known)."""

    series: str
    """Such as "6.12"."""
    long_term: bool
    """Maintained for years upstream."""
    end_of_life: date | None
    """Last day of upstream maintenance; None: not known."""
    sources: tuple[str, ...]
    """Ids of the sources of these facts."""
    note: str = ""
    """Anything else worth knowing, in a sentence or two."""
