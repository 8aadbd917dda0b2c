"""apt-cache: what the archives have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import sources
from gpu_bringup.hosts.simulated.packages import CONFIG_FILES
from gpu_bringup.hosts.simulated.programs.words import program, said, split

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.hosts.simulated.work import Program


@program("apt-cache")
def apt_cache(machine: Machine, argv: tuple[str, ...]) -> Program:
    _options, words = split(argv[1:], "-o", "-c")
    action = words[0] if words else ""
    if action == "policy":
        for name in words[1:]:
            yield from _policy(machine, name)
        return 0
    if action == "madison":
        for name in words[1:]:
            for item in sources.candidates(machine, name):
                yield (
                    f"{name} | {item.offer.version} | {item.archive.uri} {item.archive.suite}/"
                    f"{item.archive.component} amd64 Packages"
                )
        return 0
    if action in ("show", "depends"):
        found = [item for name in words[1:] for item in sources.candidates(machine, name)]
        for item in found:
            yield f"Package: {item.offer.name}"
            yield f"Version: {item.offer.version}"
            if item.offer.depends:
                yield f"Depends: {', '.join(item.offer.depends)}"
            yield ""
        if not found:
            yield "E: No packages found"
        return 0 if found else 100
    if action in ("search", "pkgnames"):
        pattern = words[1] if len(words) > 1 else ""
        yield from said(sorted(n for n in sources.names(machine) if pattern.strip("^$") in n))
        return 0
    yield f"E: Invalid operation {action}"
    return 100


def _policy(machine: Machine, name: str) -> Program:
    found = sources.candidates(machine, name)
    there = machine.packages.installed.get(name)
    if not found and there is None:
        return 0
    present = there is not None and there.state != CONFIG_FILES
    yield f"{name}:"
    yield f"  Installed: {there.offer.version if present and there is not None else '(none)'}"
    best = found[0].offer.version if found and found[0].priority >= 0 else "(none)"
    yield f"  Candidate: {best}"
    yield "  Version table:"
    for item in found:
        mark = (
            "***"
            if present and there is not None and there.offer.version == item.offer.version
            else "   "
        )
        yield f" {mark} {item.offer.version} {item.priority}"
        yield (
            f"        {item.priority} {item.archive.uri} {item.archive.suite}/"
            f"{item.archive.component} amd64 Packages"
        )
    return 0
