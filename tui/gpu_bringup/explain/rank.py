"""From what was seen to ranked failures: beliefs added up, consequences put behind their causes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.explain.context import holds
from gpu_bringup.model.ladder import RUNG_IDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpu_bringup.explain.context import Context
    from gpu_bringup.explain.scan import Hit
    from gpu_bringup.model.failure import Failure

LEAST = 0.1
"""A belief below this is told to nobody."""
_UNCERTAIN = 0.4
"""Share of a sign's weight that is left when the host's part of it isn't known."""
_EXPLAINED = 0.45
"""Share of a failure's belief that is left when its own cause was found as well."""
_FOUND = 0.3
"""Belief from which on a failure explains its consequences."""
_RIVAL = 0.6
"""Share of a consequence's belief that its cause must reach: a cause that the text hardly speaks for
is a rival to be told apart, and takes nothing away."""


@dataclass(slots=True)
class Suspect:
    """A failure that something speaks for."""

    failure: Failure
    belief: float
    hits: list[Hit] = field(default_factory=list)
    """The signs for it, heaviest first."""
    consequence_of: str = ""

    @property
    def groups(self) -> dict[str, str]:
        """Named parts of the text, the heaviest sign's first."""
        merged: dict[str, str] = {}
        for hit in reversed(self.hits):
            merged.update(hit.groups)
        return merged


def weight_of(hit: Hit, context: Context) -> float:
    """A sign's weight on this host: none where its conditions fail, a share where they aren't known."""
    weight = hit.rule.sign.weight
    for condition in hit.rule.sign.when:
        known = holds(condition, context)
        if known is False:
            return 0.0
        if known is None:
            weight *= _UNCERTAIN
    return weight


def rank(
    hits: Iterable[Hit], failures: Mapping[str, Failure], context: Context
) -> tuple[Suspect, ...]:
    """The failures that the signs speak for, most likely first.

    Signs of one failure add up as independent witnesses do; a sign against it takes its share away. A
    failure whose own cause was found as well is a consequence and comes after it.
    """
    suspects: dict[str, Suspect] = {}
    against: dict[str, float] = {}
    for hit in hits:
        weight = weight_of(hit, context)
        failure = failures[hit.rule.failure]
        if weight < 0:
            against[failure.id] = against.get(failure.id, 1.0) * (1 + weight)
        elif weight > 0:
            suspect = suspects.setdefault(failure.id, Suspect(failure, 0.0))
            suspect.belief = 1 - (1 - suspect.belief) * (1 - weight)
            suspect.hits.append(hit)
    for name, share in against.items():
        if name in suspects:
            suspects[name].belief *= share
    strong = {name for name, suspect in suspects.items() if suspect.belief >= _FOUND}
    first = {name: suspect.belief for name, suspect in suspects.items()}
    for name, suspect in suspects.items():
        causes = [
            other
            for other in suspect.failure.follows
            if other in strong and other != name and first[other] >= _RIVAL * first[name]
        ]
        if causes:
            suspect.belief *= _EXPLAINED
            suspect.consequence_of = max(causes, key=lambda other: suspects[other].belief)
    for suspect in suspects.values():
        suspect.hits.sort(key=lambda hit: -hit.rule.sign.weight)
    order = {rung: place for place, rung in enumerate(RUNG_IDS)}
    found = [suspect for suspect in suspects.values() if suspect.belief >= LEAST]
    found.sort(key=lambda s: (-round(s.belief, 3), order[s.failure.rung], s.failure.id))
    return tuple(found)
