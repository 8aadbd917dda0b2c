"""Looks for all signs in a text in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from gpu_bringup.explain.denial import first_stated
from gpu_bringup.explain.signs import anchors_of_sign, key_of
from gpu_bringup.explain.text import ESCAPES, LONGEST, Reading, blocks, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.explain.signs import Rule, Rules

_SHOWN = 3
"""Lines that are kept of each sign."""
_TOLD = 1000
"""Characters of a line that are kept, from a little before what matched."""
_BEFORE = 40
_PREFIX = 64
_ENOUGH = 64
"""A sign that was seen so often is counted no further."""
_MOST_WORDS = 100_000
"""Different words that are remembered."""
_HOT = 200
"""Lines of a block with the same anchor from which on the block is searched as one, not line by line."""
_SHORT = 1000
"""Mean bytes of a line in a block that may be searched as one."""
_SIMPLE = bytes([9, 10, 13, *range(32, 127)])
_WORD_BYTES = b"abcdefghijklmnopqrstuvwxyz_"
_BREAKS = bytes(byte if byte in _WORD_BYTES else 32 for byte in range(256))
_ESCAPE = b"\x1b"
_NEW_LINE = b"#012"
"""How rsyslog writes the end of a line within a message."""


@dataclass
class Hit:
    """A sign that was seen."""

    rule: Rule
    count: int = 0
    lines: list[tuple[int, str]] = field(default_factory=list)
    """(number, text) of the first ones."""
    groups: dict[str, str] = field(default_factory=dict)
    """Named parts of the last match."""


@dataclass
class _Pending:
    """A sign of several lines, begun."""

    rule: Rule
    place: int
    """Index of the pattern that must come next."""
    until: int
    """Last line number that it may stand on."""
    lines: list[tuple[int, str]]
    groups: dict[str, str]


class Scanner:
    """Reads a text once and keeps what speaks for a failure."""

    def __init__(self, rules: Rules) -> None:
        self._rules = {anchor.encode(): rules for anchor, rules in rules.by_anchor.items()}
        self._keys: dict[bytes, list[bytes]] = {}
        self._always: list[bytes] = []
        for anchor in self._rules:
            key = key_of(anchor)
            if key:
                self._keys.setdefault(key, []).append(anchor)
            else:
                self._always.append(anchor)
        self._known: set[bytes] = set()
        self._hot: dict[bytes, tuple[bytes, ...]] = {}
        self._pending: list[_Pending] = []
        self._done: set[Rule] = set()
        self.hits: dict[tuple[str, int], Hit] = {}
        self.reading = Reading()

    def read(self, stream: BinaryIO) -> None:
        """Take in a whole text.

        Raises:
            OSError: the stream can't be read.
        """
        last = b"\n"
        for block in blocks(stream, self.reading):
            self._block(block)
            last = block
        self.reading.lines += not last.endswith(b"\n")

    def _anchors(self, lower: bytes) -> set[bytes]:
        """The anchors whose key stands in a block; words that were seen before cost nothing."""
        words = set(lower.translate(_BREAKS).split())
        if len(self._known) > _MOST_WORDS:
            self._known.clear()
            self._hot.clear()
        new = words - self._known
        self._known |= new
        together = b"\n".join(new)
        for key, anchors in self._keys.items():
            if key in together:
                for word in new:
                    if key in word:
                        self._hot[word] = (*self._hot.get(word, ()), *anchors)
        found = {anchor for word in words & self._hot.keys() for anchor in self._hot[word]}
        return {anchor for anchor in found.union(self._always) if self._rules.get(anchor)}

    def _lines(self, lower: bytes) -> dict[int, dict[Rule, None]]:
        """Where a line that is worth a look starts in a block -> the signs to look for in it."""
        starts: dict[int, dict[Rule, None]] = {}
        hot: dict[Rule, None] = {}
        simple: bool | None = None
        for anchor in self._anchors(lower):
            place = lower.find(anchor)
            if place < 0:
                continue
            rules = dict.fromkeys(self._rules[anchor])
            if lower.count(anchor, place) > _HOT:
                simple = _is_simple(lower) if simple is None else simple
                if simple:
                    hot |= rules
                    continue
            while place >= 0:
                starts.setdefault(lower.rfind(b"\n", 0, place) + 1, {}).update(rules)
                end = lower.find(b"\n", place)
                place = lower.find(anchor, end) if end >= 0 else -1
        for rule in hot:
            match = rule.gate.search(lower)
            while match is not None:
                place = match.start()
                starts.setdefault(lower.rfind(b"\n", 0, place) + 1, {})[rule] = None
                end = lower.find(b"\n", place)
                match = rule.gate.search(lower, end + 1) if end >= 0 else None
        return starts

    def _block(self, block: bytes) -> None:
        if _ESCAPE in block:
            # Compilers and journals paint in the middle of a message.
            block = ESCAPES.sub(b"", block)
        lower = block.lower()
        found = self._lines(lower)
        order = sorted(found)
        number, cursor, place = self.reading.lines, 0, 0
        while True:
            if self._pending:
                start = cursor
            else:
                while place < len(order) and order[place] < cursor:
                    place += 1
                if place == len(order):
                    break
                start = order[place]
            if start >= len(block):
                break
            number += lower.count(b"\n", cursor, start) + 1
            end = lower.find(b"\n", start)
            end = len(block) if end < 0 else end
            self._line(number, block[start:end], found.get(start, {}))
            cursor = end + 1
        self.reading.lines += lower.count(b"\n")

    def _line(self, number: int, line: bytes, rules: dict[Rule, None]) -> None:
        if not rules and not self._pending:
            return
        for place, piece in enumerate(_pieces(line)):
            text = plain(piece)
            self._go_on(number, place, text)
            for rule in rules:
                self._try(rule, number, text)

    def _spent(self, rule: Rule) -> None:
        """A sign that was seen often enough is looked for no further."""
        self._done.add(rule)
        for anchor in anchors_of_sign(rule.sign):
            key = anchor.encode()
            left = tuple(other for other in self._rules.get(key, ()) if other is not rule)
            self._rules[key] = left

    def _try(self, rule: Rule, number: int, text: str) -> None:
        match = None if rule in self._done else first_stated(rule.first, text)
        if match is None:
            return
        groups = {name: value for name, value in match.groupdict().items() if value}
        if len(text) > _TOLD:
            text = text[max(0, match.start() - _BEFORE) :][:_TOLD]
        elif match.start() > _PREFIX:
            # What stands far in front (a logger's prefix, a path) would push the message off the screen.
            text = "…" + text[match.start() - _BEFORE // 2 :]
        if rule.sign.then:
            self._pending.append(
                _Pending(rule, 0, number + rule.sign.within, [(number, text)], groups)
            )
            return
        self._seen(rule, [(number, text)], groups)

    def _go_on(self, number: int, place: int, text: str) -> None:
        """Hold a line against the signs that have begun."""
        if not self._pending:
            return
        waiting: list[_Pending] = []
        for item in self._pending:
            if number > item.until:
                continue
            match = item.rule.following(item.place, item.groups).search(text)
            if match is None or (not place and number == item.lines[0][0]):
                waiting.append(item)
                continue
            item.lines.append((number, text))
            item.groups.update({k: v for k, v in match.groupdict().items() if v})
            item.place += 1
            item.until = number + item.rule.sign.within
            if item.place == len(item.rule.sign.then):
                self._seen(item.rule, item.lines, item.groups)
            else:
                waiting.append(item)
        self._pending = waiting[-_ENOUGH:]

    def _seen(self, rule: Rule, lines: list[tuple[int, str]], groups: dict[str, str]) -> None:
        hit = self.hits.setdefault((rule.failure, rule.number), Hit(rule))
        hit.count += 1
        if hit.count == _ENOUGH:
            self._spent(rule)
        if len(hit.lines) < _SHOWN:
            hit.lines += lines
        hit.groups.update(groups)


def _is_simple(lower: bytes) -> bool:
    """Is a block of plain ASCII lines, so that what is found in it is found in its lines as well?"""
    return (
        not lower.translate(None, _SIMPLE)
        and _NEW_LINE not in lower
        and lower.count(b"\r") == lower.count(b"\r\n")
        and lower.count(b"\n") * _SHORT > len(lower)
    )


def _pieces(line: bytes) -> Iterator[bytes]:
    """What rsyslog made one line of, and a line that is too long, in pieces."""
    for part in line.split(_NEW_LINE) if _NEW_LINE in line else (line,):
        if len(part) <= LONGEST:
            yield part
            continue
        for start in range(0, len(part), LONGEST):
            # A little is read twice, so that no message is cut in two.
            yield part[max(0, start - 512) : start + LONGEST]
