"""Finds and reads the TOML files of a folder of profiles; nothing here knows what they say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue import parsed
from gpu_bringup.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.abc import Traversable

# Folders of profiles/ whose files are of another kind and have readers of their own.
_OTHERS = frozenset({"schema", "failures", "lessons"})

_HINT = "Nothing was changed. Put the file right or take it out of the folder."


def read_files(files: Iterable[tuple[str, Traversable]]) -> Sequence[tuple[str, dict[str, Any]]]:
    """(name, content) of each TOML file. What was parsed once is kept, found by the files' content.

    Args:
        files: (what to call it in an error, file).

    Raises:
        InputError: one can't be read, isn't UTF-8 text or isn't valid TOML (with the line).
    """
    texts = [(name, _bytes(path, name)) for name, path in files]
    key = parsed.key_of(data for _, data in texts)
    kept = parsed.load(key)
    if kept is not None and len(kept) == len(texts):
        return [(name, content) for (name, _), content in zip(texts, kept, strict=True)]
    contents = [(name, _parse(data, name)) for name, data in texts]
    parsed.keep(key, [content for _, content in contents])
    return contents


def _bytes(path: Traversable, name: str) -> bytes:
    try:
        # Reading a FIFO or a device would wait, or never end.
        if not path.is_file():
            raise InputError("it is no regular file, or a link to nothing", file=name, hint=_HINT)
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror}", file=name, hint=_HINT) from error


def _parse(data: bytes, name: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
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
        raise InputError(f"it isn't valid TOML: {error}", file=name, hint=_HINT) from error
    return content


def toml_files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    """(name for errors, file) of every TOML file below a folder, in the order of their names.

    Raises:
        InputError: a folder can't be read.
    """
    try:
        children = sorted(folder.iterdir(), key=lambda item: item.name)
        kinds = [child.is_dir() for child in children]
    except OSError as error:
        raise InputError(
            f"the folder can't be read: {error.strerror}", file=prefix, hint=_HINT
        ) from error
    for child, is_folder in zip(children, kinds, strict=True):
        name = f"{prefix}/{child.name}"
        if is_folder:
            if child.name not in _OTHERS:
                yield from toml_files(child, name)
        elif child.name.endswith(".toml"):
            yield name, child
