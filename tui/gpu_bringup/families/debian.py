"""Debian: names and commands. Source: research of Debian 12 and 13 packages, dkms 3.0 and 3.2."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.families import apt_sources, common
from gpu_bringup.families.apt import Apt
from gpu_bringup.families.apt_entry import Entry
from gpu_bringup.families.base import Change, Family, SigningScheme
from gpu_bringup.families.repository import DRIVER_NAMES, apt_repository, install_matching
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import DriverPackage, PackageRepository
    from gpu_bringup.model.facts import Facts, Kernel, OsFacts, Repository

IDS = ("debian",)

_ARCH = r"(?:amd64|arm64|armmp|armmp-lpae|686|686-pae|ppc64el|riscv64|s390x)"
_FLAVOUR = re.compile(
    rf"^\d+\.\d+(?:\.\d+)?(?:\+[\w.~]+)?(?:-\d[\w.~]*)?-(?P<flavour>(?:(?:cloud|rt)-)?{_ARCH})$"
)
_KERNEL_META = re.compile(rf"^linux-(?:image|headers)-(?:(?:cloud|rt)-)?{_ARCH}$")
_BEFORE_FIRMWARE_SPLIT = ("stretch", "buster", "bullseye")
_NVIDIA_DISTRO = {"bookworm": "debian12", "trixie": "debian13"}
_SIGNS_NOTHING = "bullseye"
"""Its dkms, 2.8.4, makes no key; its own sign_build() wants Ubuntu's kmodsign."""
SIGN_TOOL = "/etc/dkms/gpu-bringup-sign.sh"
EXACT_PATH = "/etc/apt/preferences.d/gpu-bringup-driver"
EXACT_PRIORITY = 1100
"""Above the branch pin's 1000, which would prefer the newest of the branch; above 1000 also goes back."""
UNATTENDED_PATH = "/etc/apt/apt.conf.d/52gpu-bringup-unattended"


def compilers(kernel: Kernel | None) -> tuple[str, ...]:
    """The compiler package of a kernel's own compiler command, else the default one."""
    command = ""
    if kernel is not None and isinstance(kernel.compiler, str):
        command = kernel.compiler.rsplit("/", 1)[-1]
    gcc = re.search(r"(?:^|-)gcc-(\d+)$", command)
    clang = re.search(r"^clang-(\d+)$", command)
    if clang:
        return (f"clang-{clang[1]}", f"lld-{clang[1]}", f"llvm-{clang[1]}")
    return (f"gcc-{gcc[1]}",) if gcc else ("gcc",)


def unattended_file(packages: Sequence[str]) -> Change:
    """A file of our own that keeps unattended-upgrades off these packages."""
    if not packages:
        return Change()
    lines = "".join(f'    "^{re.escape(name)}$";\n' for name in packages)
    text = (
        "// Written by gpu-bringup: unattended-upgrades must not move a part of the GPU driver or\n"
        "// the kernel alone. An operator's own `apt-get upgrade` still may. Remove the file to undo.\n"
        f"Unattended-Upgrade::Package-Blacklist {{\n{lines}}};\n"
    )
    return Change(writes=(Write(UNATTENDED_PATH, text),))


