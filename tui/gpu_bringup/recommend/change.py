"""What would change the choice's mind: each answer or fact changed alone, and chosen anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.answers import SourceKind
from gpu_bringup.model.target import Reason
from gpu_bringup.model.trial import BuildEvidence
from gpu_bringup.model.versions import driver_key
from gpu_bringup.recommend.judging import Judged, judge, subject_of
from gpu_bringup.recommend.words import refusal_of
from gpu_bringup.rules.describe import board_by_id, frameworks_of
from gpu_bringup.rules.release import target_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.rules.subject import Subject

Choice = tuple[str, str, str]
"""(version, flavour, source)."""


_KINDS = {
    "scenario": "Scenario",
    "source": "Source",
    "framework": "Framework",
    "secure-boot": "Secure Boot",
    "kernel": "Kernel",
    "date": "From",
    "gpu": "Also a",
    "trial-build": "Its trial build",
}
_SHOWN = 6
"""Values that a sentence names."""


@dataclass(frozen=True, slots=True)
class Change:
    """One changed thing and the choice that it leads to."""

    kind: str
    """"scenario", "source", "framework", "secure-boot", "kernel", "date", "gpu", "trial-build"."""
    values: tuple[str, ...]
    """What it would have to be; several lead to the same."""
    choice: Choice | None
    """None: nothing could be recommended."""
    why: str = ""
    """Why nothing could, in a sentence."""

    @property
    def sentence(self) -> str:
        """ "Secure Boot on: 580.173.02 open (distribution)"."""
        more = len(self.values) - _SHOWN
        some = ", ".join(self.values[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        if self.choice is None:
            return f"{_KINDS[self.kind]} {some}: nothing could be recommended. {self.why}"
        version, flavour, source = self.choice
        return f"{_KINDS[self.kind]} {some}: {version} {flavour} ({source})"

    def to_json(self) -> dict[str, Any]:
        keys = ("version", "flavour", "source")
        return {
            "kind": self.kind,
            "values": list(self.values),
            "driver": dict(zip(keys, self.choice, strict=True)) if self.choice else None,
            "why": self.why,
        }


def changes(
    facts: Facts | None,
    answers: Answers,
    catalogue: Catalogue,
    evidence: Sequence[BuildEvidence] = (),
) -> tuple[Change, ...]:
    """The single changes that lead to another choice, found by choosing anew for each.

    Empty where nothing was recommended, or where nothing that was tried makes a difference.

    Raises:
        InputError: as ``recommend``.
    """
    subject = subject_of(facts, answers, catalogue, evidence)
    if isinstance(subject, Reason):
        return ()
    first = _first(subject)
    if first is None:
        return ()
    now = _choice(first)
    grouped: dict[tuple[str, Choice | None, str], list[str]] = {}
    for kind, value, other in _others(subject, first):
        judged = judge(other)
        best = judged[0] if judged and judged[0].tier == 2 else None
        then = _choice(best) if best is not None else None
        if then == now:
            continue
        why = next((r.detail for r in refusal_of(other, judged)), "") if then is None else ""
        grouped.setdefault((kind, then, why), []).append(value)
    return tuple(
        Change(kind, tuple(values), choice, why)
        for (kind, choice, why), values in _one_date(grouped).items()
    )


def _one_date(
    grouped: dict[tuple[str, Choice | None, str], list[str]],
) -> dict[tuple[str, Choice | None, str], list[str]]:
    """Of the days that lead to the same choice, only the first tells something."""
    return {key: values[:1] if key[0] == "date" else values for key, values in grouped.items()}


def _first(subject: Subject) -> Judged | None:
    judged = judge(subject)
    return judged[0] if judged and judged[0].tier == 2 else None


def _choice(item: Judged) -> Choice:
    candidate = item.candidate
    return (candidate.version, candidate.flavour.value, candidate.source_kind)


def _others(subject: Subject, first: Judged) -> Iterator[tuple[str, str, Subject]]:
    """(kind, value, the host or wish with that one thing changed)."""
    yield from _wishes(subject)
    for state, word in ((True, "on"), (False, "off")):
        if subject.secure_boot is not state:
            yield "secure-boot", word, replace(subject, secure_boot=state)
    for series in _series(subject):
        kernel = target_kernel(series, family=subject.distribution.family)
        yield "kernel", series, replace(subject, kernels=(kernel,))
    for day in _days(subject):
        yield "date", day.isoformat(), replace(subject, today=day)
    for name, pci_id in _boards(subject):
        board = board_by_id(pci_id, subject.catalogue)
        yield "gpu", name, replace(subject, boards=(*subject.boards, board))
    failed = _failure(subject, first)
    if failed:
        kernels = ", ".join(item.kernel for item in failed)
        yield (
            "trial-build",
            f"fails for {kernels}",
            replace(subject, evidence=(*subject.evidence, *failed)),
        )


def _wishes(subject: Subject) -> Iterator[tuple[str, str, Subject]]:
    answers, catalogue = subject.answers, subject.catalogue
    for scenario in catalogue.scenarios.values():
        if scenario is not subject.scenario:
            changed = replace(answers, scenario=scenario.id)
            yield "scenario", scenario.id, replace(subject, scenario=scenario, answers=changed)
    for source in (SourceKind.DISTRIBUTION, SourceKind.NVIDIA_REPOSITORY):
        if answers.source is not source:
            changed = replace(answers, source=source)
            yield "source", source.value, replace(subject, answers=changed)
    for framework in catalogue.frameworks:
        name = f"{framework.id}:{framework.version}"
        if framework in subject.frameworks:
            continue
        changed = replace(answers, framework=name)
        frameworks = frameworks_of(changed, catalogue)
        yield "framework", name, replace(subject, answers=changed, frameworks=frameworks)


def _series(subject: Subject) -> list[str]:
    """Kernel series on record that aren't the target's; vendor kernels aren't told by a series."""
    if any(kernel.vendor for kernel in subject.kernels):
        return []
    mine = {kernel.upstream.series for kernel in subject.kernels if kernel.upstream is not None}
    oldest = min((driver_key(series) for series in mine), default=(0,))
    known = sorted(subject.catalogue.kernel_series_end, key=driver_key)
    return [series for series in known if series not in mine and driver_key(series) > oldest]


