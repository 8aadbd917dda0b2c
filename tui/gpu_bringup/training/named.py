"""Names with parameters, as lessons and ``--break`` write them: ``boot-full free_mb=3``."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from gpu_bringup.errors import InputError


@dataclass(frozen=True, slots=True)
class Named:
    """A builder or a fault with its parameters."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def as_dict(self) -> dict[str, str]:
        return dict(self.parameters)

    def __str__(self) -> str:
        words = (f"{key}={shlex.quote(value)}" for key, value in self.parameters)
        return " ".join((self.name, *words))


def parse(text: str, *, file: str = "", place: str = "") -> Named:
    """Read ``name key=value key='two words'``.

    Raises:
        InputError: there is no name, a word is no ``key=value``, or a key comes twice.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(
            f"{text!r} has an open quotation: {error}", file=file, place=place
        ) from error
    if not words or "=" in words[0]:
        raise InputError(f"{text!r} doesn't begin with a name", file=file, place=place)
    found: dict[str, str] = {}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InputError(f"{word!r} isn't written as key=value", file=file, place=place)
        if key in found:
            raise InputError(f"{key!r} stands there twice", file=file, place=place)
        found[key] = value
    return Named(words[0], tuple(found.items()))
