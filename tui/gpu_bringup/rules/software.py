"""Rules about the CUDA that driver and boards serve together (frameworks: ``rules.frameworks``)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.capability import cuda_span
from gpu_bringup.rules.cuda import PTX_BREAKS, compatibility, driver_of, newest_update
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.catalogue import Catalogue, Toolkit
    from gpu_bringup.model.target import Reason


def cuda_bounds(subject: Subject) -> tuple[str, str, str, str]:
    """(first CUDA, why, last CUDA, why) that the boards together allow; empty: no bound known."""
    first = last = first_board = last_board = ""
    for board in subject.boards:
        if board.architecture is None:
            continue
        low, high = cuda_span(subject.catalogue, board)
        if low and (not first or driver_key(low) > driver_key(first)):
            first, first_board = low, board.name
        if high and (not last or driver_key(high) < driver_key(last)):
            last, last_board = high, board.name
    return first, first_board, last, last_board


def served_natively(subject: Subject, version: str) -> tuple[Toolkit, ...]:
    """Toolkits whose full feature set the driver version provides, newest first."""
    return _served(subject.catalogue, version)


@lru_cache(maxsize=512)
def _served(catalogue: Catalogue, version: str) -> tuple[Toolkit, ...]:
    served = [t for t in catalogue.toolkits if driver_key(t.driver) <= driver_key(version)]
    return tuple(sorted(served, key=lambda t: driver_key(t.version), reverse=True))


def choose_toolkit(subject: Subject, version: str) -> Toolkit | None:
    """The newest toolkit that the driver serves natively and the boards can use; None: none known."""
    first, _, last, _ = cuda_bounds(subject)
    for toolkit in served_natively(subject, version):
        key = driver_key(toolkit.version)
        if (not first or key >= driver_key(first)) and (not last or key <= driver_key(last)):
            return toolkit
    return None


def gpu_cuda(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The CUDA that the driver serves must know the boards' compute capability."""
    first, first_board, last, last_board = cuda_bounds(subject)
    for board in subject.boards:
        if board.architecture is None:
            yield unknown("gpu-cuda", f"The compute capability of {board.name} isn't known.")
    if not first and not last:
        return
    where = urls(
        subject.catalogue,
        (s for b in subject.boards if b.architecture for s in b.architecture.sources),
    )
    if first and last and driver_key(first) > driver_key(last):
        yield violated(
            "gpu-cuda",
            f"{first_board} needs CUDA {first} or newer and {last_board} CUDA {last} or older: no one "
            "CUDA version compiles for both, so each needs its own container.",
            where,
            blocking=False,
        )
        return
    toolkit = choose_toolkit(subject, candidate.version)
    span = join(
        [f"{first_board} needs CUDA {first} or newer"] * bool(first)
        + [f"{last_board} needs CUDA {last} or older"] * bool(last)
    )
    if toolkit is not None:
        yield ok(
            "gpu-cuda", f"{span}; CUDA {toolkit.version} fits with {candidate.version}.", where
        )
    else:
        yield violated(
            "gpu-cuda",
            f"{span}; {candidate.version} serves none of these natively.",
            where,
            blocking=bool(served_natively(subject, candidate.version)),
        )


def driver_cuda(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Which CUDA the driver serves natively, and what minor-version compatibility adds."""
    served = served_natively(subject, candidate.version)
    if not served:
        yield unknown(
            "driver-cuda", f"No CUDA toolkit is known whose driver is {candidate.version} or older."
        )
        return
    newest = served[0]
    key = driver_key(candidate.version)
    later = sorted(
        (
            t
            for t in subject.catalogue.toolkits
            if driver_key(t.version) > driver_key(newest.version)
            and driver_key(t.minor_driver) <= key
            and t.version.split(".")[0] == newest.version.split(".")[0]
        ),
        key=lambda t: driver_key(t.version),
    )
    minor = (
        f"; up to CUDA {later[-1].version} runs by minor-version compatibility: {PTX_BREAKS}"
        if later
        else ""
    )
    update = newest_update(newest, candidate.version)
    sure = "" if newest.driver_certain else ", as far as can be inferred"
    needs = driver_of(newest, update)
    yield ok(
        "driver-cuda",
        f"{candidate.version} serves CUDA {update} natively (it needs {needs}{sure}) and every older one"
        f"{minor}.",
        urls(subject.catalogue, newest.sources),
    )
    yield from _next_family(subject, candidate, newest)


def _next_family(subject: Subject, candidate: Candidate, newest: Toolkit) -> Iterator[Reason]:
    """The next major version, which only cuda-compat brings to this driver, if that."""
    major = str(int(newest.version.split(".")[0]) + 1)
    following = [t for t in subject.catalogue.toolkits if t.version.split(".")[0] == major]
    if not following:
        return
    first = min(following, key=lambda t: driver_key(t.version))
    found = compatibility(subject.catalogue, candidate.version, first.version, subject.boards)
    if found.runs:
        return
    text = (
        f"CUDA {major} doesn't run on {candidate.version} as it is: {found.breaks}. What helps: "
        f"{found.remedy}."
    )
    if subject.answers.cuda:
        # Another CUDA is wanted, and judged by cuda-wanted: this is only what the next would need.
        yield ok("driver-cuda", text, found.sources)
        return
    yield violated("driver-cuda", text, found.sources, blocking=False)
