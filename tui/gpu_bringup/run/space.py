"""A full disk, told from what a command printed: which file system, how much is there and needed."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.plan import Step

# strerror(ENOSPC), strerror(EDQUOT); apt-get's check of its archives folder (apt-private/
# private-install.cc); the words of rpm ("needs 12MB more space on the / filesystem") and dnf ("At
# least 12MB more space needed on the / filesystem").
_FULL = re.compile(
    r"No space left on device|Disk quota exceeded|You don't have enough free space in (?P<folder>/\S+)"
    r"|(?:needs|At least) \d+[KMG]B more space (?:needed )?on the (?P<mount>/\S*) filesystem"
)
_PATH = re.compile(r"(?<![\w.-])(/(?:boot|var|usr|etc|lib|tmp|opt|run)(?:/[^\s'\",:;()`]*)?)")
_DOWNLOAD = re.compile(r"Need to get ([\d.,]+) ([kMG]?B)")
_KEEP = re.compile(r"After this operation, ([\d.,]+) ([kMG]?B) of additional disk space")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}
_USUAL = ("/var/cache/apt/archives", "/var/lib/dkms", "/var/tmp", "/tmp", "/usr/src", "/boot", "/lib/modules",
          "/var", "/usr", "/")  # fmt: skip
_REAL = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "vfat", "f2fs", "overlay", "tmpfs"}
)
_ASIDE = ("/dev", "/run", "/sys", "/proc", "/snap")
_LITTLE = 64 << 20
"""Bytes: with less than that a file system is called full where no message names one."""


def full_disk(host: Host, step: Step, lines: Iterable[str]) -> dict[str, Any] | None:
    """What is known of a full disk; None: the lines speak of none.

    Returns:
        {"path", "free_bytes", "needed_bytes", "text"}: ``path`` lies on the full file system (empty:
        not known), the bytes are None where they are not known, ``text`` says it in words.
    """
    tail = list(lines)
    shown = next((line for line in reversed(tail) if _FULL.search(line)), "")
    if not shown:
        return None
    match = _FULL.search(shown)
    assert match is not None
    named = match["folder"] or match["mount"] or ""
    candidates = [named.rstrip(".,")] if named else []
    candidates += [_folder(path) for path in _PATH.findall(shown)]
    path, free = _fullest(host, candidates)
    if not path or (free is not None and free >= _LITTLE and not named):
        # The message names a file that lies elsewhere, or none.
        path, free = _fullest(host, [*candidates, *_USUAL])
    if free is None or free >= _LITTLE:
        path, free = _fullest(host, [path or "/", *_mounted(host)])
    needed = _needed(tail, step)
    return {
        "path": path,
        "free_bytes": free,
        "needed_bytes": needed,
        "text": _words(path, free, needed),
    }


def _mounted(host: Host) -> list[str]:
    """Where file systems that hold files are mounted: proc(5)."""
    text = host.read_text("/proc/self/mounts")
    lines = text.splitlines() if isinstance(text, str) else []
    fields = [line.split() for line in lines]
    return [
        item[1]
        for item in fields
        if len(item) > 3
        and item[2] in _REAL
        and "ro" not in item[3].split(",")
        and not item[1].startswith(_ASIDE)
    ]


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _fullest(host: Host, paths: Iterable[str]) -> tuple[str, int | None]:
    best: tuple[str, int | None] = ("", None)
    for path in paths:
        place = path
        while place and host.exists(place) is not True:
            place = place.rpartition("/")[0]
        free = host.space(place or "/").free
        if isinstance(free, Unknown):
            continue
        if best[1] is None or free < best[1]:
            best = (place or "/", free)
    return best


def _needed(lines: list[str], step: Step) -> int | None:
    """Bytes that the step takes at its height: what it downloads and what it keeps."""
    download = keep = 0
    for line in lines:
        if found := _DOWNLOAD.search(line):
            download = _bytes(found)
        elif found := _KEEP.search(line):
            keep = _bytes(found)
    download = download or step.download_bytes or 0
    keep = keep or step.installed_bytes or 0
    return download + keep or None


def _bytes(found: re.Match[str]) -> int:
    return round(float(found[1].replace(",", "")) * _UNITS[found[2]])


def size(count: int) -> str:
    """Bytes for people, rounded up: "1.4 GB"."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor + 0.049:.1f} {unit}"
    return f"{count} B"


def _words(path: str, free: int | None, needed: int | None) -> str:
    where = f"The file system of {path} is full" if path else "A file system is full"
    there = f" ({size(free)} free)" if free is not None else ""
    wanted = f"; the packages of this step need {size(needed)}" if needed else ""
    return f"{where}{there}{wanted}."


def settle(host: Host) -> None:
    """Put on the disk what a command has written, before the journal says that it is done.

    Otherwise a power cut could lose a file whose command a resumed run doesn't run again. Only the
    file systems of the operating system are waited for: sync(2) would also wait for a network share
    that doesn't answer. syncfs(2) by ``sync --file-system`` (coreutils).
    """
    if host.kind != "local" or os.geteuid() != 0:
        return
    places = tuple(
        place for place in ("/etc", "/usr", "/var", "/boot") if host.exists(place) is True
    )
    host.run(("sync", "--file-system", *places), timeout=300.0)
