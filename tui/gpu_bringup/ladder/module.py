"""Rung 8: NVIDIA's modules are on disk for each kernel, in the right version and flavour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.build_errors import cause_of_build_error
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.failed_build import build_cause
from gpu_bringup.ladder.flavours import el_minor, kernel_flavour, prebuilt_cause, same_version
from gpu_bringup.ladder.foreign_modules import aside_steps, stale_links
from gpu_bringup.ladder.images import stale_causes
from gpu_bringup.ladder.ledger import culprit_evidence
from gpu_bringup.ladder.signing import key_step
from gpu_bringup.ladder.steps import change_step, initramfs_steps, install_step
from gpu_bringup.ladder.view import (
    base_name,
    boards,
    driver_set,
    driver_traces,
    foreign_kernel,
    has_module,
    installed_package,
    is_version,
    known_packages,
    library_version,
    log_lines,
    module_files,
    module_metas,
    needs_module,
    outside_skip,
    packages,
    primary_releases,
    route,
    upstream_version,
    wanted,
)
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.plan import Command, Step
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.gpu import first_driver

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.facts import DkmsBuild, Kernel, ModuleFile
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult

say = Say("module")


def _builds(ctx: Context, release: str) -> tuple[DkmsBuild, ...]:
    builds = ctx.facts.modules.dkms
    if isinstance(builds, Unknown):
        return ()
    return tuple(b for b in builds if b.module.startswith("nvidia") and b.kernel in ("", release))


def _words(file: ModuleFile) -> str:
    version = file.version if isinstance(file.version, str) else "version not known"
    flavour = "flavour not known" if isinstance(file.flavour, Unknown) else file.flavour.value
    return f"{version}, {flavour}"


def _missing(ctx: Context, release: str) -> Cause:
    """Why there is no module file for this kernel."""
    for build in _builds(ctx, release):
        if build.state == "failed" or (build.first_error and build.kernel == release):
            where = ev(build.log_path or "dkms", build.first_error or "the build failed")
            found = cause_of_build_error(build.first_error)
            return cause(found, 0.95 if build.first_error else 0.6, where)
    for build in _builds(ctx, release):
        if build.state == "broken" or build.source_present is False:
            text = f"{build.module}/{build.version}: its source is gone"
            return cause("dkms-tree-broken", 0.93, ev("/var/lib/dkms", text))
    kernel = ctx.facts.kernel(release)
    if kernel is not None and kernel.realtime is True:
        return cause("preempt-rt-kernel", 0.9, ev(f"/boot/config-{release}", "CONFIG_PREEMPT_RT=y"))
    others = [k.release for k in _known_kernels(ctx) if module_files(ctx, k.release)]
    prebuilt = prebuilt_cause(ctx, release)
    if prebuilt is not None:
        return prebuilt
    flavour = kernel_flavour(release)
    if others and flavour not in {kernel_flavour(other) for other in others}:
        text = f"{release} has none; there is one for {listed(others)}"
        return cause("kernel-flavour-change", 0.92, ev("/lib/modules", text))
    text = f"no nvidia module in /lib/modules/{release}"
    also = f"; there is one for {listed(others)}" if others else ""
    told = (ev(f"/lib/modules/{release}", text + also), *culprit_evidence(ctx))
    return cause("kernel-upgraded-module-not-built", 0.9, *told)


def _known_kernels(ctx: Context) -> tuple[Kernel, ...]:
    installed = ctx.facts.kernels.installed
    return () if isinstance(installed, Unknown) else installed


def _wrong(ctx: Context, release: str, files: tuple[ModuleFile, ...]) -> Cause:
    """Why the file that is there isn't the right one."""
    wish = wanted(ctx)
    told = [ev(file.path, _words(file)) for file in files]
    libraries = library_version(ctx.facts)
    old = any(isinstance(file.version, str) and file.version != libraries for file in files)
    if old and ctx.target is not None and libraries == ctx.target.driver.version:
        told += [ev("libraries", libraries), *culprit_evidence(ctx)]
        return cause("driver-library-mismatch-stale-on-disk", 0.93, *told)
    if ctx.target is not None:
        told.append(ev("target", wish.words))
        return cause("driver-other-than-target", 0.95, *told)
    told += [ev("libraries", wish.version), *culprit_evidence(ctx)]
    for build in _builds(ctx, release):
        if build.kernel == release and build.state == "failed":
            where = ev(build.log_path or "dkms", build.first_error or "the build failed")
            return cause(cause_of_build_error(build.first_error), 0.9, where, *told)
    return cause("driver-library-mismatch-stale-on-disk", 0.9, *told)


