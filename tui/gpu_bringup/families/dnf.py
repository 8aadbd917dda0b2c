"""dnf, versions 4 and 5, as a package manager. Sources: dnf(8), dnf5(8), their versionlock pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.families import dnf_output
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.families.base import Resolution

ENVIRONMENT = (("LC_ALL", "C.UTF-8"),)
_LEAN = "--setopt=install_weak_deps=False"


def nevra(name: str) -> str:
    """ "name=version" as dnf writes it: "name-version"; other names stay as they are."""
    return name.replace("=", "-", 1) if "=" in name and " " not in name else name


def _dnf(*arguments: str, network: bool = True) -> Command:
    return Command(
        ("dnf", "-y", *arguments), environment=ENVIRONMENT, package_manager=True, network=network
    )


@dataclass(frozen=True, slots=True)
class Dnf:
    """dnf; both versions wait for another transaction's lock by themselves."""

    version: int = 4
    """4 on Enterprise Linux up to 10 and Amazon Linux 2023; 5 on Fedora since 41."""
    name: str = "dnf"

    @property
    def hold_tools(self) -> tuple[str, ...]:
        """versionlock is a plugin package of dnf 4, built into dnf 5."""
        return ("python3-dnf-plugin-versionlock",) if self.version == 4 else ()

    def refresh(self) -> Command:
        """Read the repositories' metadata anew."""
        return _dnf("makecache", "--refresh")

    def install(self, packages: Sequence[str]) -> Command:
        """Install "name" or "name=version", without weak dependencies."""
        return _dnf("install", _LEAN, *map(nevra, packages))

    def remove(self, packages: Sequence[str]) -> Command:
        """Remove packages and nothing that merely looks unneeded; names may be patterns."""
        return _dnf(
            "remove",
            "--setopt=clean_requirements_on_remove=False",
            *map(nevra, packages),
            network=False,
        )

    def reinstall(self, packages: Sequence[str]) -> Command:
        """Install the same version again."""
        return _dnf("reinstall", *map(nevra, packages))

    def simulate(self, packages: Sequence[str]) -> tuple[str, ...]:
        """argv that resolves and then says no: status 1 either way, the words decide."""
        return ("dnf", "install", "--assumeno", _LEAN, *map(nevra, packages))

    def parse_simulation(self, status: int, output: str) -> Resolution:
        """What ``dnf install --assumeno`` said."""
        return dnf_output.parse_simulation(status, output)

    def sizes_argv(self, packages: Sequence[str]) -> tuple[str, ...]:
        """The simulation prints the sizes as well."""
        return self.simulate(packages)

    def parse_sizes(self, status: int, output: str) -> tuple[int | None, int | None]:
        """(download bytes, installed bytes)."""
        return dnf_output.parse_sizes(output)

    def mend(self) -> tuple[Command, ...]:
        """Do the last transaction's missing rest, then look whether dependencies hold."""
        return (
            # Status 1: that transaction was complete, there is nothing to do again.
            Command(
                ("dnf", "-y", "history", "redo", "last"),
                environment=ENVIRONMENT,
                package_manager=True,
                network=True,
                ok_statuses=(0, 1),
            ),
            Command(("dnf", "check", "--dependencies"), environment=ENVIRONMENT),
        )

    def hold(self, packages: Sequence[str]) -> Command:
        """dnf versionlock add: keeps the installed version."""
        return _dnf("versionlock", "add", *packages, network=False)

    def hold_branch(self, branch: str) -> tuple[Command, Command]:
        """(keep NVIDIA's packages on a branch, take that back).

        dnf 4 keeps the pattern itself: without --raw it would be replaced by the versions that are
        installed now, and shut out the very release that is to be installed. dnf 5 has no such word;
        its form is the one of NVIDIA's guide on version locking.
        """
        if self.version == 4:
            pattern = f"*nvidia*-{branch}.*"
            return (
                _dnf("versionlock", "add", "--raw", pattern, network=False),
                _dnf("versionlock", "delete", pattern, network=False),
            )
        pattern = f"*nvidia*{branch}*"
        return self.hold((pattern,)), self.unhold((pattern,))

    def unhold(self, packages: Sequence[str]) -> Command:
        """dnf versionlock delete."""
        return _dnf("versionlock", "delete", *packages, network=False)
