"""Root writes only where nobody else can lay something in its way.

A folder that another user may write to can hold a symbolic link under any name that root is about to
write. The usual folders below /var are root's; one that was named (GPU_BRINGUP_STATE, a request through
sudo) is looked at, with every folder above it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gpu_bringup.errors import RefusedError


def _trusted_users() -> frozenset[int]:
    """root, and the operator who became root through sudo: who may do all that root may."""
    operator = os.environ.get("SUDO_UID", "")
    return frozenset({0, int(operator)} if operator.isdigit() else {0})


def why_untrusted(folder: Path) -> str:
    """Who else could lay something into the folder's way, as words; empty: nobody.

    Folders that are not there yet are passed over: whoever makes them asks again.
    """
    users = _trusted_users()
    path = folder.absolute()
    for part in (*reversed(path.parents), path):
        try:
            found = part.lstat()
        except OSError:
            return ""
        if found.st_uid not in users:
            return f"{part} belongs to the user with the number {found.st_uid}"
        if stat.S_ISLNK(found.st_mode):
            # Root's own (or the operator's); what it leads to is looked at like any folder.
            told = why_untrusted(part.parent / part.readlink())
            if told:
                return told
            continue
        others = found.st_mode & stat.S_IWOTH
        # In a sticky folder (/tmp) nobody renames what is another's; but anybody may make new names.
        if others and (part == path or not found.st_mode & stat.S_ISVTX):
            return f"every user may write to {part}"
        private = found.st_gid in (0, found.st_uid)  # a group of one: the owner's own
        if found.st_mode & stat.S_IWGRP and not private and not found.st_mode & stat.S_ISVTX:
            return f"the group with the number {found.st_gid} may write to {part}"
    return ""


def refuse_untrusted(folder: Path) -> None:
    """As root: is this folder root's alone, with all above it? Others keep their files where they like.

    Raises:
        RefusedError: it isn't; says why.
    """
    if os.geteuid() != 0:
        return
    told = why_untrusted(folder)
    if told:
        raise RefusedError(
            f"root keeps nothing in {folder}: {told}",
            meaning="Somebody could make root write to another file. Nothing was changed.",
            hint="Unset GPU_BRINGUP_STATE, or name a folder that belongs to root alone.",
        )
