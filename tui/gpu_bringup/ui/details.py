"""A longer text about one line of a list, shown beside the list or on a screen of its own."""

from __future__ import annotations

from dataclasses import dataclass

from textual.content import Content


@dataclass(frozen=True, slots=True)
class Detail:
    title: str
    body: Content


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a list; without ``detail`` it is a heading, which can't be chosen."""

    id: str
    line: Content
    detail: Detail | None = None
