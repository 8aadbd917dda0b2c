"""A folder of packages as the source of one plan alone, for servers without network.

A POSIX script that travels with the plan (scripts/local-packages.sh) makes the folder a source below
``STATE``; the managers of this module point apt, dnf and zypper there and nowhere else. Nothing in
/etc changes, so that taking it back is removing ``STATE``.

Sources: apt.conf(5) (APT_CONFIG, Dir::Etc), apt-get(8) (--with-source, which is APT::Sources::With),
dnf.conf(5) (reposdir, gpgcheck, localpkg_gpgcheck, module_hotfixes), zypper(8) (--reposd-dir, plaindir).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.families.amazon import AmazonFamily
from gpu_bringup.families.apt import Apt
from gpu_bringup.families.base import Change
from gpu_bringup.families.debian import DebianFamily
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.families.fedora import FedoraFamily
from gpu_bringup.families.repository import FETCH_KEY, STAGE, fetch_key_script, forget_key
from gpu_bringup.families.rhel import RhelFamily
from gpu_bringup.families.suse import SuseFamily
from gpu_bringup.families.ubuntu import UbuntuFamily
from gpu_bringup.families.zypper import Zypper
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.families.base import Family

STATE = f"{STAGE}/local"
SCRIPT = f"{STAGE}/bin/local-packages.sh"
_REPOS = f"{STATE}/repos.d"


@lru_cache(maxsize=1)
def script() -> str:
    """Text of scripts/local-packages.sh."""
    return data_folder("scripts").joinpath("local-packages.sh").read_text(encoding="utf-8")


def _make(manager: str, folder: str, fingerprints: Sequence[str]) -> Command:
    pinned = ",".join(item.replace(" ", "") for item in fingerprints)
    return Command(
        ("sh", SCRIPT, manager, folder, *([pinned] if pinned else [])), package_manager=True
    )


def use_folder(family: Family, folder: str, fingerprints: Sequence[str]) -> Change:
    """Make ``folder`` the source of a plan; ``fingerprints``: of the keys that it may bring along."""
    # apt's keys lie below STATE; rpm keeps those that it took in its own database.
    rpm = family.manager.name != "apt"
    forget = [forget_key(item) for item in fingerprints] if rpm else []
    return Change(
        writes=(Write(SCRIPT, script(), 0o755), Write(FETCH_KEY, fetch_key_script(), 0o755)),
        commands=(_make(family.manager.name, folder, fingerprints),),
        undo=(Command(("rm", "-rf", STATE)), *forget),
    )


def _apt_here(command: Command) -> Command:
    environment = tuple(sorted((*command.environment, ("APT_CONFIG", f"{STATE}/apt.conf"))))
    return replace(command, environment=environment, network=False)


@dataclass(frozen=True, slots=True)
class LocalApt(Apt):
    """apt that sees the folder and what is installed, nothing else."""

    def install(self, packages: Sequence[str]) -> Command:
        """As ``Apt``."""
        return _apt_here(Apt.install(self, packages))

    def reinstall(self, packages: Sequence[str]) -> Command:
        """As ``Apt``."""
        return _apt_here(Apt.reinstall(self, packages))

    def remove(self, packages: Sequence[str]) -> Command:
        """As ``Apt``."""
        return _apt_here(Apt.remove(self, packages))

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """As ``Apt``."""
        return ("env", f"APT_CONFIG={STATE}/apt.conf", *Apt.simulate(self, packages))

    def sizes_argv(self, packages: Sequence[str]) -> tuple[str, ...]:
        """As ``Apt``."""
        return ("env", f"APT_CONFIG={STATE}/apt.conf", *Apt.sizes_argv(self, packages))

    def mend(self) -> tuple[Command, ...]:
        """As ``Apt``."""
        return tuple(_apt_here(c) if c.argv[0] == "apt-get" else c for c in Apt.mend(self))


def _dnf_here(command: Command) -> Command:
    return replace(command, argv=_dnf_argv(command.argv), network=False)


def _dnf_argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    head = 2 if argv[1] == "-y" else 1
    return (*argv[:head], f"--setopt=reposdir={_REPOS}", *argv[head:])


@dataclass(frozen=True, slots=True)
class LocalDnf(Dnf):
    """dnf that sees the folder and what is installed, nothing else."""

    def install(self, packages: Sequence[str]) -> Command:
        """As ``Dnf``."""
        return _dnf_here(Dnf.install(self, packages))

    def reinstall(self, packages: Sequence[str]) -> Command:
        """As ``Dnf``."""
        return _dnf_here(Dnf.reinstall(self, packages))

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """As ``Dnf``."""
        return _dnf_argv(Dnf.simulate(self, packages))

    def mend(self) -> tuple[Command, ...]:
        """As ``Dnf``."""
        return tuple(_dnf_here(command) for command in Dnf.mend(self))

    def hold(self, packages: Sequence[str]) -> Command:
        """As ``Dnf``: it looks at the enabled repositories before it locks."""
        return _dnf_here(Dnf.hold(self, packages))


def _zypper_here(command: Command) -> Command:
    return replace(command, argv=_zypper_argv(command.argv), network=False)


def _zypper_argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    head = 2 if argv[1] == "--non-interactive" else 1
    return (*argv[:head], f"--reposd-dir={_REPOS}", *argv[head:])


@dataclass(frozen=True, slots=True)
class LocalZypper(Zypper):
    """zypper that sees the folder and what is installed, nothing else."""

    def install(self, packages: Sequence[str]) -> Command:
        """As ``Zypper``."""
        return _zypper_here(Zypper.install(self, packages))

    def reinstall(self, packages: Sequence[str]) -> Command:
        """As ``Zypper``."""
        return _zypper_here(Zypper.reinstall(self, packages))

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """As ``Zypper``."""
        return _zypper_argv(Zypper.simulate(self, packages))

    def mend(self) -> tuple[Command, ...]:
        """As ``Zypper``."""
        return tuple(_zypper_here(command) for command in Zypper.mend(self))


def on_folder(family: Family) -> Family:
    """The same family with a package manager that takes packages from the plan's folder alone."""
    if isinstance(family, (DebianFamily, UbuntuFamily)):
        return replace(family, manager=LocalApt())
    if isinstance(family, (RhelFamily, AmazonFamily, FedoraFamily)):
        return replace(family, manager=LocalDnf(version=family.manager.version))
    if isinstance(family, SuseFamily):
        return replace(family, manager=LocalZypper())
    return family
