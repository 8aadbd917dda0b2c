"""Rung 3: the package database is healthy, there is one installation method, the source is there."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import distribution
from gpu_bringup.families.common import is_driver_package
from gpu_bringup.families.local import use_folder
from gpu_bringup.families.repository import NVLSM, STAGE
from gpu_bringup.ladder import database
from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.failed_build import build_cause, removal_step
from gpu_bringup.ladder.module import to_come
from gpu_bringup.ladder.repository_key import key_causes, key_step
from gpu_bringup.ladder.series import series_causes, series_steps
from gpu_bringup.ladder.steps import change_step, refresh_step
from gpu_bringup.ladder.view import (
    base_name,
    driver_set,
    driver_traces,
    known_packages,
    missing,
    needs_module,
    outside_skip,
    upstream_version,
)
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.families.base import Change
    from gpu_bringup.model.catalogue import PackageRepository
    from gpu_bringup.model.facts import Repository
    from gpu_bringup.model.ladder import Cause, RungResult

say = Say("packages")


def _repositories(ctx: Context) -> tuple[Repository, ...]:
    listing = ctx.facts.packages.repositories
    return () if isinstance(listing, Unknown) else tuple(r for r in listing if r.enabled)


def _fixed_part(text: str) -> str:
    return text.split("{", 1)[0].rstrip("/")


def _entries(ctx: Context, repository: PackageRepository) -> tuple[Repository, ...]:
    """Enabled entries of the host that are this repository."""
    start = _fixed_part(repository.uri)
    return tuple(r for r in _repositories(ctx) if start and r.uri.startswith(start))


def needed_repository(ctx: Context) -> PackageRepository | None:
    """The foreign repository that the target comes from and that isn't configured here; else None."""
    if ctx.target is None or ctx.target.source_kind == "local":
        return None
    repository = ctx.catalogue.repositories.get(ctx.target.package.repository)
    if repository is None or _entries(ctx, repository):
        return None
    return repository


def nvlsm_repository(ctx: Context) -> PackageRepository | None:
    """NVIDIA's repository for nvlsm alone, where Ubuntu's own driver needs it; else None.

    nvlsm is in NVIDIA's repository only, and its version has nothing to do with the driver's.
    """
    target, os = ctx.target, ctx.facts.os
    if target is None or target.source_kind != "distribution" or isinstance(os, Unknown):
        return None
    if ctx.family is None or ctx.family.id != "ubuntu" or not target.fabric.endswith("+nvlsm"):
        return None
    release = distribution(ctx.catalogue, os.id, os.version)
    ids = (package.repository for package in release.drivers) if release is not None else ()
    found = ctx.catalogue.repositories.get(next((name for name in ids if name), ""))
    if found is None or _entries(ctx, found):
        return None
    return replace(found, id=found.id + NVLSM, name=f"{found.name}, for nvlsm alone")


def needed_components(ctx: Context) -> tuple[str, ...]:
    """Archive components that the target needs and that are off."""
    if ctx.target is None or ctx.family is None or ctx.target.source_kind == "local":
        return ()
    if isinstance(ctx.facts.packages.repositories, Unknown):
        return ()
    needed = ctx.family.missing_components(
        ctx.facts.packages.repositories, ctx.target.package.components
    )
    if not needed or ctx.family.enable_components(ctx.facts, ctx.files, needed):
        return needed
    # A mirror of the operator's own, which is left as it is: it has brought what the driver needs.
    return needed if missing(ctx.facts, driver_set(ctx)) else ()


def unseen_components(ctx: Context) -> tuple[str, ...]:
    """Components that the target needs where nobody could see whether they are on."""
    target = ctx.target
    if target is None or ctx.family is None or target.source_kind == "local":
        return ()
    if not isinstance(ctx.facts.packages.repositories, Unknown):
        return ()
    return ctx.family.missing_components((), target.package.components)


