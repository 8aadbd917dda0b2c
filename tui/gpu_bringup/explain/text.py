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
_NO_TEXT = bytes(byte for byte in range(32) if byte not in b"\a\b\t\n\v\f\r\x1b")
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)|\x1b[^\n]")
"""Sequences of terminals: colours, titles."""
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
    unpack, begun = zlib.decompressobj(wbits=31), False
    try:
        while data:
            piece = unpack.decompress(data, BLOCK)
            begun = True
            if piece:
                yield piece
            if unpack.eof:
                data = unpack.unused_data or stream.read(BLOCK)
                if data and not data.startswith(_GZIP[: len(data)]):
                    reading.notes.append("something that isn't gzip follows the archive: left out")
                    return
                unpack, begun = zlib.decompressobj(wbits=31), False
                continue
            data = unpack.unconsumed_tail or stream.read(BLOCK)
    except zlib.error:
        reading.notes.append("the archive is damaged: only what stands before the damage was read")
        return
    if begun and not unpack.eof:
        reading.notes.append("the archive ends too early: what is there was read")


def _utf16(first: bytes) -> str:
    """The name of the UTF-16 in which a text is written, with or without its mark; empty: it is not."""
    if first.startswith(_UTF16):
        return "utf-16"
    sample = first[:_HEAD]
    half = len(sample) // 2
    for name, zeros in (("utf-16-le", sample[1::2]), ("utf-16-be", sample[::2])):
        # Western text has a zero in every other byte, and none in the others.
        if half >= 4 and zeros.count(0) > half * 0.7 and sample.count(0) < half * 1.2:
            return name
    return ""


def _pieces(stream: BinaryIO, reading: Reading) -> Iterator[bytes]:
    first = stream.read(BLOCK)
    if first.startswith(_GZIP):
        yield from _gunzip(first, stream, reading)
        return
    encoding = _utf16(first)
    if encoding:
        import codecs

        decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        piece = first
        while piece:
            yield decoder.decode(piece).encode("utf-8", "replace")
            piece = stream.read(BLOCK)
        return
    while first:
        yield first
        first = stream.read(BLOCK)


def is_binary(reading: Reading) -> bool:
    """Is what was read no text: full of zeros, or of other bytes that no text has?"""
    if reading.control_bytes > reading.bytes // 100:
        return True
    head = bytes(reading.head)
    return len(head.translate(None, _NO_TEXT)) < len(head) * 0.95


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
