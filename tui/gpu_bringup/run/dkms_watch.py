"""How far a dkms build is: it writes the compiler's output to a file and shows none of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.run.progress import ObjectCount

TREE = "/var/lib/dkms"
_DEPTH = 8
_EVERY = 3.0


def dkms_objects(host: Host, tree: str = TREE) -> ObjectCount:
    """A function that counts (object files, source files) in dkms's build folders.

    dkms(8): a module is built in ``<tree>/<module>/<version>/build``. Not every source file is
    compiled on every kernel, so the count is a little pessimistic. It looks at most every three
    seconds.
    """
    last: tuple[float, tuple[int, int] | None] = (0.0, None)

    def count() -> tuple[int, int] | None:
        nonlocal last
        if time.monotonic() - last[0] >= _EVERY or last[1] is None:
            last = (time.monotonic(), _count_builds(host, tree))
        return last[1]

    return count


def _names(host: Host, folder: str) -> tuple[str, ...]:
    names = host.list_dir(folder)
    return names if isinstance(names, tuple) else ()


def _count_builds(host: Host, tree: str) -> tuple[int, int] | None:
    built = sources = 0
    for module in _names(host, tree):
        for version in _names(host, f"{tree}/{module}"):
            found = _count(host, f"{tree}/{module}/{version}/build", _DEPTH)
            built, sources = built + found[0], sources + found[1]
    return (built, sources) if sources else None


def _count(host: Host, folder: str, depth: int) -> tuple[int, int]:
    built = sources = 0
    for name in _names(host, folder):
        if name.endswith(".o") and not name.endswith(".mod.o") and not name.startswith("."):
            built += 1
        elif name.endswith((".c", ".cpp", ".S")) and not name.endswith(".mod.c"):
            sources += 1
        elif "." not in name and depth:
            inner = _count(host, f"{folder}/{name}", depth - 1)
            built, sources = built + inner[0], sources + inner[1]
    return built, sources
