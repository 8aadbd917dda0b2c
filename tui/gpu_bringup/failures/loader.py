"""Reads ``profiles/failures`` and an operator's additions. Later folders replace entries by id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.entries import build, fail, guess
from gpu_bringup.catalogue.reader import read_files, toml_files
from gpu_bringup.model.failure import Failure
from gpu_bringup.model.ladder import RUNG_IDS
from gpu_bringup.paths import OPERATOR_PROFILES
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.abc import Traversable
    from pathlib import Path

CODES = ("xid.toml", "fabric-codes.toml")
"""Files of ``profiles/failures`` that tell what numbers mean, and hold no failures."""
BASES = ("thread", "source-code", "reproduced", "documented")
FAMILIES = ("debian", "ubuntu", "rhel", "fedora", "suse", "amazon")
BACK = re.compile(r"\(\?P=(\w+)\)")
"""In ``then``: stands for what a named group of the lines before it has matched."""
CERTAINTIES = ("confirmed", "unconfirmed")
_REBOOT = ("no", "yes", "sometimes")


def load(extra: Path | None = None, *, thorough: bool = False) -> dict[str, Failure]:
    """All failures by id, in the order of the ladder.

    Args:
        extra: a further folder of profiles; its ``failures`` folder is read.
        thorough: try the project's own patterns too, which its tests have done (a quarter second).

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    project = data_folder("profiles").joinpath("failures")
    layers = [_failures(toml_files(project, "profiles/failures"))]
    for folder in (OPERATOR_PROFILES, extra):
        own = None if folder is None else folder / "failures"
        if own is not None and own.is_dir():
            layers.append(_failures(toml_files(own, str(own))))
    return collect(layers, trusted=0 if thorough else 1)


def _failures(files: Iterable[tuple[str, Traversable]]) -> list[tuple[str, Traversable]]:
    """The files with failures; the catalogues of codes beside them have readers of their own."""
    return [(name, path) for name, path in files if path.name not in CODES]


def collect(
    layers: Iterable[Iterable[tuple[str, Traversable]]], trusted: int = 0
) -> dict[str, Failure]:
    """One table of all layers.

    Args:
        layers: the files of each folder, as (name for errors, file).
        trusted: so many of the first layers have patterns that are known to compile.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    found: dict[str, Failure] = {}
    places: dict[str, tuple[int, str, str]] = {}
    for layer, files in enumerate(layers):
        for name, content in read_files(files):
            for number, table in enumerate(_tables(content, name), 1):
                label = table.get("id") if isinstance(table, dict) else None
                place = f"failure {label!r}" if isinstance(label, str) else f"failure {number}"
                entry = build(Failure, table, name, place)
                _check(entry, name, place, patterns=layer >= trusted)
                other = places.get(entry.id)
                if other is not None and other[0] == layer:
                    raise fail(f"this failure stands in {other[1]} already", name, place)
                found[entry.id] = entry
                places[entry.id] = (layer, name, place)
    for failure in found.values():
        for key in ("look_alikes", "follows"):
            for named in getattr(failure, key):
                if named not in found:
                    _, name, place = places[failure.id]
                    raise fail(
                        f"there is no failure {named!r}{guess(named, found)}",
                        name,
                        f"{place}.{key}",
                    )
    order = {rung: place for place, rung in enumerate(RUNG_IDS)}
    return dict(sorted(found.items(), key=lambda item: (order[item[1].rung], item[0])))


def _tables(content: dict[str, Any], name: str) -> list[Any]:
    for key in content:
        if key != "failure":
            raise fail(f"unknown kind of entry {key!r}{guess(key, ['failure'])}", name, key)
    tables = content.get("failure", [])
    if not isinstance(tables, list):
        raise fail("write [[failure]], not [failure]: there may be several", name, "failure")
    return tables


def _check(entry: Failure, name: str, place: str, *, patterns: bool) -> None:
    """What a type can't say.

    Raises:
        InputError: a word that isn't one of those known, or a pattern that doesn't compile.
    """
    for value, known, key in (
        (entry.rung, RUNG_IDS, "rung"),
        (entry.basis, BASES, "basis"),
        (entry.reboot, _REBOOT, "reboot"),
        (entry.certainty, CERTAINTIES, "certainty"),
    ):
        if value not in known:
            raise fail(f"{value!r} is none of {', '.join(known)}", name, f"{place}.{key}")
    for number, sign in enumerate(entry.signs):
        where = f"{place}.signs[{number}]"
        if not -1 <= sign.weight <= 1 or sign.weight == 0:
            raise fail(f"{sign.weight} isn't a weight from -1 to 1", name, f"{where}.weight")
        if sign.anchor and len(sign.anchor) < 3:
            raise fail("an anchor needs three characters", name, f"{where}.anchor")
        for pattern in (sign.pattern, *sign.then) if patterns else ():
            try:
                re.compile(BACK.sub("x", pattern))
            except re.error as error:
                raise fail(f"{pattern!r} is no regular expression: {error}", name, where) from error
    for number, mend in enumerate(entry.repair):
        for family in mend.families:
            if family not in FAMILIES:
                raise fail(
                    f"{family!r} is none of {', '.join(FAMILIES)}",
                    name,
                    f"{place}.repair[{number}]",
                )
