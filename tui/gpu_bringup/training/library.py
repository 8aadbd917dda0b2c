"""Reads ``profiles/lessons`` and an operator's additions: lessons, their sources, help for commands.

Later folders replace entries of earlier ones by id: the project's, then ``lessons`` in
``/etc/gpu-bringup/profiles``, then in the folder named by ``--profiles``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.entries import build, fail, guess
from gpu_bringup.catalogue.reader import Failed, read_files, text_of, toml_files
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Source
from gpu_bringup.model.lesson import CommandHelp, Lesson
from gpu_bringup.paths import OPERATOR_PROFILES
from gpu_bringup.resources import data_folder
from gpu_bringup.training import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.abc import Traversable
    from pathlib import Path

    from gpu_bringup.training.named import Named

KINDS: dict[str, tuple[type, str]] = {
    "lesson": (Lesson, "id"),
    "source": (Source, "id"),
    "command": (CommandHelp, "command"),
}
"""Table name in a file -> (dataclass, field that makes an entry the same one)."""


@dataclass(frozen=True)
class Place:
    """Where an entry stands."""

    layer: int
    file: str
    words: str
    """What an error calls it: "lesson 'boot-full'"."""
    folder: Traversable | None = None
    """The folder of the file: records lie beside it."""
    number: int = 1

    def fault(self, message: str, key: str = "") -> InputError:
        """An error about this entry, or one of its keys."""
        return fail(message, self.file, f"{self.words}{key}")


@dataclass(frozen=True)
class Library:
    """All lessons with what they rest on."""

    lessons: dict[str, Lesson]
    """In the order in which they are learnt: by level, then as the files have them."""
    sources: dict[str, Source]
    commands: dict[str, CommandHelp]
    places: dict[str, Place] = field(default_factory=dict)
    """Where each lesson stands."""
    problems: tuple[InputError, ...] = ()
    """What is wrong and was left out, where that was asked for."""

    def lesson(self, lesson_id: str) -> Lesson:
        """The lesson of an id.

        Raises:
            InputError: there is none; says which is near.
        """
        found = self.lessons.get(lesson_id)
        if found is None:
            raise InputError(
                f"there is no lesson {lesson_id[:80]!r}{guess(lesson_id, self.lessons)}",
                file="train",
                hint="gpu-bringup train --list shows the lessons.",
            )
        return found

    def builder(self, lesson: Lesson) -> Named:
        """What makes the lesson's host, with its parameters.

        Raises:
            InputError: it can't be read.
        """
        place = self.places[lesson.id]
        return named.parse(
            lesson.host.builder, file=place.file, place=f"{place.words}.host.builder"
        )

    def faults(self, lesson: Lesson) -> tuple[Named, ...]:
        """What is broken on the lesson's host, in order.

        Raises:
            InputError: one can't be read.
        """
        place = self.places[lesson.id]
        return tuple(
            named.parse(text, file=place.file, place=f"{place.words}.host.faults[{number}]")
            for number, text in enumerate(lesson.host.faults)
        )


def load(extra: Path | None = None, failed: Failed | None = None) -> Library:
    """The project's lessons, the host's own, and those in ``extra``.

    Args:
        extra: a further folder of profiles, of which the ``lessons`` folder is read.
        failed: told of what is wrong, which is left out then; None: the first is raised.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    layers = [_files(data_folder("profiles").joinpath("lessons"), "profiles/lessons")]
    if extra is not None and not _is_folder(extra):
        raise InputError(
            "there is no such folder", file=f"--profiles {extra}", hint="Name a folder."
        )
    for folder in (OPERATOR_PROFILES, extra):
        own = None if folder is None else folder / "lessons"
        if own is not None and _is_folder(own):
            layers.append(_files(own, str(own)))
    return collect(layers, failed)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        # Names that are too long, or a folder above it that this user may not enter.
        raise InputError(f"it can't be read: {error.strerror}", file=str(path)) from error


