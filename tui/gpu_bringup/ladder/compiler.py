"""Rung 6: the compiler that the kernels' modules need, and dkms, are there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.families.common import reinstall
from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.headers import must_have
from gpu_bringup.ladder.steps import install_step, wanting
from gpu_bringup.ladder.view import has_module, outside_skip, packages, route
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Kernel
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("compiler")


def check(ctx: Context) -> RungResult:
    if ctx.outside_driver:
        return outside_skip(ctx, say)
    if route(ctx) == "prebuilt":
        return say.skipped("the driver comes as ready-made modules: no compiler is needed")
    if not ctx.releases:
        return say.unknown("the kernels of this host are not known, nor what built them")
    causes: list[Cause] = []
    notes: list[Evidence] = []
    absent: list[str] = []
    unknown: list[str] = []
    for release, kernel in ctx.kernels():
        if kernel is None:
            if not has_module(ctx, release):
                unknown.append(f"{release}: nothing is known of this kernel")
            continue
        name = kernel.compiler if isinstance(kernel.compiler, str) else "its compiler"
        text = kernel.compiler_text if isinstance(kernel.compiler_text, str) else name
        where = f"/boot/config-{release}"
        if kernel.compiler_present is True:
            notes.append(ev(where, f"built by {text}; {name} is here"))
        elif isinstance(kernel.compiler_present, Unknown):
            if not has_module(ctx, release):
                unknown.append(f"{release}: {kernel.compiler_present.reason}")
        elif must_have(ctx, release):
            absent.append(f"{name} (for {release})")
            causes.append(
                cause("gcc-mismatch", 0.9, ev(where, f"built by {text}; {name} is not here"))
            )
        else:
            notes.append(ev(where, f"{name} is not here, but the module is built"))
    if causes:
        return say.broken(f"missing: {listed(absent)}", causes, notes)
    if _lacks_dkms(ctx):
        text = "dkms is not installed: nothing would rebuild the module for a new kernel"
        told = cause("kernel-upgraded-module-not-built", 0.7, ev("package database", text))
        known = f"; compiler not known for {'; '.join(unknown)}" if unknown else ""
        return say.broken(f"dkms is not installed{known}", [told], notes)
    if unknown:
        return say.unknown(f"compiler not known for {'; '.join(unknown)}", *notes)
    compilers = {
        kernel.compiler
        for _, kernel in ctx.kernels()
        if kernel is not None and isinstance(kernel.compiler, str)
    }
    if not compilers:
        return say.ok("every kernel has its module already; nothing has to be compiled", *notes)
    return say.ok(f"{listed(sorted(compilers))}: present", *notes)


def _lacks_dkms(ctx: Context) -> bool:
    """A target that is built by dkms needs it; an installed driver brought its own builder."""
    if ctx.target is None or route(ctx) != "dkms":
        return False
    return not isinstance(ctx.facts.packages.installed, Unknown) and "dkms" not in packages(
        ctx.facts
    )


def _emptied(ctx: Context, kernel: Kernel) -> list[str]:
    """Installed packages of a kernel's compiler whose program is gone."""
    if ctx.family is None:
        return []
    names = [name for name in ctx.family.compiler_packages(kernel) if re.search(r"\d$", name)]
    have = packages(ctx.facts)
    # Since Debian 13 the program itself lies in a package of its own for each architecture.
    return [name for name in have if any(re.match(rf"{n}(-.+-linux-gnu)?$", name) for n in names)]


BOTH = "the compiler and dkms"


def _what(lacking: tuple[str, ...], compilers: tuple[str, ...]) -> str:
    """The packages in a few words: the compiler and dkms by name, the rest as what it is."""
    named = [name for name in lacking if name in compilers][:2]
    if named and "dkms" in lacking:
        return BOTH
    words = [f"the compiler ({listed(named)})"] if named else []
    words += ["dkms"] if "dkms" in lacking else []
    rest = [name for name in lacking if name not in compilers and name != "dkms"]
    if rest:
        words.append(listed(rest) if len(rest) < 3 else f"{len(rest)} build tools")
    return listed(words)


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.family is None or ctx.outside_driver or route(ctx) == "prebuilt":
        return ()
    names: list[str] = []
    emptied: list[str] = []
    for _, kernel in ctx.kernels():
        names += ctx.family.compiler_packages(kernel)
        if kernel is not None and kernel.compiler_present is False:
            emptied += _emptied(ctx, kernel)
    again = None
    if emptied:
        again = Step(
            id="compiler-again",
            rung="compiler",
            title=f"Install {listed(emptied)} again",
            why="The package database says that the compiler is here, but its program is gone. "
            "Installing the same version again puts it back.",
            commands=reinstall(ctx.family.manager, tuple(emptied), ctx.facts),
            done_when=("compiler",),
            estimate_seconds=60,
            packages=tuple(emptied),
        )
    wanted = tuple(dict.fromkeys((*names, *ctx.family.build_packages())))
    # Where the database could be read, only what it lacks is named and asked for.
    lacking = wanting(ctx, wanted)
    if not lacking:
        return (again,) if again is not None else ()
    step = install_step(
        ctx,
        "compiler",
        "compiler",
        f"Install {_what(lacking, tuple(names))}",
        "A module must be built by the compiler that built its kernel; another major version gives "
        "refused options or an unloadable module. dkms rebuilds it for each new kernel, and openssl "
        "must be there before the build, or dkms signs nothing.",
        lacking,
        done_when=("compiler",),
        estimate_seconds=60,
    )
    return tuple(item for item in (again, step) if item is not None)


RUNG = Rung(
    id="compiler",
    title="Compiler",
    holds_when="The compiler that this kernel's modules need is there.",
    teaches="The kernel's configuration names the compiler that built it (CONFIG_CC_VERSION_TEXT). "
    "Modules for it should be built by the same one.",
    check=check,
    repair=repair,
)
