"""Turns TOML tables into the catalogue's dataclasses, strictly and by their types.

A key that no field has, a missing one and a value of another type are errors that name the file and
the key. The dataclass is the schema: ``profiles/schema`` is written from it (see ``schema.py``).
"""

from __future__ import annotations

import dataclasses
import math
import re
import reprlib
import types
from collections.abc import Callable, Iterable
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from gpu_bringup.catalogue.values import complaint, rules_of
from gpu_bringup.errors import InputError

T = TypeVar("T")

_HINT = "Nothing was changed. Mend the entry; profiles/schema says what each kind of entry takes."
# An entry's texts end up on a terminal: nothing that moves its cursor or turns the direction of what
# follows, and no half of a character. New lines are fine.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST_TEXT = 10_000
"""Characters of one text: what is longer is no entry for people."""

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80
_short.maxlist = _short.maxtuple = _short.maxdict = 4
_short.maxlevel = 2

Converter = Callable[[Any, str, str], Any]
"""(value, file, key path) -> value for the field; raises InputError."""


def fail(message: str, file: str, place: str) -> InputError:
    """An error that names the file and the key path."""
    return InputError(message, file=file, place=place, hint=_HINT)


def shown(value: Any) -> str:
    """A value of a file as an error names it: as it is written in Python, cut where it is long."""
    return _short.repr(value)


def shown_key(key: str) -> str:
    """A key for a key path: as it is, or quoted and cut where it is no plain word."""
    return key if re.fullmatch(r"[\w-]{1,40}", key) else shown(key)


def guess(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'title'?" where a known word is near, else nothing."""
    import difflib  # only a mistake needs it, and it costs as much as reading a file

    near = difflib.get_close_matches(word[:80], list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _expect(kind: type, word: str, not_kind: type | None = None) -> Converter:
    def convert(value: Any, file: str, place: str) -> Any:
        if not isinstance(value, kind) or (not_kind is not None and isinstance(value, not_kind)):
            raise fail(f"{shown(value)} isn't {word}", file, place)
        return value

    return convert


def _text(value: Any, file: str, place: str) -> str:
    if not isinstance(value, str):
        raise fail(f"{shown(value)} isn't a text", file, place)
    if _CONTROL.search(value):
        raise fail("the text has a control character in it", file, place)
    if len(value) > LONGEST_TEXT:
        raise fail(
            f"the text has {len(value)} characters; {LONGEST_TEXT} are the most", file, place
        )
    return value


def _number(value: Any, file: str, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise fail(f"{shown(value)} isn't a number", file, place)
    return float(value)


def _enum(kind: type[Enum]) -> Converter:
    def convert(value: Any, file: str, place: str) -> Any:
        try:
            return kind(value)
        except ValueError:
            words = ", ".join(str(item.value) for item in kind)
            raise fail(f"{shown(value)} is none of {words}", file, place) from None

    return convert


def _tuple(arguments: tuple[Any, ...]) -> Converter:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        item = converter(arguments[0])

        def many(value: Any, file: str, place: str) -> Any:
            if not isinstance(value, list):
                raise fail(f"{shown(value)} isn't a list", file, place)
            return tuple(item(x, file, f"{place}[{i}]") for i, x in enumerate(value))

        return many
    items = [converter(argument) for argument in arguments]

    def fixed(value: Any, file: str, place: str) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise fail(f"{shown(value)} isn't a list of {len(items)} values", file, place)
        return tuple(
            convert(x, file, f"{place}[{i}]")
            for i, (convert, x) in enumerate(zip(items, value, strict=True))
        )

    return fixed


_SIMPLE: dict[Any, Converter] = {
    str: _text,
    bool: _expect(bool, "true or false"),
    int: _expect(int, "a whole number", bool),
    float: _number,
    date: _expect(date, "a date such as 2026-11-22 (without quotes)", datetime),
}


@cache
def converter(kind: Any) -> Converter:
    """How a value becomes this type."""
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (inner,) = [item for item in get_args(kind) if item is not type(None)]
        return converter(inner)
    if origin is tuple:
        return _tuple(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        entry: type[Any] = kind
        return lambda value, file, place: build(entry, value, file, place)
    raise TypeError(f"no converter for {kind}")


@cache
def fields_of(cls: Any) -> dict[str, tuple[Converter, bool, bool]]:
    """Field name -> (converter, must be given, may be left out to mean None)."""
    entry: Any = cls
    hints = get_type_hints(entry)
    result = {}
    for field in dataclasses.fields(entry):
        kind = hints[field.name]
        optional = type(None) in get_args(kind)
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        result[field.name] = (converter(kind), not (has_default or optional), optional)
    return result


_TEXTS = converter(tuple[str, ...])


def _all_harmless(items: list[Any]) -> bool:
    # Together they are printable if each is, and no longer than a text may be.
    if not {*map(type, items)} <= {str}:
        return False
    whole = "".join(items)
    return whole.isprintable() and len(whole) <= LONGEST_TEXT


def build(cls: type[T], table: Any, file: str, place: str) -> T:
    """One entry.

    Raises:
        InputError: it has a wrong, unknown or missing key; names file and key path.
    """
    if not isinstance(table, dict):
        raise fail("this isn't a table of keys and values", file, place)
    kind: Any = cls
    fields = fields_of(kind)
    if not table.keys() <= fields.keys():
        key = next(key for key in table if key not in fields)
        raise fail(
            f"unknown key {shown(key)}{guess(key, fields)}", file, f"{place}.{shown_key(key)}"
        )
    values: dict[str, Any] = {}
    for name, (convert, required, optional) in fields.items():
        if name in table:
            value = table[name]
            # Most values are texts in which nothing can be wrong: no call, and no words for a place.
            if (
                convert is _text
                and type(value) is str
                and value.isprintable()
                and len(value) <= LONGEST_TEXT
            ):
                values[name] = value
            elif convert is _TEXTS and type(value) is list and _all_harmless(value):
                values[name] = tuple(value)
            else:
                values[name] = convert(value, file, f"{place}.{name}")
        elif required:
            raise fail(f"the key {name!r} is missing", file, place)
        elif optional:
            values[name] = None
    for name, rule in rules_of(cls).items():
        if name not in table:
            continue
        words, where = complaint(rule, values[name])
        if words:
            raise fail(words, file, f"{place}.{name}{where}")
    return cls(**values)
