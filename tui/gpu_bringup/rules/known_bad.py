"""Rule about faults of driver releases: what is really known of them, and what is only said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.subject import Candidate, Subject, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.enums import Flavour
    from gpu_bringup.model.stack import KnownBad
    from gpu_bringup.model.target import Reason
    from gpu_bringup.rules.subject import Board

RULE = "known-bad"


def has_fault(fault: KnownBad, version: str, flavour: Flavour | None = None) -> bool:
    """Does a release have a fault, as far as is known?

    A fault without a fix and without a last release lasts to the end of its branch; one whose fix is
    on a later branch lasts through all branches between.
    """
    key = driver_key(version)
    if key < driver_key(fault.first):
        return False
    if fault.flavour is not None and flavour is not None and fault.flavour is not flavour:
        return False
    if fault.last:
        return key <= driver_key(fault.last)
    if fault.fixed:
        return key < driver_key(fault.fixed)
    return branch_of(version) == branch_of(fault.first)


def concerns(fault: KnownBad, boards: tuple[Board, ...]) -> bool:
    """Is a fault seen on these boards: by board, by architecture, or on all?"""
    if fault.scope in ("special", "desktop"):
        return False  # every scenario is of a server without a screen
    if not fault.gpus and not fault.architectures:
        return True
    for board in boards:
        if board.gpu is not None and board.gpu.id in fault.gpus:
            return True
        if board.architecture is not None and board.architecture.id in fault.architectures:
            return True
    return False


def known_bad(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Faults that this release is known, reported or only said to have on these boards."""
    for fault in subject.catalogue.stack.known_bad:
        if not has_fault(fault, candidate.version, candidate.flavour):
            continue
        if not concerns(fault, subject.boards):
            continue
        where = urls(subject.catalogue, fault.sources)
        text = _words(fault, candidate.version)
        if fault.certainty == "confirmed":
            yield violated(RULE, text, where, blocking=False)
        else:
            yield unknown(RULE, text, where)


def _words(fault: KnownBad, version: str) -> str:
    kind = {
        "confirmed": f"{version} has a known fault",
        "reported": f"{version} has a fault that users report and the vendor doesn't confirm",
        "unverifiable": f"Of {version} a fault is told for which no evidence was found",
    }[fault.certainty]
    end = f" Fixed in {fault.fixed}." if fault.fixed else ""
    return f"{kind}: {fault.symptom}{end}" + "".join(
        f" {text}" for text in (fault.remedy, fault.note) if text
    )
