"""The table of faults, and what many of them need: versions, putting and forgetting packages."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import maintainer, sources
from gpu_bringup.hosts.simulated.machine import Machine

Fault = Callable[..., None]
FAULTS: dict[str, Fault] = {}
"""Every fault by its name."""


def fault(name: str) -> Callable[[Fault], Fault]:
    def register(function: Fault) -> Fault:
        FAULTS[name] = function
        return function

    return register


def breaks(machine: Machine, name: str, **parameters: str) -> None:
    """Break a machine.

    Raises:
        InputError: no such fault, no such parameter, or it can't happen to this machine.
    """
    found = FAULTS.get(name)
    if found is None:
        raise InputError(f"there is no fault '{name}'; there are: {', '.join(sorted(FAULTS))}")
    known = set(inspect.signature(found).parameters) - {"machine"}
    wrong = sorted(set(parameters) - known)
    if wrong:
        told = ", ".join(sorted(known)) or "none"
        raise InputError(f"the fault '{name}' has no parameter '{wrong[0]}'; it has: {told}")
    events = machine.events
    found(machine, **parameters)
    machine.events = events
    machine.changed()


# --- helpers -----------------------------------------------------------------------------------------


def driver_package(machine: Machine) -> str:
    """Name of the installed package with the modules' source.

    Raises:
        InputError: there is none.
    """
    for name, item in machine.packages.installed.items():
        if item.offer.kind == "dkms-module":
            return name
    raise InputError("this fault needs a server with a driver")


def driver_version(machine: Machine) -> str:
    """Upstream version of the installed driver."""
    return machine.packages.installed[driver_package(machine)].offer.version.split("-")[0]


def newer_kernel(machine: Machine) -> tuple[str, str]:
    """(release, package version) of a kernel that an archive has and the machine hasn't."""
    for archive in reversed(machine.packages.fetched):
        for offer in archive.offers:
            if offer.kind == "kernel" and offer.name not in machine.packages.installed:
                return offer.argument, offer.version
    raise InputError("no archive of this server has another kernel")


def kernel_between(machine: Machine) -> tuple[str, str]:
    """(release, package version) of a kernel between the first and the newest of this server."""
    return _BETWEEN[machine.text("/etc/os-release").partition("VERSION_CODENAME=")[2].split()[0]]


_BETWEEN = {
    "bookworm": ("6.1.0-55-amd64", "6.1.192-1"),
    "trixie": ("6.12.115+deb13-amd64", "6.12.115-1"),
}
"""Kernels of Debian's security archive, by the release's code name."""


def older_driver(machine: Machine) -> str:
    """A version of the driver that an archive has, older than the installed one."""
    name = driver_package(machine)
    there = machine.packages.installed[name].offer.version
    versions = [item.offer.version for item in sources.candidates(machine, name)]
    if there in versions and versions.index(there) + 1 < len(versions):
        return versions[versions.index(there) + 1].split("-")[0]
    raise InputError("no archive of this server has an older driver")


def put(machine: Machine, name: str, version: str = "") -> None:
    """Install one package as it is, without its dependencies."""
    # Whatever dpkg is asked for, it first takes in what an interrupted run had noted.
    machine.tree.remove("/var/lib/dpkg/updates/0001")
    for item in sources.candidates(machine, name):
        if not version or item.offer.version == version:
            held = machine.packages.installed.get(name)
            maintainer.unpack(machine, item.offer, automatic=True)
            for _ in maintainer.configure(machine, name):
                pass
            if held is not None and held.held:
                there = machine.packages.installed[name]
                machine.packages.installed[name] = replace(there, held=True)
            return
    raise InputError(f"no archive of this server has {name} {version}")


def forget(machine: Machine, name: str) -> None:
    """Take a package away, and nothing else."""
    if name in machine.packages.installed:
        for _ in maintainer.remove(machine, name, purge=True):
            pass
