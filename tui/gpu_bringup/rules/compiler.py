"""The compiler that built the kernel, against the compilers that this system offers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.target import Reason
    from gpu_bringup.rules.subject import Candidate, Subject, TargetKernel

RULE = "compiler-kernel"
_SOURCES = ("debian-changelogs", "debian-archive")


def compiler_kernel(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Modules should be built by the compiler that built their kernel.

    The kernel hands its own compiler flags to every module: an older gcc refuses those it doesn't know
    ("unrecognized command-line option"). Since 535.230.02 NVIDIA's makefile takes the compiler that
    the kernel's configuration names (CONFIG_CC_VERSION_TEXT); before, it took ``cc``.
    """
    if candidate.package.route == "prebuilt":
        return
    for kernel in subject.kernels:
        reason = _one(subject, kernel)
        if reason is not None:
            yield reason


def _one(subject: Subject, kernel: TargetKernel) -> Reason | None:
    if not kernel.compiler:
        return None
    where = urls(subject.catalogue, _SOURCES)
    label = kernel.label
    if kernel.compiler_present:
        return ok(RULE, f"{kernel.compiler}, which built {label}, is installed.", where)
    offered = subject.distribution.compilers
    if not offered:
        return unknown(
            RULE,
            f"{label} was built by {kernel.compiler}, which isn't installed; whether "
            f"{subject.distribution.name} has a package of it isn't known.",
            where,
        )
    if kernel.compiler in offered:
        return ok(
            RULE,
            f"{label} was built by {kernel.compiler}, which {subject.distribution.name} has as a "
            "package: it is installed before the build.",
            where,
        )
    return violated(
        RULE,
        f"{label} was built by {kernel.compiler}, which {subject.distribution.name} doesn't have (it "
        f"has {', '.join(offered)}){_risk(kernel.compiler, offered)}. Boot a kernel of the "
        "distribution's own, or make a trial build first.",
        where,
        # Another compiler often works; the trial build tells.
        blocking=False,
    )


def _risk(compiler: str, offered: tuple[str, ...]) -> str:
    newest = max((_major(name) for name in offered), default=0)
    if compiler.startswith("gcc") and _major(compiler) > newest > 0:
        return ": an older gcc may refuse the options that the kernel was built with"
    return ""


def _major(compiler: str) -> int:
    match = re.search(r"-(\d+)", compiler)
    return int(match[1]) if match else 0