def examine(path: Path, failed: Failed | None = None) -> Library:
    """The project's lessons with one file, or one folder of profiles or lessons, on top.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    layers = [_files(data_folder("profiles").joinpath("lessons"), "profiles/lessons")]
    if _is_folder(path):
        own = path / "lessons"
        folder = own if _is_folder(own) else path
        if _is_folder(own) or path.name == "lessons":
            layers.append(_files(folder, str(folder)))
    else:
        layers.append([(str(path), path, path.parent)])
    return collect(layers, failed)


def holds_lessons(path: Path) -> bool:
    """Is this file one of lessons, not of the catalogue?"""
    try:
        if not path.is_file():
            return False
        ((_, content),) = read_files([(str(path), path)])
    except InputError:
        return path.parent.name == "lessons"
    except OSError:
        # A name that is too long, or a folder that may not be entered: who reads it next says so.
        return False
    return "lesson" in content or "command" in content


File = tuple[str, "Traversable", "Traversable"]
"""(name for errors, file, its folder)."""


def _files(folder: Traversable, prefix: str) -> list[File]:
    return [(name, path, folder) for name, path in toml_files(folder, prefix)]


def collect(layers: Iterable[Iterable[File]], failed: Failed | None = None) -> Library:
    """One library of all layers.

    Raises:
        InputError: an entry is wrong and ``failed`` isn't given.
    """
    problems: list[InputError] = []

    def told(error: InputError) -> None:
        if failed is None:
            raise error
        problems.append(error)
        failed(error)

    entries: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    places: dict[tuple[str, str], Place] = {}
    for layer, files in enumerate(layers):
        listed = list(files)
        folders = {name: folder for name, _, folder in listed}
        texts = {name: path for name, path, _ in listed}
        for name, content in read_files([(n, p) for n, p, _ in listed], failed and told):
            for kind, number, table in _tables(content, name, told):
                try:
                    entry, place = _entry(kind, number, table, name, layer)
                    key = (kind, getattr(entry, KINDS[kind][1]))
                    other = places.get(key)
                    if other is not None and other.layer == layer:
                        raise place.fault(f"this entry stands in {other.file} already")
                    if kind == "lesson":
                        _check(entry, place)
                except InputError as error:
                    told(_with_line(error, kind, number, texts[name]))
                    continue
                entries[kind][key[1]] = entry
                places[key] = Place(layer, name, place.words, folders[name], number)
    _check_names(entries, places, told)
    lessons = sorted(entries["lesson"].values(), key=lambda item: item.order)
    return Library(
        lessons={item.id: item for item in lessons},
        sources=entries["source"],
        commands=entries["command"],
        places={item.id: places["lesson", item.id] for item in lessons},
        problems=tuple(problems),
    )


def _tables(
    content: dict[str, Any], name: str, told: Callable[[InputError], None]
) -> Iterable[tuple[str, int, Any]]:
    for kind, tables in content.items():
        if kind not in KINDS:
            words = f"unknown kind of entry {kind[:40]!r}{guess(kind, KINDS)}"
            told(fail(f"{words}; there are {', '.join(KINDS)}", name, kind[:40]))
        elif not isinstance(tables, list):
            told(fail(f"write [[{kind}]], not [{kind}]: there may be several", name, kind))
        else:
            for number, table in enumerate(tables, 1):
                yield kind, number, table


def _entry(kind: str, number: int, table: Any, name: str, layer: int) -> tuple[Any, Place]:
    cls, identity = KINDS[kind]
    label = table.get(identity) if isinstance(table, dict) else None
    words = f"{kind} {label[:80]!r}" if isinstance(label, str) else f"{kind} number {number}"
    place = Place(layer, name, words, number=number)
    return build(cls, table, name, words), place


def _with_line(error: InputError, kind: str, number: int, file: Traversable) -> InputError:
    """The same error with the line of the key, where it can be found."""
    from gpu_bringup.catalogue.lines import line_of  # only a mistake needs it

    before, _, path = error.place.partition("'")
    path = path.partition("'")[2] if before.strip() == kind else ""
    line = line_of(text_of(file, error.file), kind, number, path)
    if line is None:
        return error
    words = error.message.removeprefix(f"{error.file}: {error.place}: ")
    return InputError(words, file=error.file, place=f"line {line}, {error.place}", hint=error.hint)


def _check(lesson: Lesson, place: Place) -> None:
    """What the types can't say of a lesson.

    Raises:
        InputError: something in it contradicts itself, or is missing.
    """
    state = lesson.host
    if bool(state.builder) == bool(state.record):
        raise place.fault("write either builder or record", ".host")
    if state.builder:
        named.parse(state.builder, file=place.file, place=f"{place.words}.host.builder")
    for number, text in enumerate(state.faults):
        named.parse(text, file=place.file, place=f"{place.words}.host.faults[{number}]")
    if "/" in state.record or state.record.startswith("."):
        raise place.fault("a record lies beside the lesson: name the file alone", ".host.record")
    if not 1 <= lesson.minutes <= 480:
        raise place.fault(f"{lesson.minutes} isn't from 1 to 480", ".minutes")
    for key in ("rungs", "goals", "hint", "debrief", "sources"):
        if not getattr(lesson, key):
            raise place.fault("there must be one at least", f".{key}")
    if not lesson.story.strip():
        raise place.fault("a lesson needs a story", ".story")
    if lesson.solved.most_reboots is not None and lesson.solved.most_reboots < 0:
        raise place.fault("less than no reboot can't be", ".solved.most_reboots")
    strict = lesson.solved.most_reboots is not None or lesson.solved.window or lesson.solved.keeps
    if strict and not lesson.solved.why:
        raise place.fault("say why it must be reached in this way", ".solved.why")
    for number, item in enumerate(lesson.expect):
        if not 2 <= len(item.choices) <= 6:
            raise place.fault("there must be 2 to 6 choices", f".expect[{number}].choices")
        if not 1 <= item.answer <= len(item.choices):
            raise place.fault(
                f"{item.answer} is the number of no choice (1 to {len(item.choices)})",
                f".expect[{number}].answer",
            )
    if len({item.rung for item in lesson.hint}) != len(lesson.hint):
        raise place.fault("one hint a rung, each in three strengths", ".hint")
    told = {item.rung for item in lesson.debrief}
    missing = [rung for rung in lesson.rungs if rung not in told]
    if missing:
        raise place.fault(f"the debrief says nothing of {', '.join(missing)}", ".debrief")


def _check_names(
    entries: dict[str, dict[str, Any]],
    places: dict[tuple[str, str], Place],
    told: Callable[[InputError], None],
) -> None:
    """Do the sources and lessons exist that entries name? What names others is left out."""
    for kind in ("lesson", "command"):
        for name, entry in list(entries[kind].items()):
            place = places[kind, name]
            for key, known in (("sources", "source"), ("after", "lesson")):
                for number, wanted in enumerate(getattr(entry, key, ())):
                    if wanted in entries[known]:
                        continue
                    near = guess(wanted, entries[known])
                    told(place.fault(f"there is no {known} {wanted!r}{near}", f".{key}[{number}]"))
                    entries[kind].pop(name, None)
