"""Fedora: as Enterprise Linux, with dnf 5 since 41 and without module streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.families import common
from gpu_bringup.families.base import Change, Family
from gpu_bringup.families.dnf import Dnf
from gpu_bringup.families.rhel import RhelFamily

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.facts import Facts, OsFacts, Repository

IDS = ("fedora",)


@dataclass(frozen=True, slots=True)
class FedoraFamily(RhelFamily):
    """Fedora and what is made from it."""

    id: str = "fedora"

    def _matched(self) -> bool:
        return True

    def _modular(self) -> bool:
        return False

    def _key_tools(self) -> tuple[str, ...]:
        # dnf 5 checks signatures without gnupg, so that a small Fedora may lack it.
        return ("gnupg2",)

    def _nvidia_distro(self, os: OsFacts) -> str:
        number = common.major(os.version)
        return f"fedora{number}" if number and os.id == "fedora" else ""

    def missing_components(
        self, repositories: Sequence[Repository], components: Sequence[str]
    ) -> tuple[str, ...]:
        """Fedora has dkms itself."""
        return ()

    def enable_components(
        self, facts: Facts, files: dict[str, str], components: Sequence[str]
    ) -> Change:
        """Nothing to switch on."""
        return Change()


def family(os: OsFacts) -> Family:
    """The family object of one Fedora release."""
    number = common.major(os.version)
    return FedoraFamily(os, Dnf(version=4 if number is not None and number < 41 else 5))
