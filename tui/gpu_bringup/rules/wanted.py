"""Rules about what the operator (or the scenario) pinned besides the driver: CUDA and kernel."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key, upstream_kernel
from gpu_bringup.rules.cuda import MINOR, NATIVE, UNKNOWN, compatibility
from gpu_bringup.rules.software import cuda_bounds
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.target import Reason

RULE_CUDA = "cuda-wanted"
RULE_KERNEL = "kernel-wanted"


def cuda_wanted(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A CUDA that was named: served in full, by minor-version compatibility, or only by the
    forward-compatibility package; and the boards must be known to it (CUDA Compatibility guide)."""
    wanted, version = subject.answers.cuda, candidate.version
    if not wanted:
        return
    against = list(_boards(subject, wanted))
    if against:
        yield from against
        return
    kind = compatibility(subject.catalogue, version, wanted, subject.boards)
    if kind.kind == NATIVE:
        yield ok(
            RULE_CUDA,
            f"{version} serves CUDA {wanted} with all its features (it needs {kind.needs}).",
            kind.sources,
        )
    elif kind.kind == MINOR:
        yield ok(
            RULE_CUDA,
            f"{version} runs CUDA {wanted} by minor-version compatibility only (all features need "
            f"{kind.needs}): {kind.breaks}.",
            kind.sources,
        )
    elif kind.kind == UNKNOWN and not kind.needs:
        known = join(t.version for t in subject.catalogue.toolkits)
        yield unknown(
            RULE_CUDA,
            f"CUDA {wanted} isn't in this catalogue (it knows {known}): which driver it needs isn't "
            "known.",
        )
    else:
        yield violated(
            RULE_CUDA,
            f"CUDA {wanted} needs driver {kind.needs} or newer, {version} is older: {kind.breaks}. "
            f"What would help: {kind.remedy}.",
            kind.sources,
        )


def _boards(subject: Subject, wanted: str) -> Iterator[Reason]:
    first, first_board, last, last_board = cuda_bounds(subject)
    key = driver_key(wanted)
    where = urls(
        subject.catalogue,
        (s for b in subject.boards if b.architecture for s in b.architecture.sources),
    )
    if first and key < driver_key(first)[: len(key)]:
        yield violated(
            RULE_CUDA,
            f"CUDA {wanted} has no code for {first_board}, which needs CUDA {first} or newer.",
            where,
        )
    if last and key > driver_key(last):
        yield violated(
            RULE_CUDA,
            f"CUDA {wanted} no longer compiles for {last_board}: CUDA {last} is its last.",
            where,
        )


def kernel_wanted(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A scenario that pins a kernel: other kernels are said so, and are never changed for it."""
    yield from _foreign(subject)
    wanted = subject.scenario.pinned_kernel
    if not wanted:
        return
    where = urls(subject.catalogue, subject.scenario.sources)
    for kernel in subject.kernels:
        if not kernel.release:
            continue
        if _is(kernel.release, wanted):
            yield ok(RULE_KERNEL, f"{kernel.release} is the kernel that the scenario pins.", where)
        else:
            yield violated(
                RULE_KERNEL,
                f"The scenario {subject.scenario.id} pins kernel {wanted}; this is {kernel.release}.",
                where,
                blocking=False,
            )


_RHEL_NUMBER = re.compile(r"^\d+\.\d+\.0-\d+(?:\.\d+)*(?:\.el\d+\w*(?:\.\w+)?)?$")


def _foreign(subject: Subject) -> Iterator[Reason]:
    """A kernel whose number is one of Red Hat's, on a system that isn't: most likely a slip."""
    if subject.distribution.family == "rhel":
        return
    for kernel in subject.kernels:
        if not _RHEL_NUMBER.match(kernel.release):
            continue
        base = kernel.release.partition("-")[0]
        for release in subject.catalogue.distributions:
            if release.family == "rhel" and release.kernel.partition("-")[0] == base:
                yield violated(
                    RULE_KERNEL,
                    f"{kernel.release} is numbered like a kernel of {release.name}, which "
                    f"{subject.distribution.name} doesn't have: its own is Linux "
                    f"{subject.distribution.kernel}.",
                    urls(subject.catalogue, release.sources),
                    blocking=False,
                )
                break


def _is(release: str, wanted: str) -> bool:
    mine, series = upstream_kernel(release), upstream_kernel(wanted)
    bare = series is not None and wanted == series.series
    return (
        release == wanted
        or release.startswith((f"{wanted}-", f"{wanted}.", f"{wanted}+"))
        or (bare and mine is not None and series is not None and mine.series == series.series)
    )
