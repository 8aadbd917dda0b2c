"""Reads and checks a host record: whatever a file holds, the answer is a record or an InputError.

The format stands in the contract ("A host record"). Further keys of ours, all optional:
``kinds`` {path: "folder" | "not-folder" | "present"} for what is there without its content,
``not_links`` [path], ``real_paths`` {path: path}, ``unknown`` {path: reason}, ``spaces`` {path:
{"free", "total", "read_only"}} in bytes, ``certificates`` {path: [{"sha1", "subject", "serial"}]},
``environment`` {name: value or null}, ``digests`` {"KIND PATH": what that file says}, ``time`` in
seconds since 1970.
"""

from __future__ import annotations

import json
import math
import re
import stat
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import filterfalse
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.base import CommandResult
from gpu_bringup.model.facts import Certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

T = TypeVar("T")

SCHEMA = 1
SIZE_LIMIT = 64 << 20
"""Bytes; a real record has a fiftieth of that."""

KINDS = ("folder", "not-folder", "present")

_DEPTH_LIMIT = 32
_PATH_LIMIT = 4096
_NAME_LIMIT = 1024
_NUMBER_LIMIT = 1 << 63
_KEYS = (
    *("schema", "files", "absent", "listings", "links", "commands", "nvml", "cuda"),
    *("kinds", "not_links", "real_paths", "unknown", "spaces", "certificates", "environment"),
    *("time", "digests"),
)