def _days(subject: Subject) -> list[date]:
    """The day after each end of support that is still to come."""
    ends = {branch.end_of_support for branch in subject.catalogue.branches.values()}
    return sorted(
        end + timedelta(days=1) for end in ends if end is not None and end >= subject.today
    )


def _boards(subject: Subject) -> list[tuple[str, str]]:
    """(name, PCI id) of one data-centre board of each architecture that isn't there yet."""
    there = {board.architecture.id for board in subject.boards if board.architecture is not None}
    found: dict[str, tuple[str, str]] = {}
    for gpu in subject.catalogue.gpus:
        if gpu.architecture not in there and gpu.data_centre and gpu.pci_ids:
            found.setdefault(gpu.architecture, (gpu.name, gpu.pci_ids[0]))
    return list(found.values())


def _failure(subject: Subject, first: Judged) -> tuple[BuildEvidence, ...]:
    """Trial builds of the choice that fail for every kernel that it is compiled for."""
    candidate = first.candidate
    if candidate.package.route == "prebuilt":
        return ()
    return tuple(
        BuildEvidence(
            package=candidate.package.kernel_package,
            package_version=candidate.package.package_version,
            driver=candidate.version,
            flavour=candidate.flavour,
            kernel=kernel.release,
            compiler="",
            passed=False,
            first_error="(supposed)",
            time="9999-12-31T00:00:00Z",
        )
        for kernel in subject.kernels
        if kernel.release
    )
