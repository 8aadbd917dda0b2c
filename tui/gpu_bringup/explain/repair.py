"""Turns a failure's repair into steps, with what the text and the context tell filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.families.aside import MOVE_ASIDE, move_aside_script
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.versions import branch_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpu_bringup.explain.context import Context
    from gpu_bringup.model.failure import Failure, Mend

_PLACE = re.compile(r"\{([a-z]+)\}")
# What is taken over from a text into a command is held to what such names are made of.
_SAFE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+~:@-]{0,127}$")
_RELATED = {"ubuntu": "debian", "fedora": "rhel", "amazon": "rhel"}


def values_of(groups: Mapping[str, str], context: Context) -> dict[str, str]:
    """What can be filled in: the text's own words first, then the context's."""
    values = {name: value for name, value in groups.items() if _SAFE.match(value)}
    for name in ("kernel", "driver"):
        told = getattr(context, name).split()[:1]
        if name not in values and told and _SAFE.match(told[0]):
            values[name] = told[0]
    if "branch" not in values and values.get("driver", "")[:3].isdigit():
        values["branch"] = branch_of(values["driver"])
    return values


def fill(argv: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """An argv with its places filled in; what isn't known becomes a word in capitals."""
    return tuple(
        _PLACE.sub(lambda match: values.get(match[1], match[1].upper()), word) for word in argv
    )


def fits(mend: Mend, family: str, own: bool = False) -> bool:
    """Is this step for that family? Where the family isn't known, every step is shown.

    ``own``: the repair has a step that names this very family, which takes its relative's place.
    """
    if not mend.families or not family or family in mend.families:
        return True
    return not own and _RELATED.get(family, family) in mend.families


def _scripts(mend: Mend) -> tuple[Write, ...]:
    """The scripts of this project that the commands call: they travel with the step."""
    called = any(MOVE_ASIDE in argv for argv in mend.commands)
    return (Write(MOVE_ASIDE, move_aside_script(), 0o755),) if called else ()


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
            title=mend.title,
            why=mend.why,
            commands=tuple(Command(fill(argv, values)) for argv in mend.commands),
            writes=_scripts(mend),
            reboot=mend.reboot,
            stops_workloads=mend.stops_workloads,
            undo=tuple(Command(fill(argv, values)) for argv in mend.undo),
            done_when=(failure.rung,),
            risk=mend.risk,
        )
        for number, mend in enumerate(chosen, 1)
    )
