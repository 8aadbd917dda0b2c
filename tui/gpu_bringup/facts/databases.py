"""The package database as it is on disk: its packages, what is half done, and whether it is whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.facts import dpkg, dpkg_damage, rpm
from gpu_bringup.facts.ask import text
from gpu_bringup.facts.dpkg_depends import Stanza, stanzas, unmet
from gpu_bringup.model.facts import Package
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable

    from gpu_bringup.hosts.base import Host

STATUS = "/var/lib/dpkg/status"
UPDATES = "/var/lib/dpkg/updates"
_LIMIT = 64_000_000
_NOT_LOOKED = Unknown("not looked at")
_RPM_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_RPM_BROKEN = re.compile(
    r"(?mi)^(?:error: .*(?:rpmdb|sqlite|malformed|packages index|packages database|cannot open|bdb|ndb"
    r"|blob|header).*|.*rpmdb: .*(?:panic|corrupt|damaged).*)$"
)
"""How rpm says that its database can't be read, in words that it doesn't translate as a whole."""


@dataclass(frozen=True, slots=True)
class Database:
    """What the package database says; where it is damaged, its packages are unknown."""

    packages: Fact[tuple[Package, ...]]
    interrupted: Fact[bool]
    damage: str = ""
    """"FILE:LINE: what is wrong"; empty: nothing that can be seen."""
    backups: tuple[str, ...] = ()
    """Older copies that are whole, newest first."""
    unmet: Fact[tuple[str, ...]] = _NOT_LOOKED
    """"NAME needs DEPENDENCY" of packages that matter."""


def _damaged(host: Host, what: str, interrupted: Fact[bool]) -> Database:
    reason = Unknown(f"the package database is damaged: {what}")
    return Database(reason, interrupted, what, dpkg_damage.backups(host), reason)


def _installed(every: tuple[Stanza, ...]) -> tuple[Package, ...]:
    """As ``dpkg.parse_status``, from what was parsed already."""
    found = {
        item.name: Package(item.name, item.version, short)
        for item in every
        if (short := dpkg.abbreviation(item.status))[1] != "n"
    }
    return tuple(found.values())


def read_dpkg(host: Host, matters: Callable[[str], object]) -> Database:
    """dpkg's database with its journal applied; asks dpkg-query only where the file can't be read.

    Args:
        matters: is true of the packages whose dependencies are looked at.
    """
    listing = host.list_dir(UPDATES)
    journal = [name for name in listing if name.isdigit()] if isinstance(listing, tuple) else []
    interrupted: Fact[bool] = listing if isinstance(listing, Unknown) else bool(journal)
    status = host.read_text(STATUS, limit=_LIMIT)
    if isinstance(status, str):
        line, wrong = dpkg_damage.damage(status)
        if line:
            return _damaged(host, f"{STATUS}:{line}: {wrong}", interrupted)
        updates = tuple(text(host, f"{UPDATES}/{name}") for name in journal)
        every = stanzas(status)
        packages = dpkg.merge(_installed(every), updates)
        own = unmet(every, lambda name: name == "dpkg")
        if own:
            # dpkg can't be installed without them: the entries are gone, not the packages.
            where = f"{STATUS}:{status.count(chr(10)) + 1}"
            return _damaged(host, f"{where}: entries are missing: {own[0]}", interrupted)
        # With a journal some states are older than the truth; then dpkg is to be finished first.
        return Database(packages, interrupted, unmet=() if updates else unmet(every, matters))
    if status is None and host.exists("/var/lib/dpkg") is True:
        return _damaged(host, f"{STATUS}: the file is missing", interrupted)
    answer = host.run(dpkg.QUERY)
    if isinstance(answer, Unknown):
        return Database(answer, interrupted)
    # Exit status 1: one of the patterns matched nothing; what the others matched is printed.
    if answer.exit not in (0, 1):
        return Database(Unknown(f"dpkg-query failed with exit status {answer.exit}"), interrupted)
    return Database(dpkg.parse_query(answer.output), interrupted)


def read_rpm(host: Host) -> tuple[Fact[tuple[tuple[Package, str], ...]], str]:
    """(packages with their architecture, what is wrong with the database or "")."""
    answer = host.run(rpm.QUERY, timeout=20.0)
    if isinstance(answer, Unknown):
        return answer, ""
    if answer.missing:
        return Unknown("there is no rpm command on this host"), ""
    if answer.timed_out:
        return Unknown("rpm did not answer within 20 s"), ""
    said = _RPM_BROKEN.search(answer.output)
    found = rpm.parse_query(answer.output)
    folder = next((path for path in _RPM_FOLDERS if host.exists(path) is True), _RPM_FOLDERS[-1])
    if said is not None:
        what = f"{folder}: rpm says: {said[0].strip()}"
        return Unknown(f"the package database is damaged: {what}"), what
    if not answer.ok:
        return Unknown(f"rpm failed with exit status {answer.exit}"), ""
    if not found:
        what = f"{folder}: rpm knows not one package, on a system that is made of them"
        return Unknown(f"the package database is damaged: {what}"), what
    return found, ""
