"""Finds and reads the TOML files of a folder of profiles; nothing here knows what they say."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gpu_bringup.catalogue import parsed
from gpu_bringup.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Traversable

T = TypeVar("T")
U = TypeVar("U")

# Folders of profiles/ whose files are of another kind and have readers of their own.
_OTHERS = frozenset({"schema", "failures", "lessons", "consoles"})

_HINT = "Nothing was changed. Put the file right or take it out of the folder."

LARGEST_FILE = 4_000_000
"""Bytes of one file; the project's largest has a fiftieth of that."""
_MOST_FILES = 1000
_DEEPEST = 8
"""Folders inside folders. Past either, this is no folder of profiles."""

Failed = Callable[[InputError], object]
"""Told of a file that is wrong; it is left out then."""


def read_files(
    files: Iterable[tuple[str, Traversable]], failed: Failed | None = None
) -> Sequence[tuple[str, dict[str, Any]]]:
    """(name, content) of each TOML file. What was parsed once is kept, found by the files' content.

    Args:
        files: (what to call it in an error, file).
        failed: told of each file that is wrong, which is left out; None: the first is raised.

    Raises:
        InputError: one can't be read, isn't UTF-8 text or isn't valid TOML (with the line).
    """
    texts = _each(((name, path) for name, path in files), _bytes, failed)
    key = parsed.key_of(data for _, data in texts)
    kept = parsed.load(key)
    if kept is not None and len(kept) == len(texts):
        return [(name, content) for (name, _), content in zip(texts, kept, strict=True)]
    contents = _each(texts, _parse, failed)
    if len(contents) == len(texts):
        parsed.keep(key, [content for _, content in contents])
    return contents


def _each(
    items: Iterable[tuple[str, T]], read: Callable[[T, str], U], failed: Failed | None
) -> list[tuple[str, U]]:
    results = []
    for name, item in items:
        try:
            results.append((name, read(item, name)))
        except InputError as error:
            if failed is None:
                raise
            failed(error)
    return results


def text_of(file: Traversable, name: str) -> str:
    """The text of a file that was read before, for saying where in it something is."""
    return _bytes(file, name).decode("utf-8", errors="replace")


def _bytes(path: Traversable, name: str) -> bytes:
    try:
        # Reading a FIFO or a device would wait, or never end.
        if not path.is_file():
            raise InputError("it is no regular file, or a link to nothing", file=name, hint=_HINT)
        with path.open("rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror}", file=name, hint=_HINT) from error
    if len(data) > LARGEST_FILE:
        raise InputError(
            f"it is larger than {LARGEST_FILE // 1_000_000} MB: this is no file of profiles",
            file=name,
            hint=_HINT,
        )
    return data


def _parse(data: bytes, name: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InputError("it isn't UTF-8 text, but UTF-16", file=name, hint="Save it as UTF-8.")
    if data.startswith(codecs.BOM_UTF8):
        raise InputError(
            "it begins with a byte order mark", file=name, hint="Save it as UTF-8 without one."
        )
    try:
        content: dict[str, Any] = tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"it isn't UTF-8 text (line {line}, byte {error.start})", file=name, hint=_HINT
        ) from error
    except RecursionError:
        raise InputError("it is nested too deeply", file=name, hint=_HINT) from None
    except ValueError as error:
        # TOMLDecodeError is one; a number with thousands of digits is a plain one.
        words = str(error)
        if len(words) > 300:
            words = f"{words[:100]} ... {words[-150:]}"
        raise InputError(f"it isn't valid TOML: {words}", file=name, hint=_HINT) from error
    return content


def toml_files(
    folder: Traversable, prefix: str, failed: Failed | None = None
) -> Iterator[tuple[str, Traversable]]:
    """(name for errors, file) of every TOML file below a folder, in the order of their names.

    Args:
        failed: told of what can't be read, which is left out; None: it is raised.

    Raises:
        InputError: a folder can't be read, or this is no folder of profiles.
    """
    for count, item in enumerate(_walk(folder, prefix, failed, ())):
        if count >= _MOST_FILES:
            error = InputError(
                f"there are more than {_MOST_FILES} files in it: this is no folder of profiles",
                file=prefix,
                hint="Name the folder that holds the profiles alone.",
            )
            if failed is None:
                raise error
            failed(error)
            return
        yield item


def _walk(
    folder: Traversable, prefix: str, failed: Failed | None, above: tuple[object, ...]
) -> Iterator[tuple[str, Traversable]]:
    try:
        children = _children(folder, prefix, above)
    except InputError as error:
        if failed is None:
            raise
        failed(error)
        return
    here = _identity(folder)
    for child, is_folder in children:
        name = f"{prefix}/{child.name}"
        if not is_folder:
            if child.name.endswith(".toml"):
                yield name, child
        elif child.name.endswith(".toml"):
            wrong = InputError("it is a folder, not a file", file=name, hint=_HINT)
            if failed is None:
                raise wrong
            failed(wrong)
        elif child.name not in _OTHERS:
            yield from _walk(child, name, failed, (*above, here))


def _children(
    folder: Traversable, prefix: str, above: tuple[object, ...]
) -> list[tuple[Traversable, bool]]:
    if _identity(folder) in above:
        raise InputError("it is a link to a folder that it is in", file=prefix, hint=_HINT)
    if len(above) >= _DEEPEST:
        raise InputError(
            f"it is more than {_DEEPEST} folders deep: this is no folder of profiles",
            file=prefix,
            hint="Name the folder that holds the profiles alone.",
        )
    try:
        children = sorted(folder.iterdir(), key=lambda item: item.name)
        return [(child, child.is_dir()) for child in children]
    except OSError as error:
        raise InputError(
            f"the folder can't be read: {error.strerror}", file=prefix, hint=_HINT
        ) from error


def _identity(folder: Traversable) -> object:
    """What two names of the same folder share."""
    return folder.resolve() if isinstance(folder, Path) else folder
