"""Short ways to say what a rung found: one ``Say`` a rung, evidence, counted names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.ladder import Cause, Evidence, RungResult, State
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def ev(source: str, text: str) -> Evidence:
    """Evidence: the file, command or interface, and what it said."""
    return Evidence(source, text)


def why_unknown(fact: Fact[object], otherwise: str = "not looked at") -> str:
    """The reason of an unknown fact, else ``otherwise``."""
    return fact.reason if isinstance(fact, Unknown) else otherwise


def listed(names: Iterable[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    items = list(names)
    if len(items) < 2:
        return items[0] if items else ""
    return f"{', '.join(items[:-1])} and {items[-1]}"


def counted(names: Iterable[str]) -> str:
    """ "2 x NVIDIA H200 and 1 x NVIDIA L4", in order of first appearance."""
    return listed(f"{count} x {name}" for name, count in Counter(names).items())


def plural(count: int, one: str, many: str = "") -> str:
    """ "1 kernel", "2 kernels"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


@dataclass(frozen=True, slots=True)
class Say:
    """Makes the results of one rung."""

    rung: str

    def ok(self, summary: str, *evidence: Evidence) -> RungResult:
        return RungResult(self.rung, State.OK, summary, evidence)

    def broken(
        self, summary: str, causes: Sequence[Cause], evidence: Sequence[Evidence] = ()
    ) -> RungResult:
        """``causes`` best first; their evidence need not be repeated in ``evidence``."""
        best = sorted(causes, key=lambda item: -item.confidence)
        return RungResult(self.rung, State.BROKEN, summary, tuple(evidence), tuple(best))

    def unknown(self, summary: str, *evidence: Evidence) -> RungResult:
        return RungResult(self.rung, State.UNKNOWN, summary, evidence)

    def skipped(self, summary: str, *evidence: Evidence) -> RungResult:
        return RungResult(self.rung, State.SKIPPED, summary, evidence)
