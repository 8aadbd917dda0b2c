"""apt's deb822 format (.sources files), edited in place. Pure. Source: deb822(5), sources.list(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families.apt_entry import Entry, SourceSyntaxError, Wanted, line_end, lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIELD = re.compile(r"^([!-9;-~]+)[ \t]*:(.*)$")
_OFF = {"no", "false", "without", "off", "disable", "0"}


@dataclass(slots=True)
class _Field:
    """One field of a stanza."""

    values: list[str] = field(default_factory=list)
    last_line: int = 0
    """Index of the last line that carries a word of the value (or of the field's own line)."""

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for value in self.values for word in value.split())


@dataclass(slots=True)
class _Stanza:
    """One stanza."""

    line: int
    """Number of its first line, from 1."""
    fields: dict[str, _Field] = field(default_factory=dict)

    def words(self, name: str) -> tuple[str, ...]:
        found = self.fields.get(name)
        return found.words if found else ()

    def entry(self) -> Entry:
        enabled = self.words("enabled")
        return Entry(
            types=self.words("types"),
            uris=self.words("uris"),
            suites=self.words("suites"),
            components=self.words("components"),
            signed_by=" ".join(self.words("signed-by")),
            enabled=not (enabled and enabled[0].lower() in _OFF),
        )


def _stanzas(lines: list[str]) -> Iterator[_Stanza]:
    stanza: _Stanza | None = None
    current: _Field | None = None
    for index, line in enumerate(lines):
        text = line_end(line)[0]
        if text.startswith("#"):
            continue
        if not text.strip():
            if stanza:
                yield stanza
            stanza, current = None, None
        elif text[0] in " \t":
            if current is None:
                raise SourceSyntaxError(index + 1, "a continuation line continues nothing")
            current.values.append(text)
            current.last_line = index
        else:
            match = _FIELD.match(text)
            if not match:
                raise SourceSyntaxError(index + 1, "this is no field (Name: value)")
            if stanza is None:
                stanza = _Stanza(index + 1)
            name = match[1].lower()
            if name in stanza.fields:
                raise SourceSyntaxError(index + 1, f'the field "{match[1]}" stands here twice')
            current = stanza.fields[name] = _Field([match[2]], index)
    if stanza:
        yield stanza


def _checked(lines: list[str]) -> list[_Stanza]:
    stanzas = list(_stanzas(lines))
    for stanza in stanzas:
        for name in ("types", "uris", "suites"):
            if not stanza.words(name):
                raise SourceSyntaxError(stanza.line, f'this entry has no "{name.capitalize()}"')
    return stanzas


def entries(text: str) -> tuple[Entry, ...]:
    """All entries, those that are off as well.

    Raises:
        SourceSyntaxError: it is no deb822 source file.
    """
    return tuple(stanza.entry() for stanza in _checked(lines_of(text)))


def add_components(text: str, wanted: Wanted) -> str:
    """The text with the wanted components added at the ends of Components fields.

    Raises:
        SourceSyntaxError: it is no deb822 source file.
    """
    lines = lines_of(text)
    for stanza in _checked(lines):
        more = wanted(stanza.entry())
        if more:
            index = stanza.fields["components"].last_line
            content, end = line_end(lines[index])
            body = content.rstrip()
            lines[index] = f"{body} {' '.join(more)}{content[len(body) :]}{end}"
    return "".join(lines)
