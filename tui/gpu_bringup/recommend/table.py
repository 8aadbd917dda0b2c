"""``recommend --explain``: every candidate against every rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.target import Assessment, Verdict
from gpu_bringup.rules.registry import BY_ID, REGISTRY, place

if TYPE_CHECKING:
    from gpu_bringup.model.target import Reason, Recommendation

OK, UNKNOWN, WARNS, BLOCKS, SILENT = "ok", "unknown", "warns", "blocks", "silent"
"""What a rule says of a candidate; "silent": it doesn't apply."""
_WORST = (SILENT, OK, UNKNOWN, WARNS, BLOCKS)


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate."""

    assessment: Assessment
    chosen: bool
    verdicts: tuple[str, ...]
    """One a rule, in the table's order."""
    why_not: str = ""

    @property
    def name(self) -> str:
        target = self.assessment.target
        built = ", prebuilt" if target.package.route == "prebuilt" else ""
        source = target.source_kind or "no source"
        return f"{target.driver.version} {target.driver.flavour.value} ({source}{built})"


@dataclass(frozen=True, slots=True)
class Table:
    """Candidates by rules: only rules that say something of at least one candidate."""

    rules: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "rules": [
                {"id": rule, "about": BY_ID[rule].about if rule in BY_ID else ""}
                for rule in self.rules
            ],
            "candidates": [
                {
                    "driver": row.assessment.target.driver.to_json(),
                    "source": row.assessment.target.source_kind,
                    "route": row.assessment.target.package.route,
                    "chosen": row.chosen,
                    "verdicts": dict(zip(self.rules, row.verdicts, strict=True)),
                    "reasons": [reason.to_json() for reason in row.assessment.reasons],
                    "why_not": row.why_not,
                }
                for row in self.rows
            ],
        }


def _verdict(reasons: list[Reason]) -> str:
    found = SILENT
    for reason in reasons:
        if reason.verdict is Verdict.VIOLATED:
            one = BLOCKS if reason.blocking else WARNS
        else:
            one = UNKNOWN if reason.verdict is Verdict.UNKNOWN else OK
        found = max(found, one, key=_WORST.index)
    return found


def table_of(recommendation: Recommendation) -> Table:
    """The table behind a recommendation, the choice first.

    A rule that says several things of a candidate (one a board, one a kernel) counts by its worst.
    """
    items = [(item, why) for item, why in recommendation.alternatives]
    if recommendation.chosen is not None:
        items.insert(0, (recommendation.chosen, ""))
    told = {reason.rule for item, _ in items for reason in item.reasons}
    known = [entry.id for entry in REGISTRY if entry.id in told]
    rules = (*known, *sorted(told - set(known), key=place))
    rows = tuple(
        Row(
            item,
            item is recommendation.chosen and recommendation.status == "recommended",
            tuple(_verdict([r for r in item.reasons if r.rule == rule]) for rule in rules),
            why,
        )
        for item, why in items
    )
    return Table(rules, rows)
