"""Reads a growing log file by its path: new finished lines at each call."""

from __future__ import annotations

import codecs
from pathlib import Path

PIECE = 1 << 20
"""Bytes read at once: what a screen takes without a stall."""


class LogTail:
    """Where one is in a log.

    Args:
        path: the file; it need not be there yet.
        last: begin at most this many bytes before its end; 0: at its beginning.
    """

    def __init__(self, path: Path, *, last: int = 0) -> None:
        self.path = path
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._rest = ""
        if last:
            try:
                self._offset = max(0, path.stat().st_size - last)
            except OSError:
                self._offset = 0

    def read(self) -> list[str]:
        """Lines that were finished since the last call; empty where there are none."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(PIECE)
        except OSError:
            return []
        if not data:
            return []
        self._offset += len(data)
        # "\n" only: splitlines would also cut at form feeds and other rarities within a line.
        *lines, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        # What a carriage return overwrote is gone.
        return [line.rstrip("\r").rsplit("\r", 1)[-1] for line in lines]

    def read_all(self) -> list[str]:
        """Every line up to the file's end, the unfinished last one included."""
        lines: list[str] = []
        while piece := self.read():
            lines += piece
        if self._rest:
            lines.append(self._rest)
        return lines
