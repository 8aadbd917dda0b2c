"""Which releases of a branch have the fix for a change of the kernel. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import branch_of, driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.catalogue import StableBreak


@dataclass(frozen=True, slots=True)
class Fix:
    """Does a release cope with a change?"""

    known: bool | None
    """None: it isn't known."""
    words: str
    """Where the fix begins, for people."""
    within: bool = False
    """Did it come in within the branch? That is worth a line, an older one isn't."""


@lru_cache(maxsize=4096)
def _key(version: str) -> tuple[int, ...]:
    return driver_key(version)


def parse(text: str) -> tuple[str, str]:
    """(last release known to be without the fix, first one known to have it) of a ``fixed`` value.

    Empty: there is none, so that the other one decides alone; "all" is ("", "0"), "never" ("999", ""),
    "unknown" ("", "").

    Raises:
        ValueError: the value is none of the forms that ``StableBreak.fixed`` describes.
    """
    if text == "all":
        return "", "0"
    if text == "never":
        return "999", ""
    if text == "unknown":
        return "", ""
    broken, dots, first = text.partition("..")
    if not dots:
        broken, first = "", text
    for version in (broken, first):
        if version and not all(part.isdigit() for part in version.split(".")):
            raise ValueError(text)
    if not broken and not first:
        raise ValueError(text)
    return broken, first


def _in_branch(text: str, driver: str) -> Fix:
    branch = branch_of(driver)
    if text == "all":
        return Fix(True, f"every R{branch} release has the fix")
    if text == "never":
        return Fix(False, f"no R{branch} release has the fix")
    if text == "unknown":
        return Fix(None, f"whether R{branch} has the fix isn't known")
    broken, first = parse(text)
    words = f"R{branch} has the fix from {first}" if first else f"{broken} doesn't have the fix"
    if first and _key(driver) >= _key(first):
        return Fix(True, words, within=True)
    if ".." not in text:
        return Fix(False, words)
    if broken and _key(driver) <= _key(broken):
        return Fix(False, words if first else f"R{branch} doesn't have the fix up to {broken}")
    return Fix(None, f"whether {driver} has the fix isn't known")


def fix(item: StableBreak, driver: str) -> Fix:
    """Does this release have the fix for this change, and since when has its branch?

    A branch that the table leaves out lies between two others: where neither ever got the fix, it
    hasn't either; one that is newer than all of them was made after the change.
    """
    return _fix(item.fixed, driver)


@lru_cache(maxsize=65536)
def _fix(table: tuple[tuple[str, str], ...], driver: str) -> Fix:
    fixed = dict(table)
    branch = branch_of(driver)
    if branch in fixed:
        return _in_branch(fixed[branch], driver)
    numbers = sorted(int(name) for name in fixed)
    number = int(branch)
    if not numbers or number > numbers[-1]:
        return Fix(True, f"R{branch} is newer than the change")
    older = [n for n in numbers if n < number]
    newer = [n for n in numbers if n > number]
    if older and newer and fixed[str(older[-1])] == fixed[str(newer[0])] == "never":
        return Fix(False, f"no R{branch} release has the fix")
    return Fix(None, f"which R{branch} release has the fix isn't known")
