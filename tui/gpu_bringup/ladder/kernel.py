"""Rung 4: each kernel that runs or can be booted next is one that the driver supports."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung, relevant_kernels
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import has_module, installed_package, primary_releases
from gpu_bringup.ladder.words import Say, ev, listed, plural
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.rules.buildable import judge
from gpu_bringup.rules.finding import Finding, Module
from gpu_bringup.rules.release import target_kernel

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.facts import Kernel
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("kernel")


def _driver(ctx: Context) -> tuple[str, DriverPackage] | None:
    """(version, package) of the target's driver, else of the installed one."""
    if ctx.target is not None:
        return ctx.target.driver.version, ctx.target.package
    package = installed_package(ctx)
    return None if package is None or not package.version else (package.version, package)


def _finding(ctx: Context, release: str, kernel: Kernel | None) -> Finding | None:
    """What the catalogue says of the driver on this kernel; None where no driver is in question."""
    driver = _driver(ctx)
    if driver is None:
        return None
    version, package = driver
    name = target_kernel(
        release,
        family=ctx.family.id if ctx.family is not None else "",
        package_version=kernel.package_version if kernel is not None else "",
        abis=ctx.catalogue.kernel_abis,
        realtime=kernel.realtime
        if kernel is not None and isinstance(kernel.realtime, bool)
        else None,
    )
    found = judge(ctx.catalogue, Module(version, package.flavour, package), name)
    return found[0] if found else None


def _causes(ctx: Context, release: str, kernel: Kernel | None) -> list[Cause]:
    causes: list[Cause] = []
    known = not isinstance(ctx.facts.kernels.installed, Unknown)
    if ctx.target is not None and kernel is None and known:
        text = f"{release} has neither a folder in /lib/modules nor an image in /boot"
        causes.append(cause("kernel-not-installed", 0.95, ev("/lib/modules", text)))
    if kernel is None or has_module(ctx, release):
        return causes
    where = f"/boot/config-{release}"
    if kernel.realtime is True:
        causes.append(cause("preempt-rt-kernel", 0.95, ev(where, "CONFIG_PREEMPT_RT=y")))
    if kernel.modules_enabled is False:
        causes.append(cause("modules-not-loadable", 0.95, ev(where, "CONFIG_MODULES is not set")))
    if ctx.target is None and release in primary_releases(ctx):
        finding = _finding(ctx, release, kernel)
        if finding is not None and finding.verdict is Verdict.VIOLATED:
            sure = 0.9 if finding.basis in ("host", "measured") else 0.6
            told = cause("dkms-build-api-break", sure, ev("catalogue", finding.detail))
            causes.append(told)
    return causes


_WORDS = {
    "kernel-not-installed": "is not installed here: install it first, or name another one",
    "preempt-rt-kernel": "is a real-time kernel, which the driver refuses: boot the standard one",
    "modules-not-loadable": "takes no modules",
    "dkms-build-api-break": "is newer than the installed driver supports",
}


def check(ctx: Context) -> RungResult:
    running = ctx.facts.kernels.running
    if ctx.outside_driver:
        name = running if isinstance(running, str) else "not known"
        return say.ok(f"running {name}; the driver for it is provided from outside")
    releases = ctx.releases
    if not releases:
        reason = running.reason if isinstance(running, Unknown) else "no kernel was found"
        return say.unknown(f"the kernels of this host are not known: {reason}")
    causes: list[Cause] = []
    notes: list[Evidence] = []
    words: list[str] = []
    for release, kernel in ctx.kernels():
        found = _causes(ctx, release, kernel)
        causes += found
        if found:
            first = max(found, key=lambda item: item.confidence)
            words.append(f"{release} {_WORDS[first.cause]}")
        if kernel is not None:
            notes.append(ev(f"/boot/vmlinuz-{release}", _about(ctx, kernel)))
    if causes:
        return say.broken("; ".join(words), causes, notes)
    left = [r for r in relevant_kernels(ctx.facts) if r not in releases]
    if ctx.target is not None and left and not ctx.target.prepare_only:
        notes.append(ev("boot loader", f"can be booted too, but gets no driver: {listed(left)}"))
    if isinstance(ctx.facts.kernels.installed, Unknown):
        notes.append(ev("/lib/modules", ctx.facts.kernels.installed.reason))
    driver = _driver(ctx)
    told = [_finding(ctx, release, kernel) for release, kernel in ctx.kernels()]
    proven = driver is not None and all(f is not None and f.verdict is Verdict.OK for f in told)
    fits = f", fit for driver {driver[0]}" if driver is not None and proven else ""
    more = plural(len(releases), "kernel")
    return say.ok(f"{more} to serve: {listed(releases)}{fits}", *notes)


def _about(ctx: Context, kernel: Kernel) -> str:
    words = [kernel.release]
    if kernel.running or kernel.release == ctx.facts.kernels.running:
        words.append("running")
    if kernel.default is True:
        words.append("boots by default")
    if kernel.one_shot:
        words.append("boots next, once")
    finding = _finding(ctx, kernel.release, kernel)
    if finding is not None:
        words.append(finding.detail)
    return ", ".join(words)


def repair(ctx: Context) -> tuple[Step, ...]:
    """Which kernel a server boots is its operator's choice: no steps."""
    return ()


RUNG = Rung(
    id="kernel",
    title="Kernel",
    holds_when="The running kernel, and each that can be booted next, is one that the driver supports.",
    teaches="Every driver release knows kernels up to a certain one, and stable updates of an old "
    "kernel can break it too. What counts is not only the kernel that runs, but each one that the "
    "boot loader may start next.",
    check=check,
    repair=repair,
)
