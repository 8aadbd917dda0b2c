"""Rule about security fixes: which bulletins a driver release lacks.

Sources: NVIDIA's security bulletins; for those before 2026 the changelogs of Debian's packages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.subject import Candidate, Subject, join, ok, unknown, urls, violated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.stack import Bulletin
    from gpu_bringup.model.target import Reason

RULE = "security-floor"


def fixed_in(bulletin: Bulletin, branch: str) -> str:
    """First release of a branch with a bulletin's fixes; empty: the bulletin doesn't name the branch."""
    return next((version for name, version in bulletin.fixed if name == branch), "")


def lacking(bulletins: tuple[Bulletin, ...], version: str) -> tuple[Bulletin, ...]:
    """The driver bulletins (newest first) that name a release's branch and whose fixes it lacks."""
    branch, key = branch_of(version), driver_key(version)
    found: list[Bulletin] = []
    for item in bulletins:
        floor = fixed_in(item, branch) if item.component == "driver" else ""
        if floor and driver_key(floor) > key:
            found.append(item)
    return tuple(found)


def silent(bulletins: tuple[Bulletin, ...], branch: str) -> tuple[Bulletin, ...]:
    """The driver bulletins (newest first) after the last one that names a branch.

    A branch that a bulletin leaves out may be affected all the same: NVIDIA says so in each. Only
    those that were read themselves count; a branch that none names has none.
    """
    found: list[Bulletin] = []
    for item in bulletins:
        if item.component != "driver":
            continue
        if fixed_in(item, branch):
            return tuple(found)
        if item.complete:
            found.append(item)
    return ()


def floor_of(bulletins: tuple[Bulletin, ...], branch: str) -> str:
    """Lowest release of a branch with the fixes of every bulletin that names it; empty: none does."""
    floors = [fixed_in(item, branch) for item in bulletins if item.component == "driver"]
    return max((version for version in floors if version), key=driver_key, default="")


def _named(items: tuple[Bulletin, ...]) -> str:
    """ "bulletins 5861 (GPU Display Driver, September 2026) and 5821 (…)"."""
    words = [item.id + (f" ({item.title})" if item.published else "") for item in items]
    return ("bulletin " if len(words) == 1 else "bulletins ") + join(words)


def moves_on(candidate: Candidate) -> bool:
    """Is it a distribution's package that security updates move on, so that the version on record is
    only that of the day on which its archive was read?"""
    branch = candidate.branch
    return (
        candidate.source_kind == "distribution"
        and not candidate.package.package_version
        and branch is not None
        and branch.status == "supported"
    )


def security_floor(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    """The release must carry the fixes of the newest bulletin that names its branch."""
    branch = candidate.branch
    if branch is None:
        return
    bulletins = subject.catalogue.stack.bulletins
    floor = branch.security_floor
    if floor is None:
        yield from _unnamed(subject, candidate)
        return
    where = urls(subject.catalogue, branch.sources)
    later = silent(bulletins, branch.id)
    if driver_key(candidate.version) < driver_key(floor):
        missing = lacking(bulletins, candidate.version)
        told = f" (fixes of {_named(missing[:3])}" + (", and older ones)" if missing[3:] else ")")
        where = urls(
            subject.catalogue, (*branch.sources, *(s for item in missing[:3] for s in item.sources))
        )
        text = f"R{branch.id} has them from {floor}" + (f"{told}." if missing else ".")
        if moves_on(candidate):
            yield unknown(
                RULE,
                f"{candidate.version}, the version on record for this package, lacks known security fixes: "
                f"{text} The distribution brings newer ones into the same package: which it has now is seen "
                "when packages are resolved.",
                where,
            )
        else:
            yield violated(
                RULE,
                f"{candidate.version} lacks known security fixes: {text}",
                where,
                blocking=not subject.excused(candidate) and candidate.source_kind != "distribution",
            )
    else:
        yield ok(
            RULE,
            f"{candidate.version} carries the newest security fixes known for R{branch.id} "
            f"({floor} or newer does).",
            where,
        )
    if later:
        where = urls(subject.catalogue, (s for item in later for s in item.sources))
        yield unknown(
            RULE,
            f"R{branch.id} gets no fixes for {_named(later[:3])}: whether it is affected isn't said; "
            "NVIDIA's advice is a branch that they name.",
            where,
        )


def _unnamed(subject: Subject, candidate: Candidate) -> Iterator[Reason]:
    known = [b for b in subject.catalogue.stack.bulletins if b.component == "driver"]
    newest = tuple(known[:1])
    if not newest:
        return
    yield unknown(
        RULE,
        f"No security bulletin on record names R{candidate.package.branch}; the newest, {_named(newest)}, "
        "doesn't say whether it is affected.",
        urls(subject.catalogue, newest[0].sources),
    )
