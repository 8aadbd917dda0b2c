"""Rules about what the operator (or the scenario) pinned besides the driver: CUDA and kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key, upstream_kernel
from gpu_bringup.rules.software import cuda_bounds, served_natively
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.catalogue import Toolkit
    from gpu_bringup.model.target import Reason

RULE_CUDA = "cuda-wanted"
RULE_KERNEL = "kernel-wanted"


def _toolkit(subject: Subject, wanted: str) -> Toolkit | None:
    """The toolkit of that version: "12.4.1" is an update of 12.4."""
    key = driver_key(wanted)[:2]
    return next((t for t in subject.catalogue.toolkits if driver_key(t.version)[:2] == key), None)


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
    toolkit = _toolkit(subject, wanted)
    if toolkit is None:
        known = join(t.version for t in subject.catalogue.toolkits)
        yield unknown(
            RULE_CUDA,
            f"CUDA {wanted} isn't in this catalogue (it knows {known}): which driver it needs isn't "
            "known.",
        )
        return
    where = urls(subject.catalogue, toolkit.sources)
    if driver_key(version) >= driver_key(toolkit.driver):
        yield ok(
            RULE_CUDA,
            f"{version} serves CUDA {wanted} with all its features (it needs {toolkit.driver}).",
            where,
        )
        return
    major = toolkit.version.split(".")[0]
    served = [t for t in served_natively(subject, version) if t.version.split(".")[0] == major]
    minor = driver_key(version) >= driver_key(toolkit.minor_driver)
    if minor and served:
        yield ok(
            RULE_CUDA,
            f"{version} runs CUDA {wanted} by minor-version compatibility only (full features need "
            f"{toolkit.driver}): PTX that CUDA {wanted} compiled doesn't load on it, so programs and "
            "libraries must bring code for exactly this GPU.",
            where,
        )
        return
    yield violated(
        RULE_CUDA,
        f"CUDA {wanted} needs driver {toolkit.driver} or newer ({toolkit.minor_driver} by minor-version "
        f"compatibility); {version} is older: {_forward(subject, toolkit)}",
        where,
    )


def _forward(subject: Subject, toolkit: Toolkit) -> str:
    desks = [b.name for b in subject.boards if b.gpu is not None and not b.gpu.data_centre]
    name = f"cuda-compat-{toolkit.version.replace('.', '-')}"
    if desks:
        return (
            f"forward compatibility ({name}) is for data-centre boards, and {join(desks)} is none."
        )
    return (
        f"only forward compatibility ({name} in the container or on the host) may bridge that, on "
        "data-centre boards and from the branches that this package names."
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


def _is(release: str, wanted: str) -> bool:
    mine, series = upstream_kernel(release), upstream_kernel(wanted)
    bare = series is not None and wanted == series.series
    return (
        release == wanted
        or release.startswith(f"{wanted}-")
        or (bare and mine is not None and series is not None and mine.series == series.series)
    )
