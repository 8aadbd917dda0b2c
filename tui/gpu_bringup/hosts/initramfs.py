"""Looks into an initramfs: which driver modules it holds, and what keeps modules from loading there.

An initramfs is one or more cpio archives ("newc"), one after another, each plain or compressed (kernel,
Documentation/driver-api/early-userspace/buffer-format.rst). It is read as a stream, once, and only what
speaks of the GPU drivers is kept.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import os
import posixpath
import re
import subprocess
import time
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from gpu_bringup.hosts.processes import find_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS = 20.0
_HEADER = 110
_MODULE_LIMIT = 256 << 20
_TEXT_LIMIT = 1 << 16
_NAME_LIMIT = 1 << 14
_CHUNK = 1 << 18
_MODULE = re.compile(r"^(nvidia(?:[-_][\w-]+)?|nouveau|nova[-_]\w+)\.ko(\.xz|\.zst|\.gz)?$")
_FOREIGN = re.compile(r"^nvidia(?:fb|[-_](?:wmi|ffa|vrs))")
"""Modules of the kernel's own whose names begin like the driver's."""
_CONFIGURATION = re.compile(
    r"^(?:(?:etc|run|lib|usr/lib|usr/local/lib)/modprobe\.d|etc/(?:nvidia|alternatives)(?:/.+)?)/"
    r"[^/]+$"
)
"""modprobe.d, and where Debian's alternatives for it lead."""
_LINK = 0o120000
_KEPT = re.compile(r"nvidia|nouveau|nova")
_VERSION = re.compile(rb"(?:^|\0)version=([^\0]{1,64})\0")
_PROGRAMS = {
    b"\x28\xb5\x2f\xfd": ("zstd", "-dcq"),
    b"\x02\x21\x4c\x18": ("lz4", "-dcq"),
    b"\x04\x22\x4d\x18": ("lz4", "-dcq"),
    b"\x89LZO": ("lzop", "-dcq"),
}
"""Magic numbers of what Python's standard library (before 3.14) can't unpack, and what can."""


class InitramfsError(Exception):
    """It can't be read; the message is for the operator."""


class _Stopped(Exception):
    """The time is up."""


class _Stream:
    """Reads exactly, counts for cpio's padding, gives up at its deadline."""

    def __init__(self, source: IO[bytes], deadline: float) -> None:
        self._source = source
        self._deadline = deadline
        self._ahead = b""
        self.at = 0

    def peek(self, count: int) -> bytes:
        while len(self._ahead) < count:
            piece = self._source.read(count - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:count]

    def read(self, count: int) -> bytes:
        """Fewer bytes than asked for only at the end."""
        parts = [self._ahead[:count]]
        self._ahead = self._ahead[count:]
        left = count - len(parts[0])
        while left > 0:
            if time.monotonic() > self._deadline:
                raise _Stopped
            piece = self._source.read(min(left, _CHUNK))
            if not piece:
                break
            parts.append(piece)
            left -= len(piece)
        self.at += count - left
        return b"".join(parts)

    def skip(self, count: int) -> None:
        while count > 0:
            piece = self.read(min(count, _CHUNK))
            if not piece:
                raise InitramfsError("it ends in the middle of a file: it was cut off")
            count -= len(piece)

    def align(self) -> None:
        self.skip(-self.at % 4)


def _entries(stream: _Stream) -> Iterator[tuple[str, int, bool]]:
    """Name, size, is it a symbolic link, of each entry of one cpio archive.

    Whatever the caller doesn't read of an entry's content is skipped.
    """
    start = stream.at
    while True:
        head = stream.read(_HEADER)
        if len(head) < _HEADER or head[:6] not in (b"070701", b"070702"):
            raise InitramfsError("it holds a broken cpio archive: it was cut off or is damaged")
        try:
            mode, size, length = (int(head[at : at + 8], 16) for at in (14, 54, 94))
        except ValueError as error:
            raise InitramfsError("it holds a broken cpio archive") from error
        if not 0 < length <= _NAME_LIMIT:
            raise InitramfsError("it holds a broken cpio archive")
        name = stream.read(length).rstrip(b"\0").decode(errors="replace")
        stream.skip(-(stream.at - start) % 4)
        if name == "TRAILER!!!":
            return
        before = stream.at
        yield name.removeprefix("./").lstrip("/"), size, mode & 0o170000 == _LINK
        stream.skip(size - (stream.at - before))
        stream.skip(-(stream.at - start) % 4)


def module_version(data: bytes) -> str | None:
    """The version in a module's .modinfo section; None where it names none."""
    found = _VERSION.search(data)
    return found[1].decode(errors="replace") if found else None


def _unpacked(data: bytes, ending: str, path: str) -> bytes | None:
    """A module's own bytes; None where they can't be had."""
    try:
        if ending == ".xz":
            return lzma.decompress(data)
        if ending == ".gz":
            return gzip.decompress(data)
        if ending == ".zst":
            program = find_program("zstd", path)
            if program is None:
                return None
            answer = subprocess.run(
                [program, "-dcq"], input=data, capture_output=True, timeout=SECONDS, check=False
            )
            return answer.stdout if answer.returncode == 0 else None
    except (OSError, EOFError, lzma.LZMAError, zlib.error, subprocess.SubprocessError):
        return None
    return data


