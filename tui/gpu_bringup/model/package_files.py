"""What the names of package files in a folder say. Pure.

Sources: deb-version(7) and dpkg-name(1) for NAME_VERSION_ARCH.deb; rpm for NAME-VERSION-RELEASE.ARCH.rpm.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEB = re.compile(r"^(?P<name>[^_]+)_(?P<version>[^_]+)_[^_]+\.deb$")
_RPM = re.compile(r"^(?P<name>.+)-(?P<version>[^-]+)-(?P<release>[^-]+)\.[^.]+\.rpm$")
INDEXES = ("InRelease", "Release.gpg", "repodata")


def packages_in(names: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """(package, version) of the .deb and .rpm files among file names."""
    found = []
    for name in names:
        match = _DEB.match(name) or _RPM.match(name)
        if match is not None:
            # apt writes an epoch's colon as %3a into file names.
            found.append((match["name"], re.sub(r"^\d+(?:%3a|:)", "", match["version"])))
    return tuple(found)


def lacking(wanted: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``wanted`` ("name", "name=version", "name-VERSION-RELEASE") without a file."""
    have = packages_in(names)
    files = tuple(names)
    missing = []
    for item in wanted:
        name, _, version = item.partition("=")
        there = any(
            own == name and (not version or fnmatchcase(own_version, f"{version}*"))
            for own, own_version in have
        )
        if not there and not any(file.startswith(f"{name}.") for file in files):
            missing.append(item)
    return tuple(missing)
