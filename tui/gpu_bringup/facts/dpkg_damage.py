"""Is dpkg's database whole? A power cut or a full disk leaves it cut short or filled with NUL bytes.

Pure, but for ``backups``. Rules: dpkg writes whole lines, and stanzas that have a name and, once
installed, a version (deb822(5), dpkg's lib/dpkg/dump.c); its own dependencies are always installed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_OLD = "/var/lib/dpkg/status-old"
_FOLDER = "/var/backups"
_COPY = re.compile(r"dpkg\.status\.(\d+)(\.gz|\.xz)?")
_NO_FIELD = re.compile(r"(?m)^(?=[^\n])(?![ \t#\r])(?![!-9;-~]+:)")
"""The start of a line that is neither empty, nor continued, nor "Field: value"."""
_TAIL = 20_000
"""Characters at the end of which the last stanza is looked for."""


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _last_stanza(text: str) -> tuple[int, str]:
    """(line, text) of the last one."""
    body = text.rstrip("\n")
    start = body.rfind("\n\n", max(0, len(body) - _TAIL))
    start = 0 if start < 0 else start + 2
    return _line_of(text, start), body[start:]


def damage(text: str) -> tuple[int, str]:
    """What is wrong with a status file, as (line, words); (0, ""): nothing that can be seen.

    A file that was cut exactly between two stanzas can't be told by itself: ``cut_short`` can.
    """
    nul = text.find("\0")
    if not text.strip("\0\n\r \t"):
        return 1, "it is filled with NUL bytes" if nul >= 0 else "it is empty"
    if nul >= 0:
        return _line_of(text, nul), "there are NUL bytes instead of packages"
    wrong = _NO_FIELD.search(text)
    if wrong is not None and "\n" in text[wrong.start() :]:
        return _line_of(text, wrong.start()), "this line is no field of a package"
    if not text.endswith("\n"):
        return _line_of(text, len(text)), "the file ends in the middle of a line"
    line, stanza = _last_stanza(text)
    name = re.search(r"(?m)^Package: *(\S+)", stanza)
    status = re.search(r"(?m)^Status: *(.+)", stanza)
    version = re.search(r"(?m)^Version: *\S", stanza)
    installed = status is not None and not status[1].rstrip().endswith("not-installed")
    if name is None or status is None or (installed and version is None):
        which = f"the last package, {name[1]}," if name else "the last package"
        lacks = "no name" if name is None else "no status" if status is None else "no version"
        return line, f"{which} has {lacks}: the file ends too early"
    return 0, ""


def backups(host: Host, *, skip: str = "") -> tuple[str, ...]:
    """Older copies of the status file that are whole, best (newest) first.

    Args:
        skip: a path that is the damaged one itself.
    """
    found = []
    old = host.read_text(_OLD, limit=64_000_000) if skip != _OLD else None
    if isinstance(old, str) and not damage(old)[0]:
        found.append(_OLD)
    listing = host.list_dir(_FOLDER)
    numbered = sorted(
        (int(match[1]), name)
        for name in (listing if isinstance(listing, tuple) else ())
        if (match := _COPY.fullmatch(name))
    )
    for _, name in numbered:
        path = f"{_FOLDER}/{name}"
        if name.endswith((".gz", ".xz")):
            packed = host.digest("log", path)
            text = None if packed is None or isinstance(packed, Unknown) else packed
            good = text is not None and bool(text.get("whole", True))
            good = good and text is not None and not damage(str(text.get("text", "")))[0]
        else:
            content = host.read_text(path, limit=64_000_000)
            good = isinstance(content, str) and not damage(content)[0]
        if good:
            return (*found, path)
    return tuple(found)
