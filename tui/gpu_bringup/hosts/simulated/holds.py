"""What apt does with held packages, as apt 3.0 was seen to do it (tests/cases/conformance)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.packages import dependency

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpu_bringup.hosts.simulated.machine import Machine


class AptError(Exception):
    """apt-get ends with status 100 and these words."""


def may_change(machine: Machine, names: Iterable[str], options: dict[str, str]) -> None:
    """Refuse to change held packages that nobody allowed to be changed.

    Raises:
        AptError: there are such.
    """
    there = machine.packages.installed
    held = [name for name in names if name in there and there[name].held]
    if held and "--allow-change-held-packages" not in options:
        raise AptError(
            "The following held packages will be changed:\n  " + " ".join(held) + "\n"
            "E: Held packages were changed and -y was used without --allow-change-held-packages."
        )


def keep(machine: Machine, removed: Iterable[str], named: Sequence[str]) -> None:
    """apt never takes a held package away because of another, --allow-change-held-packages or not.

    Args:
        removed: everything that would go.
        named: what was asked for by name.

    Raises:
        AptError: a held package would go along.
    """
    removed = tuple(removed)
    for name in removed:
        item = machine.packages.installed[name]
        if not item.held or name in named:
            continue
        lost = next(
            text
            for text in item.offer.depends
            if any(each in removed for each, _ in dependency(text))
        )
        raise AptError(
            "The following packages have unmet dependencies:\n"
            f" {name} : Depends: {lost} but it is not going to be installed\n"
            "E: Error, pkgProblemResolver::Resolve generated breaks, this may be caused by held packages."
        )
