"""What changed the packages that the driver depends on: when, by which command, and who called it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.history_parsers import parse_apt, parse_dnf, parse_dpkg, parse_zypp
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.change import Change

_LIMIT = 32_000_000
_ROTATED = 12
"""Rotated files of a log that are read: a year of them with Debian's logrotate."""
_DNF = ("/var/lib/dnf/history.sqlite", "/usr/lib/sysimage/libdnf5/transaction_history.sqlite")


def _read(host: Host, path: str, notes: list[str]) -> Fact[str | None]:
    if not path.endswith((".gz", ".xz", ".zst")):
        content = host.read_text(path, limit=_LIMIT)
        if isinstance(content, str) and "\0" in content:
            notes.append(f"{path}: there are NUL bytes in it: what stood there is lost")
        return content
    packed = host.digest("log", path)
    if packed is None or isinstance(packed, Unknown):
        return packed
    if packed.get("whole") is False:
        # What came before the cut is still true.
        notes.append(f"{path}: the file is cut short or damaged: later changes in it are lost")
    return str(packed.get("text", ""))


def _files(host: Host, folder: str, name: str) -> Fact[tuple[str, ...]]:
    """The log and its rotated parts, oldest first."""
    listing = host.list_dir(folder)
    if isinstance(listing, Unknown):
        return listing
    ranked: list[tuple[int, str]] = []
    for entry in listing or ():
        match = re.fullmatch(rf"{re.escape(name)}(?:[.-](\d+))?(?:\.(?:gz|xz|zst))?", entry)
        if match:
            # Numbers count backwards in time (.1 is newer than .2), dates (-20261101) forwards.
            number = int(match[1] or 0)
            ranked.append((-number if number < 10_000 else number - 100_000_000, entry))
    ranked.sort()
    return tuple(f"{folder}/{entry}" for _, entry in ranked[-_ROTATED - 1 :])


def _logs(
    host: Host,
    folder: str,
    name: str,
    parse: Callable[[str, str], tuple[Change, ...]],
    notes: list[str],
) -> tuple[list[Change], Unknown | None]:
    paths = _files(host, folder, name)
    if isinstance(paths, Unknown):
        return [], paths
    found: list[Change] = []
    unread: Unknown | None = None
    for path in paths:
        content = _read(host, path, notes)
        if isinstance(content, Unknown):
            unread = content
            notes.append(f"{path}: not read: {content.reason}")
        elif content:
            found += parse(content, path)
    return found, unread


def merge(managed: list[Change], low: list[Change]) -> list[Change]:
    """A manager's changes, and those of dpkg's log that no run of the manager accounts for."""
    told = {(c.package, c.new or c.old) for c in managed}
    extra = [c for c in low if (c.package, c.new or c.old) not in told]
    return sorted([*managed, *extra], key=lambda change: change.when)


def observe(host: Host) -> Fact[tuple[Change, ...]]:
    """Every change of a package that matters, oldest first; Unknown where no history can be read."""
    return observe_noting(host)[0]


def observe_noting(host: Host) -> tuple[Fact[tuple[Change, ...]], tuple[str, ...]]:
    """The same, and what of the histories could not be read ("FILE: why")."""
    notes: list[str] = []
    apt, unread = _logs(host, "/var/log/apt", "history.log", parse_apt, notes)
    dpkg, unread_dpkg = _logs(host, "/var/log", "dpkg.log", parse_dpkg, notes)
    zypp, unread_zypp = _logs(host, "/var/log/zypp", "history", parse_zypp, notes)
    dnf: list[Change] = []
    unread_dnf: Unknown | None = None
    for path in _DNF:
        digest = host.digest("dnf-history", path)
        if isinstance(digest, Unknown):
            unread_dnf = digest
        elif digest is not None:
            dnf += parse_dnf(digest, path)
    found = merge([*apt, *zypp, *dnf], dpkg)
    if not found:
        for reason in (unread, unread_dpkg, unread_zypp, unread_dnf):
            if reason is not None:
                return reason, tuple(notes)
    elif unread_dnf is not None and host.kind != "recorded":
        notes.append(f"dnf's history: not read: {unread_dnf.reason}")
    return tuple(found), tuple(notes)