def _unseen_change(ctx: Context) -> Change | None:
    """How to switch unseen components on without the files; None: that can't be said from here."""
    components = unseen_components(ctx)
    if not components or ctx.family is None:
        return None
    change = ctx.family.enable_components(ctx.facts, {}, components)
    edits = any(not write.path.startswith(f"{STAGE}/") for write in change.writes)
    # Perhaps they are on already: then an undo must not switch them off.
    return replace(change, undo=()) if change.commands and not edits else None


def is_local(ctx: Context) -> bool:
    """Do the packages come from a folder of the operator's?"""
    return ctx.target is not None and ctx.target.source_kind == "local"


_VOUCHED = {
    "apt": "A .deb file carries no signature of its own: a SHA256SUMS file in the folder is checked, and "
    "a file that does not fit, or that it does not name, is refused. An index signed by a key that "
    "this server trusts is used where the folder has one.",
    "dnf": "Each package must be signed by a key that this server has imported; NVIDIA's own is taken "
    "from the folder if its fingerprint is the pinned one. An index (repodata) is used where the "
    "folder has one; else its files are installed by path, all in one transaction.",
    "zypper": "Each package must be signed by a key that this server has imported; NVIDIA's own is taken "
    "from the folder if its fingerprint is the pinned one. The folder needs no index.",
}


def local_step(ctx: Context) -> Step | None:
    """Make the operator's folder the only source of this plan's packages."""
    family, target = ctx.family, ctx.target
    if family is None or target is None:
        return None
    found = ctx.catalogue.repositories.get(target.package.repository)
    fingerprints = [*(found.fingerprints if found is not None else ())]
    if target.containers:
        for repository in ctx.catalogue.repositories.values():
            if repository.id.startswith("nvidia-container"):
                fingerprints += repository.fingerprints
    return change_step(
        "use-local-packages",
        "packages",
        f"Take packages from {target.local_packages} alone",
        "This server takes its packages from a folder. It becomes a source of this plan's commands "
        "only: the server's own package sources are neither changed nor asked. "
        + _VOUCHED.get(family.manager.name, ""),
        use_folder(family, target.local_packages, tuple(dict.fromkeys(fingerprints))),
        estimate_seconds=180 if family.manager.name == "dnf" else 20,
        risk="A folder that lacks a package stops the plan at the step that needs it; nothing is taken "
        "from elsewhere.",
        expect="One line on what vouches for the packages; a file that does not fit is named.",
    )


def by_hand(ctx: Context) -> tuple[str, ...]:
    """What a person must see to before the steps, because the package sources weren't seen."""
    if ctx.facts.packages.damage:
        return database.by_hand(ctx)
    if is_local(ctx) and ctx.family is not None and needs_module(ctx):
        return (
            "The folder must hold every package of these steps with what they depend on: `gpu-bringup plan "
            "--format packages` with the same answers writes the script that fetches them, to be run on "
            "a machine with network.",
        )
    components = unseen_components(ctx)
    if not components or not needs_module(ctx) or _unseen_change(ctx) is not None:
        return ()
    apt = ctx.family is not None and ctx.family.manager.name == "apt"
    where = " in /etc/apt/sources.list.d" if apt else ""
    return (
        f"This server's package sources were not seen. Where they are off, switch on "
        f"{listed(components)}{where} first; `gpu-bringup apply` on the server does it.",
    )


_MODULES = re.compile(r"dkms|^nvidia-open|kmod")
"""Packages with the modules themselves."""
_NUMBERED = re.compile(r"-\d{3}(-|$)")
"""Packages of one series by their names: the rule of mixed series speaks of those."""


def held_in_the_way(ctx: Context) -> tuple[str, ...]:
    """Held packages that would have to change for the target."""
    have = known_packages(ctx.facts)
    if ctx.target is None or not needs_module(ctx):
        return ()
    names = {base_name(name) for name in driver_set(ctx)}
    wanted = ctx.target.driver.version
    found = []
    for name, package in have.items():
        version = upstream_version(package.version)
        if not package.held or not version:
            continue
        own = name in names or (is_driver_package(name) and not _NUMBERED.search(name))
        other = _MODULES.search(name) is not None and bool(names) and name not in names
        if own and (version != wanted or other):
            # Also libraries that come along, and the modules of another flavour, which have to go.
            found.append(name)
    return tuple(found)


