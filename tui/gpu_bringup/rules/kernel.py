"""Rules about kernels: does it build, is it a real-time kernel, who signs the modules."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.target import Reason
from gpu_bringup.rules.buildable import judge
from gpu_bringup.rules.finding import Finding, Module
from gpu_bringup.rules.subject import Candidate, Subject, TargetKernel, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

PREDICTIONS = ("measured-build", "stable-break", "driver-kernel")
"""Rules that predict a build: a trial build on the host overrules them."""


def findings(subject: Subject, candidate: Candidate, kernel: TargetKernel) -> tuple[Finding, ...]:
    module = Module(candidate.version, candidate.flavour, candidate.package)
    return _judge(subject.catalogue, module, kernel, subject.evidence)


_judge = lru_cache(maxsize=8192)(judge)
"""Three places ask for each candidate, and the hosts of a fleet share their kernels."""


def builds(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Every kernel of the target must take the modules (rules measured-build, stable-break,
    driver-kernel; see ``buildable``)."""
    if candidate.package.route == "prebuilt":
        yield from _prebuilt(subject, candidate)
        return
    if not subject.kernels:
        yield unknown(
            "driver-kernel", "No kernel is known: whether the modules build can't be told."
        )
    for kernel in subject.kernels:
        for finding in findings(subject, candidate, kernel):
            yield Reason(
                finding.rule,
                finding.verdict,
                finding.detail,
                finding.sources,
                # Without a release the distribution's standard series is only a likely kernel.
                blocking=finding.verdict.value == "violated" and bool(kernel.release),
            )


def _prebuilt(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    where = urls(subject.catalogue, candidate.package.sources)
    for kernel in subject.kernels:
        name = candidate.package.kernel_package.replace("{kernel}", kernel.release)
        if not kernel.release:
            continue
        if not _prebuilt_fits(subject, kernel):
            yield violated(
                "driver-kernel",
                f"{kernel.release} is no kernel of {subject.distribution.name}'s own: the archive has "
                f"no {name} for it, so the modules must be compiled here.",
                where,
            )
            continue
        yield ok(
            "driver-kernel",
            f"The distribution builds the modules for its own kernels: {name} is for "
            f"{kernel.release}, and nothing is compiled here. Whether the archive has it is seen when "
            "the packages are resolved.",
            where,
        )


def _prebuilt_fits(subject: Subject, kernel: TargetKernel) -> bool:
    """Ubuntu compiles modules for its own kernels alone, which their release shows."""
    return subject.distribution.family != "ubuntu" or bool(kernel.stable_patches)


def failed_here(subject: Subject, candidate: Candidate) -> bool:
    """Did a trial build of it fail on this very host?"""
    if candidate.package.route == "prebuilt":
        return False
    return any(
        finding.basis == "host" and finding.verdict.value == "violated"
        for kernel in subject.kernels
        for finding in findings(subject, candidate, kernel)
    )


def certainty(subject: Subject, candidate: Candidate) -> int:
    """How sure it is that the modules fit the kernels: 4 built on this host, 3 built elsewhere,
    2 inferred (or prebuilt), 1 not known, 0 known to fail. The least of all kernels counts."""
    if candidate.package.route == "prebuilt":
        return 2 if all(_prebuilt_fits(subject, kernel) for kernel in subject.kernels) else 0
    worth = {"host": 4, "measured": 3, "documented": 2, "inferred": 2, "none": 1}
    result = 4 if subject.kernels else 1
    for kernel in subject.kernels:
        first = findings(subject, candidate, kernel)[0]
        if first.verdict.value == "violated":
            return 0
        result = min(result, 1 if first.verdict.value == "unknown" else worth[first.basis])
    return result


def realtime_kernel(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """NVIDIA's modules are not built for PREEMPT_RT: Debian's dkms.conf excludes it, silently."""
    for kernel in subject.kernels:
        if kernel.realtime:
            yield violated(
                "realtime-kernel",
                f"{kernel.release} is a PREEMPT_RT kernel: DKMS leaves it out without a word, and "
                "NVIDIA doesn't support it. Boot the distribution's ordinary kernel.",
                urls(subject.catalogue, candidate.package.sources),
            )


def secure_boot_route(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """With Secure Boot a module must be signed by a key that firmware or shim trusts."""
    where = urls(subject.catalogue, candidate.package.sources)
    if subject.secure_boot is False:
        return
    if candidate.package.route == "prebuilt":
        yield ok(
            "secure-boot-route",
            "The modules come built and signed by the distribution, whose key Secure Boot trusts: no "
            "key to enrol, nothing to compile.",
            where,
        )
    elif subject.secure_boot:
        yield ok(
            "secure-boot-route",
            "Secure Boot is on: DKMS signs the modules with this host's own key, which must be "
            "enrolled once at the console (MokManager) at the next boot.",
            where,
        )
    else:
        yield unknown(
            "secure-boot-route",
            "Whether Secure Boot is on isn't known. If it is, the DKMS key must be enrolled once at "
            "the console at the next boot.",
            where,
        )
