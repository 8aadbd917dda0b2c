"""Reading and replacing files of this machine without blocking, and what its errors mean.

Nothing here follows a surprise: only regular files are read (a FIFO or a device could block or have
side effects), and a file is replaced whole, never written through a symbolic link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gpu_bringup.errors import HostError
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors that say: there is no such thing here."""

_CHUNK = 1 << 18
_HALF = ".gpu-bringup~"
"""How the name of a file ends that isn't in its place yet."""
_PREVIOUS_LIMIT = 64 << 20


def why(error: OSError, path: str) -> str:
    """The reason that an operator reads for a fact that couldn't be had."""
    if error.errno in (errno.EACCES, errno.EPERM):
        if os.geteuid() == 0:
            return f"{path} may not be read, not even by root"
        return f"reading {path} needs root"
    if error.errno in (errno.ENODEV, errno.ENXIO):
        return f"{path} went away while it was read"
    if error.errno == errno.EIO:
        return f"{path} gave an input/output error: the device or driver behind it did not answer"
    if error.errno == errno.EAGAIN:
        return f"{path} has nothing to read now"
    return f"{path} could not be read: {os.strerror(error.errno or 0)}"


def answer(path: str, question: Callable[[], T]) -> Fact[T | None]:
    """What ``question`` returns; None where nothing is there, Unknown where that can't be told."""
    try:
        return question()
    except ValueError:
        # A NUL byte in a path: there can be no such file.
        return None
    except OSError as error:
        return None if error.errno in ABSENT else Unknown(why(error, path))


def read_bytes(path: str, limit: int) -> Fact[bytes | None]:
    """At most ``limit`` bytes of a regular file (sysfs and procfs files count as regular)."""

    def question() -> Fact[bytes | None]:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        if kind == stat.S_IFDIR:
            return None
        if kind != stat.S_IFREG:
            return Unknown(f"{path} is no regular file, so it was not opened")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
        descriptor = os.open(path, flags)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return Unknown(f"{path} changed while it was opened")
            chunks: list[bytes] = []
            left = limit
            while left > 0:
                chunk = os.read(descriptor, min(_CHUNK, left))
                if not chunk:
                    break
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)
        finally:
            os.close(descriptor)

    return answer(path, question)


def within(seconds: float, path: str, question: Callable[[], Fact[T]]) -> Fact[T]:
    """Ask in a thread that may be left behind: some files of a sick driver never answer."""
    box: list[Fact[T]] = []
    thread = threading.Thread(target=lambda: box.append(question()), daemon=True)
    thread.start()
    thread.join(seconds)
    return box[0] if box else Unknown(f"{path} did not answer within {seconds:g} s")


def list_names(path: str) -> Fact[tuple[str, ...] | None]:
    """Names in a folder, sorted; bytes that are no UTF-8 are replaced."""

    def question() -> tuple[str, ...]:
        with os.scandir(path) as entries:
            return tuple(sorted(printable(entry.name) for entry in entries))

    return answer(path, question)


def link_text(path: str) -> Fact[str | None]:
    """What a symbolic link says; None where there is none."""

    def question() -> str | None:
        try:
            return printable(str(Path(path).readlink()))
        except OSError as error:
            if error.errno == errno.EINVAL:
                return None
            raise

    return answer(path, question)


def printable(name: str) -> str:
    """A name from the file system with undecodable bytes replaced."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def _write_error(path: str, error: OSError) -> HostError:
    unchanged = "Nothing was changed."
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HostError(
            f"{path} could not be written: no space is left on its file system",
            meaning=unchanged,
            hint=f"Free some space (df -h {Path(path).parent}), then try again.",
        )
    if error.errno == errno.EROFS:
        return HostError(
            f"{path} could not be written: its file system is mounted read-only",
            meaning=unchanged,
            hint="See 'findmnt -T' for that folder and the kernel's log: "
            "disk errors also turn a file system read-only.",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return HostError(
            f"{path} could not be written: permission denied",
            meaning=unchanged,
            hint="Run as root. Where root is refused too, look for an immutable flag (lsattr).",
        )
    return HostError(
        f"{path} could not be written: {os.strerror(error.errno or 0)}", meaning=unchanged
    )


def _not_a_file(path: str, mode: int) -> HostError:
    if stat.S_ISLNK(mode):
        target = printable(str(Path(path).readlink()))
        return HostError(
            f"{path} is a symbolic link to {target}",
            meaning="Replacing it would cut that link, writing through it would change a file "
            "that was not named. Nothing was changed.",
            hint="Name the real file, or remove the link first.",
        )
    return HostError(f"{path} is no regular file", meaning="Nothing was changed.")


def _previous(folder: int, name: str, path: str) -> tuple[str | None, os.stat_result | None]:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None, None
    if not stat.S_ISREG(status.st_mode):
        raise _not_a_file(path, status.st_mode)
    if status.st_size > _PREVIOUS_LIMIT:
        raise HostError(f"{path} is too large to be kept for undo", meaning="Nothing was changed.")
    descriptor = os.open(
        name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder
    )
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="surrogateescape"), status


def _copy_label(path: str, descriptor: int) -> None:
    # A SELinux label belongs to the name, and a new file would get the folder's default.
    with contextlib.suppress(OSError):
        os.setxattr(descriptor, "security.selinux", os.getxattr(path, "security.selinux"))


def replace_file(path: str, content: str, mode: int) -> str | None:
    """Put ``content`` in place of the file at ``path``, wholly or not at all.

    A missing folder is made (mode 0755). The new file has exactly ``mode``; it keeps the owner of
    the file it replaces. Bytes that are no UTF-8 come back as surrogates, so that writing what was
    returned restores the file byte by byte.

    Returns:
        The text that was there, or None.

    Raises:
        HostError: it could not be written; nothing was changed.
    """
    target = Path(path)
    try:
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _write_error(path, error) from error
    try:
        return _replace_in(folder, target.name, path, content, mode)
    except OSError as error:
        raise _write_error(path, error) from error
    finally:
        os.close(folder)


def _sweep(folder: int, name: str) -> None:
    """Remove what a process that was killed in the middle of ``_replace_in`` left of this file."""
    for entry in os.listdir(folder):
        if entry.startswith(f".{name}.") and entry.endswith(_HALF):
            writer = entry[len(name) + 2 :].partition(".")[0]
            if writer.isdigit() and not Path(f"/proc/{writer}").exists():
                with contextlib.suppress(OSError):
                    os.unlink(entry, dir_fd=folder)


def _replace_in(folder: int, name: str, path: str, content: str, mode: int) -> str | None:
    previous, status = _previous(folder, name, path)
    # The name has a dot first and no known ending: apt, modprobe and cron read no such file.
    _sweep(folder, name)
    temporary = f".{name}.{os.getpid()}.{threading.get_ident()}{_HALF}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode(errors="surrogateescape"))
            file.flush()
            if status is not None:
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, status.st_uid, status.st_gid)
                _copy_label(path, descriptor)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary, dir_fd=folder)
        raise
    # The new file is in place by now; where a folder can't be synced there is nothing to take back.
    with contextlib.suppress(OSError):
        os.fsync(folder)
    return previous


def remove(path: str) -> None:
    """Remove a file or a symbolic link itself; no error where there is none.

    Raises:
        HostError: it could not be removed, or it is a folder.
    """
    target = Path(path)
    try:
        if stat.S_ISDIR(target.lstat().st_mode):
            raise HostError(f"{path} is a folder, not a file", meaning="Nothing was changed.")
        target.unlink()
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise _write_error(path, error) from error
    with contextlib.suppress(OSError):
        os.fsync(folder)
    os.close(folder)
