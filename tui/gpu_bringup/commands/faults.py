"""Last resorts of the command line: faults of this program, closed or full outputs.

Only the standard library's lightest parts are imported: every command pays for this module.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys

from gpu_bringup import __version__
from gpu_bringup.errors import BringupError, ExitCode, HostError

TYPE_CHECKING = False  # typing itself costs more than the rest of this module

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


def unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A fault of this program: a report in a file, a sentence on the screen, never a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        stopped()
        return
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(kind, error, trace))
    where = "it could not be written down: no folder can be written"
    try:
        handle, path = tempfile.mkstemp(prefix="gpu-bringup-fault-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(f"gpu-bringup {__version__}\n{text}")
        where = f"details are in {path}"
    except OSError:
        pass
    print(
        f"gpu-bringup: an unexpected fault of this program ({kind.__name__}: {error}); {where}.\n"
        "  A run that was started goes on by itself and is written in its journal.\n"
        "  Please report it with that file.",
        file=sys.stderr,
    )


def catch_in_threads() -> None:
    """``unexpected`` for the threads of this process as well; call it once."""
    import threading

    def report(fault: threading.ExceptHookArgs) -> None:
        if fault.exc_value is not None and not issubclass(fault.exc_type, SystemExit):
            unexpected(fault.exc_type, fault.exc_value, fault.exc_traceback)

    threading.excepthook = report


def stopped() -> None:
    """The words for Ctrl-C."""
    print("\ngpu-bringup: stopped by you.", file=sys.stderr)


def prepare_streams() -> None:
    """Make standard input and outputs safe to use, however this program was started.

    Where one is closed (cron jobs, ``>&-``) it becomes the null device: Python leaves None there,
    and the next file that is opened would get its number. What the output's encoding lacks is
    shown as "?", since half a report is worse than a report with question marks; the same for junk
    in the input.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def give_up(stream: TextIO) -> None:
    """Nothing can be written to this stream any more: stop Python from trying again at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def flush() -> None:
    """Write what is left in standard output, while its errors can still be told.

    Raises:
        OSError: it can't be written (closed pipe, full disk).
    """
    sys.stdout.flush()


def nobody_reads() -> int:
    """A closed pipe (``| head -1``) before the end: no words, and no claim that all is well."""
    give_up(sys.stdout)
    return int(ExitCode.FAILED)


def no_space(error: OSError) -> BringupError | None:
    """The message for a full disk that no deeper place has words for; None: it is something else."""
    if error.errno not in _NO_SPACE:
        return None
    what = str(error.filename) if error.filename else "the output of this command"
    if not error.filename:
        give_up(sys.stdout)
    return HostError(
        f"{what} could not be written: no space is left on its file system",
        meaning="What was written is not complete.",
        hint="df -h shows which file system is full. Free some space, then try again.",
    )
