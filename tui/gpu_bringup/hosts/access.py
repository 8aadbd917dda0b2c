"""Who may read or change a file that root alone should: its mode, its owner, every folder on the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

_SYSTEM = ("root", "akmods")
"""Owners and groups that a key may have: akmods builds and signs as a user of its own (akmods(1))."""


def access(path: str) -> dict[str, Any]:
    """What others than root may do with the file at the end of ``path``.

    Returns:
        "readable" and "writable" (bool); "folder": the first folder on the way, links followed, that
        others may write to (empty: none); "mode" (octal digits) and "owner" ("UID:GID") as they are.
        POSIX modes only: an access list shows in the group's bits.

    Raises:
        OSError: it can't be looked at.
    """
    status = Path(path).stat()
    foreign = not _system(status.st_uid, user=True)
    group = not _system(status.st_gid, user=False)
    mode = status.st_mode
    return {
        "readable": foreign or bool(mode & stat.S_IROTH or (group and mode & stat.S_IRGRP)),
        "writable": foreign or _written(status),
        "folder": _folder(path),
        "mode": f"{stat.S_IMODE(mode):04o}",
        "owner": f"{status.st_uid}:{status.st_gid}",
    }


def _written(status: os.stat_result) -> bool:
    group = not _system(status.st_gid, user=False)
    return bool(status.st_mode & stat.S_IWOTH or (group and status.st_mode & stat.S_IWGRP))


def _folder(path: str) -> str:
    ways = (Path.cwd() / path, Path(path).resolve())
    for folder in dict.fromkeys(folder for way in ways for folder in reversed(way.parents)):
        status = folder.stat()
        if not _system(status.st_uid, user=True) or _written(status):
            return str(folder)
    return ""


def _system(number: int, *, user: bool) -> bool:
    if number == 0:
        return True
    # Asked only where it isn't root: a name service may be slow.
    import grp
    import pwd

    try:
        name = pwd.getpwuid(number).pw_name if user else grp.getgrgid(number).gr_name
    except KeyError:
        return False
    return name in _SYSTEM
