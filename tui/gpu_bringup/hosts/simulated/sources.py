"""Which archives a machine's package sources lead to, and whose signatures are trusted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.packages import (
    Archive,
    Candidate,
    Pin,
    newest_first,
    parse_pins,
    priority,
)
from gpu_bringup.hosts.simulated.tree import File

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.hosts.simulated.machine import Machine

_FOLDER = "/etc/apt/sources.list.d"


def entries(machine: Machine) -> list[tuple[str, str, str, str]]:
    """(URI, suite, component, keyring) of each entry that is switched on."""
    found = []
    for name in machine.tree.names(_FOLDER) or ():
        text = machine.text(f"{_FOLDER}/{name}")
        if name.endswith(".sources"):
            found += _deb822(text)
        elif name.endswith(".list"):
            found += _one_line(text)
    return found + _one_line(machine.text("/etc/apt/sources.list"))


def _deb822(text: str) -> list[tuple[str, str, str, str]]:
    found = []
    for stanza in re.split(r"\n\s*\n", text):
        rows = [row for row in stanza.splitlines() if not row.startswith("#")]
        fields = {
            key.strip().lower(): value.strip()
            for key, colon, value in (row.partition(":") for row in rows)
            if colon
        }
        if fields.get("enabled", "yes") == "no" or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                for component in fields.get("components", "").split() or [""]:
                    found.append((uri, suite, component, fields.get("signed-by", "")))
    return found


def _one_line(text: str) -> list[tuple[str, str, str, str]]:
    found = []
    for row in text.splitlines():
        match = re.match(r"deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$", row.strip())
        if match:
            signed = re.search(r"signed-by=(\S+)", match[1] or "")
            for component in match[4].split() or [""]:
                found.append((match[2], match[3], component, signed[1] if signed else ""))
    return found


def reached(machine: Machine) -> list[tuple[Archive, str]]:
    """(archive, keyring) of each entry; entries that lead nowhere are left out."""
    return [
        (archive, keyring)
        for uri, suite, component, keyring in entries(machine)
        for archive in machine.archives
        if (archive.uri.rstrip("/"), archive.suite, archive.component)
        == (uri.rstrip("/"), suite, component)
    ]


def trusted(machine: Machine, archive: Archive, keyring: str) -> bool:
    """Is the archive's key in the keyring that its entry names?"""
    if not archive.key:
        return True
    file = machine.tree.file(keyring) if keyring else None
    return file is not None and archive.key in file.text


def pins(machine: Machine) -> tuple[Pin, ...]:
    """Every stanza of the preferences, in the order of the files."""
    found: tuple[Pin, ...] = ()
    for _path, node in machine.tree.walk("/etc/apt/preferences.d"):
        if isinstance(node, File):
            found += parse_pins(node.text)
    return found + parse_pins(machine.text("/etc/apt/preferences"))


def candidates(machine: Machine, name: str) -> list[Candidate]:
    """Versions of a package that can be had, the one that apt would take first."""
    wanted = pins(machine)
    return newest_first(
        Candidate(offer, archive, priority(wanted, offer, archive))
        for archive in machine.packages.fetched
        for offer in archive.offers
        if offer.name == name
    )


def names(machine: Machine) -> Iterable[str]:
    """Every package name that apt knows."""
    return {offer.name for archive in machine.packages.fetched for offer in archive.offers} | set(
        machine.packages.installed
    )
