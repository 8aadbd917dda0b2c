"""SUSE Linux Enterprise and openSUSE: zypper, modules as signed kernel module packages (KMP)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family, SigningScheme
from gpu_bringup.families.repository import install_matching, rpm_repository
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

_KMP = re.compile(r"-kmp-default$")
_RELEASE = re.compile(r"^(?P<version>.+)-(?P<flavour>[a-z][a-z0-9]*|64kb)$")
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
        # SUSE 16's own kernel is built by gcc 13, while its "gcc" is a newer one.
        usual = "gcc13" if common.major(self.os.version) == 16 else "gcc"
        return (f"gcc{match[1]}" if match else usual, "make", "libelf-devel")

    def build_environment(self, release: str) -> tuple[tuple[str, str], ...]:
        """None: the compiler is found by its name."""
        return ()

    def build_packages(self) -> tuple[str, ...]:
        """dkms for drivers that come as source; KMPs need none of these."""
        return ("dkms", "openssl", "kmod")

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """KMPs for each kernel's flavour; what dkms builds, and its libraries, at its version."""
        names: list[str] = []
        for name in common.driver_packages(package, kernels):
            if _KMP.search(name):
                names += self._kmps(name, kernels)
            else:
                versioned = package.version and package.branch_certain and "=" not in name
                names.append(f"{name}={package.version}" if versioned else name)
        return tuple(dict.fromkeys(names))

    def _kmps(self, name: str, kernels: Sequence[str]) -> list[str]:
        """ "...-kmp-default" for the flavour of each kernel: a KMP serves one flavour."""
        flavours = dict.fromkeys(self._split(release)[1] for release in kernels) or ("default",)
        return [_KMP.sub(f"-kmp-{flavour}", name) for flavour in flavours]

    def followers(self, package: DriverPackage) -> tuple[str, ...]:
        """The libraries beside SUSE's own module, which has the version that SUSE has released."""
        if not _KMP.search(package.kernel_package):
            return ()
        return tuple(name for name in package.packages if name != package.kernel_package)

    def install_following(
        self, package: DriverPackage, names: Sequence[str], kernels: Sequence[str]
    ) -> Change:
        """By a script that asks rpm for the KMP's version (SUSE's own instructions do the same)."""
        module = package.kernel_package
        if _KMP.search(module):
            module = self._kmps(module, kernels)[0]
        return install_matching(self.manager, module, names)

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """The KMP again (its scripts link it for every compatible kernel), or dkms."""
        if _KMP.search(package.kernel_package):
            module = self._kmps(package.kernel_package, (release,))[0]
            there = module in common.installed_names(facts)
            again = self.manager.reinstall((module,)) if there else self.manager.install((module,))
            return Change(commands=(again, Command(("depmod", "-a", release))))
        return common.repair_module(self.manager, package, release, facts)

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """ "development-tools" (gcc, make), a module of SLES 15 that is added by registration."""
        if "development-tools" not in components or not self._has_modules():
            return ()
        on = any(
            "development-tools" in " ".join((e.file, e.uri, *e.suites)).lower()
            for e in repositories
            if e.enabled
        )
        return () if on else ("development-tools",)

    def _has_modules(self) -> bool:
        """SLES 15 comes in modules; 16 and openSUSE don't."""
        return self.os.id.startswith("sle") and common.major(self.os.version) == 15

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """SUSEConnect adds a module of this very service pack; empty where that isn't known."""
        pack = _service_pack(self.os.version, facts)
        if "development-tools" not in components or not self._has_modules() or not pack:
            return Change()
        product = f"sle-module-development-tools/15.{pack}/{self.os.arch}"
        return Change(
            commands=(Command(("SUSEConnect", "-p", product), network=True),),
            undo=(Command(("SUSEConnect", "-d", "-p", product), network=True),),
        )

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
        return common.dkms_scheme(facts, ("openssl", "mokutil"))

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """NVIDIA's rpm names, at the driver's version."""
        return fabric_names(kind, version, self.os.arch)

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


def _service_pack(version: str, facts: Facts) -> str:
    """ "7" of "15.7", "15-SP7" or of a running kernel 6.4.0-150700.53-default; empty: not known."""
    match = re.match(r"15[.-](?:SP)?(\d)", version)
    if match is None and isinstance(facts.kernels.running, str):
        match = re.search(r"-150(\d)00\.", facts.kernels.running)
    return match[1] if match else ""


def family(os: OsFacts) -> Family:
    """The family object of one SUSE release."""
    return SuseFamily(os)
