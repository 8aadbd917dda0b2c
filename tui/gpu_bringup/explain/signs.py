"""The signs of all failures, ready to be looked for: compiled, and found by words that they must hold.

A log of 200 MB has a few lines that matter. Each pattern has anchors: every match holds at least one of
them. Only a line with an anchor in it is held against the patterns that share it.
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
    from collections.abc import Iterator, Mapping

    from gpu_bringup.model.failure import Failure, Sign

SHORTEST = 3
"""Characters of an anchor: a shorter one would be in every line."""
# In nearly every log of a GPU host: another word singles a line out better.
_COMMON = frozenset(
    (
        "and",
        "device",
        "driver",
        "drm",
        "error",
        "failed",
        "file",
        "for",
        "from",
        "gpu",
        "install",
        "kernel",
        "module",
        "not",
        "nvidia",
        "package",
        "pci",
        "service",
        "status",
        "such",
        "systemd",
        "the",
        "version",
        "with",
    )
)


_WORD = re.compile(rb"[a-z_]{3,}")


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One sign of one failure."""

    failure: str
    number: int
    """Its place among the failure's signs."""
    sign: Sign

    @property
    def first(self) -> re.Pattern[str]:
        """The pattern, compiled when a line has one of its anchors."""
        return _compiled(self.sign.pattern)

    @property
    def gate(self) -> re.Pattern[bytes]:
        """The pattern for a whole block of lower-case lines: where it starts, the line may match."""
        return _gate(self.sign.pattern)

    def following(self, place: int, groups: Mapping[str, str]) -> re.Pattern[str]:
        """The pattern of the next line, with what the lines before have told filled in."""
        return _compiled(BACK.sub(lambda m: re.escape(groups.get(m[1], "")), self.sign.then[place]))


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_TOKEN = re.compile(r"\\.|\(\?P|\[\^?\]?|\]|\$|[A-Z]|[^\\]", re.DOTALL)
_WITHIN_A_LINE = {r"\s": r"[^\S\n]", r"\W": r"[^\w\n]", r"\D": r"[^\d\n]", "$": r"(?=[^\S\n]*$)"}


@lru_cache(maxsize=2048)
def _gate(pattern: str) -> re.Pattern[bytes]:
    """A pattern that finds every line the given one matches, in lower-case ASCII text of many lines.

    Without ``IGNORECASE`` Python looks for a pattern's first letters many times faster. It may find
    lines too many, since only their start is looked at; never too few.
    """
    parts: list[str] = []
    inside = False
    for token in _TOKEN.findall(pattern):
        if inside:
            inside = token != "]"
            parts.append(token.lower() if token[0] != "\\" else token)
        elif token[0] == "[":
            inside = True
            parts.append("[^\\n" + token[2:] if token.startswith("[^") else token)
        elif token in _WITHIN_A_LINE:
            parts.append(_WITHIN_A_LINE[token])
        else:
            parts.append(token.lower() if len(token) == 1 else token)
    return re.compile("".join(parts).encode(), re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Rules:
    """All signs by their anchors."""

    by_anchor: Mapping[str, tuple[Rule, ...]]
    """Literal, lower-case -> the signs that a line with it is held against."""


def _quality(anchors: frozenset[str]) -> tuple[bool, int, int, int]:
    """How well a set of anchors singles lines out: its worst member counts, then how few there are."""
    if not anchors:
        return (False, 0, 0, 0)
    worst = min(len(word) - (6 if word.strip(" :'\"") in _COMMON else 0) for word in anchors)
    long_enough = min(map(len, anchors)) >= SHORTEST
    return (long_enough, worst, -len(anchors), sum(map(len, anchors)))


def _best(options: list[frozenset[str]]) -> frozenset[str]:
    return max(options, key=_quality, default=frozenset())


def _options(pattern: Any) -> Iterator[frozenset[str]]:
    """Sets of literals; every match of the parsed pattern holds at least one of each set."""
    run: list[str] = []
    for code, argument in pattern:
        if code is constants.LITERAL:
            run.append(chr(argument))
            continue
        if run:
            yield frozenset({"".join(run).lower()})
            run = []
        if code is constants.SUBPATTERN:
            yield from _options(argument[3])
        elif code is constants.MAX_REPEAT and argument[0] > 0:
            yield from _options(argument[2])
        elif code is constants.ASSERT and argument[0] > 0:
            yield from _options(argument[1])
        elif code is constants.BRANCH:
            each = [_best(list(_options(branch))) for branch in argument[1]]
            if all(each):
                yield frozenset().union(*each)
    if run:
        yield frozenset({"".join(run).lower()})


@lru_cache(maxsize=4096)
def anchors_of(pattern: str) -> frozenset[str]:
    """The literals of which every match of a pattern holds at least one; lower-case.

    Raises:
        re.error: it is no regular expression.
    """
    return _best(list(_options(parser.parse(pattern))))


def anchors_of_sign(sign: Sign) -> frozenset[str]:
    """A sign's anchors: those of its pattern, or the one that it names."""
    return frozenset({sign.anchor.lower()}) if sign.anchor else anchors_of(sign.pattern)


def key_of(anchor: bytes) -> bytes:
    """The run of letters of an anchor that is looked for first: the longest unusual one, or empty.

    Args:
        anchor: lower-case.
    """
    words = _WORD.findall(anchor)
    return max(words, key=lambda word: (word.decode() not in _COMMON, len(word)), default=b"")


def compile_signs(failures: Mapping[str, Failure]) -> Rules:
    """Make all signs ready.

    Raises:
        ValueError: a pattern holds no literal that is long enough, and none is named; says which.
    """
    by_anchor: dict[str, list[Rule]] = {}
    for failure in failures.values():
        for number, sign in enumerate(failure.signs):
            anchors = anchors_of_sign(sign)
            if not anchors or min(map(len, anchors)) < SHORTEST:
                raise ValueError(f"{failure.id}: {sign.pattern!r} has no literal to look for")
            rule = Rule(failure.id, number, sign)
            for anchor in anchors:
                by_anchor.setdefault(anchor, []).append(rule)
    return Rules({anchor: tuple(rules) for anchor, rules in by_anchor.items()})
