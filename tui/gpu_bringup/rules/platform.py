"""Rules about the host's processor: Grace boards sit in aarch64 hosts, which take other packages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gpu_bringup.model.target import Reason
    from gpu_bringup.rules.subject import Board

_NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
_GUIDE = ("cuda-install-guide",)


def host_arch(boards: Iterable[Board]) -> str:
    """Machine name of the hosts that these boards come in; empty: any, or not one."""
    found = {board.gpu.host_arch for board in boards if board.gpu is not None} - {""}
    return found.pop() if len(found) == 1 else ""


def machine(name: str) -> str:
    """A machine's name as ``uname -m`` gives it: "arm64" -> "aarch64"."""
    return _NAMES.get(name, name)


def platform(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Packages must exist for the host's processor; NVIDIA calls aarch64 servers sbsa."""
    bound = [b for b in subject.boards if b.gpu is not None and b.gpu.host_arch]
    arch = subject.arch
    names = join(dict.fromkeys(board.name for board in bound))
    if bound and arch and any(b.gpu is not None and b.gpu.host_arch != arch for b in bound):
        yield violated(
            "platform",
            f"{names} comes in {host_arch(bound)} hosts only (its processor is on the same module); "
            f"this host is {arch}.",
            urls(subject.catalogue, (s for board in bound for s in board.sources)),
        )
        return
    if arch in ("", "x86_64") or not candidate.source_kind:
        return
    why = f" ({names} sits beside a Grace processor)" if bound else ""
    release = subject.distribution
    where = urls(subject.catalogue, _GUIDE)
    if candidate.package.source == "nvidia-repository" and arch in release.nvidia_arches:
        yield ok(
            "platform",
            f"The host is {arch}{why}: NVIDIA's repository for {release.nvidia_distro} has a part for "
            "it, sbsa, which is the one to use.",
            where,
        )
        return
    own = candidate.package.arches
    if own:
        verdict = ok if arch in own else violated
        yield verdict(
            "platform",
            f"The host is {arch}{why}: {candidate.package.kernel_package} exists for {join(own)}"
            + ("." if arch in own else " only."),
            urls(subject.catalogue, candidate.package.sources),
        )
        return
    whose = (
        f"NVIDIA's repository for {release.nvidia_distro}"
        if candidate.package.source == "nvidia-repository"
        else f"{release.name} itself"
    )
    yield unknown(
        "platform",
        f"The host is {arch}{why}: whether {whose} has these packages for it is documented nowhere that "
        "this catalogue knows; it is seen when they are resolved.",
        where,
    )
