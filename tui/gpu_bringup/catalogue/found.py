"""Gathers the entries of several folders into one whole, later folders before earlier ones.

Strict, the first thing that is wrong is an error. Lenient, what is wrong is told and left out, with
what rests on it, so that everything else can still be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue import contradictions
from gpu_bringup.catalogue.entries import build, fail, guess, shown, shown_key
from gpu_bringup.catalogue.extends import Profiles, Written
from gpu_bringup.catalogue.kinds import KINDS
from gpu_bringup.catalogue.lookup import SAME_AS
from gpu_bringup.catalogue.reader import Failed, read_files, text_of
from gpu_bringup.catalogue.references import References, check_ranges
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Scenario
from gpu_bringup.model.guide import Origin

if TYPE_CHECKING:
    from importlib.abc import Traversable


@dataclass(frozen=True)
class Layer:
    """The files of one folder."""

    kind: str
    """"project", "host" or "folder": see ``Origin.kind``."""
    files: Iterable[tuple[str, Traversable]]
    """(name for errors, file)."""


@dataclass(frozen=True)
class Where:
    """The place of an entry."""

    layer: int
    file: str
    words: str
    """What an error calls it: "gpu 'x9'"."""
    kind: str
    number: int
    """Which table of its kind it is in its file, from 1."""


Key = tuple[Any, ...]
"""(kind, what makes an entry the same one)."""


class Found:
    """Entries of all layers, by kind and by what makes them the same one.

    Args:
        failed: told of each thing that is wrong, which is then left out; None: it is raised.
    """

    def __init__(self, failed: Failed | None = None) -> None:
        self.entries: dict[str, dict[Key, Any]] = {kind: {} for kind in KINDS}
        self.as_of = date.min
        self._where: dict[Key, Where] = {}
        self._below: dict[Key, list[tuple[Any, Where]]] = {}
        self._profiles = Profiles()
        self._profile_where: dict[tuple[str, int], Where] = {}
        self._origins: dict[tuple[str, int], Origin] = {}
        self._files: dict[str, Traversable] = {}
        self._failed = failed

    def of(self, kind: str) -> list[Any]:
        return list(self.entries[kind].values())

    def origins(self) -> dict[str, Origin]:
        """Id of a profile -> where it comes from."""
        keys = self.entries["scenario"]
        return {key[1]: self._origins[key[1], self._where[key].layer] for key in keys}

    def file_of(self, key: Key) -> str:
        """The file that an entry stands in."""
        return self._where[key].file

    def read(self, layers: Iterable[Layer]) -> None:
        """Take every entry of every file.

        Raises:
            InputError: strict, and one is wrong; names the file and the key.
        """
        for number, layer in enumerate(layers):
            files = list(layer.files)
            self._files.update(files)
            for name, content in read_files(files, self._failed):
                self._take_file(content, name, number, layer.kind)
        self._build_profiles()

    def check(self) -> None:
        """Hold the entries against each other.

        Raises:
            InputError: strict, and two contradict, or one names what doesn't exist.
        """
        wrong = list(self._wrong())
        failed = self._failed
        while wrong:
            # What rests on an entry that was left out goes with it; only the first fault is told.
            self._failed = _nobody
            for key in wrong:
                self._drop(key)
            wrong = list(self._wrong())
        self._failed = failed

    @contextmanager
    def _telling(self, where: Where) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            self._tell(error, where)

    def _tell(self, error: InputError, where: Where) -> None:
        told = self._with_line(error, where)
        if self._failed is None:
            raise told from error.__cause__
        self._failed(told)

    def _with_line(self, error: InputError, where: Where) -> InputError:
        """The same error with the line of the key, where it can be found."""
        if error.file != where.file or not error.place.startswith(where.words):
            return error
        from gpu_bringup.catalogue.lines import line_of  # only a mistake needs it

        text = text_of(self._files[where.file], where.file)
        path = error.place.removeprefix(where.words)
        line = line_of(text, where.kind, where.number, path)
        if line is None:
            return error
        words = error.message.removeprefix(f"{error.file}: {error.place}: ")
        place = f"line {line}, {error.place}"
        return InputError(words, file=error.file, place=place, hint=error.hint)

    def _take_file(self, content: dict[str, Any], name: str, layer: int, layer_kind: str) -> None:
        for kind, tables in content.items():
            whole = Where(layer, name, shown_key(kind), kind, 1)
            with self._telling(whole):
                if kind == "as_of":
                    self.as_of = max(self.as_of, _as_of(tables, name))
                    continue
                for number, table in enumerate(_tables(kind, tables, name), 1):
                    where = Where(layer, name, _words(kind, table, number), kind, number)
                    try:
                        self._take(table, where, layer_kind)
                    except InputError as error:
                        self._tell(error, where)

    def _take(self, table: Any, where: Where, layer_kind: str) -> None:
        cls, identity = KINDS[where.kind]
        if cls is not Scenario:
            entry: Any = build(cls, table, where.file, where.words)
            self._put((where.kind, *(getattr(entry, item) for item in identity)), entry, where)
            return
        name = table.get("id") if isinstance(table, dict) else None
        if not isinstance(name, str):
            build(Scenario, table, where.file, where.words)
            raise AssertionError("a profile without an id was taken")
        # What a profile extends may stand in a later file: it is built when all are read.
        other = self._profile_where.setdefault((name, where.layer), where)
        if other is not where:
            raise fail(f"this entry stands in {other.file} already", where.file, where.words)
        self._profiles.add(Written(name, table, where.layer, layer_kind, where.file, where.words))

    def _put(self, key: Key, entry: Any, where: Where) -> None:
        other = self._where.get(key)
        if other is not None:
            if other.layer == where.layer:
                raise fail(f"this entry stands in {other.file} already", where.file, where.words)
            self._below.setdefault(key, []).append((self.entries[where.kind][key], other))
        self.entries[where.kind][key] = entry
        self._where[key] = where

    def _build_profiles(self) -> None:
        built: dict[tuple[str, int], Any] = {}
        for profile in self._profiles.in_order():
            version = (profile.id, profile.layer)
            with self._telling(self._profile_where[version]):
                whole = self._profiles.whole(profile)
                built[version] = build(Scenario, whole.table, profile.file, profile.place)
                self._origins[version] = self._profiles.origin(profile, whole)
            if version not in built:
                self._profiles.broken.add(version)
        # In the order of folders and files, which is the order of every list.
        for version, where in self._profile_where.items():
            if version in built:
                self._put(("scenario", version[0]), built[version], where)

    def _wrong(self) -> Iterator[Key]:
        references = References(
            sources={item.id for item in self.of("source")},
            architectures={item.id for item in self.of("architecture")},
            branches={item.id for item in self.of("branch")},
            repositories={item.id for item in self.of("repository")},
        )
        known = contradictions.Known(
            architectures={item.id: item for item in self.of("architecture")},
            branches={item.id: item for item in self.of("branch")},
            releases={item.version: item for item in self.of("release")},
            toolkits={item.version: item for item in self.of("toolkit")},
            systems=frozenset(item.os_id for item in self.of("distribution")) | set(SAME_AS),
        )

        def alone(entry: Any, place: tuple[str, str]) -> None:
            references.check(entry, place)
            contradictions.check(entry, known, place)

        for entries in self.entries.values():
            yield from self._refused(entries, alone)
        yield from self._refused(self.entries["architecture"], check_ranges())
        yield from self._refused(self.entries["gpu"], contradictions.check_boards())

    def _refused(
        self, entries: dict[Key, Any], check: Callable[[Any, tuple[str, str]], None]
    ) -> Iterator[Key]:
        """The keys of entries that a check refuses; earlier folders are believed first."""
        for key in sorted(entries, key=lambda item: self._where[item].layer):
            where = self._where[key]
            try:
                check(entries[key], (where.file, where.words))
            except InputError as error:
                self._tell(error, where)
                yield key

    def _drop(self, key: Key) -> None:
        """Leave an entry out; what it replaced in an earlier folder is there again."""
        if key not in self._where:
            return
        below = self._below.get(key)
        if below:
            self.entries[key[0]][key], self._where[key] = below.pop()
        else:
            del self.entries[key[0]][key], self._where[key]


def _nobody(error: InputError) -> None:
    """Told of what follows from another fault."""


def _as_of(value: Any, name: str) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise fail(
            f"{shown(value)} isn't a date such as 2026-11-22 (without quotes)", name, "as_of"
        )
    return value


def _tables(kind: str, tables: Any, name: str) -> list[Any]:
    if kind not in KINDS:
        near = guess(kind, KINDS)
        known = "" if near else f"; there are {', '.join(KINDS)}"
        raise fail(f"unknown kind of entry {shown(kind)}{near}{known}", name, shown_key(kind))
    if not isinstance(tables, list):
        raise fail(f"write [[{kind}]], not [{kind}]: there may be several", name, kind)
    return tables


def _words(kind: str, table: Any, number: int) -> str:
    label = table.get(KINDS[kind][1][0]) if isinstance(table, dict) else None
    if not isinstance(label, str):
        return f"{kind} number {number}"
    return f"{kind} {label!r}" if len(label) <= 80 else f"{kind} {shown(label)}"
