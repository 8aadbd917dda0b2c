"""What can go wrong, as one small tree of exceptions, and the exit status each one means.

Every error says what happened, what it means for the server, and what to do next. ``cli.main``
turns each into one message on standard error; a traceback never reaches an operator.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit statuses of every command (fixed; scripts rely on them)."""

    OK = 0
    FAILED = 1
    BAD_INPUT = 2
    REBOOT_NEEDED = 3
    REFUSED = 4


class BringupError(Exception):
    """Base of all errors shown to an operator.

    Args:
        message: what happened, in one sentence.
        meaning: what it means for this server (often: "Nothing was changed.").
        hint: what to do next.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, meaning: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.meaning = meaning
        self.hint = hint

    def __str__(self) -> str:
        return "\n".join(part for part in (self.message, self.meaning, self.hint) if part)


class InputError(BringupError):
    """A file or an argument given by the operator can't be used; names the file and the place."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(
        self, message: str, *, file: str = "", place: str = "", meaning: str = "", hint: str = ""
    ) -> None:
        where = ": ".join(part for part in (file, place) if part)
        super().__init__(f"{where}: {message}" if where else message, meaning=meaning, hint=hint)
        self.file = file
        self.place = place


class HostError(BringupError):
    """The machine can't be asked or can't do what was wanted of it."""


class ReadOnlyHostError(HostError):
    """A recorded host was asked to do something; it can only be looked at."""

    exit_code = ExitCode.REFUSED


class RefusedError(BringupError):
    """Going on would be unsafe, or this host isn't supported."""

    exit_code = ExitCode.REFUSED


class RunLockedError(BringupError):
    """Another run holds the lock of this host."""

    exit_code = ExitCode.REFUSED


class StepFailed(BringupError):
    """A step of a plan failed; the journal and its log say where."""
