"""Facts that a plan would rest on and that nobody has read: what they are, and how to fetch them. Pure.

Unknown is an answer: a step that is only right if an unread fact happens to be so is not planned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.ladder.module import to_come
from gpu_bringup.ladder.view import driver_traces
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.unknown import Fact

_RUNNING = frozenset({"loaded", "devices", "nvml", "fabric", "cuda"})
_MODULES = _RUNNING | {"module", "signature"}


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that was not read."""

    rungs: frozenset[str] | None
    """Rungs whose mending depends on it; None: every one."""
    text: str
    """What isn't known, what is not planned for that reason, and how it is learned."""


def _fetch(ctx: Context) -> str:
    if ctx.facts.recorded:
        return "make the record again on that server, as root: sudo gpu-bringup record -o FILE"
    return "run this again as root: sudo gpu-bringup plan"


def unread(ctx: Context) -> Unread | None:
    """The fact whose lack keeps a plan back most; None: what a plan rests on is known.

    A host without any trace of a driver is set up from nothing: what is loaded or on disk is no
    question there. A damaged package database is a fault of its own, with steps of its own.
    """
    facts = ctx.facts
    if not driver_traces(ctx):
        return None

    def made(fact: Fact[object], rungs: frozenset[str] | None, what: str, hand: str) -> Unread:
        why = fact.reason if isinstance(fact, Unknown) else ""
        return Unread(rungs, f"{what.format(why=why)}: {_fetch(ctx)}. To look by hand: {hand}.")

    if isinstance(facts.packages.installed, Unknown) and not facts.packages.damage:
        apt = ctx.family is not None and ctx.family.manager.name == "apt"
        return made(
            facts.packages.installed,
            None,
            "A driver is here, but which packages it came with is not known ({why}), so no step is planned",
            "dpkg -l '*nvidia*'" if apt else "rpm -qa '*nvidia*'",
        )
    if isinstance(facts.modules.files, Unknown) and not to_come(ctx):
        return made(
            facts.modules.files,
            _MODULES,
            "Which nvidia modules are in /lib/modules is not known ({why}), so building and loading them "
            "is not planned",
            "ls /lib/modules/*/updates/dkms; dkms status",
        )
    if isinstance(facts.modules.loaded_version, Unknown) and not to_come(ctx):
        return made(
            facts.modules.loaded_version,
            _RUNNING,
            "Whether a driver is loaded, and which, is not known ({why}), so loading one is not planned",
            "cat /proc/driver/nvidia/version; grep nvidia /proc/modules",
        )
    return None
