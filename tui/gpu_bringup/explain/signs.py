"""The signs of all failures, ready to be looked for: compiled, and found by a word that each must hold.

A log of 200 MB has a few lines that matter. Each pattern has an anchor, a whole word that every match
contains; only a line with an anchor in it is held against the patterns that share it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gpu_bringup.failures.loader import BACK

if sys.version_info >= (3, 11):
    from re import _constants as constants
    from re import _parser as parser
else:
    import sre_constants as constants
    import sre_parse as parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gpu_bringup.model.failure import Failure, Sign

_WORD = re.compile(r"[a-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """One sign of one failure."""

    failure: str
    number: int
    """Its place among the failure's signs."""
    sign: Sign
    first: re.Pattern[str]

    def following(self, place: int, groups: Mapping[str, str]) -> re.Pattern[str]:
        """The pattern of the next line, with what the lines before have told filled in."""
        return _compiled(BACK.sub(lambda m: re.escape(groups.get(m[1], "")), self.sign.then[place]))


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """All signs, by the word that a line must hold for them."""

    by_word: Mapping[str, tuple[Rule, ...]]
    loose: tuple[tuple[str, Rule], ...]
    """(part of a word, rule): looked for in every line."""


def _literals(pattern: Any) -> Iterable[str]:
    """The runs of plain characters that every match of a parsed pattern holds, lower-case."""
    run: list[str] = []
    for code, argument in pattern:
        if code is constants.LITERAL:
            run.append(chr(argument))
            continue
        inner: list[str] = []
        if code is constants.SUBPATTERN:
            inner = list(_literals(argument[3]))
        elif code is constants.MAX_REPEAT and argument[0] > 0:
            inner = list(_literals(argument[2]))
        if run:
            yield "".join(run).lower()
            run = []
        yield from inner
    if run:
        yield "".join(run).lower()


def anchor_of(pattern: str) -> tuple[str, bool]:
    """(literal that every match holds, is it a whole word); ("", False) where there is none.

    The longest whole word is taken: one with something that is no word character on both sides within
    the pattern's plain text. Else the longest part of a word.
    """
    words: list[str] = []
    parts: list[str] = []
    for literal in _literals(parser.parse(pattern)):
        for match in _WORD.finditer(literal):
            inside = match.start() > 0 and match.end() < len(literal)
            (words if inside else parts).append(match[0])
    if words:
        return max(words, key=len), True
    return (max(parts, key=len), False) if parts else ("", False)


def compile_signs(failures: Mapping[str, Failure]) -> Rules:
    """Make all signs ready.

    Raises:
        ValueError: a pattern has no literal and no anchor is named; says which.
    """
    by_word: dict[str, list[Rule]] = {}
    loose: list[tuple[str, Rule]] = []
    for failure in failures.values():
        for number, sign in enumerate(failure.signs):
            rule = Rule(
                failure.id,
                number,
                sign,
                _compiled(sign.pattern),
            )
            anchor, whole = (sign.anchor, False) if sign.anchor else anchor_of(sign.pattern)
            if not anchor:
                raise ValueError(f"{failure.id}: {sign.pattern!r} has no literal to look for")
            if whole:
                by_word.setdefault(anchor, []).append(rule)
            else:
                loose.append((anchor, rule))
    return Rules({word: tuple(rules) for word, rules in by_word.items()}, tuple(loose))
