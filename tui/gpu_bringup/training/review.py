"""When a lesson should come back: spaced repetition. Pure.

The intervals are those of SM-2: 1 day, then 6, then each time the last one times a factor that
falls where it was hard (never below 1.3); what failed comes back the next day. Sources: P. A.
Wozniak, "Application of a computer to improve the results obtained in working with the SuperMemo
method" (https://www.supermemo.com/english/ol/sm2.htm). That spacing helps is well supported
(Latimier et al. 2021, https://doi.org/10.1007/s10648-020-09572-8: g = 0.74 over massed practice); that
growing intervals are better than equal ones is not (same source: g = 0.034, not significant). SM-2 is
taken because it brings back what was hard sooner.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

FIRST_FACTOR = 2.5
LEAST_FACTOR = 1.3
FIRST_DAYS, SECOND_DAYS = 1, 6
PASSED = 3
"""The least quality that counts as known."""
LONGEST_DAYS = 365
"""A year at the most: drivers and distributions change meanwhile."""


@dataclass(frozen=True, slots=True)
class Review:
    """How well a lesson sits, and when it is due."""

    repetitions: int = 0
    """How often in a row it went well."""
    days: int = 0
    """The last interval."""
    factor: float = FIRST_FACTOR
    due: date | None = None
    """None: never done."""

    def to_json(self) -> dict[str, Any]:
        return {
            "repetitions": self.repetitions,
            "days": self.days,
            "factor": round(self.factor, 3),
            "due": self.due.isoformat() if self.due else None,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Review:
        due = data.get("due")
        return cls(
            int(data["repetitions"]),
            int(data["days"]),
            float(data["factor"]),
            date.fromisoformat(due) if due else None,
        )


def after(review: Review, quality: int, today: date) -> Review:
    """The review after an attempt.

    Args:
        quality: 0 (nothing known) to 5 (perfect), see ``scoring.quality``.
    """
    if quality < PASSED:
        # SM-2: start with the intervals anew, the factor stays.
        return Review(0, FIRST_DAYS, review.factor, today + timedelta(days=FIRST_DAYS))
    miss = 5 - quality
    factor = max(LEAST_FACTOR, review.factor + 0.1 - miss * (0.08 + miss * 0.02))
    repetitions = review.repetitions + 1
    if repetitions == 1:
        days = FIRST_DAYS
    elif repetitions == 2:
        days = SECOND_DAYS
    else:
        days = min(LONGEST_DAYS, round(review.days * review.factor))
    return Review(repetitions, days, factor, today + timedelta(days=days))
