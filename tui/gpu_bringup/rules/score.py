"""Which of several fitting candidates comes first: a tuple, compared from the left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.versions import driver_key
from gpu_bringup.rules.kernel import certainty
from gpu_bringup.rules.lifecycle import ended, support_left
from gpu_bringup.rules.security import moves_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.rules.subject import Candidate, Subject


@dataclass(frozen=True, slots=True)
class Component:
    """One place of the score."""

    name: str
    value: Callable[[Subject, Candidate], int]
    """Higher is better."""
    rule: str
    """Rule whose reason tells why a candidate is behind here; empty: ``phrase`` does."""
    phrase: str


def keyed(subject: Subject, candidate: Candidate) -> bool:
    """Can its repository be added: is it the distribution's own, or is its key's fingerprint known?

    A repository whose key nobody can check is never added (families.repository), so that a plan
    with it would only refuse.
    """
    if candidate.source_kind != "nvidia-repository":
        return True
    repository = subject.catalogue.repositories.get(candidate.package.repository)
    return repository is None or bool(repository.fingerprints)


def _keyed(subject: Subject, candidate: Candidate) -> int:
    return int(keyed(subject, candidate))


def _support(subject: Subject, candidate: Candidate) -> int:
    """3 long enough for the scenario, 2 shorter, 1 its end isn't known, 0 over."""
    if candidate.branch is None:
        return 0
    left = support_left(candidate.branch, subject.today)
    if left is None:
        return 1
    if left < 0:
        return 0
    return 3 if left >= subject.scenario.min_support_months else 2


def _type(subject: Subject, candidate: Candidate) -> int:
    branch, accepted = candidate.branch, subject.scenario.branch_types
    if branch is None or not branch.type_certain or branch.type not in accepted:
        return 0
    if ended(branch, subject.today):
        return 0  # what the branch was doesn't matter any more
    return len(accepted) - accepted.index(branch.type)


def _open(subject: Subject, candidate: Candidate) -> int:
    usable = all(board.open_modules != "unsupported" for board in subject.boards)
    return int(usable and candidate.flavour is Flavour.OPEN)


def _signed(subject: Subject, candidate: Candidate) -> int:
    return int(subject.secure_boot is True and candidate.package.route == "prebuilt")


def _security(subject: Subject, candidate: Candidate) -> int:
    branch = candidate.branch
    if branch is None or branch.security_floor is None:
        return 1
    safe = driver_key(candidate.version) >= driver_key(branch.security_floor)
    return 2 if safe or moves_on(candidate) else 0


def _prebuilt(subject: Subject, candidate: Candidate) -> int:
    return int(candidate.package.route == "prebuilt")


def _own_archive(subject: Subject, candidate: Candidate) -> int:
    return int(candidate.source_kind == "distribution")


def _newest(subject: Subject, candidate: Candidate) -> int:
    fields = [*driver_key(candidate.version), 0, 0][:3]
    return fields[0] * 1_000_000 + fields[1] * 1_000 + fields[2]


COMPONENTS: tuple[Component, ...] = (
    Component(
        "keyed",
        _keyed,
        "",
        "the fingerprint of its repository's key isn't known to this program, which therefore doesn't "
        "add it",
    ),
    Component("support", _support, "lifecycle", ""),
    Component("type", _type, "branch-type", ""),
    Component("open", _open, "", "the open modules, NVIDIA's default, work on these boards too"),
    Component(
        "signed",
        _signed,
        "",
        "with Secure Boot its key must be enrolled at the console, while the first choice comes signed",
    ),
    Component("security", _security, "security-floor", ""),
    Component("certainty", certainty, "", "less is known of it on these kernels"),
    Component(
        "prebuilt",
        _prebuilt,
        "",
        "its modules are compiled here, while the first choice's come built",
    ),
    Component("archive", _own_archive, "", "it needs a repository besides the distribution's own"),
    Component("newest", _newest, "", "the first choice is the newer release"),
)

_CERTAINTY = next(i for i, c in enumerate(COMPONENTS) if c.name == "certainty")


def score(subject: Subject, candidate: Candidate) -> tuple[int, ...]:
    """The candidate's place: the longer the support, the better its type fits, …"""
    return tuple(component.value(subject, candidate) for component in COMPONENTS)


def without_certainty(subject: Subject, candidate: Candidate) -> tuple[int, ...]:
    """The score without what the kernels say: the same for all hosts that differ in nothing else."""
    steady = COMPONENTS[:_CERTAINTY] + COMPONENTS[_CERTAINTY + 1 :]
    return tuple(component.value(subject, candidate) for component in steady)


def with_certainty(values: tuple[int, ...], value: int) -> tuple[int, ...]:
    """The score, put together from both."""
    return (*values[:_CERTAINTY], value, *values[_CERTAINTY:])


def without_predictions(values: tuple[int, ...]) -> tuple[int, ...]:
    """The score as if nothing were foretold about kernels."""
    return values[:_CERTAINTY] + values[_CERTAINTY + 1 :]


def first_difference(better: tuple[int, ...], worse: tuple[int, ...]) -> Component | None:
    """The place that decides between two scores."""
    for component, left, right in zip(COMPONENTS, better, worse, strict=False):
        if left != right:
            return component
    return None
