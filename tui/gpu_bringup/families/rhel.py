"""Red Hat Enterprise Linux and its rebuilds (Alma, Rocky, CentOS Stream, Oracle), dnf 4."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family, SigningScheme
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.families.repository import (
    FETCH_KEY,
    fetch_key_script,
    forget_key,
    install_matching,
    rpm_repository,
)
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of

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
_RED_HAT_MODULE = "kmod-nvidia-open"
_COMPONENTS = {
    "crb": r"crb|powertools|codeready",
    "epel": r"epel",
    "extensions": r"rhel-\d+-(?:for-\S+-)?extensions",
    "supplementary": r"rhel-\d+-(?:for-\S+-)?supplementary",
    "almalinux-nvidia": r"almalinux-nvidia",
    "amazonlinux-nvidia": r"amazonlinux-nvidia",
}
"""What switches a repository on is looked for in its file, address and id."""
_RELEASE_PACKAGES = {
    "almalinux-nvidia": "almalinux-release-nvidia-driver",
    "amazonlinux-nvidia": "nvidia-release",
}
"""Repositories that a package of the distribution's own brings, keys included."""
_EPEL = "https://dl.fedoraproject.org/pub/epel"
_EPEL_KEY = "/etc/pki/rpm-gpg/RPM-GPG-KEY-gpu-bringup-epel"
_EPEL_KEYS = {
    8: "94E279EB8D8F25B21810ADF121EA45AB2F86D6A1",
    9: "FF8AD1344597106ECE813B918A3872BF3228467C",
    10: "7D8D15CBFC4E62688591FB2633D98517E37ED158",
}
"""Signs EPEL of that release. 9 and 10: MariaDB's official container images pin them (mariadb-docker,
update.sh); all three: the keys' own file names at getfedora.org and several public installers."""
_UEK7_ON_8 = re.compile(r"^5[.]15[.].*[.]el8uek")
_TOOLSET_PATH = "/opt/rh/gcc-toolset-11/root/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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
        """kernel-devel of exactly this release, with its twin that makes the next one follow.

        kernel-devel-matched requires the kernel of its own version, so that the newest one would
        bring a newer kernel. kernel-headers is for user space only.
        """
        name, exact = self._kernel_name(release), release.partition("+")[0]
        tree = f"{name}-devel-{exact}"
        follows = self._matched() and not name.endswith("-uek")
        return (tree, f"{name}-devel-matched-{exact}") if follows else (tree,)

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
        """The kernel in all its parts: each of them would bring a newer kernel by itself.

        kernel-modules-core requires the kernel-core of its release: left unlocked, dnf finds no way
        to upgrade it and every upgrade fails (leifliddy/asahi-fedora-builder issue 23). Release 8
        has no such package.
        """
        name = self._kernel_name(release)
        core = () if ".el8" in release or "uek" in name else (f"{name}-modules-core",)
        return (name, f"{name}-core", f"{name}-modules", *core, f"{name}-devel")

    def compiler_packages(self, kernel: Kernel | None) -> tuple[str, ...]:
        """The release's gcc built its kernels; objtool needs libelf's headers.

        Oracle's UEK 7 for release 8 was built by gcc 11 and has options that gcc 8 refuses
        (dkms issue 299, Orabug 34811820).
        """
        newer = kernel is not None and _UEK7_ON_8.search(kernel.release)
        return ("gcc", *(("gcc-toolset-11",) if newer else ()), "make", "elfutils-libelf-devel")

    def build_environment(self, release: str) -> tuple[tuple[str, str], ...]:
        """The toolset's compiler first, where the kernel was built by it."""
        return (("PATH", _TOOLSET_PATH),) if _UEK7_ON_8.search(release) else ()

    def build_packages(self) -> tuple[str, ...]:
        """dkms (from EPEL), openssl to sign, kmod for depmod."""
        return ("dkms", "openssl", "kmod")

    def driver_packages(self, package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
        """Each name at the driver's version, so that what was chosen is what comes.

        Red Hat's own modules are one package a driver version and kernel.
        """
        names: list[str] = []
        for name in common.driver_packages(package, kernels):
            if name == _RED_HAT_MODULE and package.version and kernels:
                names += [_red_hat_module(package.version, release) for release in kernels]
            else:
                versioned = package.version and "=" not in name
                names.append(f"{name}={package.version}" if versioned else name)
        return tuple(dict.fromkeys(names))

    def followers(self, package: DriverPackage) -> tuple[str, ...]:
        """None: nvidia-driver-cuda requires the module of its own version."""
        return ()

    def install_following(
        self, package: DriverPackage, names: Sequence[str], kernels: Sequence[str]
    ) -> Change:
        """By a script that asks rpm for the module's version."""
        return install_matching(self.manager, package.kernel_package, names)

    def repair_module(self, package: DriverPackage, release: str, facts: Facts) -> Change:
        """akmods where the driver came as an akmod, else dkms, else the kmod package again."""
        if any(name.startswith("akmod-nvidia") for name in common.installed_names(facts)):
            return Change(
                commands=(
                    Command(("akmods", "--force", "--kernels", release)),
                    Command(("depmod", "-a", release)),
                )
            )
        change = common.repair_module(self.manager, package, release, facts)
        environment = self.build_environment(release)
        commands = (
            replace(c, environment=environment) if environment and c.argv[0] == "dkms" else c
            for c in change.commands
        )
        return replace(change, commands=tuple(commands))

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """Of the repositories named so, those that no enabled entry stands for."""
        return tuple(
            name
            for name in components
            if name in _COMPONENTS
            and not any(
                re.search(
                    _COMPONENTS[name], " ".join((e.file, e.uri, *e.suites, *e.components)), re.I
                )
                for e in repositories
                if e.enabled
            )
        )

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Switch repositories on as their makers' own instructions say; edits no file."""
        commands: list[Command] = []
        undo: list[Command] = []
        cloud = _is_rhui(facts)
        for name in components:
            on, off = self._enable(name, cloud)
            commands += on
            undo += off
        fetches = any(FETCH_KEY in command.argv for command in commands)
        writes = (Write(FETCH_KEY, fetch_key_script(), 0o755),) if fetches else ()
        return Change(writes=writes, commands=tuple(commands), undo=tuple(undo))

    def _enable(self, name: str, cloud: bool) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        number = common.major(self.os.version) or 9
        if name == "epel":
            return self._epel()
        if name in _RELEASE_PACKAGES:
            package = _RELEASE_PACKAGES[name]
            return (self.manager.install((package,)),), (self.manager.remove((package,)),)
        if name in ("extensions", "supplementary"):
            own = f"rhel-{number}-for-{self.os.arch}-{name}-rpms"
            return self._red_hat(own, f"rhel-{number}-{name}-rhui-rpms", cloud)
        if name != "crb":
            return (), ()
        if self.os.id == "rhel":
            own = f"codeready-builder-for-rhel-{number}-{self.os.arch}-rpms"
            return self._red_hat(own, f"codeready-builder-for-rhel-{number}-rhui-rpms", cloud)
        repository = "powertools" if number == 8 else "crb"
        return self._config_manager(
            f"ol{number}_codeready_builder" if self.os.id == "ol" else repository
        )

    def _red_hat(
        self, own: str, cloud_name: str, cloud: bool
    ) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        """By subscription, or on an image that a cloud bills for, by its update server's names."""
        if cloud:
            return self._config_manager(cloud_name)
        return (
            (Command(("subscription-manager", "repos", "--enable", own), network=True),),
            (Command(("subscription-manager", "repos", "--disable", own), network=True),),
        )

    def _config_manager(self, name: str) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        return (
            (
                self.manager.install(("dnf-plugins-core",)),
                Command(("dnf", "config-manager", "--set-enabled", name)),
            ),
            (Command(("dnf", "config-manager", "--set-disabled", name)),),
        )

    def _epel(self) -> tuple[tuple[Command, ...], tuple[Command, ...]]:
        number = common.major(self.os.version) or 9
        name = f"oracle-epel-release-el{number}" if self.os.id == "ol" else "epel-release"
        remove = (self.manager.remove((name,)),)
        if self.os.id != "rhel" or number not in _EPEL_KEYS:
            # A package of the distribution's own, signed by it.
            return (self.manager.install((name,)),), remove
        fingerprint = _EPEL_KEYS[number]
        install = self.manager.install((f"{_EPEL}/epel-release-latest-{number}.noarch.rpm",))
        at = install.argv.index("install") + 1
        # dnf checks no signature of a package that is named by its address, unless it is told to.
        checked = (*install.argv[:at], "--setopt=localpkg_gpgcheck=1", *install.argv[at:])
        return (
            (
                Command(
                    ("sh", FETCH_KEY, f"{_EPEL}/RPM-GPG-KEY-EPEL-{number}", fingerprint, _EPEL_KEY),
                    network=True,
                ),
                Command(("rpm", "--import", _EPEL_KEY)),
                replace(install, argv=checked),
            ),
            (*remove, Command(("rm", "-f", _EPEL_KEY)), forget_key(fingerprint)),
        )

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
        return common.dkms_scheme(facts, ("dkms", "openssl", "mokutil"))

    def fabric_packages(
        self, kind: str, branch: str, version: str, source: str = ""
    ) -> tuple[str, ...]:
        """Names of NVIDIA's driver containers for Enterprise Linux, at the driver's version."""
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

    def _modular(self) -> bool:
        """Has NVIDIA's repository module streams here? (8 and 9; 10 has none.)"""
        number = common.major(self.os.version)
        return number is not None and number < 10

    def prepare_branch(self, package: DriverPackage) -> Change:
        """The module stream of the branch, or where there are none, a version lock."""
        if package.source != "nvidia-repository" or not package.branch:
            return Change()
        if not self._modular():
            tools = self.manager.hold_tools
            hold, unhold = self.manager.hold_branch(package.branch)
            return Change(
                commands=(*([self.manager.install(tools)] if tools else []), hold), undo=(unhold,)
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


def fabric_names(kind: str, version: str, machine: str = "x86_64") -> tuple[str, ...]:
    """rpm names of the fabric software; a version without a release fits any of its packagings.

    Up to R575 they carry the branch (gpu-driver-container, rhel9/install.sh); libnvsdm exists from
    R570 on, for x86_64 alone.
    """
    at = f"={version}" if version else ""
    branch = int(branch_of(version)) if version else 580
    own = "" if branch >= 580 else f"-{branch}"
    if kind == "imex":
        return (f"nvidia-imex{own}{at}",)
    if not kind.startswith("fabricmanager"):
        return ()
    manager = "nvidia-fabricmanager" if branch >= 580 else "nvidia-fabric-manager"
    sdm = (f"libnvsdm{own}{at}",) if machine == "x86_64" and branch >= 570 else ()
    base = (f"{manager}{at}", f"libnvidia-nscq{own}{at}", *sdm)
    return (*base, "nvlsm", "infiniband-diags") if kind.endswith("+nvlsm") else base


def _is_rhui(facts: Facts) -> bool:
    """Do Red Hat's packages come from a cloud's update server (pay as you go), not a subscription?"""
    repositories = facts.packages.repositories
    if isinstance(repositories, Unknown):
        return False
    return any("rhui" in " ".join((e.file, *e.suites)).lower() for e in repositories)


def _red_hat_module(version: str, release: str) -> str:
    """ "kmod-nvidia-open-580.178.04-6.12.0-211.51.1" for 6.12.0-211.51.1.el10_2.x86_64.

    Source: Red Hat's rhel-drivers (radii), internal/provider/nvidia.
    """
    match = _VARIANT.match(release)
    variant = (match["variant"] or "") if match else ""
    stem = f"kmod-{variant}-nvidia-open" if variant else _RED_HAT_MODULE
    return f"{stem}-{version}-{re.sub(r'[.]el[0-9].*$', '', release.partition('+')[0])}"


def family(os: OsFacts) -> Family:
    """The family object of one Enterprise Linux release."""
    return RhelFamily(os)