def _vermagic(release: str, files: tuple[ModuleFile, ...], ctx: Context) -> list[Cause]:
    causes = []
    for file in files:
        magic = file.vermagic.split(" ", 1)[0] if isinstance(file.vermagic, str) else release
        refused = log_lines(
            ctx, r"nvidia\w*: (?:version magic|disagrees about version of symbol|Unknown symbol)"
        )
        if magic != release and ("weak-updates" not in file.path or refused):
            text = f"built for {magic}"
            other = kernel_flavour(magic) != kernel_flavour(release)
            minors = el_minor(magic), el_minor(release)
            if all(minors) and minors[0] != minors[1]:
                symbols = log_lines(
                    ctx, r"nvidia\w*: (?:disagrees about version of symbol|Unknown symbol)"
                )
                text = (
                    f"built for {magic}: another minor release of the distribution than {release}"
                )
                told = (ev(file.path, text), *refused, *symbols)
                causes.append(cause("kmod-kabi-minor-upgrade", 0.93, *told))
                continue
            found = "kernel-flavour-change" if other else "weak-modules-stale-kmod"
            causes.append(cause(found, 0.9 if other else 0.85, ev(file.path, text), *refused))
    return causes


def _copies(release: str, files: tuple[ModuleFile, ...]) -> list[Cause]:
    versions = {file.version for file in files if isinstance(file.version, str)}
    if len(versions) < 2:
        return []
    told = (ev(file.path, _words(file)) for file in files)
    return [cause("dkms-built-installed-diff", 0.85, *told)]


def _unfit(ctx: Context, files: tuple[ModuleFile, ...]) -> list[Cause]:
    """Modules that can't drive the GPUs of this machine, whatever the kernel."""
    causes: list[Cause] = []
    wrong = r"requires use of the NVIDIA open|not supported by open|not supported by the"
    for file in files[:1]:
        for board in boards(ctx):
            branch = branch_of(file.version) if isinstance(file.version, str) else ""
            if board.last_branch and branch.isdigit() and int(branch) > int(board.last_branch):
                text = f"{board.name} is served up to R{board.last_branch}"
                about = ev("catalogue", text)
                causes.append(cause("legacy-gpu-branch", 0.96, ev(file.path, _words(file)), about))
            told = ev(file.path, _words(file))
            about = ev("catalogue", f"{board.name}: open modules {board.open_modules}")
            if board.open_modules == "required" and file.flavour is Flavour.PROPRIETARY:
                lines = log_lines(ctx, wrong)
                causes.append(
                    cause("proprietary-module-on-open-only-gpu", 0.95, told, about, *lines)
                )
            elif board.open_modules == "unsupported" and file.flavour is Flavour.OPEN:
                lines = log_lines(ctx, wrong)
                causes.append(cause("open-module-on-pre-turing", 0.95, told, about, *lines))
            first = first_driver(board)
            if (
                first
                and isinstance(file.version, str)
                and driver_key(file.version) < driver_key(first)
            ):
                text = f"{board.name} needs {first} or newer"
                told = ev(file.path, _words(file))
                causes.append(
                    cause("gpu-not-supported-by-release", 0.85, told, ev("catalogue", text))
                )
    unique = {item.cause: item for item in causes}
    return list(unique.values())


