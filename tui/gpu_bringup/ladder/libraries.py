"""Rung 12: libcuda and libnvidia-ml are the module's version, once, and no stub shadows them."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.ledger import culprit_evidence
from gpu_bringup.ladder.library_repair import (
    align_step,
    foreign,
    foreign_step,
    missing_step,
    reinstall_step,
    strays,
    stub_step,
)
from gpu_bringup.ladder.loaded import disk_module
from gpu_bringup.ladder.served import served
from gpu_bringup.ladder.view import (
    driver_set,
    later,
    loaded_version,
    module_files,
)
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Library
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("libraries")
NEEDED = ("libcuda.so.1", "libnvidia-ml.so.1")


def _version(library: Library) -> str:
    return library.version if isinstance(library.version, str) else ""


def _of(ctx: Context, soname: str) -> tuple[Library, ...]:
    libraries = ctx.facts.libraries.libraries
    if isinstance(libraries, Unknown):
        return ()
    return tuple(item for item in libraries if item.soname == soname)


def expected(ctx: Context) -> tuple[str, str]:
    """(version that the libraries must have, who says so): the loaded module, else the one on disk."""
    if not later(ctx) and loaded_version(ctx.facts):
        return loaded_version(ctx.facts), "the loaded module"
    for release in ctx.releases:
        for file in module_files(ctx, release):
            if isinstance(file.version, str):
                return file.version, "the module on disk"
    return "", ""


def _mismatch(ctx: Context, library: Library, version: str, who: str) -> list[Cause]:
    told = [ev(library.path, _version(library)), ev(who, version)]
    disk = disk_module(ctx)
    if disk is not None and isinstance(disk.version, str):
        told.append(ev(disk.path, disk.version))
    told += culprit_evidence(ctx)
    if who == "the module on disk" or (disk is not None and disk.version == version):
        return [cause("driver-library-mismatch-stale-on-disk", 0.9, *told)]
    causes = [cause("driver-library-mismatch", 0.85, *told)]
    if library.soname == "libcuda.so.1":
        causes.append(cause("libcuda-mismatch-803", 0.6, *told))
    return causes


def _duplicates(items: tuple[Library, ...]) -> tuple[Library, ...]:
    """Real copies of different versions; links to one file and 32-bit twins are no second copy."""
    versions = {_version(item) for item in items if _version(item) and not item.stub}
    if len(versions) < 2:
        return ()
    seen: dict[str, Library] = {}
    for item in items:
        if _version(item) and not item.stub:
            seen.setdefault(item.real_path or item.path, item)
    return tuple(seen.values())


def _driver_told(ctx: Context) -> str:
    return ctx.facts.nvml.driver_version if isinstance(ctx.facts.nvml, NvmlFacts) else ""


def _nvml_mismatch(ctx: Context) -> tuple[list[Cause], list[str]]:
    """NVML speaks for another driver version than the one whose module is loaded."""
    told, loaded = _driver_told(ctx), loaded_version(ctx.facts)
    if later(ctx) or not told or not loaded or told == loaded:
        return [], []
    words = f"NVML tells driver {told}, the loaded module is {loaded}"
    evidence = (ev("NVML", f"driver {told}"), ev("/proc/driver/nvidia/version", loaded))
    return [cause("driver-library-mismatch", 0.85, *evidence)], [words]


def _known(ctx: Context) -> dict[str, str]:
    """Version of each needed library, as its file or its work tells; empty: not known."""
    told_by = served(ctx.facts)
    known = {}
    for soname in NEEDED:
        real = [item for item in _of(ctx, soname) if not item.stub]
        version = _version(real[0]) if real else ""
        known[soname] = version or told_by.get(soname, ("", ""))[0]
    return known


def _found(ctx: Context, version: str, who: str, notes: list[Evidence]) -> RungResult:
    """Nothing is wrong: say what is known of the versions, and what isn't."""
    known = _known(ctx)
    as_module = f", as {who}" if version else ""
    if all(known.values()):
        same = listed(dict.fromkeys(known.values()))
        return say.ok(f"libcuda and libnvidia-ml {same}{as_module}", *notes)
    parts = [f"libcuda {known[NEEDED[0]]}{as_module}"] if known[NEEDED[0]] else []
    parts += [f"libnvidia-ml {known[NEEDED[1]]}{as_module}"] if known[NEEDED[1]] else []
    vague = [soname.split(".", 1)[0] for soname in NEEDED if not known[soname]]
    parts.append(f"{listed(vague)} found, version not known")
    told = _driver_told(ctx)
    if not told:
        return say.unknown("; ".join(parts), *notes)
    return say.ok(f"{'; '.join(parts)}; NVML answers for driver {told}", *notes, ev("NVML", told))


