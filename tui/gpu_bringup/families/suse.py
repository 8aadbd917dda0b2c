"""SUSE Linux Enterprise and openSUSE: zypper, modules as signed kernel module packages (KMP)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family, SigningScheme
from gpu_bringup.families.repository import rpm_repository
from gpu_bringup.families.rhel import fabric_names
from gpu_bringup.families.zypper import Zypper
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import DriverPackage, PackageRepository
    from gpu_bringup.model.facts import Facts, Kernel, OsFacts, Repository

IDS = (
    "sles",
    "sles_sap",
    "sled",
    "opensuse-leap",
    "opensuse-tumbleweed",
    "opensuse",
    "suse",
)

_RELEASE = re.compile(r"^(?P<version>.+)-(?P<flavour>[a-z][a-z0-9]*)$")
_KERNEL_PACKAGE = re.compile(r"^kernel-(?:(?:default|rt|azure|64kb|longterm)(?:-devel)?|devel)$")


@dataclass(frozen=True, slots=True)
class SuseFamily:
    """SLES 15 and 16, Leap, Tumbleweed."""

    os: OsFacts
    manager: Zypper = field(default_factory=Zypper)
    id: str = "suse"

    def _split(self, release: str) -> tuple[str, str]:
        match = _RELEASE.match(release)
        return (match["version"], match["flavour"]) if match else (release, "default")

    def header_packages(self, release: str) -> tuple[str, ...]:
        """kernel-default-devel=VERSION: the package provides its version without rebuild number."""
        version, flavour = self._split(release)
        return (f"kernel-{flavour}-devel={version}",)

    def header_meta_packages(self, release: str, facts: Facts) -> tuple[str, ...]:
        """kernel-default-devel itself: kernels are installed side by side, each with its devel."""
        return (f"kernel-{self._split(release)[1]}-devel",)

    def kernel_meta_packages(self, release: str) -> tuple[str, ...]:
        """kernel-default."""
        return (f"kernel-{self._split(release)[1]}",)

    def kernel_hold_packages(self, release: str) -> tuple[str, ...]:
        """kernel-default with its build tree."""
        name = f"kernel-{self._split(release)[1]}"
        return (name, f"{name}-devel")

    def compiler_packages(self, kernel: Kernel | None) -> tuple[str, ...]:
        """gcc, or gcc13 for a kernel that gcc-13 built; make; libelf's headers for objtool."""
        match = None
        if kernel is not None and isinstance(kernel.compiler, str):
            match = re.search(r"gcc-(\d+)$", kernel.compiler)
        return (f"gcc{match[1]}" if match else "gcc", "make", "libelf-devel")

    def build_packages(self) -> tuple[str, ...]:
        """dkms for drivers that come as source; KMPs need none of these."""
        return ("dkms", "openssl", "kmod")

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """Names with kernels filled in; the kernel package at its exact version."""
        return common.driver_packages(package, kernels)

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """The KMP again (its scripts link it for every compatible kernel), or dkms."""
        return common.repair_module(self.manager, package, release, facts)

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """zypper's repositories have no components."""
        return ()

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Nothing to switch on."""
        return Change()

    def add_repository(self, repository: PackageRepository, os: OsFacts) -> Change:
        """Key by fingerprint, rpm --import, .repo file."""
        return rpm_repository(
            repository, self._nvidia_distro(os), os.arch, self.manager, folder="/etc/zypp/repos.d"
        )

    def _nvidia_distro(self, os: OsFacts) -> str:
        number = common.major(os.version)
        if number == 16:
            return "suse16"
        if number == 15:
            return "opensuse15" if os.id == "opensuse-leap" else "sles15"
        return ""

    def blacklist_competitors(self) -> Change:
        """modprobe.d; dracut takes it into the initramfs."""
        return common.blacklist_change("dracut -f --regenerate-all")

    def rebuild_initramfs(self, release: str) -> Command:
        """dracut for one kernel."""
        return Command(("dracut", "-f", "--kver", release))

    def signing(self, facts: Facts) -> SigningScheme:
        """SUSE signs its KMPs itself; modules that dkms built are signed with dkms's key."""
        return SigningScheme(
            kind="dkms",
            key_path="/var/lib/dkms/mok.key",
            certificate_path="/var/lib/dkms/mok.pub",
            packages=("openssl", "mokutil"),
            make_key=(),
            enrol=common.enrol("/var/lib/dkms/mok.pub"),
            revoke=common.REVOKE_ENROLMENT,
        )

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """NVIDIA's rpm names, at the driver's version."""
        return fabric_names(kind, version)

    def container_packages(self) -> tuple[str, ...]:
        """nvidia-container-toolkit, from NVIDIA's container repository."""
        return common.CONTAINER_PACKAGES

    def services(self) -> dict[str, str]:
        """Unit names."""
        return dict(common.SERVICES)

    def guard_packages(self, package: DriverPackage, facts: Facts) -> tuple[str, ...]:
        """The installed driver set with the kernel's packages."""
        return common.guard_packages(facts, _KERNEL_PACKAGE)

    def prepare_branch(self, package: DriverPackage) -> Change:
        """A package that keeps the branch, where the entry names one."""
        return common.pin_branch(self.manager, package)

    def module_meta_packages(
        self, package: DriverPackage, release: str, facts: Facts
    ) -> tuple[str, ...]:
        """A KMP serves all compatible kernels; it has no meta."""
        return ()

    def unattended_guard(self, packages: Sequence[str]) -> Change:
        """zypper's locks bind automatic patching too."""
        return Change()


def family(os: OsFacts) -> Family:
    """The family object of one SUSE release."""
    return SuseFamily(os)
