"""dpkg's database, as its status file or as dpkg-query prints it (dpkg-query(1), dpkg(1))."""

from __future__ import annotations

import re
from functools import lru_cache

from gpu_bringup.model.facts import Package

QUERY = (
    "dpkg-query",
    "-W",
    "-f",
    "${db:Status-Abbrev}|${Package}|${Version}\\n",
    "*nvidia*",
    "*cuda*",
    "linux-*",
)
"""The question that host records answer; asked only where the status file can't be read."""

_WANT = {"unknown": "u", "install": "i", "hold": "h", "deinstall": "r", "purge": "p"}
_STATE = {
    "not-installed": "n",
    "config-files": "c",
    "half-installed": "H",
    "unpacked": "U",
    "half-configured": "F",
    "triggers-awaited": "W",
    "triggers-pending": "t",
    "installed": "i",
}
_FIELD = re.compile(r"(?m)^(Package|Status|Version): (.*)$")
_ABBREVIATION = re.compile(r"[uihrp][cHUFWti]R?")
_UNFINISHED = "HUFWt"


def abbreviation(status: str) -> str:
    """ "install ok half-configured" -> "iF", as dpkg-query abbreviates it; "uR" style error added."""
    words = status.split()
    if len(words) != 3:
        return "un"
    error = "R" if words[1] == "reinstreq" else ""
    return _WANT.get(words[0], "u") + _STATE.get(words[2], "n") + error


def parse_status(text: str) -> tuple[Package, ...]:
    """Packages of a status file that are or were installed; incomplete stanzas are left out."""
    packages: dict[str, Package] = {}
    name = status = version = ""
    # A stanza begins with Package; continuation lines begin with a space and never match.
    for match in _FIELD.finditer(text + "\nPackage: \n"):
        key, value = match[1], match[2].strip()
        if key == "Status":
            status = value
        elif key == "Version":
            version = value
        else:
            short = abbreviation(status)
            if name and short[1] != "n":
                packages[name] = Package(name, version, short)
            name, status, version = value, "", ""
    return tuple(packages.values())


@lru_cache(maxsize=64)
def parse_query(text: str) -> tuple[Package, ...]:
    """Lines "ii |name|version" of ``QUERY``; packages that were never installed are left out."""
    packages: dict[str, Package] = {}
    for raw in text.splitlines():
        parts = raw.split("|")
        if len(parts) != 3:
            continue
        status, name, version = parts[0].rstrip(), parts[1].strip(), parts[2].strip()
        if name and _ABBREVIATION.fullmatch(status):
            packages[name] = Package(name, version, status)
    return tuple(packages.values())


def unfinished(packages: tuple[Package, ...]) -> tuple[str, ...]:
    """Packages that ``dpkg --audit`` would name: half installed, not configured, to be reinstalled."""
    return tuple(
        package.name
        for package in packages
        if package.status[1:2] in tuple(_UNFINISHED) or package.status[2:3] == "R"
    )


def merge(status: tuple[Package, ...], updates: tuple[str, ...]) -> tuple[Package, ...]:
    """The status file with dpkg's journal (/var/lib/dpkg/updates) applied, oldest first."""
    packages = {package.name: package for package in status}
    for text in updates:
        packages.update({package.name: package for package in parse_status(text)})
    return tuple(packages.values())
