"""Switches archive components on in apt's source files and leaves everything else as it is.

Only the distribution's own archive is touched, told by its suite (the codename and the suites that
go with it), by "main" among its components, and by a key that is the distribution's own (or none
named). Comments, order, options, unknown fields, line ends and switched-off entries stay. A file
that can't be understood is left alone and named. Pure: {path: text} in, texts out.

Sources: sources.list(5), deb822(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gpu_bringup.families import apt_deb822, apt_oneline
from gpu_bringup.families.apt_entry import Entry, SourceSyntaxError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SUFFIXES = (
    "",
    "-updates",
    "-security",
    "-backports",
    "-backports-sloppy",
    "-proposed-updates",
    "-proposed",
    "/updates",
)
_ALIASES = ("stable", "oldstable", "oldoldstable")
"""Names that a mirror gives to whatever release is the stable one; also used by foreign archives."""

_OWN_KEY = re.compile(r"(?:debian|ubuntu)-archive[^/]*\.(?:gpg|pgp|asc)$")
_OWN_PATH = re.compile(r"/(?:debian|ubuntu)(?:-(?:security|ports|archive))?(?:/|$)")
_NEVER = re.compile(r"^(?:cdrom:|file:|copy:)")
_OWN_COMPONENTS = {
    "contrib", "non-free", "non-free-firmware", "restricted", "universe", "multiverse",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edited:
    """Result of an edit."""

    changed: dict[str, str] = field(default_factory=dict)
    """path -> new text, of changed files only."""
    problems: tuple[str, ...] = ()
    """Files that were left alone because they can't be understood: "PATH, line N: why"."""


def _suite_fits(suite: str, codename: str) -> bool:
    bases = (codename, *_ALIASES) if codename else ()
    if not bases:
        return not suite.endswith("/")
    return any(suite == base + suffix for base in bases for suffix in _SUFFIXES)


def is_own(entry: Entry, codename: str) -> bool:
    """Does this entry name the distribution's own archive?

    ``codename`` "" takes any suite: the key and the path decide alone.
    """
    if "deb" not in entry.types or not entry.enabled or "main" not in entry.components:
        return False
    if not entry.uris or any(_NEVER.match(uri) for uri in entry.uris):
        return False
    if not entry.suites or not all(_suite_fits(suite, codename) for suite in entry.suites):
        return False
    if entry.signed_by:
        return _OWN_KEY.search(entry.signed_by) is not None
    if all(_OWN_PATH.search(uri.rstrip("/") + "/") for uri in entry.uris):
        return True
    # A mirror with a path of its own: only the distribution has these components or suites.
    return bool(_OWN_COMPONENTS & set(entry.components)) or any(
        suite.endswith(("-security", "-updates", "/updates")) for suite in entry.suites
    )


def _edit(path: str, text: str, components: Sequence[str], codename: str) -> str:
    def wanted(entry: Entry) -> tuple[str, ...]:
        if not is_own(entry, codename):
            return ()
        return tuple(name for name in components if name not in entry.components)

    if path.endswith(".sources"):
        return apt_deb822.add_components(text, wanted)
    return apt_oneline.add_components(text, wanted)


def _is_source_file(path: str) -> bool:
    # apt itself reads no other names in sources.list.d (".save", ".dpkg-old").
    return path.endswith((".list", ".sources"))


def enable(files: Mapping[str, str], components: Sequence[str], codename: str) -> Edited:
    """Add ``components`` to every entry of the distribution's own archive that lacks them.

    Args:
        files: path -> text of the host's source files.
        components: "contrib", "non-free" ...
        codename: of this release ("trixie").
    """
    changed: dict[str, str] = {}
    problems: list[str] = []
    for path in sorted(files):
        if not _is_source_file(path):
            continue
        try:
            text = _edit(path, files[path], components, codename)
        except SourceSyntaxError as error:
            problems.append(f"{path}, line {error.line}: {error.why}; the file was left alone")
            continue
        if text != files[path]:
            changed[path] = text
    return Edited(changed=changed, problems=tuple(problems))


def private_sources(
    files: Mapping[str, str], components: Sequence[str], codename: str = ""
) -> dict[str, str]:
    """All source files with ``components`` on, for a scratch apt configuration.

    Same paths as ``files``; files that need no change, or can't be understood, are as they were.
    """
    edited = enable(files, components, codename)
    return {**{p: t for p, t in files.items() if _is_source_file(p)}, **edited.changed}


def entries(path: str, text: str) -> tuple[Entry, ...]:
    """What the file says, entry by entry.

    Raises:
        SourceSyntaxError: it can't be understood.
    """
    if path.endswith(".sources"):
        return apt_deb822.entries(text)
    return apt_oneline.entries(text)