@dataclass(frozen=True, slots=True)
class DebianFamily:
    """Debian and what is made from it."""

    os: OsFacts
    manager: Apt = field(default_factory=Apt)
    id: str = "debian"

    def header_packages(self, release: str) -> tuple[str, ...]:
        """linux-headers-RELEASE; it brings -common and linux-kbuild, from 6.12 on pahole too."""
        return (f"linux-headers-{release}",)

    def header_meta_packages(self, release: str, facts: Facts) -> tuple[str, ...]:
        """linux-headers-amd64, -cloud-amd64, -rt-amd64; empty for a kernel that isn't Debian's."""
        match = _FLAVOUR.match(release)
        return (f"linux-headers-{match['flavour']}",) if match else ()

    def kernel_meta_packages(self, release: str) -> tuple[str, ...]:
        """linux-image-amd64 and its siblings; empty for a kernel that isn't Debian's."""
        match = _FLAVOUR.match(release)
        return (f"linux-image-{match['flavour']}",) if match else ()

    def kernel_hold_packages(self, release: str) -> tuple[str, ...]:
        """The image's meta; apt's kernels carry their version in their names."""
        return self.kernel_meta_packages(release)

    def compiler_packages(self, kernel: Kernel | None) -> tuple[str, ...]:
        """The kernel's own gcc ("gcc-12"), make and the C library's headers."""
        return (*compilers(kernel), "make", "libc6-dev")

    def build_environment(self, release: str) -> tuple[tuple[str, str], ...]:
        """None: the compiler is found by its name."""
        return ()

    def build_packages(self) -> tuple[str, ...]:
        """dkms; openssl because dkms without it builds but signs nothing; kmod for depmod."""
        return ("dkms", "openssl", "kmod")

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """Names with kernels filled in; the kernel package at its exact version.

        NVIDIA's repository keeps every release, all packages of one in one version: there each name
        is asked for in the driver's version, in any packaging revision of it.
        """
        names = common.driver_packages(package, kernels)
        if package.source != "nvidia-repository" or not package.version:
            return names
        return tuple(
            name if "=" in name or name in package.pin else f"{name}={package.version}-*"
            for name in names
        )

    def followers(self, package: DriverPackage) -> tuple[str, ...]:
        """None: apt's dependencies keep module and libraries together."""
        return ()

    def install_following(
        self, package: DriverPackage, names: Sequence[str], kernels: Sequence[str]
    ) -> Change:
        """By a script that reads the module package's version from dpkg's database."""
        if not names or not package.kernel_package or "{kernel}" in package.kernel_package:
            return Change()
        return install_matching(self.manager, package.kernel_package, names)

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """dkms again, or the package with the module again."""
        return common.repair_module(self.manager, package, release, facts)

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """Components that some entry of the distribution's own archive lacks."""
        main = [entry for entry in repositories if entry.enabled and "main" in entry.components]
        own = [e for e in main if e.kind in ("distribution", "security", "backports")]
        own = [entry for entry in own if not self._left_out(entry)]
        if own:
            return tuple(
                name
                for name in self._known(components)
                if any(name not in entry.components for entry in own)
            )
        other = [entry for entry in main if entry.kind == "other"]
        return tuple(
            name
            for name in self._known(components)
            if not any(name in entry.components for entry in other)
        )

    def _left_out(self, entry: Repository) -> bool:
        """An entry that ``enable_components`` would not touch, so that it never asks for more."""
        found = Entry(("deb",), (entry.uri,), entry.suites, entry.components, entry.signed_by)
        return not apt_sources.is_own(found, self.os.codename)

    def _known(self, components: Sequence[str]) -> tuple[str, ...]:
        # non-free-firmware came with Debian 12.
        if self.os.codename in _BEFORE_FIRMWARE_SPLIT:
            return tuple(name for name in components if name != "non-free-firmware")
        return tuple(components)

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Edit the distribution's own entries, then read the indexes."""
        edited = apt_sources.enable(files, self._known(components), self.os.codename)
        if not edited.changed:
            return Change()
        return Change(
            writes=tuple(Write(path, text) for path, text in sorted(edited.changed.items())),
            commands=(self.manager.refresh(),),
        )

    def add_repository(self, repository: PackageRepository, os: OsFacts) -> Change:
        """Key by fingerprint, deb822 file, preference."""
        return apt_repository(repository, self._nvidia_distro(os), os.arch, self.manager)

    def _nvidia_distro(self, os: OsFacts) -> str:
        number = common.major(os.version)
        if os.id == "debian" and number:
            return f"debian{number}"
        return _NVIDIA_DISTRO.get(os.codename, "")

    def blacklist_competitors(self) -> Change:
        """modprobe.d only; the initramfs is built anew by another step."""
        return common.blacklist_change("update-initramfs -u -k all")

    def rebuild_initramfs(self, release: str) -> Command:
        """update-initramfs for one kernel."""
        return Command(("update-initramfs", "-u", "-k", release))

    def signing(self, facts: Facts) -> SigningScheme:
        """dkms's own key, which dkms makes at its next build; or the one that is in use already."""
        if common.signing_kind(facts, "dkms") == "shim-signed":
            return shim_signed()
        if self.os.codename == _SIGNS_NOTHING:
            return _by_sign_tool(facts)
        return common.dkms_scheme(facts, ("dkms", "openssl", "mokutil"))

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """NVIDIA's repository: from R580 on the names carry no branch."""
        number = common.major(branch)
        suffix = "" if number is not None and number >= 580 else f"-{branch}"
        return fabric_names(kind, suffix, version)

    def container_packages(self) -> tuple[str, ...]:
        """nvidia-container-toolkit, from NVIDIA's container repository."""
        return common.CONTAINER_PACKAGES

    def services(self) -> dict[str, str]:
        """Unit names."""
        return dict(common.SERVICES)

    def guard_packages(self, package: DriverPackage, facts: Facts) -> tuple[str, ...]:
        """The installed driver set with the metas of kernel and headers."""
        return common.guard_packages(facts, _KERNEL_META)

    def prepare_branch(self, package: DriverPackage) -> Change:
        """NVIDIA's pinning package of the branch, where the entry names one, and the exact version.

        apt takes for a dependency the candidate, whatever version the dependency asks for: without a
        preference for the version it finds no way to install anything but the newest of the branch.
        """
        pinned = common.pin_branch(self.manager, package)
        if not pinned or not package.version:
            return pinned
        text = (
            "# Written by gpu-bringup: the driver that was chosen, whole, in one version. Remove this\n"
            "# file to let apt offer later releases of the branch.\n"
            f"Package: {DRIVER_NAMES}\nPin: version {package.version}-*\nPin-Priority: {EXACT_PRIORITY}\n"
        )
        return replace(pinned, writes=(Write(EXACT_PATH, text),))

    def module_meta_packages(
        self, package: DriverPackage, release: str, facts: Facts
    ) -> tuple[str, ...]:
        """Debian has no prebuilt modules."""
        return ()

    def unattended_guard(self, packages: Sequence[str]) -> Change:
        """Unattended-Upgrade::Package-Blacklist in a file of our own."""
        return unattended_file(packages)


