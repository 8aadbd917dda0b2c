"""Where the training keeps its files, and how it writes them: whole or not at all, for their owner alone."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.errors import HostError, InputError
from gpu_bringup.paths import state_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPERATOR = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def training_folder() -> Path:
    """The folder of all that the training keeps (not created here)."""
    return state_folder() / "training"


def operator_name(given: str = "") -> str:
    """Who practises: the name given, else the user (behind sudo the one who called it).

    Raises:
        InputError: the name can't be the name of a file.
    """
    name = given or os.environ.get("SUDO_USER") or _login()
    if not _OPERATOR.fullmatch(name):
        raise InputError(
            f"{name[:80]!r} can't be used as a name",
            file="--operator",
            hint="Letters, digits, dots, hyphens; 64 of them at the most.",
        )
    return name


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A user id without a name, as in many containers.
        return f"uid-{os.getuid()}"


def private_folder(path: Path) -> Path:
    """The folder, made for its owner alone where it isn't there.

    Raises:
        HostError: it can't be made.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(path, error) from error
    return path


def unwritable(path: Path, error: OSError) -> HostError:
    """What to tell where the training can't keep its files."""
    return HostError(
        f"{path} can't be written: {error.strerror}",
        meaning="The training can't keep what you do. This server's driver was not touched.",
        hint="Make room there, or set GPU_BRINGUP_STATE to a folder of yours.",
    )


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Replace a file in one go, mode 0600.

    Raises:
        HostError: it can't be written; the old one is still there then.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    folder = private_folder(path.parent)
    name = ""
    try:
        # mkstemp makes it 0600, and never through a link that somebody laid there.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as error:
        if name:
            with suppress(OSError):
                Path(name).unlink()
        raise unwritable(path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone with a file among this program's processes: two terminals take turns.

    Raises:
        HostError: the lock can't be made.
    """
    folder = private_folder(path.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / f".{path.name}.lock", flags, 0o600)
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