def _absent(ctx: Context) -> RungResult | None:
    """The answer where no driver was ever installed; None where there are traces of one."""
    if driver_traces(ctx):
        return None
    target = ctx.target
    then = (
        f"{target.driver.version or target.driver.branch} {target.driver.flavour.value} is to come"
        if target is not None
        else "choose one with: gpu-bringup recommend"
    )
    return say.broken(
        f"no NVIDIA driver is installed; {then}",
        [
            cause(
                "driver-not-installed", 0.97, ev("/lib/modules", "no nvidia module for any kernel")
            )
        ],
    )


def check(ctx: Context) -> RungResult:
    if ctx.outside_driver:
        return outside_skip(ctx, say)
    if isinstance(ctx.facts.modules.files, Unknown):
        return say.unknown(f"module files could not be looked at: {ctx.facts.modules.files.reason}")
    if not ctx.releases:
        return say.unknown("the kernels of this host are not known")
    absent = _absent(ctx)
    if absent is not None:
        return absent
    works = isinstance(ctx.facts.nvml, NvmlFacts) and ctx.target is None
    if works and isinstance(ctx.facts.packages.method, Unknown) and not ctx.facts.modules.files:
        return say.unknown(
            "no module file was seen, and yet NVML answers: where the driver comes from isn't known"
        )
    causes: list[Cause] = []
    notes: list[Evidence] = []
    words: list[str] = []
    for release in ctx.releases:
        files = module_files(ctx, release)
        found: list[Cause] = []
        if not files:
            found = [_missing(ctx, release)]
            words.append(f"none for {release}")
        elif not has_module(ctx, release) and not any(foreign_kernel(file) for file in files):
            if release in primary_releases(ctx):
                found = [_wrong(ctx, release, files)]
                words.append(f"{_words(files[0])} for {release} instead of {wanted(ctx).words}")
            else:
                notes.append(
                    ev(files[0].path, f"{_words(files[0])}: booting {release} would not fit")
                )
        unfit = _unfit(ctx, files)
        found = [c for c in found if not unfit or c.cause != "driver-other-than-target"]
        found += _vermagic(release, files, ctx) + _copies(release, files) + unfit
        if release in primary_releases(ctx):
            found = [*same_version(ctx, files), *found]
        if files and not found:
            notes.append(ev(files[0].path, _words(files[0])))
        elif files and not words:
            words.append(f"the module for {release} ({_words(files[0])}) does not fit")
        causes += found
    if causes:
        unique = {(c.cause, c.evidence): c for c in causes}
        return say.broken(f"modules: {'; '.join(words)}", list(unique.values()), notes)
    stale = stale_causes(ctx)
    if stale:
        text = "the initramfs holds another version of the module than the disk: it would be loaded first"
        return say.broken(text, stale, notes)
    first = module_files(ctx, ctx.releases[0])[0]
    if isinstance(first.version, Unknown):
        return say.unknown(f"the version of {first.path} is not known: {first.version.reason}")
    return say.ok(f"{_words(first)} modules for {listed(ctx.releases)}", *notes)


def _driver_incomplete(ctx: Context) -> tuple[str, ...]:
    """Packages of the target that aren't installed in the target's version.

    What only waits to be configured counts as installed: finishing the transaction brings it.
    """
    have = packages(ctx.facts) if build_cause(ctx) is not None else known_packages(ctx.facts)
    lacking = []
    for name in driver_set(ctx):
        base, _, version = name.partition("=")
        package = have.get(base)
        if package is None or not is_version(package.version, version):
            lacking.append(name)
        elif ctx.target is not None and base == ctx.target.package.kernel_package:
            mine = upstream_version(package.version)
            certain = ctx.target.package.branch_certain
            if certain and mine and ctx.target.driver.version and mine != ctx.target.driver.version:
                lacking.append(name)
    return tuple(lacking)


