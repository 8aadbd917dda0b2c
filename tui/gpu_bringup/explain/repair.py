"""Turns a failure's repair into steps, with what the text and the context tell filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.explain.lookups import names
from gpu_bringup.families.aside import MOVE_ASIDE, move_aside_script
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gpu_bringup.explain.context import Context
    from gpu_bringup.model.failure import Failure, Mend

_PLACE = re.compile(r"\{([a-z]+)\}")
# What is taken over from a text into a command is held to what such names are made of.
_SAFE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+~:@-]{0,127}$")
_RELATED = {"ubuntu": "debian", "fedora": "rhel", "amazon": "rhel"}
HOW_TO_FIND = {
    "kernel": "the kernel's release: uname -r prints that of the one that runs",
    "driver": "the driver's version: dkms status or modinfo -F version nvidia for what is installed, "
    "cat /proc/driver/nvidia/version for what is loaded",
    "branch": "the first number of the driver's version (580 of 580.95.05): modinfo -F version nvidia",
    "package": "the package that the message of the package manager names",
    "file": "the file that the look-ups above name",
    "bus": "the GPU's PCI address: nvidia-smi --query-gpu=pci.bus_id --format=csv",
    "gpu": "the GPU's number or PCI address: nvidia-smi -L, or the address in the message",
    "major": "the first number of the kernel's compiler: cat /proc/version",
}
"""Where the value of a place comes from that neither text nor context fills."""


def values_of(
    groups: Mapping[str, str], context: Context, told: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What can be filled in: a sign's own words first, then the context's, then what else is told."""
    values = {name: value for name, value in groups.items() if _SAFE.match(value)}
    for name in ("kernel", "driver"):
        given = getattr(context, name).split()[:1]
        if name not in values and given and _SAFE.match(given[0]):
            values[name] = given[0]
    for name, value in (told or {}).items():
        if name not in values and _SAFE.match(value):
            values[name] = value
    if "branch" not in values and values.get("driver", "")[:3].isdigit():
        values["branch"] = branch_of(values["driver"])
    return values


def fill(argv: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """An argv with its places filled in; what isn't known becomes a word in capitals."""
    return tuple(
        _PLACE.sub(lambda match: values.get(match[1], match[1].upper()), word) for word in argv
    )


def unfilled(argvs: Iterable[Sequence[str]], values: Mapping[str, str]) -> dict[str, str]:
    """The words in capitals that ``fill`` leaves in these commands -> how to find their values."""
    places = (match[1] for argv in argvs for word in argv for match in _PLACE.finditer(word))
    return {
        name.upper(): HOW_TO_FIND.get(name, "not told by the text")
        for name in dict.fromkeys(places)
        if name not in values
    }


def fits(mend: Mend, family: str, own: bool = False) -> bool:
    """Is this step for that family? Where the family isn't known, every step is shown.

    ``own``: the repair has a step that names this very family, which takes its relative's place.
    """
    if not mend.families or not family or family in mend.families:
        return True
    return not own and _RELATED.get(family, family) in mend.families


def _writes(mend: Mend) -> tuple[Write, ...]:
    """The step's files, and the scripts of this project that its commands call: they travel along."""
    files = tuple(Write(file.path, file.content) for file in mend.writes)
    called = any(MOVE_ASIDE in argv for argv in mend.commands)
    return (*files, Write(MOVE_ASIDE, move_aside_script(), 0o755)) if called else files


def _title(mend: Mend, family: str) -> str:
    """Where the family isn't known, the steps of all are shown: each says whose it is."""
    return mend.title if family or not mend.families else f"{mend.title} ({names(mend.families)})"


def _told(mend: Mend, values: Mapping[str, str]) -> bool:
    """Does the text say what this step is for? A step without such a condition always fits."""
    pairs = (condition.partition("=") for condition in mend.where)
    return all(values.get(name, "") == value for name, _, value in pairs)


def mends(
    failure: Failure, family: str, values: Mapping[str, str] | None = None
) -> tuple[Mend, ...]:
    """The failure's repair for that family ("": not known, all are given).

    ``values``: what a text tells (the recovery action that the driver asks for); None: there is no text.
    """
    own = any(family in mend.families for mend in failure.repair)
    return tuple(
        mend for mend in failure.repair if fits(mend, family, own) and _told(mend, values or {})
    )


def steps(failure: Failure, values: Mapping[str, str], family: str) -> tuple[Step, ...]:
    """The failure's repair as steps for that family ("": not known)."""
    chosen = mends(failure, family, values)
    return tuple(
        Step(
            id=f"{failure.id}-{number}",
            rung=failure.rung,
            title=_title(mend, family),
            why=mend.why,
            commands=tuple(Command(fill(argv, values)) for argv in mend.commands),
            writes=_writes(mend),
            reboot=mend.reboot,
            stops_workloads=mend.stops_workloads,
            undo=tuple(Command(fill(argv, values)) for argv in mend.undo),
            done_when=(failure.rung,),
            risk=mend.risk,
        )
        for number, mend in enumerate(chosen, 1)
    )
