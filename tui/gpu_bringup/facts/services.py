"""Fabric manager, NVLSM, IMEX and the persistence daemon: installed, running, started at boot?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import any_exists, line, names, text
from gpu_bringup.model.facts import Package, PackageFacts, ServiceFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_WANTS = (
    "/etc/systemd/system/multi-user.target.wants",
    "/etc/systemd/system/basic.target.wants",
    "/usr/lib/systemd/system/multi-user.target.wants",
    "/lib/systemd/system/multi-user.target.wants",
)
_SLICES = ("/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice")
_RULES = ("/usr/lib/udev/rules.d", "/lib/udev/rules.d", "/etc/udev/rules.d")
_COMM = 15
"""The kernel keeps so many characters of a process's name (proc(5))."""


def upstream_version(package_version: str) -> str:
    """ "1:580.95.05-0ubuntu1" -> "580.95.05"."""
    return re.sub(r"^\d+:", "", package_version).split("-")[0]


def package_version(packages: Fact[tuple[Package, ...]], pattern: str) -> Fact[str | None]:
    """Upstream version of the first installed package whose whole name matches."""
    if isinstance(packages, Unknown):
        return packages
    for package in packages:
        if package.installed and re.fullmatch(pattern, package.name):
            return upstream_version(package.version)
    return None


def _on_disk(host: Host, version: Fact[str | None], program: str) -> Fact[str | None]:
    if isinstance(version, str):
        return version
    present = host.exists(program)
    if present is True:
        return Unknown(f"{program} is there, but no package says its version")
    return present if isinstance(present, Unknown) and isinstance(version, Unknown) else version


def _processes(host: Host, comm: str) -> Fact[bool]:
    listing = host.list_dir("/proc")
    if isinstance(listing, Unknown):
        return listing
    wanted = comm[:_COMM]
    return any(
        name.isdigit() and line(host, f"/proc/{name}/comm") == wanted for name in listing or ()
    )


def _running(host: Host, unit: str, comm: str) -> Fact[bool]:
    """Is the service running? systemd's control group says so at once; else look at every process."""
    for folder in _SLICES:
        if host.exists(folder) is not True:
            continue
        members = line(host, f"{folder}/{unit}/cgroup.procs")
        if isinstance(members, str):
            return bool(members)
        if members is None and line(host, "/proc/1/comm") == "systemd":
            return False
    return _processes(host, comm)


def _persistenced_enabled(host: Host) -> Fact[bool]:
    wanted = any_exists(host, *(f"{folder}/nvidia-persistenced.service" for folder in _WANTS))
    if wanted is True:
        return True
    # Some packages have no [Install] section: a udev rule starts the unit with the device.
    for folder in _RULES:
        for name in names(host, folder):
            if "nvidia" in name and "nvidia-persistenced" in text(host, f"{folder}/{name}"):
                return True
    return wanted


def observe(host: Host, packages: PackageFacts) -> ServiceFacts:
    installed = packages.installed
    fabric = package_version(
        installed, r"nvidia-fabric-?manager(-\d+)?|cuda-drivers-fabricmanager-\d+"
    )
    return ServiceFacts(
        fabric_manager=_on_disk(host, fabric, "/usr/bin/nv-fabricmanager"),
        fabric_manager_running=_running(host, "nvidia-fabricmanager.service", "nv-fabricmanager"),
        nvlsm=_on_disk(host, package_version(installed, r"nvlsm"), "/opt/nvidia/nvlsm/sbin/nvlsm"),
        imex=_on_disk(
            host, package_version(installed, r"nvidia-imex(-\d+)?"), "/usr/bin/nvidia-imex"
        ),
        persistenced_running=_running(host, "nvidia-persistenced.service", "nvidia-persistenced"),
        persistenced_enabled=_persistenced_enabled(host),
    )