def _health(ctx: Context) -> list[Cause]:
    facts = ctx.facts.packages
    causes: list[Cause] = database.damage_causes(ctx)
    if causes:
        return causes
    unfinished = () if isinstance(facts.unfinished, Unknown) else facts.unfinished
    failed = build_cause(ctx)
    if failed is not None:
        causes.append(failed)
    elif unfinished or facts.interrupted is True:
        text = listed(unfinished[:6]) or "an interrupted transaction is waiting to be finished"
        causes.append(
            cause("dpkg-interrupted", 0.95, ev("package database", f"not configured: {text}"))
        )
    else:
        causes += database.unmet_causes(ctx)
    if facts.method is InstallMethod.MIXED or (
        facts.method is InstallMethod.RUNFILE and ctx.target is not None
    ):
        told = (ev("installation method", text) for text in facts.method_evidence)
        causes.append(cause("mixed-runfile-and-packages", 0.92, *told))
    held = held_in_the_way(ctx)
    if held:
        causes.append(cause("held-or-broken-packages", 0.9, ev("holds", f"held: {listed(held)}")))
    else:
        causes += series_causes(ctx)
    return causes


def _source(ctx: Context) -> list[Cause]:
    causes: list[Cause] = []
    components = needed_components(ctx)
    if components:
        text = f"{listed(components)} not switched on"
        causes.append(cause("repository-not-configured", 0.95, ev("package sources", text)))
    if needs_module(ctx) and _unseen_change(ctx) is not None:
        text = f"whether {listed(unseen_components(ctx))} is switched on was not seen"
        causes.append(cause("repository-not-configured", 0.7, ev("package sources", text)))
    repository = needed_repository(ctx) or nvlsm_repository(ctx)
    if repository is not None:
        text = f"{repository.name} ({_fixed_part(repository.uri)}) is not configured"
        causes.append(cause("repository-not-configured", 0.95, ev("package sources", text)))
    elif ctx.target is not None and ctx.target.package.repository in ctx.catalogue.repositories:
        known = ctx.catalogue.repositories[ctx.target.package.repository]
        causes += key_causes(_entries(ctx, known))
        causes += database.stream_causes(ctx)
        open_entries = [r for r in _entries(ctx, known) if r.format != "yum" and not r.signed_by]
        for entry in open_entries:
            where = ev(f"{entry.file}:{entry.line}", "no key is named: any trusted key may sign it")
            causes.append(cause("repo-signing-key", 0.6, where))
    wants_pin = ctx.target is not None and not is_local(ctx)
    pins = missing(ctx.facts, ctx.target.package.pin) if ctx.target and wants_pin else ()
    if pins and not isinstance(ctx.facts.packages.installed, Unknown):
        causes.append(
            cause(
                "repository-not-configured", 0.8, ev("branch pin", f"{listed(pins)} not installed")
            )
        )
    return causes


_WORDS = {
    database.DAMAGED: database.WORDS,
    "dpkg-interrupted": "an earlier installation was interrupted: the package database is half "
    "configured, and nothing else can be installed before it is finished",
    "unmet-dependencies": "an installed package lacks a package that it needs: apt refuses every "
    "other change until that is whole again",
    "mixed-runfile-and-packages": "the .run installer and packages are both at work here; each "
    "overwrites the other's files",
    "held-or-broken-packages": "packages that would have to change are held",
    "repo-or-branch-package-conflict": "packages of two driver series are mixed: parts of different "
    "versions refuse each other",
    "repository-not-configured": "the source of the chosen driver is not fully switched on",
    "dnf-modular-filtering": "dnf has another module stream of the driver switched on: it hides the "
    "packages of the chosen branch",
    "repo-signing-key": "the driver's repository has no key that vouches for its packages",
    "dkms-build-api-break": "the driver's package is half configured, because its modules do not "
    "compile on this kernel",
    "dkms-build-gpl-symbol": "the driver's package is half configured, because its modules may not use "
    "what they need of this kernel",
}


