"""How libraries that don't fit are mended: moved aside where no package owns them, else installed."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from gpu_bringup.families.aside import leave_library_folder, move_libraries
from gpu_bringup.families.common import is_driver_package, reinstall
from gpu_bringup.ladder.steps import change_step, install_step
from gpu_bringup.ladder.view import (
    base_name,
    driver_set,
    installed_package,
    known_packages,
    missing,
    packages,
    upstream_version,
)
from gpu_bringup.ladder.words import listed
from gpu_bringup.model.enums import InstallMethod
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.facts import Library

_LIBRARY_PACKAGES = ("libcuda1", "libnvidia-", "nvidia-compute", "nvidia-driver-cuda")


def _versions_of_packages(ctx: Context) -> frozenset[str]:
    return frozenset(
        upstream_version(package.version)
        for name, package in packages(ctx.facts).items()
        if is_driver_package(name)
    )


def foreign(ctx: Context, copies: Sequence[Library]) -> tuple[Library, ...]:
    """Those of several copies of a library whose version no installed driver package has."""
    known = _versions_of_packages(ctx)
    strange = tuple(c for c in copies if isinstance(c.version, str) and c.version not in known)
    return strange if len(strange) < len(copies) else ()


def strays(ctx: Context, copies: Sequence[Library]) -> tuple[Library, ...]:
    """Copies below /usr/local, of no package's version, where the .run installer's copies go anyway.

    Its uninstaller takes its own, which lie where the packages' are.
    """
    if ctx.facts.packages.method is not InstallMethod.MIXED:
        return ()
    known = _versions_of_packages(ctx)
    return tuple(
        copy
        for copy in copies
        if copy.path.startswith("/usr/local/")
        and isinstance(copy.version, str)
        and copy.version not in known
    )


def stub_step(stub: Library) -> Step | None:
    """Take the folder of a stub out of the linker's search."""
    folder = posixpath.dirname(stub.path)
    return change_step(
        "leave-stub-folder",
        "libraries",
        f"Take {folder} out of the linker's search",
        f"{stub.path} is for linking programs only. Found first, it stands in for the real "
        f"{stub.soname}, and every CUDA program fails.",
        leave_library_folder(folder),
        done_when=("libraries",),
        risk="A file that no package owns is changed; it is kept as it was, and the step names it.",
    )


def foreign_step(copies: Sequence[Library]) -> Step | None:
    """Move copies that no package owns, with the links that lead to them, out of the way."""
    paths = tuple(dict.fromkeys(p for c in copies for p in (c.path, c.real_path) if p))
    return change_step(
        "move-foreign-libraries",
        "libraries",
        f"Move {listed(c.real_path or c.path for c in copies)} aside",
        "No package that is installed brings this version, and the linker may choose it over the "
        "one that fits the module. It is kept, with its name, below /var/lib/gpu-bringup/aside.",
        move_libraries(paths),
        done_when=("libraries",),
        risk="A program that was built to need just this copy no longer finds it.",
    )


def reinstall_step(ctx: Context, gone: Sequence[str]) -> Step | None:
    """Put back libraries that the package database has and the linker doesn't find."""
    owners = tuple(
        name
        for name, package in packages(ctx.facts).items()
        if upstream_version(package.version) and name.startswith(_LIBRARY_PACKAGES)
    )
    if not gone or not owners or ctx.family is None:
        return None
    return Step(
        id="reinstall-libraries",
        rung="libraries",
        title=f"Install {listed(gone)} again",
        why="The package database says that the driver's libraries are here, but the linker does "
        "not find them. Installing the same version again puts the files back.",
        commands=reinstall(ctx.family.manager, owners, ctx.facts),
        done_when=("libraries",),
        estimate_seconds=60,
        packages=owners,
    )


def missing_step(ctx: Context, gone: Sequence[str]) -> Step | None:
    """Install the driver's libraries where no installed package brings them; None where some does."""
    family = ctx.family
    if not gone or family is None or isinstance(ctx.facts.packages.installed, Unknown):
        return None
    have = packages(ctx.facts)
    if any(
        upstream_version(p.version) and n.startswith(_LIBRARY_PACKAGES) for n, p in have.items()
    ):
        return None
    package = ctx.target.exact_package if ctx.target is not None else _as_catalogued(ctx)
    if package is None:
        return None
    names = family.driver_packages(package, ctx.releases)
    lacking = tuple(name for name in names if base_name(name) not in have)
    return install_step(
        ctx,
        "driver-libraries",
        "libraries",
        f"Install the libraries of driver {package.version or package.branch}",
        f"{listed(gone)} is not here, and no installed package brings it: programs have nothing to talk "
        "to the module with. The version is that of the module.",
        lacking,
        done_when=("libraries",),
        estimate_seconds=90,
        risk="None for what runs now: nothing that is here is replaced.",
    )


def _as_catalogued(ctx: Context) -> DriverPackage | None:
    """The installed driver's packages, where the catalogue knows more of them than the module's."""
    package = installed_package(ctx)
    if package is None or len(package.packages) < 2:
        return None
    return package


def align_step(ctx: Context, version: str) -> Step | None:
    """Bring module and libraries of the target's packages to one version, in one run.

    ``version``: the one that most of the set should have; packages that differ are named, so that
    a half-broken dependency doesn't keep the package manager from choosing.
    """
    family = ctx.family
    if family is None or ctx.target is None or isinstance(ctx.facts.packages.installed, Unknown):
        return None
    have = packages(ctx.facts)
    apart = [
        name
        for name, package in have.items()
        if name.startswith(_LIBRARY_PACKAGES)
        and is_driver_package(name)
        and upstream_version(package.version) not in ("", version)
    ]
    names = tuple(dict.fromkeys([*driver_set(ctx), *sorted(apart)]))
    runfile = ctx.facts.packages.method is InstallMethod.MIXED
    if not names or (runfile and not apart and not missing(ctx.facts, driver_set(ctx))):
        # Only the .run installer's copies differ, and those go.
        return None
    here = known_packages(ctx.facts)
    held = tuple(base_name(n) for n in names if base_name(n) in here and here[base_name(n)].held)
    manager = family.manager
    return Step(
        id="align-driver",
        rung="libraries",
        title="Bring the driver's module and libraries to one version",
        why="Module and libraries are of different versions, and work only as one set. Installing "
        "the set in one run leaves no part behind.",
        commands=(
            *((manager.unhold(held),) if held else ()),
            manager.install(names),
            *((manager.hold(held),) if held else ()),
        ),
        done_when=("libraries",),
        estimate_seconds=240,
        risk="The modules are built anew where their version changes. What is loaded now stays "
        "loaded until it is reloaded or the server reboots.",
        packages=names,
    )
