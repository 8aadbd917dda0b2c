"""Rules about time: support of branch, distribution and kernel, branch type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.rules.subject import (
    Candidate,
    Subject,
    join,
    month,
    months_between,
    ok,
    unknown,
    urls,
    violated,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from gpu_bringup.model.catalogue import Branch
    from gpu_bringup.model.target import Reason

TYPE_NAMES = {
    "lts": "long-term support",
    "production": "production",
    "new-feature": "new feature",
    "unknown": "not known",
}


def ended(branch: Branch, today: date) -> bool:
    """Is the branch past its support on that day?"""
    if branch.end_of_support is not None:
        return branch.end_of_support < today
    return branch.status == "ended"


def support_left(branch: Branch, today: date) -> int | None:
    """Whole months of support left; None: not known; negative or 0 when it is over."""
    if ended(branch, today):
        return -1
    return months_between(today, branch.end_of_support) if branch.end_of_support else None


def lifecycle(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A branch past its end gets no security fixes: only an operator who insists gets it."""
    branch = candidate.branch
    if branch is None:
        yield unknown("lifecycle", f"Nothing is known of the branch of {candidate.version}.")
        return
    where = urls(subject.catalogue, branch.sources)
    end = branch.end_of_support
    name = f"R{branch.id}"
    release = subject.catalogue.releases.get(candidate.version)
    if release is not None and release.released is not None and release.released > subject.today:
        yield violated(
            "lifecycle",
            f"{candidate.version} came out on {release.released}, after the day that was asked for "
            f"({subject.today}).",
            urls(subject.catalogue, release.sources),
            blocking=not subject.insisted(candidate),
        )
        return
    if ended(branch, subject.today):
        since = f" since {month(end)}" if end else f" (its last release was {branch.last_release})"
        yield violated(
            "lifecycle",
            f"{name} has had no security fixes{since}; {branch.last_release} is its last release.",
            where,
            blocking=not subject.excused(candidate),
        )
        return
    if end is None:
        yield unknown("lifecycle", f"The end of support of {name} isn't known.", where)
        return
    left = months_between(subject.today, end)
    wanted = subject.scenario.min_support_months
    months = f"{left} month{'' if left == 1 else 's'} from now"
    if left < wanted:
        yield violated(
            "lifecycle",
            f"{name} is supported only until {month(end)}, {months}; the scenario "
            f"{subject.scenario.id} wants {wanted} months or more.",
            where,
            blocking=False,
        )
    else:
        yield ok("lifecycle", f"{name} is supported until {month(end)}, {months}.", where)


def branch_type(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Each scenario accepts certain kinds of branches."""
    branch = candidate.branch
    accepted = subject.scenario.branch_types
    if branch is None or not accepted:
        return
    where = urls(subject.catalogue, branch.sources)
    kinds = join((TYPE_NAMES.get(kind, kind) for kind in accepted), "or")
    name = TYPE_NAMES.get(branch.type, branch.type)
    if branch.type == "unknown" or not branch.type_certain:
        hint = f" (it looks like {name})" if branch.type != "unknown" else ""
        yield unknown(
            "branch-type",
            f"What kind of branch R{branch.id} is was not confirmed anywhere{hint}; the scenario "
            f"{subject.scenario.id} wants {kinds}.",
            where,
        )
    elif branch.type in accepted:
        yield ok("branch-type", f"R{branch.id} is a {name} branch.", where)
    else:
        yield violated(
            "branch-type",
            f"R{branch.id} is a {name} branch; the scenario {subject.scenario.id} wants {kinds}.",
            where,
            blocking=not subject.excused(candidate),
        )


def os_lifecycle(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """A distribution past its support is said so; it stops nobody."""
    release = subject.distribution
    where = urls(subject.catalogue, release.sources)
    end = release.end_of_support
    if end is None:
        yield unknown(
            "os-lifecycle", f"When the support of {release.name} ends isn't known.", where
        )
    elif end < subject.today:
        yield violated(
            "os-lifecycle",
            f"{release.name} has been out of regular support since {month(end)}"
            + (f": {release.note}" if release.note else ""),
            where,
            blocking=False,
        )
    elif release.family == "rhel" and "." in subject.os_version:
        yield unknown(
            "os-lifecycle",
            f"{release.name} as a whole is supported until {month(end)}, but {subject.os_version} only until "
            "the next minor release is there, or longer where Extended Update Support was bought: its own "
            "end isn't on record here. Stay on the newest minor release.",
            where,
        )
    else:
        yield ok("os-lifecycle", f"{release.name} is supported until {month(end)}.", where)


def scenario_os(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Some scenarios are meant for certain distributions only."""
    wanted = subject.scenario.os
    if not wanted:
        return
    release = subject.distribution
    names = {
        release.os_id,
        f"{release.os_id}:{release.version}",
        f"{release.os_id}:{release.version.split('.')[0]}",
    }
    where = urls(subject.catalogue, subject.scenario.sources)
    if names & set(wanted):
        yield ok(
            "scenario-os",
            f"{release.name} is one of the systems meant by {subject.scenario.id}.",
            where,
        )
    else:
        yield violated(
            "scenario-os",
            f"The scenario {subject.scenario.id} is meant for {join(wanted, 'or')}; this is {release.name}.",
            where,
            blocking=False,
        )


def kernel_lifecycle(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """Who still mends this kernel: its distribution for its standard series, else kernel.org."""
    release = subject.distribution
    for kernel in subject.kernels:
        if not kernel.release or kernel.upstream is None:
            continue
        series = kernel.upstream.series
        standard = release.kernel == series or release.kernel.startswith(f"{series}.")
        if standard or kernel.vendor or kernel.stable_patches:
            continue
        end = subject.catalogue.kernel_series_end.get(series)
        if end is None:
            yield unknown(
                "kernel-lifecycle",
                f"How long Linux {series} ({kernel.release}) is maintained isn't known; the standard "
                f"kernel of {release.name} is {release.kernel}.",
            )
        elif end < subject.today:
            yield violated(
                "kernel-lifecycle",
                f"Linux {series} ({kernel.release}) has had no upstream fixes since {month(end)}; the "
                f"standard kernel of {release.name} is {release.kernel}.",
                blocking=False,
            )
        else:
            yield ok(
                "kernel-lifecycle", f"Linux {series} is maintained upstream until {month(end)}."
            )