def check(ctx: Context) -> RungResult:
    if ctx.outside_driver:
        return outside_skip(ctx, say)
    facts = ctx.facts.packages
    if ctx.family is None and isinstance(ctx.facts.os, Unknown):
        return say.unknown(f"which distribution this is isn't known: {ctx.facts.os.reason}")
    if ctx.family is None:
        if driver_traces(ctx) and ctx.target is None:
            return say.skipped("this distribution's package manager is not one that is known here")
        return say.broken(
            "this distribution is not one that can be set up here; its driver must be installed by hand",
            [cause("distribution-not-known", 0.9, ev("/etc/os-release", _os_name(ctx)))],
        )
    if isinstance(facts.lock_owner, str) and (facts.interrupted is True or facts.unfinished):
        return say.unknown(
            f"{facts.lock_owner} is at work on the package database: wait until it has finished, "
            "then look again"
        )
    causes = _health(ctx)
    if not facts.damage:
        causes += _source(ctx)
    if causes:
        first = max(causes, key=lambda item: item.confidence)
        return say.broken(_WORDS[first.cause], causes)
    if isinstance(facts.installed, Unknown):
        return say.unknown(f"the installed packages are not known: {facts.installed.reason}")
    if ctx.target is not None and isinstance(facts.repositories, Unknown):
        return say.unknown(f"the package sources are not known: {facts.repositories.reason}")
    evidence = [ev("installation method", text) for text in facts.method_evidence]
    method = facts.method.value if not isinstance(facts.method, Unknown) else "not known"
    words = {"none": "no driver yet", "not known": "installation method not known"}
    manager = ctx.family.manager.name
    health = "healthy" if not isinstance(facts.unfinished, Unknown) else "no fault seen"
    return say.ok(
        f"{manager}: {health}, {len(facts.installed)} of its packages matter here, "
        f"{words.get(method, f'driver from: {method}')}",
        *evidence,
    )


def _os_name(ctx: Context) -> str:
    return ctx.facts.os.reason if isinstance(ctx.facts.os, Unknown) else ctx.facts.os.name