def check(ctx: Context) -> RungResult:
    libraries = ctx.facts.libraries.libraries
    other, other_words = _nvml_mismatch(ctx)
    if isinstance(libraries, Unknown):
        if other:
            return say.broken("; ".join(other_words), other)
        if isinstance(ctx.facts.nvml, NvmlFacts):
            return say.ok(f"NVML {ctx.facts.nvml.driver_version} answers", ev("NVML", "answers"))
        return say.unknown(f"the linker's list of libraries is not known: {libraries.reason}")
    causes: list[Cause] = []
    words: list[str] = []
    notes: list[Evidence] = []
    version, who = expected(ctx)
    told_by = served(ctx.facts)
    for soname in NEEDED:
        items = _of(ctx, soname)
        real = tuple(item for item in items if not item.stub)
        if items and items[0].stub:
            words.append(f"a stub is found first for {soname}")
            causes.append(
                cause("libcuda-stub", 0.93, ev(items[0].path, "a stub, for linking only"))
            )
        if not real and soname in told_by:
            notes.append(ev(told_by[soname][1], f"{told_by[soname][0]}: found by what asked it"))
            continue
        if not real:
            words.append(f"no {soname}")
            elsewhere = ctx.facts.libraries.unlisted
            if elsewhere and soname == NEEDED[0]:
                words[-1] += f" in the linker's paths, but {elsewhere[0]} is there"
                causes.append(
                    cause("driver-libs-in-nonstandard-path", 0.93, ev(elsewhere[0], "not listed"))
                )
                continue
            if elsewhere:
                continue
            causes.append(
                cause("driver-libraries-missing", 0.9, ev("linker cache", f"no {soname}"))
            )
            continue
        first = real[0]
        notes.append(ev(first.path, _version(first) or "version not known"))
        twice = _duplicates(real)
        if twice:
            words.append(f"{soname} is there in several versions")
            told = (ev(item.real_path or item.path, _version(item)) for item in twice)
            causes.append(cause("duplicate-userspace-versions", 0.9, *told))
        if not _version(first) and soname in told_by:
            told_version, path = told_by[soname]
            first = replace(first, path=path, version=told_version)
            notes.append(ev(path, "loaded by CUDA" if path.startswith("/") else told_version))
        if version and any(_version(item) == version for item in twice):
            continue
        if version and _version(first) and _version(first) != version:
            words.append(f"{soname} is {_version(first)}, {who} is {version}")
            causes += _mismatch(ctx, first, version, who)
    if other and not any(item.cause.startswith("driver-library-mismatch") for item in causes):
        causes += other
        words += other_words
    if causes:
        unique = {item.cause: item for item in reversed(causes)}
        return say.broken("; ".join(words), list(unique.values()), notes)
    return _found(ctx, version, who, notes)


def repair(ctx: Context) -> tuple[Step, ...]:
    """Move what no package owns out of the way; install or align what packages bring."""
    if ctx.family is None or ctx.outside_driver:
        return ()
    if isinstance(ctx.facts.libraries.libraries, Unknown):
        return ()
    steps: list[Step | None] = []
    stubs = {posixpath.dirname(items[0].path): items[0] for items in _shadowed(ctx)}
    steps += [stub_step(stub) for stub in stubs.values()]
    strange = tuple(copy for soname in NEEDED for copy in foreign(ctx, _copies(ctx, soname)))
    here = (copy for soname in NEEDED for copy in _of(ctx, soname) if not copy.stub)
    strange = tuple(dict.fromkeys((*strange, *strays(ctx, tuple(here)))))
    if strange:
        steps.append(foreign_step(strange))
    gone = [s for s in NEEDED if not any(not item.stub for item in _of(ctx, s))]
    if gone:
        steps += [reinstall_step(ctx, gone), missing_step(ctx, gone)]
    version, _ = expected(ctx)
    disk = disk_module(ctx)
    # Where module on disk and libraries agree, only the loaded module is another: it is exchanged.
    agree = (
        disk is not None
        and isinstance(disk.version, str)
        and not _apart(ctx, disk.version, strange)
    )
    if version and not agree and _apart(ctx, version, strange):
        steps.append(align_step(ctx, version))
    return tuple(step for step in steps if step is not None)


def _shadowed(ctx: Context) -> list[tuple[Library, ...]]:
    """The entries of each library that a stub is the first of."""
    found = [_of(ctx, soname) for soname in NEEDED]
    return [items for items in found if items and items[0].stub]


def _copies(ctx: Context, soname: str) -> tuple[Library, ...]:
    return _duplicates(tuple(item for item in _of(ctx, soname) if not item.stub))


def _apart(ctx: Context, version: str, strange: tuple[Library, ...]) -> bool:
    """Is a library that stays of another version than the module?"""
    for soname in NEEDED:
        left = [i for i in _of(ctx, soname) if not i.stub and i not in strange and _version(i)]
        if left and _version(left[0]) != version:
            return True
    return False


def by_hand(ctx: Context) -> tuple[str, ...]:
    """What a person must clear away: copies that can't be told from the packages' own."""
    texts = []
    if ctx.facts.libraries.unlisted and not driver_set(ctx):
        folder = posixpath.dirname(ctx.facts.libraries.unlisted[0])
        texts.append(
            f"The driver's libraries lie in {folder}, where the linker does not look: write that folder "
            "into a file of /etc/ld.so.conf.d and run ldconfig."
        )
    for soname in NEEDED:
        twice = _copies(ctx, soname)
        if twice and not driver_set(ctx) and not foreign(ctx, twice):
            paths = listed(item.real_path or item.path for item in twice)
            texts.append(
                f"{soname} is there in several versions ({paths}): remove the copies that no package "
                "owns, then run ldconfig."
            )
    return tuple(texts)


RUNG = Rung(
    id="libraries",
    title="Driver libraries",
    holds_when="libcuda and libnvidia-ml are the loaded module's version, once, and no stub shadows them.",
    teaches="Programs talk to the module through libcuda (computing) and libnvidia-ml (nvidia-smi). "
    "Library and module must be of the very same version, to the last digit.",
    check=check,
    repair=repair,
)