@dataclass(frozen=True, slots=True)
class HostRecord:
    """A checked record; the fields are the keys of the format."""

    files: dict[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    listings: dict[str, tuple[str, ...]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    commands: dict[str, CommandResult] = field(default_factory=dict)
    probes: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    """ "nvml" and "cuda", where the record has them."""
    kinds: dict[str, str] = field(default_factory=dict)
    not_links: frozenset[str] = frozenset()
    real_paths: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, dict[str, int | bool]] = field(default_factory=dict)
    certificates: dict[str, tuple[Certificate, ...]] = field(default_factory=dict)
    environment: dict[str, str | None] = field(default_factory=dict)
    digests: dict[str, dict[str, Any]] = field(default_factory=dict)
    time: float | None = None


class _Wrong(Exception):
    """What is wrong, and at which JSON pointer (RFC 6901)."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(message)
        self.place = place
        self.message = message

    def below(self, place: str) -> _Wrong:
        """The same of what stands at ``place``."""
        return _Wrong(place + self.place, self.message)


def read_record(path: Path) -> HostRecord:
    """Read and check a record.

    Raises:
        InputError: it can't be read or isn't one; names the file and the place in it.
    """
    return parse_record(_read(path), str(path))


def parse_record(data: bytes, name: str) -> HostRecord:
    """Check a record's bytes; ``name`` is for the message.

    Raises:
        InputError: as ``read_record``.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(name, f"byte {error.start}", _what_binary(data)) from error
    if "\0" in text:
        place = f"byte {len(text[: text.index(chr(0))].encode())}"
        raise _bad(name, place, _what_binary(data))
    try:
        value = _DECODER.decode(text)
        if not _plain(value):
            _check_tree(value)
        return _record(value)
    except json.JSONDecodeError as error:
        what = "it is empty" if not text.strip() else f"it isn't JSON: {error.msg}"
        at_end = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        if at_end and text.strip():
            what += " (the file ends here: it may have been cut off)"
        place = f"line {error.lineno} column {error.colno}"
        raise _bad(name, place, what) from error
    except RecursionError as error:
        raise _bad(name, "", f"it is nested deeper than {_DEPTH_LIMIT} levels") from error
    except _Wrong as error:
        raise _bad(name, error.place, error.message) from error
    except ValueError as error:
        # Numbers of thousands of digits (Python refuses to read them).
        raise _bad(name, "", f"it holds a number that can't be read: {error}") from error


_PACKED = (
    (b"\x1f\x8b", "gzip", "gunzip"),
    (b"\xfd7zXZ", "xz", "unxz"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd"),
    (b"PK\x03\x04", "zip", "unzip"),
)


def _what_binary(data: bytes) -> str:
    """What a file that is no text may be."""
    for start, kind, tool in _PACKED:
        if data.startswith(start):
            return f"it is packed with {kind}, no text: unpack it first ({tool})"
    if b"\0" in data and not data.strip(b"\0"):
        return (
            "it holds NUL bytes only: the file was never written, or it was lost with a power cut"
        )
    try:
        data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "ascii")
    except UnicodeDecodeError:
        return "it is binary data, no text"
    return "it is UTF-16 text, not UTF-8" if data[:1] in (b"\xff", b"\xfe") else "it is binary data"


def _bad(name: str, place: str, message: str) -> InputError:
    return InputError(
        message,
        file=name,
        place=place,
        meaning="This file can't be used as a host record.",
        hint="Write one with 'gpu-bringup record -o FILE' on the host itself.",
    )


def _read(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _bad(str(path), "", "it is no regular file")
        if status.st_size > SIZE_LIMIT:
            raise _bad(str(path), "", f"it is larger than {SIZE_LIMIT >> 20} MiB")
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", file=str(path)) from error
    except ValueError as error:
        raise InputError(f"no file can have this name: {error}", file=repr(str(path))) from error
    if len(data) > SIZE_LIMIT:
        raise _bad(str(path), "", f"it is larger than {SIZE_LIMIT >> 20} MiB")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Wrong("", f"the key {_shown(key)} stands there twice")
            seen.add(key)
    return result


def _no_constant(text: str) -> NoReturn:
    raise _Wrong("", f"{text} is no JSON number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Wrong("", f"the number {text[:40]} is too large")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_constant, parse_float=_finite
)


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _pointer(parent: str, key: str | int) -> str:
    step = str(key).replace("~", "~0").replace("/", "~1")
    shown = step if len(step) <= 200 else step[:197] + "..."
    return f"{parent}/{shown}".encode("ascii", "backslashreplace").decode()


def _plain(root: Any) -> bool:
    """Has ``_check_tree`` surely nothing to say? A quick look, for the many records of a fleet."""
    level: list[Any] = [root]
    texts: list[str] = []
    for _ in range(_DEPTH_LIMIT):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                texts += item
                inside: Collection[Any] = item.values()
            elif isinstance(item, list):
                inside = item
            elif isinstance(item, str):
                texts.append(item)
                continue
            elif isinstance(item, (int, float)) and abs(item) > _NUMBER_LIMIT:
                return False
            else:
                continue
            if {*map(type, inside)} == {str}:
                texts += inside
            else:
                below += inside
        if not below:
            return _is_whole("".join(filterfalse(str.isascii, texts)))
        level = below
    return False


def _check_tree(root: Any) -> None:
    """Depth, whole characters and the size of numbers, without recursion; names the place."""
    waiting: list[tuple[str, Any, int]] = [("", root, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if depth > _DEPTH_LIMIT:
            raise _Wrong(place, f"it is nested deeper than {_DEPTH_LIMIT} levels")
        if isinstance(value, str):
            _check_text(place, value)
        elif isinstance(value, (int, float)) and abs(value) > _NUMBER_LIMIT:
            raise _Wrong(place, "the number is too large")
        elif isinstance(value, list):
            waiting += [(_pointer(place, i), item, depth + 1) for i, item in enumerate(value)]
        elif isinstance(value, dict):
            for key, item in value.items():
                _check_text(_pointer(place, key), key)
                waiting.append((_pointer(place, key), item, depth + 1))


def _check_text(place: str, text: str) -> None:
    if not _is_whole(text):
        raise _Wrong(place, "the text holds half a character (a lone surrogate)")


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_NAMES = {str: "a text", dict: "an object", list: "a list", int: "a whole number"}


def _typed(value: Any, kind: type[T], place: str = "") -> T:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Wrong(place, f"{_NAMES[kind]} is expected here")
    return value


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

# Each check below takes a value and returns it as it is kept; the places in what it raises begin
# where the value stands. The records of a fleet name the same paths: each is looked at once.


def _path(value: Any) -> str:
    return _checked_path(_typed(value, str))


@lru_cache(maxsize=8192)
def _checked_path(path: str) -> str:
    if not path.startswith("/"):
        raise _Wrong("", f"{_shown(path)} is no absolute path")
    if len(path) > _PATH_LIMIT:
        raise _Wrong("", f"the path is longer than {_PATH_LIMIT} characters")
    if path != "/" and not {"", ".", ".."}.isdisjoint(path[1:].split("/")):
        raise _Wrong("", f"{_shown(path)} is no plain path: it has '.', '..' or '//' in it")
    if _CONTROL.search(path):
        raise _Wrong("", f"{_shown(path)} has control characters in it")
    return path


def _name(value: Any) -> str:
    name = _typed(value, str)
    if name in ("", ".", "..") or "/" in name or "\0" in name or len(name) > _NAME_LIMIT:
        raise _Wrong("", f"{_shown(name)} is no name of a file")
    return name


def _text(value: Any) -> str:
    return _typed(value, str)


def _link(value: Any) -> str:
    target = _typed(value, str)
    if not target or "\0" in target or len(target) > _PATH_LIMIT:
        raise _Wrong("", f"{_shown(target)} is no target of a link")
    return target


def _command(value: Any) -> CommandResult:
    answer = _typed(value, dict)
    for key in ("exit", "output"):
        if key not in answer:
            raise _Wrong("", f"the key '{key}' is missing")
    status = _typed(answer["exit"], int, "/exit")
    if not 0 <= status <= 255:
        raise _Wrong("/exit", "an exit status lies between 0 and 255")
    return CommandResult(status, _typed(answer["output"], str, "/output"))


def _space(value: Any) -> dict[str, int | bool]:
    space = _typed(value, dict)
    result: dict[str, int | bool] = {}
    for key in ("free", "total"):
        if key in space:
            size = _typed(space[key], int, f"/{key}")
            if size < 0:
                raise _Wrong(f"/{key}", "a size isn't negative")
            result[key] = size
    if "read_only" in space:
        if not isinstance(space["read_only"], bool):
            raise _Wrong("/read_only", "true or false is expected here")
        result["read_only"] = space["read_only"]
    return result


def _certificates(value: Any) -> tuple[Certificate, ...]:
    return tuple(_items(value, _certificate))


def _certificate(value: Any) -> Certificate:
    entry = _typed(value, dict)
    texts = {
        key: _typed(entry.get(key, ""), str, f"/{key}")
        for key in ("sha1", "subject", "serial", "key_id")
    }
    if not texts["sha1"]:
        raise _Wrong("", "the key 'sha1' is missing")
    return Certificate(**texts)


def _kind(value: Any) -> str:
    kind = _typed(value, str)
    if kind not in KINDS:
        raise _Wrong("", f"one of {', '.join(KINDS)} is expected here")
    return kind


def _variable(value: Any) -> str | None:
    return None if value is None else _typed(value, str)


def _probe(value: Any, place: str) -> dict[str, Any] | None:
    return None if value is None else _typed(value, dict, place)


def _digest(value: Any) -> dict[str, Any]:
    return _typed(value, dict)


def _names(value: Any) -> tuple[str, ...]:
    names = _typed(value, list)
    if not _sound_names(names):
        names = _items(names, _name)
    return tuple(sorted(set(names)))


def _sound_names(names: list[Any]) -> bool:
    """Has ``_name`` surely nothing to say of any of them? Folders have many names."""
    if not {*map(type, names)} <= {str} or not {"", ".", ".."}.isdisjoint(names):
        return False
    whole = "".join(names)
    return "/" not in whole and "\0" not in whole and max(map(len, names), default=0) <= _NAME_LIMIT


def _items(value: Any, check: Callable[[Any], T]) -> list[T]:
    """A list, each of whose items passes ``check``."""
    result: list[T] = []
    for item in _typed(value, list):
        try:
            result.append(check(item))
        except _Wrong as error:
            raise error.below(_pointer("", len(result))) from None
    return result


def _table(
    root: dict[str, Any], key: str, check: Callable[[Any], T], *, paths: bool = True
) -> dict[str, T]:
    """The object under ``key``, each of whose values passes ``check``; its names may be paths."""
    result: dict[str, T] = {}
    table = _typed(root.get(key, {}), dict, f"/{key}")
    for name, item in table.items():
        try:
            result[_checked_path(name) if paths else name] = check(item)
        except _Wrong as error:
            raise error.below(_pointer(f"/{key}", name)) from None
    return result


def _paths(root: dict[str, Any], key: str) -> frozenset[str]:
    try:
        return frozenset(_items(root.get(key, []), _path))
    except _Wrong as error:
        raise error.below(f"/{key}") from None


def _record(value: Any) -> HostRecord:
    root = _typed(value, dict)
    if "schema" not in root:
        raise _Wrong("", "the key 'schema' is missing: this is no host record")
    if _typed(root["schema"], int, "/schema") != SCHEMA:
        raise _Wrong(
            "/schema", f"schema {root['schema']} isn't known here; this version reads {SCHEMA}"
        )
    _check_keys(root)
    moment = root.get("time")
    if moment is not None and (isinstance(moment, bool) or not isinstance(moment, (int, float))):
        raise _Wrong("/time", "seconds since 1970 are expected here")
    if moment is not None and not 0 <= moment < 1 << 36:
        raise _Wrong("/time", "this is no time between 1970 and the year 4000")
    record = HostRecord(
        files=_table(root, "files", _text),
        absent=_paths(root, "absent"),
        listings=_table(root, "listings", _names),
        links=_table(root, "links", _link),
        commands=_table(root, "commands", _command, paths=False),
        probes={key: _probe(root[key], f"/{key}") for key in ("nvml", "cuda") if key in root},
        kinds=_table(root, "kinds", _kind),
        not_links=_paths(root, "not_links"),
        real_paths=_table(root, "real_paths", _path),
        unknown=_table(root, "unknown", _text),
        spaces=_table(root, "spaces", _space),
        certificates=_table(root, "certificates", _certificates),
        environment=_table(root, "environment", _variable, paths=False),
        digests=_table(root, "digests", _digest, paths=False),
        time=None if moment is None else float(moment),
    )
    for key, there in (("files", record.files), ("listings", record.listings)):
        if not record.absent.isdisjoint(there):
            path = min(record.absent.intersection(there))
            raise _Wrong(_pointer(f"/{key}", path), "this path also stands under 'absent'")
    return record


def _check_keys(root: dict[str, Any]) -> None:
    """Later versions may add keys, so others are passed over; a slip of the pen is not."""
    for key in root:
        if key not in _KEYS:
            from difflib import get_close_matches  # only a key that isn't known needs it

            for meant in get_close_matches(key[:40], _KEYS, n=1, cutoff=0.75):
                place = _pointer("", key)
                raise _Wrong(place, f"this key isn't known: is '{meant}' meant?")