def to_come(ctx: Context) -> tuple[str, ...]:
    """Packages of the target that the plan must install; none where its driver is here and works as one.

    What a complete set would have besides (a tool, a further library) is no reason to touch a driver
    whose module package and libraries are the target's.
    """
    lacking = _driver_incomplete(ctx)
    target = ctx.target
    if not lacking or target is None or not target.driver.version:
        return lacking
    owners = {
        target.package.kernel_package.replace("{kernel}", release) for release in ctx.releases
    }
    bases = {base_name(name) for name in lacking}
    whole = library_version(ctx.facts) == target.driver.version
    return () if owners and whole and not owners & bases else lacking


def _prebuilt_risk(metas: tuple[str, ...]) -> str:
    """What ready-made modules may do besides; ``metas``: what lets them follow the kernel."""
    if not metas:
        return "Modules that were built for another kernel than this one don't load."
    return (
        f"Ready-made modules of the current driver exist for the newest kernels of a line only: "
        f"{listed(metas)} brings the newest kernel along where this one is older, to boot when you "
        "like. Where apt finds no modules of this driver for this kernel, upgrade the kernel first."
    )


def _archive_moves(ctx: Context, names: tuple[str, ...]) -> str:
    """Words where apt takes what its archive has by then; empty where a version is asked for."""
    target, family = ctx.target, ctx.family
    if target is None or family is None or family.manager.name != "apt":
        return ""
    if target.package.source != "distribution" or any("=" in name for name in names):
        return ""
    return (
        f"The archive keeps the newest release of R{target.driver.branch} only: {target.driver.version} is "
        "the one on record, a later one may come. What came is held afterwards; where a version has "
        "to be written down, take it from dpkg -l."
    )


def _install(ctx: Context) -> Step | None:
    target = ctx.target
    if target is None:
        return None
    minutes = 300 if target.package.route == "dkms" else 60
    built = "compiled here for each kernel" if target.package.route == "dkms" else "ready-made"
    certain = target.package.branch_certain
    which = target.driver.version or target.driver.branch if certain else "of the package source"
    names = driver_set(ctx)
    moves = _archive_moves(ctx, names) if certain else ""
    if moves:
        which = f"{which} or newer of R{target.driver.branch}"
    following = ctx.family.followers(target.package) if ctx.family is not None else ()
    step = install_step(
        ctx,
        "driver",
        "module",
        f"Install the NVIDIA driver {which} ({target.driver.flavour.value} modules)",
        f"The kernel modules ({built}) and the libraries that match them, in one run, so that they "
        "can't differ in version. A server gets no desktop parts.",
        tuple(name for name in names if base_name(name) not in following),
        done_when=() if target.package.route == "dkms" else ("module",),
        estimate_seconds=minutes,
        risk=(
            "If the modules don't compile, the package stays half configured; the log then names "
            "the first error, and undo removes the driver's packages again."
            if target.package.route == "dkms"
            else _prebuilt_risk(module_metas(ctx))
        )
        + (f" {moves}" if moves else "" if certain else f" {target.package.note}"),
        expect="Download, unpacking, then some minutes of 'Building module' without any output."
        if target.package.route == "dkms"
        else "Download and unpacking; nothing is compiled.",
    )
    return _with_followers(ctx, step, target.package, following)


def _with_followers(
    ctx: Context, step: Step | None, package: DriverPackage, names: tuple[str, ...]
) -> Step | None:
    """The step, and after its command the libraries in the version that the module turned out to have."""
    if step is None or ctx.family is None or not names:
        return step
    change = ctx.family.install_following(
        package, tuple(f"{name}=" for name in names), ctx.releases
    )
    new = tuple(name for name in names if name not in packages(ctx.facts))
    return replace(
        step,
        commands=(*step.commands, *change.commands),
        writes=(*step.writes, *change.writes),
        undo=(ctx.family.manager.remove(new), *step.undo) if new else step.undo,
        packages=(*step.packages, *names),
    )