def _read_archive(stream: _Stream, found: dict[str, Any], path: str) -> None:
    for name, size, link in _entries(stream):
        found["entries"] += 1
        base = name.rsplit("/", 1)[-1]
        module = _MODULE.match(base)
        if module and "lib/modules/" in name and not _FOREIGN.match(base):
            data = stream.read(size) if size <= _MODULE_LIMIT else b""
            plain = _unpacked(data, module[2] or "", path)
            version = module_version(plain) if plain else None
            found["modules"].append({"path": "/" + name, "version": version})
        elif _CONFIGURATION.match(name) and size <= _TEXT_LIMIT:
            text = stream.read(size).decode(errors="replace")
            if link:
                target = posixpath.join("/", posixpath.dirname(name), text.rstrip("\0"))
                to = posixpath.normpath(target)
                found["links"].append({"path": "/" + name, "target": to})
            elif _KEPT.search(text):
                found["configuration"].append({"path": "/" + name, "text": text})


def _read_archives(stream: _Stream, found: dict[str, Any], path: str) -> None:
    """All archives in one unpacked stream: the kernel takes several, with zeros between them."""
    _read_archive(stream, found, path)
    while head := stream.peek(6):
        if head.startswith(b"\0"):
            stream.read(len(head) - len(head.lstrip(b"\0")))
        elif head in (b"070701", b"070702"):
            _read_archive(stream, found, path)
        else:
            return


@contextlib.contextmanager
def _program(argv: tuple[str, ...], file: IO[bytes], offset: int, path: str) -> Iterator[IO[bytes]]:
    program = find_program(argv[0], path)
    if program is None:
        raise InitramfsError(f"it is packed with {argv[0]}, and there is no {argv[0]} command here")
    os.lseek(file.fileno(), offset, os.SEEK_SET)
    process = subprocess.Popen(
        [program, *argv[1:]], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    output = cast("IO[bytes]", process.stdout)
    try:
        yield output
    finally:
        output.close()
        process.kill()
        process.wait()


def _opener(magic: bytes) -> Callable[[IO[bytes]], IO[bytes]] | None:
    if magic.startswith(b"\x1f\x8b"):
        return lambda file: cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if magic.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
        return lambda file: cast("IO[bytes]", lzma.LZMAFile(file))
    if magic.startswith(b"BZh"):
        return lambda file: cast("IO[bytes]", bz2.BZ2File(file))
    return None


def _first_magic(file: IO[bytes]) -> bytes:
    """Skip the zeros between archives and return what follows; the file stands right there."""
    while True:
        place = file.tell()
        block = file.read(4096)
        rest = block.lstrip(b"\0")
        if rest or not block:
            file.seek(place + len(block) - len(rest))
            magic = file.read(6)
            file.seek(-len(magic), io.SEEK_CUR)
            return magic


def _read(file: IO[bytes], found: dict[str, Any], deadline: float, path: str) -> None:
    while magic := _first_magic(file):
        if magic in (b"070701", b"070702"):
            place = file.tell()
            stream = _Stream(file, deadline)
            _read_archive(stream, found, path)
            file.seek(place + stream.at)
            continue
        opener = _opener(magic)
        if opener is not None:
            _read_archives(_Stream(opener(file), deadline), found, path)
            return
        program = _PROGRAMS.get(magic[:4])
        if program is None:
            raise InitramfsError("it is packed in a way that is not known here")
        with _program(program, file, file.tell(), path) as output:
            _read_archives(_Stream(output, deadline), found, path)
        # The packed archive is the last one: what follows would be the loader's.
        return


def read_initramfs(
    name: str, programs: str = "/usr/sbin:/usr/bin:/sbin:/bin", seconds: float = SECONDS
) -> dict[str, Any]:
    """What an initramfs holds of the GPU drivers.

    Args:
        name: path of the file.
        programs: PATH in which zstd, lz4 and lzop are looked for.
        seconds: after these it is given up.

    Returns:
        {"entries": number of files, "modules": [{"path", "version"}], "configuration": [{"path",
        "text"}], "links": [{"path", "target"}]}, as JSON has it; a version is None where the module
        names none or couldn't be unpacked.

    Raises:
        InitramfsError: it isn't one, is damaged, or can't be unpacked here.
        OSError: the file can't be read.
    """
    found: dict[str, Any] = {"entries": 0, "modules": [], "configuration": [], "links": []}
    try:
        with Path(name).open("rb", buffering=0) as file:
            _read(file, found, time.monotonic() + seconds, programs)
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise InitramfsError(f"it can't be unpacked: {error}") from error
    except _Stopped as error:
        raise InitramfsError(f"reading it took longer than {seconds:g} s") from error
    if not found["entries"]:
        raise InitramfsError("it is empty")
    return found
