"""Who works on the package database now: asked without taking a lock, so that nobody is disturbed.

dpkg and apt lock with fcntl(2) (apt-pkg/contrib/fileutl.cc GetLock, dpkg's dbmodify.c), and F_GETLK
tells the process that holds such a lock. zypper writes its process id into /run/zypp.pid. dnf and rpm
wait by themselves and say for whom.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
_ZYPPER = "/run/zypp.pid"
_APT = frozenset({"apt", "apt-get", "apt-mark", "aptitude", "dpkg", "dpkg-reconfigure"})
_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux: type, whence, start, length, process id."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that works on the package database."""

    pid: int
    """0: a process that can't be seen from here (another container)."""
    name: str
    """As the kernel knows it (15 characters at most); empty: not known."""
    since: str
    """When it was started, local time ("2026-11-22 22:04:11"); empty: not known."""
    file: str
    """The lock."""

    @property
    def words(self) -> str:
        """Who it is, for a screen."""
        if not self.pid:
            return "a process outside of this container"
        name = self.name or "another program"
        since = f", since {self.since}" if self.since else ""
        return f"{name} (process {self.pid}{since})"


def needs_lock(program: str) -> bool:
    """Does this program need the package database to itself, and fail where it is locked?"""
    name = program.rsplit("/", 1)[-1]
    return name in _APT or name == "zypper"


def holder(program: str) -> Holder | None:
    """Who keeps ``program`` from the package database just now; None: nobody that can be seen."""
    name = program.rsplit("/", 1)[-1]
    if name in _APT:
        for path in _DEBIAN:
            pid = _locked_by(path)
            if pid is not None:
                return _about(pid, path)
    elif name == "zypper":
        with contextlib.suppress(OSError, ValueError):
            pid = int(Path(_ZYPPER).read_text("utf-8").strip())
            if Path(f"/proc/{pid}").exists():
                return _about(pid, _ZYPPER)
    return None


def _locked_by(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        # No such lock, or it may not be looked at: the program itself will tell.
        return None
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None if kind == fcntl.F_UNLCK else int(pid)


def _about(pid: int, file: str) -> Holder:
    name, since = "", ""
    with contextlib.suppress(OSError, ValueError, IndexError):
        name = Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip()
        since = started_at(pid)
    return Holder(pid, name, since, file)


def started_at(pid: int) -> str:
    """When a process was started, local time.

    Raises:
        OSError, ValueError, IndexError: it is gone or can't be read.
    """
    ticks = int(_fields(pid)[19])
    boot = next(
        int(line.split()[1])
        for line in Path("/proc/stat").read_text("utf-8").splitlines()
        if line.startswith("btime ")
    )
    begun = boot + ticks / os.sysconf("SC_CLK_TCK")
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(begun))


def _fields(pid: int | str) -> list[str]:
    # The name may hold spaces and brackets; what follows its last bracket is regular: proc(5).
    return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def in_session(session: int) -> tuple[tuple[int, str], ...]:
    """(process id, name) of every living process of a session; zombies don't count."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = _fields(entry.name)
            if int(fields[3]) == session and fields[0] not in ("Z", "X"):
                name = (entry / "comm").read_text("utf-8", "replace").strip()
                found.append((int(entry.name), name))
    return tuple(sorted(found))
