"""Profiles that build on others: ``extends`` takes over what a profile doesn't say itself.

Everything but the id, the title and what its guide says is taken over; ``add_extras`` adds to the
extras, and the sources of both count. A profile that extends its own id builds on the one of that id
in an earlier folder, which it replaces.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpu_bringup.catalogue.entries import fail, guess, shown
from gpu_bringup.catalogue.values import EXTRAS
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Scenario
from gpu_bringup.model.guide import Origin

_OWN = frozenset({"id", "title", "extends", "add_extras", "claims", "guide", "guide_difference"})
"""Keys that speak of one profile alone."""
_LONGEST_CHAIN = 16


@dataclass(frozen=True)
class Written:
    """A profile as it stands in a file."""

    id: str
    table: dict[str, Any]
    layer: int
    kind: str
    """Whose folder it is: see ``Origin.kind``."""
    file: str
    place: str


@dataclass(frozen=True)
class Whole:
    """A profile with everything that it takes over."""

    table: dict[str, Any]
    given_by: dict[str, str]
    """Key -> id of the profile that says it."""
    chain: tuple[str, ...]


@dataclass
class Profiles:
    """All profiles of all folders, as they are written."""

    written: dict[str, list[Written]] = field(default_factory=dict)
    """Id -> those of that id, earlier folders first."""
    broken: set[tuple[str, int]] = field(default_factory=set)
    """(id, layer) of those that nothing can build on."""

    def add(self, profile: Written) -> None:
        self.written.setdefault(profile.id, []).append(profile)

    def below(self, profile: Written) -> Written | None:
        """The one of the same id in an earlier folder; None: there is none."""
        same = [item for item in self.written[profile.id] if item.layer < profile.layer]
        return same[-1] if same else None

    def whole(self, profile: Written) -> Whole:
        """A profile with what it takes over.

        Raises:
            InputError: a cycle, an unknown profile, or one that is wrong itself.
        """
        parent = self._parent(profile)
        if parent is None:
            return Whole(dict(profile.table), dict.fromkeys(profile.table, profile.id), ())
        place = f"{profile.place}.extends"
        above, ends = self._above(profile)
        if not ends:
            names = " -> ".join(item.id for item in above)
            word = "a cycle" if above[-1] in above[:-1] else "a chain that is too long"
            raise fail(f"{word}: {names}", profile.file, place)
        if (parent.id, parent.layer) in self.broken:
            raise fail(
                f"the profile {parent.id!r} of {parent.file} is wrong itself", profile.file, place
            )
        return _merged(profile, parent, self.whole(parent))

    def in_order(self) -> list[Written]:
        """All profiles, those that others build on first."""
        every = (item for same in self.written.values() for item in same)
        return sorted(every, key=lambda item: len(self._above(item)[0]))

    def _above(self, profile: Written) -> tuple[list[Written], bool]:
        """The profile and all that it builds on, nearest first; False: it has no end."""
        chain = [profile]
        while len(chain) <= _LONGEST_CHAIN:
            try:
                parent = self._parent(chain[-1])
            except InputError:
                return chain, True
            if parent is None:
                return chain, True
            chain.append(parent)
            if parent in chain[:-1]:
                break
        return chain, False

    def _parent(self, profile: Written) -> Written | None:
        wanted = profile.table.get("extends", "")
        place = f"{profile.place}.extends"
        if not isinstance(wanted, str):
            raise fail(f"{shown(wanted)} isn't a text", profile.file, place)
        if not wanted:
            return None
        if wanted == profile.id:
            below = self.below(profile)
            if below is None:
                raise fail(
                    f"a cycle: {wanted} -> {wanted}; no earlier folder has a profile of that id",
                    profile.file,
                    place,
                )
            return below
        known = self.written.get(wanted)
        if not known:
            words = guess(wanted, self.written) or f"; there are {', '.join(self.written)}"
            raise fail(f"there is no profile {shown(wanted)}{words}", profile.file, place)
        return known[-1]

    def origin(self, profile: Written, whole: Whole) -> Origin:
        """Where a profile comes from, and whom each of its values."""
        inherited = tuple(
            (key, owner)
            for key, owner in whole.given_by.items()
            if owner != profile.id and key in Scenario.__dataclass_fields__
        )
        replaces = self.below(profile) is not None
        return Origin(profile.kind, profile.file, whole.chain, inherited, replaces)


def _merged(profile: Written, parent: Written, base: Whole) -> Whole:
    own = {key for key in base.table if key in _OWN or key.startswith("guide_")}
    if parent.id == profile.id:
        # A change of the same profile: its title and its guide are still its own.
        own = {"extends", "add_extras"}
    table = {key: value for key, value in base.table.items() if key not in own}
    given = {key: base.given_by[key] for key in table}
    table.setdefault("title", profile.id)
    table.update(profile.table)
    given.update(dict.fromkeys(profile.table, profile.id))
    more = profile.table.get("add_extras", [])
    extras = table.get("extras", [])
    # A word that is no extra is the fault of ``add_extras``, where it stands.
    known = isinstance(more, list) and all(item in EXTRAS for item in more)
    if more and known and isinstance(extras, list):
        given["extras"] = profile.id
        table["extras"] = extras + [item for item in more if item not in extras]
        if "container-toolkit" in table["extras"] and "containers" not in profile.table:
            table["containers"], given["containers"] = True, profile.id
    sources, below = profile.table.get("sources", []), base.table.get("sources", [])
    if isinstance(sources, list) and isinstance(below, list):
        table["sources"] = sources + [item for item in below if item not in sources]
    return Whole(table, given, (parent.id, *base.chain))
