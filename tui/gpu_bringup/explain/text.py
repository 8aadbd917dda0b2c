"""Turns whatever was pasted into blocks of lines: packed or not, in any encoding, with long lines.

One pass, bounded memory: a block is at most ``BLOCK`` bytes, a line is cut at ``LONGEST``.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 1 << 18
"""Bytes."""
LONGEST = 1 << 16
"""Bytes of a line that are looked at; a longer one is looked at in pieces."""

_HEAD = 4096
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# CSI and OSC sequences of terminals, then lone controls (a tab stays).
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.|[\x00-\x08\x0b-\x1f\x7f]"
)


@dataclass
class Reading:
    """What was noticed while the text was read."""

    bytes: int = 0
    """Bytes of text, unpacked."""
    lines: int = 0
    control_bytes: int = 0
    """NUL bytes: a text has none."""
    head: bytearray = field(default_factory=bytearray)
    """The text's first kilobytes."""
    notes: list[str] = field(default_factory=list)


def _gunzip(first: bytes, stream: BinaryIO, reading: Reading) -> Iterator[bytes]:
    """Unpacked pieces; what a broken archive still gives, and a note where it breaks."""
    data = first
    unpack = zlib.decompressobj(wbits=31)
    try:
        while data:
            piece = unpack.decompress(data, BLOCK)
            if piece:
                yield piece
            if unpack.eof:
                data = unpack.unused_data or stream.read(BLOCK)
                if data and not data.startswith(_GZIP[: len(data)]):
                    reading.notes.append("something that isn't gzip follows the archive: left out")
                    return
                unpack = zlib.decompressobj(wbits=31)
                continue
            data = unpack.unconsumed_tail or stream.read(BLOCK)
    except zlib.error:
        reading.notes.append("the archive is damaged: only what stands before the damage was read")
        return
    if not unpack.eof and reading.bytes + len(first) > 0 and not _fresh(unpack):
        reading.notes.append("the archive ends too early: what is there was read")


def _fresh(unpack: zlib._Decompress) -> bool:
    """Has this one been given nothing yet?"""
    return not unpack.unconsumed_tail and not unpack.unused_data and unpack.flush() == b""


def _pieces(stream: BinaryIO, reading: Reading) -> Iterator[bytes]:
    first = stream.read(BLOCK)
    if first.startswith(_GZIP):
        yield from _gunzip(first, stream, reading)
        return
    if first.startswith(_UTF16):
        import codecs

        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        piece = first
        while piece:
            yield decoder.decode(piece).encode("utf-8", "replace")
            piece = stream.read(BLOCK)
        return
    while first:
        yield first
        first = stream.read(BLOCK)


def blocks(stream: BinaryIO, reading: Reading) -> Iterator[bytes]:
    """Blocks that end at the end of a line (a line longer than a block is cut).

    Args:
        stream: anything that gives bytes.
        reading: filled in as the text goes by.
    """
    rest = b""
    for piece in _pieces(stream, reading):
        reading.bytes += len(piece)
        if len(reading.head) < _HEAD:
            reading.head += piece[:_HEAD]
        reading.control_bytes += piece.count(0)
        data = rest + piece
        end = data.rfind(b"\n")
        if end < 0:
            if len(data) < LONGEST:
                rest = data
                continue
            end = len(data) - 1
        yield data[: end + 1]
        rest = data[end + 1 :]
    if rest:
        yield rest


def plain(line: bytes) -> str:
    """A line as text: no colours, no carriage returns, odd bytes shown as such."""
    text = line.decode("utf-8", "replace")
    return text.rstrip() if text.isprintable() else _ESCAPES.sub("", text).rstrip()
