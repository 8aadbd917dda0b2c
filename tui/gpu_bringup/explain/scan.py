"""Looks for all signs in a text in one pass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

from gpu_bringup.explain.text import LONGEST, Reading, blocks, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.explain.signs import Rule, Rules

_SHOWN = 3
"""Lines that are kept of each sign."""
_ENOUGH = 64
"""A sign that was seen so often is counted no further."""
_WORD_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789_"
_BREAKS = bytes(byte if byte in _WORD_BYTES else 32 for byte in range(256))
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
        self._rules = rules
        self._words = frozenset(word.encode() for word in rules.by_word)
        self._loose = [(part.encode(), rule) for part, rule in rules.loose]
        self._pending: list[_Pending] = []
        self.hits: dict[tuple[str, int], Hit] = {}
        self.reading = Reading()

    def read(self, stream: BinaryIO) -> None:
        """Take in a whole text.

        Raises:
            OSError: the stream can't be read.
        """
        for block in blocks(stream, self.reading):
            self._block(block)

    def _block(self, block: bytes) -> None:
        lower = block.lower()
        words = self._words.intersection(lower.translate(_BREAKS).split())
        loose = [(part, rule) for part, rule in self._loose if part in lower]
        if not words and not loose and not self._pending:
            self.reading.lines += block.count(b"\n")
            return
        for line in block.split(b"\n")[: None if block[-1:] != b"\n" else -1]:
            self.reading.lines += 1
            small = line.lower()
            found = [word for word in words if word in small]
            parts = [rule for part, rule in loose if part in small]
            if found or parts or self._pending:
                self._line(line, found, parts)

    def _line(self, line: bytes, words: list[bytes], parts: list[Rule]) -> None:
        number = self.reading.lines
        for place, piece in enumerate(_pieces(line)):
            text = plain(piece)
            self._go_on(number, place, text)
            for word in words:
                for rule in self._rules.by_word[word.decode()]:
                    self._try(rule, number, text)
            for rule in parts:
                self._try(rule, number, text)

    def _try(self, rule: Rule, number: int, text: str) -> None:
        hit = self.hits.get((rule.failure, rule.number))
        if hit is not None and hit.count >= _ENOUGH:
            return
        match = rule.first.search(text)
        if match is None:
            return
        groups = {name: value for name, value in match.groupdict().items() if value}
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
        if len(hit.lines) < _SHOWN:
            hit.lines += lines
        hit.groups.update(groups)


def _pieces(line: bytes) -> Iterator[bytes]:
    """What rsyslog made one line of, and a line that is too long, in pieces."""
    for part in line.split(_NEW_LINE) if _NEW_LINE in line else (line,):
        if len(part) <= LONGEST:
            yield part
            continue
        for start in range(0, len(part), LONGEST):
            # A little is read twice, so that no message is cut in two.
            yield part[max(0, start - 512) : start + LONGEST]
