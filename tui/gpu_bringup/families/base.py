"""What the rungs may ask of a distribution: names and commands, never an apt or dnf of their own.

Everything here is pure: facts and names in, packages, commands and files out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import DriverPackage, PackageRepository
    from gpu_bringup.model.facts import Facts, Kernel, OsFacts, Repository
    from gpu_bringup.model.plan import Command, Write


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the package manager says it would do, without doing it."""

    ok: bool
    installs: tuple[tuple[str, str], ...] = ()
    """(package, version) newly installed or upgraded."""
    removes: tuple[str, ...] = ()
    download_bytes: int | None = None
    installed_bytes: int | None = None
    error: str = ""
    """First line that says why it can't, in its own words."""


@dataclass(frozen=True, slots=True)
class Change:
    """A piece of a step: files to write, commands to run, how to take it back."""

    writes: tuple[Write, ...] = ()
    commands: tuple[Command, ...] = ()
    undo: tuple[Command, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.writes or self.commands)


class PackageManager(Protocol):
    """apt, dnf or zypper."""

    @property
    def name(self) -> str:
        """ "apt", "dnf", "zypper"."""

    def refresh(self) -> Command:
        """Read the repositories' indexes anew."""

    def install(self, packages: Sequence[str]) -> Command:
        """Install packages ("name" or "name=version"), without recommended ones, asking nothing."""

    def remove(self, packages: Sequence[str]) -> Command:
        """Remove packages, their configuration as well."""

    def reinstall(self, packages: Sequence[str]) -> Command:
        """Install the same version again."""

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv that says what ``install`` would do; changes nothing, needs no root."""

    def parse_simulation(self, status: int, output: str) -> Resolution:
        """Understand what ``simulate`` printed."""

    def mend(self) -> tuple[Command, ...]:
        """Finish an interrupted transaction and unmet dependencies."""

    def hold(self, packages: Sequence[str]) -> Command:
        """Keep packages at their version."""

    def unhold(self, packages: Sequence[str]) -> Command:
        """Take ``hold`` back."""

    @property
    def hold_tools(self) -> tuple[str, ...]:
        """Packages that ``hold`` itself needs; empty where it is built in."""

    def sizes_argv(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv that says how much ``install`` would download and keep; changes nothing."""

    def parse_sizes(self, status: int, output: str) -> tuple[int | None, int | None]:
        """(bytes to download, bytes more on disk after it) as ``sizes_argv`` printed them."""


@dataclass(frozen=True, slots=True)
class SigningScheme:
    """Which key the modules of a host of this family are signed with, and by what."""

    kind: str
    """As ``SigningKey.kind``."""
    key_path: str
    certificate_path: str
    packages: tuple[str, ...]
    """Needed to make the key, to sign and to enrol."""
    make_key: tuple[Command, ...]
    """Makes the pair when it isn't there; empty: dkms does it at its next build."""
    enrol: Command
    """Asks the firmware for enrolment at the next boot; prompts for a one-time password."""
    revoke: Command | None = None
    """Takes the request back as long as nobody has confirmed it (mokutil(1), --revoke-import)."""
    writes: tuple[Write, ...] = ()
    """Files that make dkms sign where it doesn't by itself; ``make_key`` then keeps a key that is there."""
    undo: tuple[Command, ...] = ()
    """Takes back what ``make_key`` changed in dkms's configuration; the key stays."""


class Family(Protocol):
    """One distribution family on one package manager."""

    @property
    def id(self) -> str:
        """ "debian", "ubuntu", "rhel", "suse", "amazon", "fedora"."""

    @property
    def manager(self) -> PackageManager: ...

    def header_packages(self, release: str) -> tuple[str, ...]:
        """Packages with the build tree of exactly this kernel release."""

    def header_meta_packages(self, release: str, facts: Facts) -> tuple[str, ...]:
        """Meta packages that bring the headers along with every later kernel; may be empty."""

    def kernel_meta_packages(self, release: str) -> tuple[str, ...]:
        """Meta packages that bring new kernels of this flavour."""

    def kernel_hold_packages(self, release: str) -> tuple[str, ...]:
        """Packages that must be held for this kernel to stay: its metas and what they move."""

    def compiler_packages(self, kernel: Kernel | None) -> tuple[str, ...]:
        """The compiler that built this kernel, make, and what a module build needs besides."""

    def build_environment(self, release: str) -> tuple[tuple[str, str], ...]:
        """Environment that dkms needs to find this kernel's compiler; mostly empty."""

    def build_packages(self) -> tuple[str, ...]:
        """dkms and what it needs to build and sign."""

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """Concrete packages ("name" or "name=version") of a headless install for these kernels."""

    def followers(self, package: DriverPackage) -> tuple[str, ...]:
        """Driver packages that take the version of the module once that is installed.

        Empty where the package manager's own dependencies see to it, or the version is known.
        """

    def install_following(
        self, package: DriverPackage, names: Sequence[str], kernels: Sequence[str]
    ) -> Change:
        """Install ``names`` ("name=": in the version of the installed module package).

        Empty where the family can't do that.
        """

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """Build or fetch the modules again for one kernel release (dkms, akmods, prebuilt, KMP)."""

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """Archive components that are needed and not on ("contrib", "non-free")."""

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Switch archive components on, keeping everything else in the files as it is.

        ``files``: path -> text of the source files that the host has.
        """

    def add_repository(self, repository: PackageRepository, os: OsFacts) -> Change:
        """Add a foreign repository whose key is pinned by fingerprint."""

    def blacklist_competitors(self) -> Change:
        """Keep nouveau and nova from winning the next boot (modprobe.d; not the initramfs)."""

    def rebuild_initramfs(self, release: str) -> Command: ...

    def signing(self, facts: Facts) -> SigningScheme:
        """The signing scheme that this host uses already, else the family's usual one."""

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """Fabric manager (and nvlsm, imex) of exactly the driver's version.

        ``source``: ``DriverPackage.source``; where it is empty, the family's usual one.
        """

    def container_packages(self) -> tuple[str, ...]:
        """The container toolkit's packages."""

    def services(self) -> dict[str, str]:
        """Our names -> unit names ("persistenced" -> "nvidia-persistenced.service")."""

    def guard_packages(self, package: DriverPackage, facts: Facts) -> tuple[str, ...]:
        """Installed packages that must be held as one set so that nothing moves alone."""

    def prepare_branch(self, package: DriverPackage) -> Change:
        """What must happen before the driver is installed so that its branch is the one offered.

        A pinning package, a module stream, a version lock; empty where the names carry the branch.
        """

    def module_meta_packages(
        self, package: DriverPackage, release: str, facts: Facts
    ) -> tuple[str, ...]:
        """Meta packages that bring prebuilt modules along with later kernels; usually empty."""

    def unattended_guard(self, packages: Sequence[str]) -> Change:
        """Keep unattended upgrades off these packages without holding them from an operator.

        Empty where the family has no such thing.
        """
