"""Rules about inference frameworks: what their wheels and images ask of the driver and of the boards."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.cuda import MINOR, NATIVE, compatibility
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpu_bringup.model.catalogue import Framework
    from gpu_bringup.model.target import Reason
    from gpu_bringup.rules.subject import Board

_OTHER_NAMES = {
    "llamacpp": "llama-cpp",
    "pytorch": "torch",
    "transformers-accelerate": "transformers",
    "triton-inference-server": "triton",
    "tritonserver": "triton",
    "tensorrtllm": "tensorrt-llm",
    "trt-llm": "tensorrt-llm",
    "trtllm": "tensorrt-llm",
}
"""How people call them besides; spaces, dots, underscores and plus signs count as hyphens."""


def entry_for(known: Iterable[Framework], version: str) -> Framework | None:
    """The entry for a version of a framework: its own, else the nearest older one; without a version
    the newest; None: it is older than all, or nothing is known.

    What the nearest older release needed is a guess: ``framework_driver`` says so.
    """
    entries = sorted(known, key=lambda item: driver_key(item.version))
    if not version:
        return entries[-1] if entries else None
    plain = version.removeprefix("v")
    exact = next((item for item in entries if item.version == plain), None)
    if exact is not None:
        return exact
    older = [item for item in entries if driver_key(item.version) <= driver_key(plain)]
    return older[-1] if older else None


def framework_named(text: str) -> tuple[str, str]:
    """Id and version ("" if none) of a framework as people write it.

    "llama.cpp:b8967" is "llama-cpp" and "b8967"; a name that isn't known stays as it is.
    """
    name, _, version = text.strip().lower().partition(":")
    plain = re.sub(r"[\s_.+]+", "-", name.strip())
    return _OTHER_NAMES.get(plain, plain), version.strip()


def _wanted(subject: Subject) -> tuple[str, str]:
    name, version = framework_named(subject.answers.framework)
    return name, version.removeprefix("v")


def others_of(subject: Subject) -> tuple[str, ...]:
    """Ids of the frameworks on record, each once."""
    return tuple(dict.fromkeys(item.id for item in subject.catalogue.frameworks))


def framework_driver(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The framework's default wheels or images need a driver for their CUDA."""
    name, version = _wanted(subject)
    if name and not subject.frameworks:
        versions = join(f.version for f in subject.catalogue.frameworks if f.id == name)
        others = join(others_of(subject))
        what = f"{name} {versions}" if versions else others
        near = () if versions else difflib.get_close_matches(name, others_of(subject), 2, 0.6)
        hint = f" Did you mean {join(near, 'or')}?" if near else ""
        yield unknown(
            "framework-driver",
            f"{f'{name} {version}'.rstrip()} isn't in this catalogue (it knows {what}): what it needs "
            f"isn't known, so it decides nothing here.{hint}",
        )
    for framework in subject.frameworks:
        where = urls(subject.catalogue, framework.sources)
        if version and framework.version != version:
            yield unknown(
                "framework-driver",
                f"{framework.name} {version} isn't in this catalogue: what follows is of "
                f"{framework.version}, the nearest older release on record.",
                where,
            )
        yield _driver(subject, candidate, framework, where)
        yield from _boards(subject, framework, where)


def _driver(
    subject: Subject, candidate: Candidate, framework: Framework, where: tuple[str, ...]
) -> Reason:
    name = f"{framework.name} {framework.version}"
    built = f"{name} is built for CUDA {framework.cuda} and needs driver {framework.driver_min} or newer"
    if driver_key(candidate.version) < driver_key(framework.driver_min):
        found = compatibility(subject.catalogue, candidate.version, framework.cuda, subject.boards)
        return violated(
            "framework-driver",
            f"{built}; {candidate.version} is older"
            + (f": {found.breaks}. What helps: {found.remedy}." if found.breaks else "."),
            tuple(dict.fromkeys((*where, *found.sources))),
            blocking=not subject.insisted(candidate),
        )
    found = compatibility(subject.catalogue, candidate.version, framework.cuda, subject.boards)
    if found.kind == MINOR:
        return ok(
            "framework-driver",
            f"{built}; {candidate.version} is not older, but serves CUDA {framework.cuda} by minor-version "
            f"compatibility only (all of it needs {found.needs}): kernels that it compiles at run time from "
            "newer PTX won't load.",
            where,
        )
    full = f" and serves CUDA {framework.cuda} in full" if found.kind == NATIVE else ""
    return ok("framework-driver", f"{built}; {candidate.version} is not older{full}.", where)


def _capabilities(board: Board) -> tuple[str, ...]:
    if board.gpu is not None and re.match(r"^\d+\.\d$", board.gpu.compute_capability):
        return (board.gpu.compute_capability,)
    return board.architecture.compute_capabilities if board.architecture is not None else ()


def _older(subject: Subject, framework: Framework, board: Board) -> str:
    """Advice that names the newest older release on record with code for a board."""
    high = max(_capabilities(board), key=driver_key, default="")
    last = board.architecture.last_cuda if board.architecture is not None else None
    fitting = [
        item
        for item in subject.catalogue.frameworks
        if item.id == framework.id
        and driver_key(item.version) < driver_key(framework.version)
        and (not last or driver_key(item.cuda)[:1] <= driver_key(last)[:1])
        and (not item.cc_min or not high or driver_key(item.cc_min) <= driver_key(high))
    ]
    if not fitting:
        return "use an older release (none on record here has code for it)"
    best = max(fitting, key=lambda item: driver_key(item.version))
    sure = "" if best.cc_min else "; which boards it has code for isn't on record"
    return (
        f"use an older release (the newest on record is {best.version}, of CUDA {best.cuda}{sure})"
    )


def _boards(subject: Subject, framework: Framework, where: tuple[str, ...]) -> Iterator[Reason]:
    """Has the framework code for each board? Too old a board has none; too new a one hasn't yet."""
    name = f"{framework.name} {framework.version}"
    for board in subject.boards:
        last = board.architecture.last_cuda if board.architecture is not None else None
        found = _capabilities(board)
        low, high = min(found, key=driver_key, default=""), max(found, key=driver_key, default="")
        if last and driver_key(framework.cuda)[:1] > driver_key(last)[:1]:
            yield violated(
                "framework-gpu",
                f"{name} is built for CUDA {framework.cuda}, which no longer compiles for {board.name} "
                f"(CUDA {last} is its last): {_older(subject, framework, board)}, or one built for CUDA "
                f"{last.split('.')[0]}.",
                where,
                blocking=False,
            )
        elif not found:
            continue
        elif framework.cc_min and driver_key(high) < driver_key(framework.cc_min):
            yield violated(
                "framework-gpu",
                f"{name} has code from compute capability {framework.cc_min} on; {board.name} has "
                f"{high}: {_older(subject, framework, board)}, or build it for these boards.",
                where,
                blocking=False,
            )
        elif framework.cc_max and driver_key(low)[:1] > driver_key(framework.cc_max)[:1]:
            yield violated(
                "framework-gpu",
                f"{name} has code up to compute capability {framework.cc_max}; {board.name} has {low}: "
                "it needs a newer release.",
                where,
                blocking=False,
            )
        elif framework.cc_max and driver_key(low) > driver_key(framework.cc_max):
            yield unknown(
                "framework-gpu",
                f"{name} is known to have code up to compute capability {framework.cc_max}; {board.name} "
                f"has {low}, of the same family: whether its code runs there isn't known.",
                where,
            )
