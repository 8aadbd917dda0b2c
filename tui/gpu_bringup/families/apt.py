"""apt and dpkg as a package manager: which commands, with which options, and why.

Sources: apt.conf(5), apt-get(8), dpkg(1) (--force-conf*), ucf(1), needrestart(1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.families import apt_output
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.families.base import Resolution

ENVIRONMENT = (
    # A changelog in a pager, a debconf dialog or a restart menu would wait for ever.
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("DEBIAN_FRONTEND", "noninteractive"),
    # The run engine reads apt's progress; it knows its English words only.
    ("LC_ALL", "C.UTF-8"),
    # List, never restart: restarting a GPU service under load is the operator's decision.
    ("NEEDRESTART_MODE", "l"),
    ("UCF_FORCE_CONFFOLD", "1"),
)

OPTIONS = (
    "-y",
    "-o",
    "APT::Color=0",
    "-o",
    "Dpkg::Progress-Fancy=0",
    "-o",
    "Dpkg::Use-Pty=0",
    # Ten minutes: unattended-upgrades may be at work, and must not be killed for our sake.
    "-o",
    "DPkg::Lock::Timeout=600",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
)


def _apt(*arguments: str, network: bool = False) -> Command:
    return Command(
        ("apt-get", *OPTIONS, *arguments),
        environment=ENVIRONMENT,
        package_manager=True,
        network=network,
    )


def _install_arguments(packages: Sequence[str]) -> tuple[str, ...]:
    # A version that was asked for by name may be older than what is installed: that is wanted.
    downgrade = ("--allow-downgrades",) if any("=" in name for name in packages) else ()
    return ("install", "--no-install-recommends", *downgrade, *packages)


@dataclass(frozen=True, slots=True)
class Apt:
    """apt-get; simulations are read in the C locale."""

    name: str = "apt"
    hold_tools: tuple[str, ...] = ()

    def refresh(self) -> Command:
        """Read the archives' indexes anew."""
        return _apt("update", network=True)

    def install(self, packages: Sequence[str]) -> Command:
        """Install "name" or "name=version", without recommended packages."""
        return _apt(*_install_arguments(packages), network=True)

    def remove(self, packages: Sequence[str]) -> Command:
        """Purge packages; what depends on them goes too, nothing else."""
        return _apt("purge", *packages)

    def reinstall(self, packages: Sequence[str]) -> Command:
        """Install the same version again."""
        arguments = _install_arguments(packages)
        return _apt(arguments[0], "--reinstall", *arguments[1:], network=True)

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv of a simulation: needs neither root nor the lock."""
        return ("apt-get", "-s", "-o", "APT::Color=0", *_install_arguments(packages))

    def parse_simulation(self, status: int, output: str) -> Resolution:
        """What ``apt-get -s`` said."""
        return apt_output.parse_simulation(status, output)

    def sizes_argv(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv that prints the sizes and the addresses, and changes nothing.

        ``apt-get -s`` prints no sizes. ``--assume-no`` alone is not enough: apt asks nothing, and
        installs, where the number of changes happens to be the number of names that it was given
        (apt-private/private-install.cc, DoInstall). ``--print-uris`` ends before anything is done.
        """
        return (
            "apt-get",
            "-o",
            "Debug::NoLocking=1",
            "-o",
            "APT::Color=0",
            "--assume-no",
            "--print-uris",
            *_install_arguments(packages),
        )

    def parse_sizes(self, status: int, output: str) -> tuple[int | None, int | None]:
        """(download bytes, installed bytes) of "Need to get ..." and "After this operation ..."."""
        return apt_output.parse_sizes(output)

    def mend(self) -> tuple[Command, ...]:
        """Configure what was left unconfigured, then complete unmet dependencies.

        dpkg ends with 1 where a package lacks what it needs (a compiler, a library): that is what
        the second command brings, and then it configures again. Its own exit status counts.
        """
        return (
            Command(
                ("dpkg", "--force-confdef", "--force-confold", "--configure", "-a"),
                environment=ENVIRONMENT,
                package_manager=True,
                ok_statuses=(0, 1),
            ),
            _apt("install", "--no-install-recommends", "--fix-broken", network=True),
        )

    def hold(self, packages: Sequence[str]) -> Command:
        """apt-mark hold."""
        return Command(("apt-mark", "hold", *packages))

    def unhold(self, packages: Sequence[str]) -> Command:
        """apt-mark unhold."""
        return Command(("apt-mark", "unhold", *packages))
