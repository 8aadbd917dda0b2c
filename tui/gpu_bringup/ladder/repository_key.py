"""The key that the driver's repository is signed with: missing, expired, and fetched anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.families.repository import FETCH_KEY
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.plan import Step
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.catalogue import PackageRepository
    from gpu_bringup.model.facts import Repository
    from gpu_bringup.model.ladder import Cause

_WORDS = {
    "missing": "the key file is not there",
    "expired": "the key has expired: nothing new from this repository is accepted",
    "revoked": "the key was revoked by its owner",
}


def bad(entries: Sequence[Repository]) -> tuple[Repository, ...]:
    """Entries whose key file can't vouch for anything."""
    return tuple(item for item in entries if isinstance(item.key, str) and item.key in _WORDS)


def key_causes(entries: Sequence[Repository]) -> list[Cause]:
    """One cause an entry, with the file that is at fault."""
    return [
        cause(
            "repo-signing-key",
            0.93,
            ev(item.signed_by, _WORDS[str(item.key)]),
            ev(f"{item.file}:{item.line}", f"names it for {item.uri}"),
        )
        for item in bad(entries)
    ]


def key_step(
    ctx: Context, repository: PackageRepository, entries: Sequence[Repository]
) -> Step | None:
    """Fetch the key again, held against its pinned fingerprint, to where the entries name it."""
    family, os = ctx.family, ctx.facts.os
    broken = bad(entries)
    if family is None or isinstance(os, Unknown) or not broken:
        return None
    change = family.add_repository(repository, os)
    fetch = next((c for c in change.commands if FETCH_KEY in c.argv), None)
    if fetch is None:
        return None
    paths = tuple(dict.fromkeys(item.signed_by.strip() for item in broken))
    return Step(
        id=f"renew-key-{repository.id}",
        rung="packages",
        title=f"Fetch the key of {repository.name} again",
        why=f"The package manager accepts nothing from this repository: {_WORDS[str(broken[0].key)]}. "
        "The new key is kept only if it has the fingerprint that is pinned.",
        writes=tuple(write for write in change.writes if write.path == FETCH_KEY),
        commands=(
            family.manager.install(("ca-certificates", "gpg")),
            *(replace(fetch, argv=(*fetch.argv[:-1], path)) for path in paths),
            family.manager.refresh(),
        ),
        done_when=("packages",),
        estimate_seconds=30,
        expect=f"'fetch-key: {listed(paths)} holds', then one line a repository.",
    )