@lru_cache(maxsize=1)
def sign_script() -> str:
    """Text of scripts/dkms-sign.sh."""
    return data_folder("scripts").joinpath("dkms-sign.sh").read_text(encoding="utf-8")


def _by_sign_tool(facts: Facts) -> SigningScheme:
    """dkms 2.8.4: no key of its own, but it calls what ``sign_tool`` in its configuration names.

    Source: dkms 2.8.4-3 of Debian 11, /etc/dkms/framework.conf and run_sign_tool() in /usr/sbin/dkms;
    it reads no framework.conf.d.
    """
    line = f'sign_tool="{SIGN_TOOL}"'
    own = f"\\,^{line}$,d"
    configuration = "/etc/dkms/framework.conf"
    return replace(
        common.dkms_scheme(facts, ("dkms", "openssl", "mokutil")),
        make_key=(
            Command(("sh", SIGN_TOOL, "--make-key")),
            # What is appended last counts, and is appended once.
            Command(("sed", "-i", "-e", f"$a {line}", "-e", own, configuration)),
        ),
        writes=(Write(SIGN_TOOL, sign_script(), 0o755),),
        undo=(Command(("sed", "-i", "-e", own, configuration)),),
    )


def fabric_names(kind: str, suffix: str, version: str) -> tuple[str, ...]:
    """apt's names of the fabric software; ``suffix`` is "-570" where names carry the branch."""
    # apt takes a pattern for a version: any packaging revision of exactly this driver version.
    at = f"={version}-*" if version else ""
    if kind == "imex":
        return (f"nvidia-imex{suffix}{at}",)
    if not kind.startswith("fabricmanager"):
        return ()
    manager = (f"nvidia-fabricmanager{suffix}{at}",)
    return (*manager, "nvlsm", "infiniband-diags") if kind.endswith("+nvlsm") else manager


def shim_signed() -> SigningScheme:
    """Ubuntu's machine owner key, shared by dkms and everything else that signs there."""
    certificate = "/var/lib/shim-signed/mok/MOK.der"
    return SigningScheme(
        kind="shim-signed",
        key_path="/var/lib/shim-signed/mok/MOK.priv",
        certificate_path=certificate,
        packages=("shim-signed", "mokutil", "openssl", "sbsigntool"),
        make_key=(Command(("update-secureboot-policy", "--new-key")),),
        enrol=common.enrol(certificate),
        revoke=common.REVOKE_ENROLMENT,
    )


def family(os: OsFacts) -> Family:
    """The family object of one Debian release."""
    return DebianFamily(os)


def installed_version(facts: Facts, name: str) -> str:
    """Version of an installed package; "" where it isn't installed or that isn't known."""
    if isinstance(facts.packages.installed, Unknown):
        return ""
    found = (p.version for p in facts.packages.installed if p.name == name and p.installed)
    return next(found, "")
