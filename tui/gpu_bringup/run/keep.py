"""Keeps what a file was before a step replaces it, so that the step can be taken back."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.errors import HostError
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.plan import Plan, Write

FOLDER = "backup"
LIST = "undo-files"
"""The kept files for ``undo.sh``: step, mode, owner, copy ("-": there was no file), path a line."""


def as_wanted(host: Host, write: Write) -> bool:
    """Is the file there already, with this content and this mode?"""
    size = len(write.content.encode(errors="surrogateescape"))
    if host.read_text(write.path, limit=size + 1) != write.content:
        return False
    return host.kind != "local" or _mode(Path(write.path)) == mode_for(host, write)


def mode_for(host: Host, write: Write) -> int:
    """The mode that the written file gets: what the file there forbids to others stays forbidden.

    Such a file may hold passwords (of a proxy, an archive), and so does its edited text.
    """
    if write.exact or host.kind != "local":
        return write.mode
    try:
        there = stat.S_IMODE(Path(write.path).stat().st_mode)
    except OSError:
        return write.mode
    return write.mode & (there | stat.S_IRWXU)


def with_modes(host: Host, plan: Plan) -> Plan:
    """The plan with the modes that its files will have on this host now."""
    steps = (
        replace(
            step,
            writes=tuple(replace(write, mode=mode_for(host, write)) for write in step.writes),
        )
        for step in plan.steps
    )
    return replace(plan, steps=tuple(steps))


def keep(host: Host, path: str, folder: Path, step: str = "") -> tuple[str, int]:
    """Copy the file that is at ``path`` into the run's folder, before ``step`` replaces it.

    Returns:
        (path of the copy, mode of the file); ("", 0) where there is no file.

    Raises:
        HostError: it can't be read or copied. Then it must not be replaced.
    """
    if "\n" in path:
        raise HostError(f"{path!r} can't be kept for undo: its name has a line break in it")
    try:
        if host.kind == "local":
            content = _content(path)
            if content is None:
                _note(folder, step, 0, "0:0", "-", path)
                return "", 0
            mode = _mode(Path(path))
        else:
            text = host.read_text(path)
            if text is None:
                return "", 0
            if isinstance(text, Unknown):
                raise HostError(f"{path} can't be kept for undo: {text.reason}")
            content, mode = text.encode(), 0o644
        copy = _store(folder / FOLDER, Path(path).name, content)
        if host.kind == "local":
            there = Path(path).stat()
            _note(folder, step, mode, f"{there.st_uid}:{there.st_gid}", copy.name, path)
        return str(copy), mode
    except OSError as error:
        raise HostError(
            f"{path} can't be kept for undo: {error.strerror}",
            meaning="So it was not replaced.",
            hint="df -h shows whether a disk is full.",
        ) from error


def _content(path: str) -> bytes | None:
    """What a regular file holds; None: there is nothing of that name.

    Raises:
        HostError: it is something else, whose reading could block or which leads elsewhere.
        OSError: it can't be read.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        status = Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(status.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "no regular file"
        raise HostError(
            f"{path} is {kind}, so it is not replaced",
            meaning="Nothing was changed.",
            hint="Look what it is and who put it there; move it away if it isn't wanted.",
        )
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read()


def _note(folder: Path, step: str, mode: int, owner: str, copy: str, path: str) -> None:
    """Add a line to the list that the plain undo script reads."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(folder / LIST, flags, 0o600)
    try:
        line = "\t".join((step, f"{mode:o}", owner, copy, path)) + "\n"
        os.write(descriptor, line.encode(errors="surrogateescape"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0


def _store(folder: Path, name: str, content: bytes) -> Path:
    # Old files may be private (keys, passwords of a proxy): only this user sees the copies.
    folder.mkdir(mode=0o700, exist_ok=True)
    number = sum(1 for _ in folder.iterdir()) + 1
    copy = folder / f"{number:04d}-{name}"
    descriptor = os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return copy
