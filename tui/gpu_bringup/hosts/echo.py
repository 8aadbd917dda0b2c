"""Takes the echo of an answer out of what a terminal gives back. Pure, but for the clock."""

from __future__ import annotations

import time

_EXPECTED_SECONDS = 3.0


class EchoFilter:
    """Between the terminal's bytes and whoever keeps them."""

    def __init__(self) -> None:
        self._expected = b""
        self._until = 0.0
        self._kept = b""

    @property
    def overdue(self) -> bool:
        """Are bytes held back for an echo that hasn't come?"""
        return bool(self._kept) and time.monotonic() > self._until

    def expect(self, answer: str) -> None:
        """The terminal may echo this answer and the Enter behind it soon."""
        self._expected = answer.encode() + b"\r\n" if answer else b""
        self._until = time.monotonic() + _EXPECTED_SECONDS

    def without(self, data: bytes) -> bytes:
        """``data`` without the echo; its end is held back where an echo may begin there."""
        data, self._kept = self._kept + data, b""
        if not self._expected:
            return data
        start = data.find(self._expected)
        if start >= 0:
            end = start + len(self._expected)
            self._expected = b""
            return data[:start] + b"\r\n" + data[end:]
        if time.monotonic() > self._until:
            self._expected = b""
            return data
        for size in range(min(len(data), len(self._expected) - 1), 0, -1):
            if data.endswith(self._expected[:size]):
                self._kept = data[-size:]
                return data[:-size]
        return data

    def release(self) -> bytes:
        """The bytes that were held back, because no echo comes any more."""
        data, self._kept = self._kept, b""
        return data
