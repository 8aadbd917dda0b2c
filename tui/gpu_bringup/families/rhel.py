"""Red Hat Enterprise Linux and its rebuilds (Alma, Rocky, CentOS Stream, Oracle), dnf 4."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family, SigningScheme
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.families.repository import rpm_repository
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import DriverPackage, PackageRepository
    from gpu_bringup.model.facts import (
        Facts,
        Kernel,
        OsFacts,
        Repository,
    )

IDS = ("rhel", "almalinux", "rocky", "centos", "ol")

_VARIANT = re.compile(r"^(?P<base>[^+]+)(?:\+(?P<variant>[a-z0-9-]+))?$")
_KERNEL_PACKAGE = re.compile(
    r"^kernel(?:\d+\.\d+)?(?:-(?:uek|rt|64k))?(?:-(?:core|modules|modules-core|modules-extra|devel"
    r"|devel-matched))?$"
)
_NOUVEAU_OFF = "rd.driver.blacklist=nouveau modprobe.blacklist=nouveau"


@dataclass(frozen=True, slots=True)
class RhelFamily:
    """Enterprise Linux 8, 9 and 10."""

    os: OsFacts
    manager: Dnf = field(default_factory=Dnf)
    id: str = "rhel"

    def _kernel_name(self, release: str) -> str:
        """ "kernel", "kernel-rt", "kernel-64k", "kernel-uek": stem of this kernel's packages."""
        match = _VARIANT.match(release)
        variant = (match["variant"] or "") if match else ""
        if "uek" in release:
            variant = "uek"
        elif re.search(r"\.rt\d", release):
            # Enterprise Linux 8 puts the real-time kernel's mark into the release number.
            variant = "rt"
        return f"kernel-{variant}" if variant else "kernel"

    def header_packages(self, release: str) -> tuple[str, ...]:
        """kernel-devel of exactly this release; kernel-headers is for user space only."""
        return (f"{self._kernel_name(release)}-devel-{release.partition('+')[0]}",)

    def _matched(self) -> bool:
        number = common.major(self.os.version)
        return number is not None and number >= 9

    def header_meta_packages(self, release: str, facts: Facts) -> tuple[str, ...]:
        """kernel-devel-matched, which follows kernel-core, from 9 on; else kernel-devel."""
        name = self._kernel_name(release)
        if self._matched() and not name.endswith("-uek"):
            return (f"{name}-devel-matched",)
        return (f"{name}-devel",)

    def kernel_meta_packages(self, release: str) -> tuple[str, ...]:
        """kernel, kernel-rt, kernel-64k or kernel-uek."""
        return (self._kernel_name(release),)

    def kernel_hold_packages(self, release: str) -> tuple[str, ...]:
        """The kernel in all its parts: each of them would bring a newer kernel by itself."""
        name = self._kernel_name(release)
        return (name, f"{name}-core", f"{name}-modules", f"{name}-devel")

    def compiler_packages(self, kernel: Kernel | None) -> tuple[str, ...]:
        """The release's gcc built its kernels; objtool needs libelf's headers."""
        return ("gcc", "make", "elfutils-libelf-devel")

    def build_packages(self) -> tuple[str, ...]:
        """dkms (from EPEL), openssl to sign, kmod for depmod."""
        return ("dkms", "openssl", "kmod")

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """Names with kernels filled in; the kernel package at its exact version."""
        return common.driver_packages(package, kernels)

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """akmods where the driver came as an akmod, else dkms, else the kmod package again."""
        if any(name.startswith("akmod-nvidia") for name in common.installed_names(facts)):
            return Change(
                commands=(
                    Command(("akmods", "--force", "--kernels", release)),
                    Command(("depmod", "-a", release)),
                )
            )
        return common.repair_module(self.manager, package, release, facts)

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """Of "epel" and "crb" (CodeReady Builder), those that no enabled repository stands for."""
        names = {"crb": r"crb|powertools|codeready", "epel": r"epel"}
        return tuple(
            name
            for name in components
            if name in names
            and not any(
                re.search(names[name], " ".join((e.file, e.uri, *e.suites, *e.components)), re.I)
                for e in repositories
                if e.enabled
            )
        )

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Switch on CodeReady Builder and EPEL as EPEL's own instructions say; edits no file."""
        commands: list[Command] = []
        undo: list[Command] = []
        for name in components:
            on, off = self._crb() if name == "crb" else self._epel() if name == "epel" else ((), ())
            commands += on
            undo += off
        return Change(commands=tuple(commands), undo=tuple(undo))

    def _crb(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        number = common.major(self.os.version) or 9
        if self.os.id == "rhel":
            name = f"codeready-builder-for-rhel-{number}-{self.os.arch}-rpms"
            return (
                (Command(("subscription-manager", "repos", "--enable", name), network=True),),
                (Command(("subscription-manager", "repos", "--disable", name), network=True),),
            )
        name = "powertools" if number == 8 else "crb"
        if self.os.id == "ol":
            name = f"ol{number}_codeready_builder"
        return (
            (
                self.manager.install(("dnf-plugins-core",)),
                Command(("dnf", "config-manager", "--set-enabled", name)),
            ),
            (Command(("dnf", "config-manager", "--set-disabled", name)),),
        )

    def _epel(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        number = common.major(self.os.version) or 9
        name = "epel-release"
        source = name
        if self.os.id == "ol":
            name = source = f"oracle-epel-release-el{number}"
        elif self.os.id == "rhel":
            source = (
                f"https://dl.fedoraproject.org/pub/epel/epel-release-latest-{number}.noarch.rpm"
            )
        return (self.manager.install((source,)),), (self.manager.remove((name,)),)

    def add_repository(self, repository: PackageRepository, os: OsFacts) -> Change:
        """Key by fingerprint, rpm --import, .repo file."""
        return rpm_repository(
            repository,
            self._nvidia_distro(os),
            os.arch,
            self.manager,
            folder="/etc/yum.repos.d",
            tools=self._key_tools(),
        )

    def _key_tools(self) -> tuple[str, ...]:
        # dnf 4 itself rests on gnupg.
        return ()

    def _nvidia_distro(self, os: OsFacts) -> str:
        number = common.major(os.version)
        return f"rhel{number}" if number else ""

    def blacklist_competitors(self) -> Change:
        """modprobe.d and the kernel's command line: dracut's initramfs may hold nouveau."""
        grubby = ("grubby", "--update-kernel=ALL")
        return common.blacklist_change(
            "dracut -f --regenerate-all",
            (Command((*grubby, f"--args={_NOUVEAU_OFF}")),),
            (Command((*grubby, f"--remove-args={_NOUVEAU_OFF}")),),
        )

    def rebuild_initramfs(self, release: str) -> Command:
        """dracut for one kernel."""
        return Command(("dracut", "-f", "--kver", release))

    def signing(self, facts: Facts) -> SigningScheme:
        """dkms's key, or akmods' where akmods builds."""
        akmods = any(name.startswith("akmod-nvidia") for name in common.installed_names(facts))
        if common.signing_kind(facts, "akmods" if akmods else "dkms") == "akmods":
            certificate = "/etc/pki/akmods/certs/public_key.der"
            return SigningScheme(
                kind="akmods",
                key_path="/etc/pki/akmods/private/private_key.priv",
                certificate_path=certificate,
                packages=("akmods", "mokutil", "openssl"),
                make_key=(Command(("kmodgenca", "-a")),),
                enrol=common.enrol(certificate),
                revoke=common.REVOKE_ENROLMENT,
            )
        return SigningScheme(
            kind="dkms",
            key_path="/var/lib/dkms/mok.key",
            certificate_path="/var/lib/dkms/mok.pub",
            packages=("dkms", "openssl", "mokutil"),
            make_key=(),
            enrol=common.enrol("/var/lib/dkms/mok.pub"),
            revoke=common.REVOKE_ENROLMENT,
        )

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """Names of NVIDIA's driver containers for Enterprise Linux, at the driver's version."""
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

    def _modular(self) -> bool:
        """Has NVIDIA's repository module streams here? (8 and 9; 10 has none.)"""
        number = common.major(self.os.version)
        return number is not None and number < 10

    def prepare_branch(self, package: DriverPackage) -> Change:
        """The module stream of the branch, or where there are none, a version lock."""
        if package.source != "nvidia-repository" or not package.branch:
            return Change()
        if not self._modular():
            pattern = f"*nvidia*{package.branch}*"
            tools = self.manager.hold_tools
            return Change(
                commands=(
                    *([self.manager.install(tools)] if tools else []),
                    self.manager.hold((pattern,)),
                ),
                undo=(self.manager.unhold((pattern,)),),
            )
        stream = f"nvidia-driver:{package.branch}{_stream_suffix(package)}"
        reset = _module("reset", "nvidia-driver")
        return Change(commands=(reset, _module("enable", stream)), undo=(reset,))

    def module_meta_packages(
        self, package: DriverPackage, release: str, facts: Facts
    ) -> tuple[str, ...]:
        """None here: dnf's plugin keeps prebuilt modules and kernels together."""
        return ()

    def unattended_guard(self, packages: Sequence[str]) -> Change:
        """dnf-automatic obeys version locks; it needs no file of its own."""
        return Change()


def _stream_suffix(package: DriverPackage) -> str:
    # 620 installation guide, Table 5: 580-open, 580-dkms, 580 (prebuilt proprietary).
    if package.flavour is Flavour.OPEN:
        return "-open"
    return "-dkms" if package.route == "dkms" else ""


def _module(action: str, name: str) -> Command:
    return Command(("dnf", "-y", "module", action, name), package_manager=True, network=True)


def fabric_names(kind: str, version: str) -> tuple[str, ...]:
    """rpm names of the fabric software; a version without a release fits any of its packagings."""
    at = f"={version}" if version else ""
    if kind == "imex":
        return (f"nvidia-imex{at}",)
    if not kind.startswith("fabricmanager"):
        return ()
    base = (f"nvidia-fabricmanager{at}", f"libnvidia-nscq{at}", f"libnvsdm{at}")
    return (*base, "nvlsm", "infiniband-diags") if kind.endswith("+nvlsm") else base


def family(os: OsFacts) -> Family:
    """The family object of one Enterprise Linux release."""
    return RhelFamily(os)
