"""What files that are no text say of this machine, as JSON values that a record can hold."""

from __future__ import annotations

from typing import Any

from gpu_bringup.hosts import files
from gpu_bringup.model.unknown import Fact, Unknown

KINDS = ("initramfs", "dnf-history")


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