def _build_steps(ctx: Context, fresh: bool) -> list[Step]:
    """Make sure of the module of each kernel that lacks it."""
    package = ctx.target.package if ctx.target is not None else installed_package(ctx)
    family = ctx.family
    if package is None or family is None:
        return []
    steps: list[Step] = []
    lacking = (
        needs_module(ctx)
        if ctx.target is not None
        else tuple(
            release
            for release in needs_module(ctx)
            if (release in primary_releases(ctx) or not module_files(ctx, release))
            and not hopeless(ctx, release)
        )
    )
    lacking = tuple(dict.fromkeys((*lacking, *(r for r in ctx.releases if stale_links(ctx, r)))))
    # Ready-made modules are among the packages of the install step itself.
    come_along = fresh and package.route != "dkms"
    for release in () if come_along else lacking:
        step_id = f"build-module-{release}"
        title = f"Build the modules for {release}"
        why = (
            "Each kernel has a module folder of its own. The package built for the kernels that it "
            "knew of; this makes sure of this one, and does nothing where it is there already."
        )
        if fresh and package.route == "dkms":
            steps.append(
                Step(
                    id=step_id,
                    rung="module",
                    title=title,
                    why=why,
                    commands=(
                        Command(
                            ("dkms", "autoinstall", "-k", release),
                            environment=family.build_environment(release),
                        ),
                        Command(("depmod", "-a", release)),
                    ),
                    done_when=("module",),
                    estimate_seconds=150,
                    expect="'Building module' and 'Signing module' lines, or nothing at all.",
                )
            )
            continue
        step = change_step(
            step_id,
            "module",
            title,
            why,
            family.repair_module(package, release, ctx.facts),
            done_when=("module",),
            estimate_seconds=180 if package.route == "dkms" else 60,
            risk="A failed build changes nothing that works now.",
            expect="'Building module' for a few minutes, then 'Installing' and 'depmod'.",
        )
        if step is not None:
            steps.append(step)
    return steps


def hopeless(ctx: Context, release: str) -> bool:
    """Did the installed driver's build for this kernel fail at the driver's own source?

    Doing the same again would fail again; another driver must be chosen.
    """
    if ctx.target is not None:
        return False
    return any(
        build.kernel == release
        and build.state == "failed"
        and cause_of_build_error(build.first_error)
        in ("dkms-build-api-break", "dkms-build-gpl-symbol")
        for build in _builds(ctx, release)
    )


def will_exist(ctx: Context) -> bool:
    """Is there a module for the running kernel now, or will there be one after the repair?"""
    running = ctx.facts.kernels.running
    if not isinstance(running, str) or running not in ctx.releases:
        return False
    if ctx.target is not None or module_files(ctx, running):
        return True
    return installed_package(ctx) is not None and not hopeless(ctx, running)


def repair(ctx: Context) -> tuple[Step, ...]:
    if ctx.family is None or ctx.outside_driver:
        return ()
    steps: list[Step | None] = []
    fresh = bool(to_come(ctx))
    if route(ctx) == "dkms":
        steps.append(key_step(ctx))
    if fresh:
        steps.append(_install(ctx))
    steps += aside_steps(ctx)
    steps += _build_steps(ctx, fresh)
    if stale_causes(ctx):
        steps += initramfs_steps(ctx, ("module",))
    return tuple(step for step in steps if step is not None)


RUNG = Rung(
    id="module",
    title="Kernel modules",
    holds_when="NVIDIA's modules, in the right flavour and version, are on disk for each kernel.",
    teaches="nvidia.ko is the driver proper. There are two flavours: open (Turing and newer; the only "
    "one for Blackwell) and proprietary. It must exist for each kernel release, and in the version of "
    "the libraries.",
    check=check,
    repair=repair,
)
