"""A package database that is damaged, or whose packages lack what they need: causes and repairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import needs_module
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.ladder import Cause

DAMAGED = "package-database-damaged"
UNMET = "unmet-dependencies"
_STATUS = "/var/lib/dpkg/status"
_ASIDE = "/var/lib/dpkg/status.damaged"
_FRESH = "/var/lib/dpkg/status.restored"
_SHOWN = 4


def damage_causes(ctx: Context) -> list[Cause]:
    """The damage with its place, and which older copies are whole."""
    facts = ctx.facts.packages
    if not facts.damage:
        return []
    place, _, what = facts.damage.partition(": ")
    told = [ev(place, what)]
    if _by_dpkg(ctx):
        text = (
            f"whole: {listed(facts.backups)}"
            if facts.backups
            else "neither /var/lib/dpkg/status-old nor /var/backups/dpkg.status.* is known to be whole"
        )
        told.append(ev("older copies", text))
    return [cause(DAMAGED, 0.97, *told)]


def _by_dpkg(ctx: Context) -> bool:
    return ctx.facts.packages.damage.startswith("/var/lib/dpkg")


WORDS = (
    "the package database is damaged: what is installed can't be known, and nothing can be installed or "
    "removed before it is mended"
)


def by_hand(ctx: Context) -> tuple[str, ...]:
    """What a person must do where no whole older copy is known."""
    facts = ctx.facts.packages
    if not facts.damage or not _by_dpkg(ctx) or facts.backups:
        return ()
    return (
        f"Keep a copy of {_STATUS} (never delete it), then put a whole older one back: "
        "/var/lib/dpkg/status-old, /var/backups/dpkg.status.0, /var/backups/dpkg.status.N.gz, or this "
        "server's own backup. None of them was seen to be whole from here.",
    )


def restore_step(ctx: Context) -> Step | None:
    """Put the newest whole copy back; what is there now is kept beside it, never deleted."""
    facts = ctx.facts.packages
    if not facts.damage:
        return None
    if not _by_dpkg(ctx):
        return _rebuild_step(ctx)
    if not facts.backups:
        return None
    source = facts.backups[0]
    packed = source.endswith((".gz", ".xz"))
    tool = "xz" if source.endswith(".xz") else "gzip"
    ending = source[source.rfind(".") :] if packed else ""
    commands = [] if "is missing" in facts.damage else [Command(("cp", "-a", _STATUS, _ASIDE))]
    commands.append(Command(("cp", source, _FRESH + ending)))
    if packed:
        commands.append(Command((tool, "-df", _FRESH + ending)))
    commands += [
        Command(("chmod", "0644", _FRESH)),
        Command(("mv", _FRESH, _STATUS)),
        Command(("dpkg", "--audit")),
    ]
    return Step(
        id="restore-package-database",
        rung="packages",
        title=f"Put the package database back from {source}",
        why="The file that says what is installed can't be read to its end. dpkg keeps the one from "
        "before its last change, and a daily copy in /var/backups. The damaged file stays as "
        f"{_ASIDE}.",
        commands=tuple(commands),
        undo=(Command(("cp", "-a", _ASIDE, _STATUS)),) if len(commands) > 4 + packed else (),
        done_when=("packages",),
        estimate_seconds=15,
        risk="What was installed or removed after that copy isn't in it: /var/log/apt/history.log tells "
        "what that was, and installing those packages again puts it right. Find out why the file was "
        "damaged (full disk, power cut, failing disk) before you go on.",
        expect="No output, or the packages that dpkg would finish.",
    )


def _rebuild_step(ctx: Context) -> Step:
    folder = ctx.facts.packages.damage.partition(":")[0]
    aside = f"{folder}.damaged"
    return Step(
        id="rebuild-package-database",
        rung="packages",
        title="Rebuild the rpm database from its own package headers",
        why="rpm keeps the header of every package in its database and can make the rest of it anew. "
        f"The folder as it is now stays as {aside}.",
        commands=(
            Command(("cp", "-a", folder, aside)),
            Command(("rpmdb", "--rebuilddb")),
            Command(("rpm", "-qa", "--last")),
        ),
        done_when=("packages",),
        estimate_seconds=60,
        risk="Where the headers themselves are lost it fails and changes nothing; then only a backup of "
        f"{folder} helps.",
        expect="The list of packages, newest first.",
    )


def unmet_causes(ctx: Context) -> list[Cause]:
    """Packages that are marked as installed although something that they need isn't."""
    found = ctx.facts.packages.unmet
    if isinstance(found, Unknown) or not found:
        return []
    more = f" (and {len(found) - _SHOWN} more)" if len(found) > _SHOWN else ""
    told = [ev(_STATUS, f"{text}, which is not installed") for text in found[:_SHOWN]]
    if more:
        told[-1] = ev(_STATUS, told[-1].text + more)
    return [cause(UNMET, 0.9, *told)]


def unmet_step(ctx: Context) -> Step | None:
    """Let the package manager bring what is missing."""
    if ctx.family is None or not unmet_causes(ctx):
        return None
    return Step(
        id="meet-dependencies",
        rung="packages",
        title="Install what installed packages lack",
        why="Somebody removed a part by force, or installed a package without what it needs. apt "
        "refuses every other installation until that is whole again.",
        commands=ctx.family.manager.mend(),
        done_when=("packages",),
        estimate_seconds=60,
        risk="Where no repository has the missing part, apt offers to remove the package that needs it: "
        "read its list before it is let.",
        expect="'The following additional packages will be installed', or '0 newly installed'.",
    )


def stream_causes(ctx: Context) -> list[Cause]:
    """Another module stream of the driver is switched on than the chosen branch is in (RHEL 8, 9)."""
    have, target, family = ctx.facts.packages.module_stream, ctx.target, ctx.family
    if not have or target is None or family is None or not needs_module(ctx):
        return []
    words = [w for c in family.prepare_branch(target.exact_package).commands for w in c.argv]
    wanted = next((w.partition(":")[2] for w in words if w.startswith("nvidia-driver:")), "")
    if not wanted or wanted == have:
        return []
    text = f"nvidia-driver:{have} is enabled; {target.driver.branch} is in nvidia-driver:{wanted}"
    return [
        cause("dnf-modular-filtering", 0.9, ev("/etc/dnf/modules.d/nvidia-driver.module", text))
    ]
