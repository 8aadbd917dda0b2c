"""Does the plan of a run still fit this host? Asked before a run goes on, after days perhaps.

A plan is made from what a host has. Where that has changed under it (another server's folder was
copied here, the distribution was upgraded, the kernel is gone, packages of done steps were removed),
going on would do the wrong thing well; a new plan from what is there now is the way out.
"""

from __future__ import annotations

import fnmatch
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import InputError
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.run import history
from gpu_bringup.run.journal import NAME, WAY_OUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import Facts, Package
    from gpu_bringup.model.plan import MadeFor, Plan
    from gpu_bringup.run.journal import Event

_SCHEMA = 1
_NOTHING = "Nothing was done."


def host_mark(path: Path = Path("/etc/machine-id")) -> str:
    """Tells this host from another without giving its machine id away: machine-id(5) asks for a hash.

    Empty where there is no such id (a fresh container): then nothing can be told.
    """
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, ValueError):
        return ""
    if len(text) != 32:
        return ""
    return hashlib.sha256(f"gpu-bringup run {text}".encode()).hexdigest()[:16]


def refuse_misfit(
    host: Host, folder: Path, plan: Plan, info: Mapping[str, Any], events: Sequence[Event]
) -> None:
    """Refuse to go on where the plan no longer fits.

    Args:
        folder: the run's.
        info: its run.json.
        events: of its journal.

    Raises:
        InputError: says what differs, and the way out.
    """
    for name, schema in (
        (history.INFO, info.get("schema", _SCHEMA)),
        (history.PLAN, _schema(folder)),
    ):
        if schema != _SCHEMA:
            raise InputError(
                f"it has schema {schema}, and this gpu-bringup reads schema {_SCHEMA}",
                file=str(folder / name),
                meaning=f"gpu-bringup {info.get('tool_version', 'of another version')} wrote it. "
                f"{_NOTHING}",
                hint="Use the version of gpu-bringup that began the run. " + WAY_OUT,
            )
    here = host_mark()
    if info.get("host_mark") and here and info["host_mark"] != here:
        raise _misfit(folder, "this run belongs to another host: its machine id is not this one's")
    if plan.made_for is None and not any(step.packages for step in plan.steps):
        return
    from gpu_bringup.facts.collect import collect

    facts = collect(host, only=("os", "platform", "kernels", "packages"))
    problem = (
        (_other_system(plan.made_for, facts) or _kernel_gone(plan.made_for, facts))
        if plan.made_for
        else ""
    )
    problem = problem or _package_changed(plan, history.done_steps(events), facts)
    if problem:
        raise _misfit(folder, problem)


def _schema(folder: Path) -> Any:
    import json

    try:
        data = json.loads((folder / history.PLAN).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return _SCHEMA
    return data.get("schema", _SCHEMA) if isinstance(data, dict) else _SCHEMA


def _misfit(folder: Path, problem: str) -> InputError:
    return InputError(
        f"the plan of this run no longer fits this server: {problem}",
        file=str(folder / NAME),
        meaning=_NOTHING,
        hint=WAY_OUT + f" gpu-bringup undo {folder.name} shows what can be taken back.",
    )


def _other_system(made_for: MadeFor, facts: Facts) -> str:
    system = facts.os
    if isinstance(system, Unknown):
        return ""
    planned = made_for.os_name or f"{made_for.os_id} {made_for.os_version}"
    same_version = system.version == made_for.os_version or system.version.startswith(
        f"{made_for.os_version}."
    )
    if system.id != made_for.os_id or not same_version:
        return f"it was made for {planned}, and this is {system.name or system.id}"
    if made_for.machine and system.arch and system.arch != made_for.machine:
        return f"it was made for {made_for.machine}, and this is {system.arch}"
    return ""


def _kernel_gone(made_for: MadeFor, facts: Facts) -> str:
    installed = facts.kernels.installed
    if isinstance(installed, Unknown):
        return ""
    gone = [release for release in made_for.kernels if facts.kernel(release) is None]
    if not gone:
        return ""
    there = ", ".join(kernel.release for kernel in installed) or "none"
    return f"kernel {', '.join(gone)} is not installed any more (installed: {there})"


def _package_changed(plan: Plan, done: frozenset[str], facts: Facts) -> str:
    """A package that a done step installed, and that is gone or another version now."""
    from gpu_bringup.facts.packages import relevant
    from gpu_bringup.model.facts import Package

    if isinstance(facts.packages.installed, Unknown):
        return ""
    there: dict[str, Package] = {
        item.name.partition(":")[0]: item for item in facts.packages.installed if item.installed
    }
    for step in plan.steps:
        if step.id not in done:
            continue
        for word in step.packages:
            name, _, version = word.partition("=")
            package = there.get(name)
            if package is None:
                if relevant((Package(name, "", ""),)):
                    return f"{name}, which the step '{step.title}' installed, is not there any more"
            elif version and not fnmatch.fnmatchcase(package.version, version):
                return f"{name} is {package.version} now, and the step '{step.title}' installed {version}"
    return ""
