"""A serial console as a person sees it: keys go in, a picture of 24 lines comes out.

Everything that arrives is kept raw in a log; the pictures that a scenario takes are text files.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import pexpect
import pyte

COLUMNS, LINES = 80, 24
KEYS = {"up": "\x1b[A", "down": "\x1b[B", "enter": "\r", "escape": "\x1b", "tab": "\t"}


class Missed(Exception):
    """What was waited for did not come; says what was on the screen instead."""


class Console:
    """The serial line of a running QEMU.

    Args:
        child: QEMU with its serial line on standard input and output.
        folder: where ``serial.log`` and the pictures are kept.
        patience: factor for every time-out: how much slower than alone on its host the machine is.
    """

    def __init__(self, child: pexpect.spawn, folder: Path, patience: float = 1.0) -> None:
        self.child = child
        self.patience = patience
        self._pictures = folder / "screens"
        self._pictures.mkdir(exist_ok=True)
        self._log = (folder / "serial.log").open("ab")
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        # The firmware draws on a larger screen, with the box characters of code page 437.
        self.firmware = pyte.Screen(COLUMNS, 50)
        self._firmware_stream = pyte.Stream(self.firmware)
        self._tail = b""
        child.logfile_read = self

    def write(self, data: bytes) -> None:
        """What pexpect has read."""
        self._log.write(data)
        # pyte would draw the last letter of a question that terminals answer (DECRQM).
        plain = re.sub(rb"\x1b\[\?\d+\$p", b"", data)
        # It ends at a sequence that a kernel message has torn: the rest is drawn by a new one.
        try:
            self._stream.feed(plain)
        except TypeError:
            self._stream = pyte.ByteStream(self.screen)
        try:
            self._firmware_stream.feed(data.decode("cp437"))
        except TypeError:
            self._firmware_stream = pyte.Stream(self.firmware)
        self._tail = (self._tail + data)[-200_000:]

    def flush(self) -> None:
        """Part of what pexpect wants of a log."""
        self._log.flush()

    def read(self, seconds: float) -> None:
        """Take in what comes within that time.

        Raises:
            Missed: QEMU has ended.
        """
        if self.child.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=seconds) == 1:
            raise Missed("QEMU has ended:\n" + self._tail[-2000:].decode("utf-8", "replace"))

    def text(self, firmware: bool = False) -> str:
        """The picture as it is now."""
        screen = self.firmware if firmware else self.screen
        return "\n".join(line.rstrip() for line in screen.display)

    def wait(
        self, pattern: str, seconds: float, *, firmware: bool = False, still: bool = True
    ) -> str:
        """Wait until the picture shows this; returns what matched.

        ``still``: it must also have stood for a moment, so that keys meet a finished picture.

        Raises:
            Missed: not within that time.
        """
        seconds *= self.patience
        end = time.monotonic() + seconds
        while True:
            self.read(0.2)
            found = re.search(pattern, self.text(firmware), re.MULTILINE)
            if found and still:
                before = self.text(firmware)
                self.read(0.4)
                found = found if self.text(firmware) == before else None
            if found:
                return found[0]
            if time.monotonic() > end:
                raise Missed(f"not seen within {seconds:.0f} s: {pattern}\n{self.text(firmware)}")

    def stream(self, pattern: str, seconds: float) -> re.Match[bytes]:
        """Wait until these bytes come past, from now on; returns the match.

        Raises:
            Missed: not within that time, or QEMU has ended.
        """
        seconds *= self.patience
        found = self.child.expect([pattern.encode(), pexpect.TIMEOUT, pexpect.EOF], timeout=seconds)
        if found:
            why = "QEMU has ended" if found == 2 else f"not within {seconds:.0f} s"
            raise Missed(f"{why}: {pattern}\n{self._tail[-2000:].decode('utf-8', 'replace')}")
        return self.child.match

    def send(self, text: str) -> None:
        """Type this."""
        self.child.send(text)

    def press(self, *keys: str) -> None:
        """Press keys by name ("down") or character, as fast as a person would."""
        for key in keys:
            self.send(KEYS.get(key, key))
            self.read(0.3)

    def picture(self, name: str, firmware: bool = False) -> str:
        """Keep the picture as ``screens/NN-NAME.txt``; returns it."""
        text = self.text(firmware)
        number = len(list(self._pictures.iterdir())) + 1
        (self._pictures / f"{number:02}-{name}.txt").write_text(text + "\n", "utf-8")
        return text
