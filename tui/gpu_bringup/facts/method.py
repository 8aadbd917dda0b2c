"""How the driver that is on this host came here: packages, a runfile, both, or from outside."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names, text
from gpu_bringup.facts.dpkg_damage import backups
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.facts import Package
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import (
        Library,
        LibraryFacts,
        ModuleFacts,
        OsFacts,
        PackageFacts,
    )

_DRIVER = re.compile(
    r"^(nvidia-driver|nvidia-headless|nvidia-dkms|nvidia-open|nvidia-kernel|nvidia-legacy|"
    r"nvidia-tesla|nvidia-compute|nvidia-utils-|nvidia-common-G|nvidia-video-G|nvidia-gfxG|"
    r"libnvidia-compute|libnvidia-ml|libcuda1|linux-(objects|modules|signatures)-nvidia|"
    r"kmod-nvidia|akmod-nvidia|dkms-nvidia|xorg-x11-drv-nvidia|cuda-drivers)"
)
_NOT_DRIVER = re.compile(
    r"-dev$|^nvidia-kernel-common|^nvidia-driver-(assistant|pinning)|^libnvidia-ml-dev|fabricmanager"
)
_NVIDIA_NAMES = re.compile(
    r"^(cuda-drivers|nvidia-kernel-open-dkms|nvidia-open$|nvidia-open-\d|kmod-nvidia-(open|latest)-dkms)"
)
"""Packages that only NVIDIA's own repository has."""
_NVIDIA_VERSION = re.compile(r"^(?:\d+:)?\d+\.\d+(?:\.\d+)?-(0ubuntu1|1ubuntu1)$")
"""Revisions as NVIDIA gives them for Ubuntu; Ubuntu's own carry a release ("0ubuntu0.24.04.1")."""
_UBUNTU_VERSION = re.compile(r"ubuntu0?\.\d+\.\d+|~\d\d\.\d\d")
_OUTSIDE = re.compile(
    r"^(/usr/local/nvidia/|/run/nvidia/|/usr/lib/wsl/|/home/kubernetes/|/opt/nvidia/)"
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What a runfile installer leaves, and what tells NVIDIA's packages from a distribution's."""

    uninstaller: Fact[bool]
    """/usr/bin/nvidia-uninstall."""
    installer_log: Fact[bool]
    from_nvidia_lists: tuple[str, ...] = ()
    """Installed driver packages whose exact version NVIDIA's package index lists."""
    forgotten: tuple[str, ...] = ()
    """Driver packages whose file lists dpkg still has, without an entry in its status file."""
    backups: tuple[str, ...] = ()
    """Where there are such: whole older copies of that file."""


def driver_packages(packages: tuple[Package, ...]) -> tuple[Package, ...]:
    """Installed packages that carry a driver; CUDA toolkits and cuda-compat do not."""
    return tuple(
        package
        for package in packages
        if _DRIVER.match(package.name)
        and package.installed
        and not _NOT_DRIVER.search(package.name)
    )


def listed(package: Package, index: str) -> bool:
    """Does an apt index (a Packages file) list exactly this version of the package?"""
    start = f"\nPackage: {package.name}\n"
    wanted = f"\nVersion: {package.version}\n"
    text = "\n" + index
    position = text.find(start)
    while position >= 0:
        end = text.find("\n\n", position)
        if wanted in text[position : end + 1 if end >= 0 else len(text)] + "\n":
            return True
        position = text.find(start, position + 1)
    return False


def observe(host: Host, packages: PackageFacts) -> Traces:
    """Look for traces; NVIDIA's index is read only where names and versions alone don't tell."""
    uninstaller = host.exists("/usr/bin/nvidia-uninstall")
    installer_log = host.exists("/var/log/nvidia-installer.log")
    found: tuple[str, ...] = ()
    installed = packages.installed if isinstance(packages.installed, tuple) else ()
    repositories = packages.repositories if isinstance(packages.repositories, tuple) else ()
    drivers = driver_packages(installed)
    if (
        packages.manager == "apt"
        and drivers
        and any(item.kind == "nvidia" for item in repositories)
        and not any(_by_name(package) for package in drivers)
    ):
        folder = "/var/lib/apt/lists"
        for name in names(host, folder):
            if name.endswith("_Packages") and re.search(
                r"nvidia\.com|cuda-repo|nvidia-driver", name
            ):
                index = text(host, f"{folder}/{name}", limit=64_000_000)
                found += tuple(item.name for item in drivers if listed(item, index))
    lost: tuple[str, ...] = ()
    if packages.manager == "apt" and not drivers and isinstance(packages.installed, tuple):
        lost = _forgotten(host, installed)
    copies = backups(host) if lost else ()
    return Traces(uninstaller, installer_log, tuple(dict.fromkeys(found)), lost, copies)


def _forgotten(host: Host, known: tuple[Package, ...]) -> tuple[str, ...]:
    """dpkg drops a package's file list together with its entry: a list alone is a lost entry."""
    have = {package.name for package in known}
    listed_names = dict.fromkeys(
        name.removesuffix(".list").partition(":")[0]
        for name in names(host, "/var/lib/dpkg/info")
        if name.endswith(".list")
    )
    lost = tuple(Package(name, "") for name in listed_names if name not in have)
    return tuple(package.name for package in driver_packages(lost))


def _by_name(package: Package) -> bool:
    return bool(_NVIDIA_NAMES.match(package.name) or _NVIDIA_VERSION.match(package.version))


def _real_libraries(libraries: LibraryFacts) -> tuple[Library, ...]:
    found = libraries.libraries if isinstance(libraries.libraries, tuple) else ()
    return tuple(item for item in found if not item.stub and "/compat/" not in item.path)


def _packaged(
    drivers: tuple[Package, ...], traces: Traces, os: Fact[OsFacts]
) -> tuple[InstallMethod, tuple[str, ...]]:
    rpm = isinstance(os, Unknown) or not {"debian", "ubuntu"} & {os.id, *os.like}
    ours = [item for item in drivers if item.name in traces.from_nvidia_lists or _by_name(item)]
    if rpm:
        ours += [item for item in drivers if item.name in ("nvidia-driver", "nvidia-driver-cuda")]
    theirs = [item for item in drivers if _UBUNTU_VERSION.search(item.version)]
    method = (
        InstallMethod.NVIDIA_REPOSITORY
        if ours and len(ours) >= len(theirs)
        else InstallMethod.DISTRIBUTION
    )
    shown = (ours or list(drivers)) if method is InstallMethod.NVIDIA_REPOSITORY else list(drivers)
    return method, tuple(f"package {item.name} {item.version}" for item in shown[:4])


def decide(
    packages: PackageFacts,
    modules: ModuleFacts,
    libraries: LibraryFacts,
    traces: Traces,
    os: Fact[OsFacts],
    driver_answers: bool,
) -> tuple[Fact[InstallMethod], tuple[str, ...]]:
    """The installation method and what shows it. ``driver_answers``: NVML or CUDA worked."""
    if isinstance(packages.installed, Unknown) and isinstance(packages.manager, (str, Unknown)):
        return Unknown(f"installed packages are not known: {packages.installed.reason}"), ()
    installed = packages.installed if isinstance(packages.installed, tuple) else ()
    drivers = driver_packages(installed)
    if drivers:
        method, evidence = _packaged(drivers, traces, os)
        if traces.uninstaller is True:
            return InstallMethod.MIXED, (*evidence, "/usr/bin/nvidia-uninstall exists")
        return method, evidence
    libs = _real_libraries(libraries)
    loaded = modules.loaded_version if isinstance(modules.loaded_version, str) else ""
    if traces.uninstaller is True:
        return InstallMethod.RUNFILE, ("/usr/bin/nvidia-uninstall exists",)
    outside = [item.path for item in libs if _OUTSIDE.match(item.path)]
    if traces.installer_log is True and libs and not outside:
        return InstallMethod.RUNFILE, ("/var/log/nvidia-installer.log exists", libs[0].path)
    if loaded or libs or driver_answers:
        evidence = ("no driver package is installed",)
        if loaded:
            evidence += (f"module nvidia {loaded} is loaded",)
        if outside or libs:
            evidence += (f"driver libraries in {(outside or [libs[0].path])[0]}",)
        if loaded and modules.files == ():
            evidence += ("no NVIDIA module file is on disk",)
        return InstallMethod.OUTSIDE, evidence
    return InstallMethod.NONE, ("no driver package, no loaded module, no driver library",)
