"""How work on a machine is written: generators that yield what is printed, waited and asked."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes: seconds of the machine's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """The program waits for an answer."""

    text: str
    secret: bool = False


Said = Union[str, Wait, Ask]
Work = Generator[Said, str, bool]
Program = Generator[Said, str, int]
