"""Rung 5: the build tree of each kernel is installed, complete, and of exactly that release."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.families.common import reinstall
from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.steps import install_step, wanting
from gpu_bringup.ladder.view import (
    has_module,
    header_metas,
    outside_skip,
    packages,
    primary_releases,
    route,
)
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Kernel
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("headers")


def must_have(ctx: Context, release: str) -> bool:
    """Must this kernel's build tree be there?

    A fallback kernel whose module is built already needs none; a missing one is then only a note.
    """
    return release in primary_releases(ctx) or not has_module(ctx, release)


def _meta_missing(ctx: Context, release: str) -> tuple[str, ...]:
    """Header meta packages that don't follow although the kernel's own meta package does."""
    if isinstance(ctx.facts.packages.installed, Unknown):
        return ()
    have = packages(ctx.facts)
    metas = header_metas(ctx, release)
    return () if any(name in have for name in metas) else metas


_PACKAGED = ("/usr/src/", "/usr/lib/modules/", "/lib/modules/", "/usr/lib/linux-kbuild")
"""Where distributions' header packages put build trees."""


def _own_tree(ctx: Context, release: str, kernel: Kernel) -> bool:
    """Is this the tree of a kernel that somebody built here, and not one of a header package?

    Kernel documentation, kbuild/modules: such a tree serves only when it was configured and built to
    the end; "make modules_prepare" alone makes no Module.symvers.
    """
    if kernel.headers.state not in (HeadersState.INCOMPLETE, HeadersState.MISMATCH):
        return False
    if not kernel.headers.path or kernel.headers.path.startswith(_PACKAGED):
        return False
    have = packages(ctx.facts)
    names = ctx.family.header_packages(release) if ctx.family is not None else ()
    known = not isinstance(ctx.facts.packages.installed, Unknown)
    return known and not any(name.partition("=")[0] in have for name in names)


def _cause(ctx: Context, release: str, kernel: Kernel) -> Cause:
    headers = kernel.headers
    path = headers.path or f"/lib/modules/{release}/build"
    if _own_tree(ctx, release, kernel):
        text = headers.detail or "not the whole tree of this kernel"
        told = ev(path, f"{text}; no package brought this tree")
        return cause("stale-kernel-build-tree", 0.9, told)
    if headers.state is HeadersState.MISMATCH:
        text = f"the tree is for {headers.release or 'another kernel'}"
        return cause("kernel-devel-mismatch", 0.95, ev(path, headers.detail or text))
    state = "not known" if isinstance(headers.state, Unknown) else headers.state.value
    where = ev(path, headers.detail or state)
    metas = _meta_missing(ctx, release)
    installed = ctx.facts.kernels.installed
    others = not isinstance(installed, Unknown) and any(
        other.headers.state is HeadersState.COMPLETE
        for other in installed
        if other.release != release
    )
    if metas and others:
        text = f"{listed(metas)} not installed, but the kernel's meta package is"
        return cause("headers-meta-not-following", 0.9, where, ev("package database", text))
    return cause("headers-missing", 0.95, where)


def check(ctx: Context) -> RungResult:
    if ctx.outside_driver:
        return outside_skip(ctx, say)
    if route(ctx) == "prebuilt":
        return say.skipped("the driver comes as ready-made modules: no headers are needed")
    if not ctx.releases:
        return say.unknown("the kernels of this host are not known, nor what they need")
    causes: list[Cause] = []
    notes: list[Evidence] = []
    bad: list[str] = []
    unknown: list[str] = []
    for release, kernel in ctx.kernels():
        state = kernel.headers.state if kernel is not None else Unknown("kernel not known")
        if state is HeadersState.COMPLETE and kernel is not None:
            notes.append(ev(kernel.headers.path or f"/lib/modules/{release}/build", "complete"))
        elif isinstance(state, Unknown):
            if not has_module(ctx, release):
                unknown.append(f"{release}: {state.reason}")
        elif kernel is not None and must_have(ctx, release):
            bad.append(release)
            causes.append(_cause(ctx, release, kernel))
        else:
            notes.append(
                ev(f"/lib/modules/{release}/build", f"{state.value}, but its module is built")
            )
    if causes:
        works = [release for release in bad if has_module(ctx, release)]
        note = (
            f" ({listed(works)} still has its module: it works until the next driver update)"
            if works
            else ""
        )
        return say.broken(f"no usable headers for {listed(bad)}{note}", causes, notes)
    if unknown:
        return say.unknown(f"headers not known for {'; '.join(unknown)}", *notes)
    if not notes:
        return say.ok("every kernel has its module already; none has to be built")
    return say.ok(f"complete for {listed(ctx.releases)}", *notes)


def _emptied(ctx: Context, release: str) -> tuple[str, ...]:
    """Installed packages of this kernel's headers whose files are gone: somebody cleared /usr/src."""
    if ctx.family is None:
        return ()
    have = packages(ctx.facts)
    own = [name for name in ctx.family.header_packages(release) if name in have]
    if not own:
        return ()
    for name in have:
        # Debian's common part and Ubuntu's flavourless one carry only the beginning of the release.
        match = re.match(r"linux-headers-(\d\S*?)(?:-common)?$", name)
        if match and release.startswith(f"{match[1]}-"):
            own.append(name)
    return tuple(dict.fromkeys(own))


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.family is None or ctx.outside_driver or route(ctx) == "prebuilt":
        return ()
    names: list[str] = []
    emptied: list[str] = []
    lacking: list[str] = []
    for release, kernel in ctx.kernels():
        state = kernel.headers.state if kernel is not None else Unknown("kernel not known")
        if kernel is not None and _own_tree(ctx, release, kernel):
            # No package has the tree of a kernel that was built here: it is named for a person.
            continue
        if state is not HeadersState.COMPLETE and must_have(ctx, release):
            here = _emptied(ctx, release)
            # What nobody looked at is not gone: where the database has it, it stays as it is.
            emptied += () if isinstance(state, Unknown) else here
            own = () if here else ctx.family.header_packages(release)
            lacking += [release] if own else []
            names += own
        names += wanting(ctx, header_metas(ctx, release))
    again = None
    if emptied:
        again = Step(
            id="headers-again",
            rung="headers",
            title=f"Install {listed(emptied)} again",
            why="The package database says that the headers are here, but their files are gone. "
            "Installing the same version again puts them back.",
            commands=reinstall(ctx.family.manager, tuple(emptied), ctx.facts),
            done_when=("headers",),
            estimate_seconds=60,
            packages=tuple(emptied),
        )
    step = install_step(
        ctx,
        "headers",
        "headers",
        f"Install the headers of {listed(lacking or ctx.releases)}",
        "The driver's modules are compiled here, against the exact build tree of each kernel. The "
        "meta package brings the headers along with every later kernel, so that the next kernel "
        "update finds them.",
        tuple(names),
        done_when=("headers",),
        estimate_seconds=60,
        expect="Packages are fetched and unpacked; nothing that runs is touched.",
    )
    return tuple(item for item in (again, step) if item is not None)


RUNG = Rung(
    id="headers",
    title="Kernel headers",
    holds_when="The build tree of each of those kernels is installed, complete and of that release.",
    teaches="A module is compiled for one exact kernel release. /lib/modules/RELEASE/build leads to "
    "the files that this takes. Headers of a neighbouring release do not help.",
    check=check,
    repair=repair,
)
