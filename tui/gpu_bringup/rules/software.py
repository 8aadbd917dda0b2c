"""Rules about what runs on the driver: CUDA toolkits and inference frameworks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key
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
        low, high = board.architecture.first_cuda, board.architecture.last_cuda
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
        f"; up to CUDA {later[-1].version} runs by minor-version compatibility, without compiling PTX "
        "at run time"
        if later
        else ""
    )
    yield ok(
        "driver-cuda",
        f"{candidate.version} serves CUDA {newest.version} natively (it needs {newest.driver}){minor}.",
        urls(subject.catalogue, newest.sources),
    )


def framework_driver(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The framework's default wheels or images need a driver for their CUDA."""
    wanted = subject.answers.framework
    if wanted and not subject.frameworks:
        name = wanted.split(":")[0]
        versions = join(f.version for f in subject.catalogue.frameworks if f.id == name)
        yield unknown(
            "framework-driver",
            f"{wanted.replace(':', ' ')} isn't in this catalogue (it knows {name} {versions}): what it "
            "needs isn't known.",
        )
    _, _, last, last_board = cuda_bounds(subject)
    for framework in subject.frameworks:
        where = urls(subject.catalogue, framework.sources)
        name = f"{framework.name} {framework.version}"
        if driver_key(candidate.version) < driver_key(framework.driver_min):
            yield violated(
                "framework-driver",
                f"{name} is built for CUDA {framework.cuda} and needs driver {framework.driver_min} or "
                f"newer; {candidate.version} is older.",
                where,
                blocking=not subject.insisted(candidate),
            )
        else:
            yield ok(
                "framework-driver",
                f"{name} is built for CUDA {framework.cuda} and needs driver {framework.driver_min} or "
                f"newer; {candidate.version} is not older.",
                where,
            )
        if last and driver_key(framework.cuda)[:1] > driver_key(last)[:1]:
            yield violated(
                "framework-gpu",
                f"{name} is built for CUDA {framework.cuda}, which no longer compiles for {last_board} "
                f"(CUDA {last} is its last): use an older release, or one built for CUDA "
                f"{last.split('.')[0]}.",
                where,
                blocking=False,
            )
