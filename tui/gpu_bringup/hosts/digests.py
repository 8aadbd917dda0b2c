"""What files that are no text say of this machine, as JSON values that a record can hold."""

from __future__ import annotations

import lzma
import zlib
from pathlib import Path
from typing import Any

from gpu_bringup.hosts import files
from gpu_bringup.model.unknown import Fact, Unknown

KINDS = ("initramfs", "dnf-history", "log", "modified", "keys", "access")
_LOG_LIMIT = 16_000_000
"""Bytes of a packed log, and of its text, that are read."""


def digest(kind: str, path: str, programs: str) -> Fact[dict[str, Any] | None]:
    """What the file says; None where there is none.

    Args:
        kind: one of ``KINDS``: how the file is to be read.
        path: the file.
        programs: PATH for the programs that unpack it.

    Raises:
        KeyError: no such kind.
    """
    if kind not in KINDS:
        raise KeyError(kind)
    return files.answer(path, lambda: _read(kind, path, programs))


def _read(kind: str, path: str, programs: str) -> Any:
    # Imported here: a plain look needs neither the decompressors nor a database.
    if kind == "log":
        return _log(path)
    if kind == "modified":
        status = Path(path).stat()
        return {"time": status.st_mtime, "inode": status.st_ino}
    if kind == "access":
        from gpu_bringup.hosts.access import access

        return access(path)
    if kind == "keys":
        from gpu_bringup.hosts.openpgp import KeyringError, read_keys

        try:
            return {"keys": read_keys(Path(path).read_bytes())}
        except KeyringError as error:
            return Unknown(f"{path}: {error}")
    if kind == "initramfs":
        from gpu_bringup.hosts.initramfs import InitramfsError, read_initramfs

        try:
            return read_initramfs(path, programs)
        except InitramfsError as error:
            return Unknown(f"{path}: {error}")
    from gpu_bringup.hosts.package_history import HistoryError, read_history

    try:
        return read_history(path)
    except HistoryError as error:
        return Unknown(f"{path}: {error}")


def _log(path: str) -> Any:
    """A rotated log packed with gzip or xz: {"text", "whole"}; what a cut-off one still holds."""
    data = files.read_bytes(path, _LOG_LIMIT)
    if not isinstance(data, bytes):
        return data
    pieces: list[bytes] = []
    whole = True
    while data:
        unpacker: Any
        if data.startswith(b"\x1f\x8b"):
            unpacker = zlib.decompressobj(31)
        elif data.startswith(b"\xfd7zXZ"):
            unpacker = lzma.LZMADecompressor()
        else:
            break
        try:
            pieces.append(unpacker.decompress(data, _LOG_LIMIT))
        except (zlib.error, lzma.LZMAError):
            whole = False
            break
        whole = unpacker.eof
        data = unpacker.unused_data
    if not pieces:
        return Unknown(f"{path} is packed in a way that is not known here")
    return {"text": b"".join(pieces).decode(errors="replace"), "whole": whole}
