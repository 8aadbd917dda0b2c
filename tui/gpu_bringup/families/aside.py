"""Files in the way that no package owns: kept, named, never removed.

The moving is a POSIX script that travels with the plan, as the fetching of keys does: an exported
plan works on a server that has no gpu-bringup. It refuses what a package owns.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.families.base import Change
from gpu_bringup.families.repository import STAGE
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

MOVE_ASIDE = f"{STAGE}/bin/move-aside.sh"
_LDCONFIG = Command(("ldconfig",))


@lru_cache(maxsize=1)
def move_aside_script() -> str:
    """Text of scripts/move-aside.sh."""
    return data_folder("scripts").joinpath("move-aside.sh").read_text(encoding="utf-8")


def _aside(*words: str) -> Command:
    return Command(("sh", MOVE_ASIDE, *words))


def _write() -> tuple[Write, ...]:
    return (Write(MOVE_ASIDE, move_aside_script(), 0o755),)


def move_libraries(paths: Sequence[str]) -> Change:
    """Move shared libraries that no package owns out of the linker's way."""
    return Change(
        writes=_write(),
        commands=(_aside("files", *paths), _LDCONFIG),
        undo=(_aside("back", *paths), _LDCONFIG),
    )


def leave_library_folder(folder: str) -> Change:
    """Take a folder (of stubs) out of the linker's configuration."""
    return Change(writes=_write(), commands=(_aside("library-folder", folder), _LDCONFIG))


def move_files(paths: Sequence[str], after: Sequence[Command] = ()) -> Change:
    """Move files that no package owns out of the way; ``after``: commands that make it count."""
    return Change(
        writes=_write(),
        commands=(_aside("files", *paths), *after),
        undo=(_aside("back", *paths), *after),
    )