def _runfile_step(ctx: Context) -> Step:
    return Step(
        id="remove-runfile-driver",
        rung="packages",
        title="Remove the driver that the .run installer put here",
        why="The .run installer and the package manager overwrite each other's files: versions then "
        "differ after every update. One method must remain, and packages can be updated and undone.",
        commands=(Command(("nvidia-uninstall", "--silent")),),
        stops_workloads=True,
        estimate_seconds=60,
        risk="No GPU works until the packages are installed. Stop GPU workloads first.",
        expect="nvidia-installer's own words; warnings about files that are gone already are harmless.",
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    family, facts = ctx.family, ctx.facts.packages
    if family is None or ctx.outside_driver:
        return ()
    if facts.damage:
        restore = database.restore_step(ctx)
        return (restore,) if restore is not None else ()
    steps: list[Step | None] = []
    unfinished = () if isinstance(facts.unfinished, Unknown) else facts.unfinished
    steps.append(removal_step(ctx))
    held = held_in_the_way(ctx)
    series = () if held else series_steps(ctx)
    # Of two series mixed, each lacks the other's half: the driver of one series brings it.
    whole = not unfinished and facts.interrupted is not True
    if (whole or steps[0] is not None) and not series:
        steps.append(database.unmet_step(ctx))
    if (unfinished or facts.interrupted is True) and steps[0] is None:
        steps.append(
            Step(
                id="mend-packages",
                rung="packages",
                title="Finish the interrupted installation",
                why="A power cut or a failing script left packages half configured. Every later "
                "installation stops at them, so they come first.",
                commands=family.manager.mend(),
                estimate_seconds=180,
                risk="Scripts that failed before may fail again: then the log names the real fault "
                "(headers, compiler, disk space).",
            )
        )
    if facts.method in (InstallMethod.MIXED, InstallMethod.RUNFILE) and (
        facts.method is InstallMethod.MIXED or ctx.target is not None
    ):
        steps.append(_runfile_step(ctx))
    if held:
        steps.append(
            Step(
                id="unhold-driver",
                rung="packages",
                title="Release the hold on the old driver",
                why="A held package can't be replaced, and the chosen driver replaces these as one set. "
                "They are held again at the end.",
                commands=(family.manager.unhold(held),),
                undo=(family.manager.hold(held),),
            )
        )
    steps += series
    return (*(step for step in steps if step is not None), *_source_steps(ctx))


def _source_steps(ctx: Context) -> tuple[Step, ...]:
    family, target = ctx.family, ctx.target
    if family is None or target is None:
        return ()
    steps: list[Step | None] = []
    configured = ctx.catalogue.repositories.get(target.package.repository)
    if configured is not None and target.source_kind != "local":
        # Before any reading of the indexes: apt refuses them all while one key is missing.
        steps.append(key_step(ctx, configured, _entries(ctx, configured)))
    components = needed_components(ctx)
    if components:
        steps.append(
            change_step(
                "enable-components",
                "packages",
                f"Switch on {listed(components)} in the package sources",
                "The distribution keeps the NVIDIA driver in archive components that are off by "
                "default, because they are not free software. Nothing else in the files changes.",
                family.enable_components(ctx.facts, ctx.files, components),
                expect="The files are rewritten with one more word in each line that needs it.",
            )
        )
    repository = needed_repository(ctx)
    if repository is not None and not isinstance(ctx.facts.os, Unknown):
        steps.append(
            change_step(
                f"add-repository-{repository.id}",
                "packages",
                f"Add {repository.name}",
                "The chosen driver comes from there. Its key is pinned by fingerprint and trusted for "
                "this repository alone, so nobody else can sign packages for it.",
                family.add_repository(repository, ctx.facts.os),
                estimate_seconds=20,
            )
        )
    beside = nvlsm_repository(ctx)
    if beside is not None and not isinstance(ctx.facts.os, Unknown):
        steps.append(
            change_step(
                f"add-repository-{beside.id}",
                "packages",
                f"Add {beside.name}",
                "NVLink 5 switches need the subnet manager nvlsm, which the distribution doesn't have. "
                "Whatever else is in this repository stays behind the distribution's own packages.",
                family.add_repository(beside, ctx.facts.os),
                estimate_seconds=20,
            )
        )
    unseen = _unseen_change(ctx)
    if unseen is not None:
        steps.append(
            change_step(
                "enable-components",
                "packages",
                f"Switch on {listed(unseen_components(ctx))}",
                "The driver, or what its packages need (dkms), comes from there. Whether they are on "
                "was not seen; where they are, this changes nothing.",
                unseen,
                estimate_seconds=20,
            )
        )
    refreshed = any(family.manager.refresh() in step.commands for step in steps if step is not None)
    if (components or repository is not None) and not refreshed:
        steps.append(refresh_step(ctx))
    branch = family.prepare_branch(target.exact_package)
    # A folder holds what was chosen for it, and nothing is offered beside it.
    # Where only a module is to be built, no package of the driver moves.
    if not is_local(ctx) and (to_come(ctx) or missing(ctx.facts, target.package.pin)):
        steps.append(
            change_step(
                "pin-branch",
                "packages",
                f"Keep the driver on branch {target.driver.branch}",
                "The repository offers several branches. Without a pin the next update would jump to "
                "the newest one.",
                branch,
                estimate_seconds=20,
            )
        )
    return tuple(step for step in steps if step is not None)


RUNG = Rung(
    id="packages",
    title="Package manager",
    holds_when="The package database is healthy, one installation method is used, and the driver's "
    "source is configured with its key pinned.",
    teaches="Drivers come as packages. A half-configured database blocks every repair, and a .run "
    "installer beside packages breaks the driver at the next update.",
    check=check,
    repair=repair,
)
