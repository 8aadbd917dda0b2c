"""What a command prints: kept in its log file, and looked at for what the operator should be told.

The patterns are the English messages of apt (apt-pkg/deb/debsystem.cc, methods/http.cc and
connect.cc), dnf, zypper and curl; commands run with LC_ALL=C.UTF-8 so that they are English.
"""

from __future__ import annotations

import os
import re
from collections import deque
from typing import TYPE_CHECKING

from gpu_bringup.hosts.lines import strip_colours

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_TAIL = 400

_TRANSIENT = re.compile(
    r"""
    Temporary\ failure\ (?:in\ name\ resolution|resolving)
  | Could\ not\ resolve\ (?:host|'|proxy) | Could\ not\ connect\ to | Connection\ (?:timed\ out|refused|reset)
  | Connection\ failed | Unable\ to\ connect\ to | Network\ is\ unreachable | No\ route\ to\ host
  | Operation\ timed\ out | Timeout\ was\ reached | timed\ out\ after
  | Failed\ to\ fetch\ .*\ 5\d\d\b | \b(?:500|502|503|504)\ +(?:Internal|Bad|Service|Gateway|Backend)
  | Hash\ Sum\ mismatch | File\ has\ unexpected\ size | Mirror\ sync\ in\ progress
  | Failed\ to\ download\ metadata\ for\ repo | Cannot\ download\ repomd\.xml
  | All\ mirrors\ were\ (?:already\ )?tried | Status\ code:\ 5\d\d\b
  | Curl\ error\ \((?:5|6|7|18|28|52|55|56)\)
  | Error\ reading\ from\ server | The\ TLS\ connection\ was\ non-properly\ terminated
    """,
    re.VERBOSE,
)
_WAITING = (
    # apt >= 1.9.11, DPkg::Lock::Timeout; repeated on the same line while the seconds count.
    re.compile(
        r"Waiting for cache lock: .*?(?P<file>/\S+?)\. It is held by process (?P<pid>\d+)"
        r"(?: \((?P<name>[^)]+)\))?"
    ),
    re.compile(r"Waiting for process with pid (?P<pid>\d+) to finish"),  # dnf
    re.compile(r"System management is locked by the application with pid (?P<pid>\d+)"
               r"(?: \((?P<name>[^)]+)\))?"),
)  # fmt: skip


def transient_error(lines: Iterable[str]) -> str:
    """The last line that shows a failure of the network that may pass; empty: there is none."""
    for line in reversed(tuple(lines)):
        if _TRANSIENT.search(line):
            return line.strip()
    return ""


# dpkg (lib/dpkg/dbmodify.c, lockdb.c); apt (apt-pkg/deb/debsystem.cc); zypper (ZYPP_LOCKED).
_LOCKED = re.compile(
    r"lock was locked by .*process"
    r"|Could not get lock /\S+|Unable to acquire the dpkg frontend lock"
    r"|System management is locked by the application"
)


def locked_error(lines: Iterable[str]) -> str:
    """The last line that says that another program has the package database; empty: none does."""
    for line in reversed(tuple(lines)):
        if _LOCKED.search(line):
            return line.strip()
    return ""


def waiting_for(line: str) -> str:
    """Who holds the package database's lock, in words; empty: nobody, as far as this line tells."""
    if "ait" not in line and "locked by" not in line:
        return ""
    for pattern in _WAITING:
        match = pattern.search(line)
        if match:
            name = match.groupdict().get("name") or "another package manager"
            return f"{name} (process {match['pid']}) holds the package database's lock"
    return ""


class CommandLog:
    """The log of one command; of its end something is kept to be looked at.

    A log that can't be written (full disk) doesn't stop the command: stopping a package manager
    halfway is worse. ``problem`` then says what happened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self.problem = ""
        self._descriptor: int | None = None
        try:
            path.parent.mkdir(mode=0o755, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o644)
        except OSError as error:
            self.problem = f"{path}: {error.strerror}"

    def add(self, lines: Iterable[str]) -> None:
        """Append lines, colours and all."""
        lines = tuple(lines)
        self.tail.extend(strip_colours(line) for line in lines[-_TAIL:])
        if self._descriptor is None or self.problem:
            return
        data = ("\n".join(lines) + "\n").encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror}"

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
