"""Packages of a simulated machine, and the archives that its sources name."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cmp_to_key
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import compare_debian

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

INSTALLED, UNPACKED, HALF_CONFIGURED, CONFIG_FILES = (
    "installed",
    "unpacked",
    "half-configured",
    "config-files",
)
"""States of dpkg(1)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A package in an archive."""

    name: str
    version: str
    kind: str = "files"
    """What its maintainer scripts do: "files", "kernel", "headers", "dkms-module", "service"."""
    depends: tuple[str, ...] = ()
    """As in its control file, without versions except "NAME (= VERSION)"."""
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    """(path, text) of its files; a text that begins with "-> " is a link."""
    argument: str = ""
    """Kernel release of a kernel or its headers, "MODULE FLAVOUR" of a dkms module, unit of a service."""
    size: int = 1_000_000
    """Bytes on the disk."""
    source: str = ""
    """Source package, where it has another name."""


@dataclass(frozen=True, slots=True)
class Installed:
    """A package in dpkg's database."""

    offer: Offer
    state: str = INSTALLED
    held: bool = False
    automatic: bool = False
    unwanted: bool = False
    """dpkg was asked to remove it, and could not."""

    @property
    def gone(self) -> bool:
        """Does dpkg's selection say "deinstall"?"""
        return self.unwanted or self.state == CONFIG_FILES


@dataclass(frozen=True, slots=True)
class Archive:
    """What one entry of the sources leads to."""

    uri: str
    suite: str
    component: str
    origin: str
    label: str = ""
    key: str = ""
    """Fingerprint of the key that signs it; empty: one that the distribution brings."""
    offers: tuple[Offer, ...] = ()


@dataclass(frozen=True, slots=True)
class Pin:
    """A stanza of /etc/apt/preferences.d, apt_preferences(5)."""

    packages: tuple[str, ...]
    kind: str
    """"version", "release" or "origin"."""
    value: str
    priority: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An offer with the archive that it comes from."""

    offer: Offer
    archive: Archive
    priority: int = 500


def parse_pins(text: str) -> tuple[Pin, ...]:
    """The stanzas of a preferences file."""
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        for row in stanza.splitlines():
            key, colon, value = row.partition(":")
            if colon and not row.startswith(("#", " ")):
                fields[key.strip().lower()] = value.strip()
        kind, _, value = fields.get("pin", "").partition(" ")
        number = fields.get("pin-priority", "")
        if "package" in fields and kind and re.fullmatch(r"-?\d+", number):
            packages = tuple(fields["package"].split())
            found.append(Pin(packages, kind, value.strip(), int(number)))
    return tuple(found)


def _matches(pattern: str, name: str) -> bool:
    if len(pattern) > 1 and pattern.startswith("/") and pattern.endswith("/"):
        return re.search(pattern[1:-1], name) is not None
    return fnmatchcase(name, pattern)


def _applies(pin: Pin, offer: Offer, archive: Archive) -> bool:
    if not any(_matches(pattern, offer.name) for pattern in pin.packages):
        return False
    if pin.kind == "version":
        return _matches(pin.value, offer.version)
    if pin.kind == "origin":
        return pin.value.strip('"') in archive.uri
    wanted = dict(part.strip().partition("=")[::2] for part in pin.value.split(","))
    have = {"o": archive.origin, "l": archive.label, "n": archive.suite, "a": archive.suite,
            "c": archive.component}  # fmt: skip
    return all(_matches(value, have.get(key, "")) for key, value in wanted.items())


def priority(pins: Iterable[Pin], offer: Offer, archive: Archive) -> int:
    """The priority of a version; the first specific pin wins over a general one."""
    general = 500
    for pin in pins:
        if _applies(pin, offer, archive):
            if pin.packages != ("*",):
                return pin.priority
            general = pin.priority if general == 500 else general
    return general


def newest_first(found: Iterable[Candidate]) -> list[Candidate]:
    """Highest priority first, then highest version, as apt chooses."""

    def order(left: Candidate, right: Candidate) -> int:
        if left.priority != right.priority:
            return right.priority - left.priority
        return -compare_debian(left.offer.version, right.offer.version)

    return sorted(found, key=cmp_to_key(order))


def dependency(text: str) -> tuple[tuple[str, str], ...]:
    """Alternatives of one dependency: (name, exact version or "") each."""
    found = []
    for part in text.split("|"):
        match = re.match(r"\s*([a-z0-9][a-z0-9+.-]*)\s*(?:\(=\s*([^)\s]+)\))?", part)
        if match:
            found.append((match[1], match[2] or ""))
    return tuple(found)


@dataclass(slots=True)
class Database:
    """dpkg's database and apt's lists."""

    installed: dict[str, Installed] = field(default_factory=dict)
    fetched: tuple[Archive, ...] = ()
    """Archives whose lists ``apt-get update`` has fetched."""
    damaged: str = ""

    def copy(self) -> Database:
        return Database(dict(self.installed), self.fetched, self.damaged)

    def has(self, name: str, version: str = "") -> bool:
        """Is it, or something that provides it, unpacked at least?"""
        found = self.installed.get(name)
        if found is not None and found.state != CONFIG_FILES:
            return not version or found.offer.version == version
        return not version and any(
            name in item.offer.provides and item.state != CONFIG_FILES
            for item in self.installed.values()
        )

    def unfinished(self) -> tuple[Installed, ...]:
        """Packages that wait for ``dpkg --configure -a``."""
        return tuple(
            item for item in self.installed.values() if item.state not in (INSTALLED, CONFIG_FILES)
        )


def status_text(installed: Mapping[str, Installed], architecture: str) -> str:
    """/var/lib/dpkg/status, deb(5) and dpkg's own lib/dpkg/parse.c."""
    parts = []
    for name in sorted(installed):
        item = installed[name]
        want = "hold" if item.held else "deinstall" if item.gone else "install"
        rows = [
            f"Package: {name}",
            f"Status: {want} ok {item.state}",
            f"Architecture: {architecture}",
        ]
        if item.offer.source:
            rows.append(f"Source: {item.offer.source}")
        rows.append(f"Version: {item.offer.version}")
        if item.offer.provides:
            rows.append(f"Provides: {', '.join(item.offer.provides)}")
        if item.offer.depends and item.state != CONFIG_FILES:
            rows.append(f"Depends: {', '.join(item.offer.depends)}")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)
