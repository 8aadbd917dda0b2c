"""Turns the bytes of a terminal into lines: pure, incremental, bounded.

Colours (SGR) are kept; everything that would move a cursor, rename a window or draw a status row is
dropped, so that a log can be shown on any terminal and can't play tricks on it.
"""

from __future__ import annotations

import codecs
import re

PARTIAL_LIMIT = 65_536
"""Characters kept of a line that doesn't end; beyond it, it is cut into lines of this length."""
_ESCAPE_LIMIT = 8_192
"""Characters that an escape sequence may be incomplete for before it counts as junk."""

# ECMA-48 control sequences. ESC 7 ... ESC 8 is where apt draws its progress bar (it saves the
# cursor, writes the last row, restores the cursor): the whole span is no part of the output.
_DROPPED = re.compile(
    r"""
    \x1b7.*?\x1b8                          # saved cursor ... restored cursor
  | \x1b\](?:[^\x07\x1b]|\x1b(?!\\))*?(?:\x07|\x1b\\)   # OSC: window titles, links
  | \x1b[PX^_].*?\x1b\\                    # DCS, SOS, PM, APC
  | \x1b\[(?![0-9;:]*m)[0-?]*[ -/]*[@-~]   # CSI, except colours
  | \x1b[ -/]+[0-~]                        # character sets
  | \x1b[0-689-OQ-WYZ\\`-~]                # two-character escapes
    """,
    re.VERBOSE | re.DOTALL,
)
_INCOMPLETE = re.compile(
    r"\x1b(?:7.*|\](?:[^\x07\x1b]|\x1b(?!\\))*|[PX^_].*|\[[0-?]*[ -/]*|[ -/]*)\Z", re.DOTALL
)
_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_CONTROLS = dict.fromkeys(
    [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\t\n\r\x1b"]
)
_ANY_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def strip_colours(text: str) -> str:
    """The text without its colours."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


class LineAssembler:
    """Feeds on bytes, gives finished lines; ``partial`` is the line that isn't finished.

    What a carriage return overwrote is gone: of "10%\\r20%\\n" the line "20%" remains.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._escape = ""
        self._pending = ""

    @property
    def partial(self) -> str:
        """The unfinished line as it stands now."""
        return _fold(self._pending)

    def feed(self, data: bytes) -> list[str]:
        """Take the next bytes (split anywhere); returns the lines that they finished."""
        text = self._escape + self._decoder.decode(data)
        self._escape = ""
        if "\x1b" in text:
            text = self._without_escapes(text)
        if _ANY_CONTROL.search(text):
            text = text.translate(_CONTROLS)
        text = self._pending + text
        if "\n" not in text:
            lines: list[str] = []
            self._pending = text
        else:
            *lines, self._pending = text.split("\n")
            if "\r" in text:
                lines = [_fold(line) for line in lines]
        if "\r" in self._pending:
            cut = self._pending.rstrip("\r").rfind("\r")
            self._pending = self._pending[cut + 1 :]
        while len(self._pending) > PARTIAL_LIMIT:
            lines.append(_fold(self._pending[:PARTIAL_LIMIT]))
            self._pending = self._pending[PARTIAL_LIMIT:]
        return lines

    def finish(self) -> list[str]:
        """The stream has ended: returns what was left as a last line, if there was anything."""
        lines = self.feed(self._decoder.decode(b"", final=True).encode())
        last = self.partial
        self._pending = self._escape = ""
        return [*lines, last] if last else lines

    def _without_escapes(self, text: str) -> str:
        text = _DROPPED.sub("", text)
        kept: list[str] = []
        position = 0
        while (start := text.find("\x1b", position)) >= 0:
            kept.append(text[position:start])
            colour = _COLOUR.match(text, start)
            if colour:
                kept.append(colour[0])
                position = colour.end()
            elif _INCOMPLETE.match(text, start) and len(text) - start <= _ESCAPE_LIMIT:
                self._escape = text[start:]
                return "".join(kept)
            else:
                position = start + 1
        kept.append(text[position:])
        return "".join(kept)


def _fold(line: str) -> str:
    if "\r" not in line:
        return line
    return line.rstrip("\r").rsplit("\r", 1)[-1]
