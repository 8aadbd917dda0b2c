"""Unknown is a state of its own: a fact that could not be had, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be had.

    Args:
        reason: why, in words for an operator ("reading /boot needs root").
    """

    reason: str

    def __bool__(self) -> bool:
        raise TypeError("an Unknown is neither true nor false: test it with isinstance first")


Fact = Union[T, Unknown]


def known(value: Fact[T], default: T) -> T:
    """``value``, or ``default`` where it is unknown; only where both lead to the same words."""
    return default if isinstance(value, Unknown) else value
