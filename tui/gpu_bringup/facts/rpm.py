"""The RPM database as ``rpm -qa`` prints it, and what versionlock and zypper's locks hold."""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from dataclasses import replace

from gpu_bringup.model.facts import Package

QUERY = ("rpm", "-qa", "--qf", "%{NAME}|%{VERSION}-%{RELEASE}|%{ARCH}\\n")

_SEVERAL = re.compile(r"^(kernel|kmod-|gpg-pubkey|installonly)|-kmp-|kmp$")
"""Packages of which several versions may be installed side by side."""


def parse_query(text: str) -> tuple[tuple[Package, str], ...]:
    """(package, architecture) of each line; lines of another shape are left out."""
    found = []
    for raw in text.splitlines():
        parts = raw.strip().split("|")
        if len(parts) == 3 and parts[0] and re.match(r"\S+-\S+$", parts[1]):
            found.append((Package(parts[0], parts[1]), parts[2]))
    return tuple(found)


def duplicates(packages: tuple[tuple[Package, str], ...]) -> tuple[str, ...]:
    """Packages present in two versions: what an interrupted transaction leaves behind."""
    counts = Counter((package.name, arch) for package, arch in packages)
    return tuple(
        sorted(
            {name for (name, _), count in counts.items() if count > 1 and not _SEVERAL.search(name)}
        )
    )


def parse_versionlock(text: str) -> tuple[str, ...]:
    """Patterns of dnf's versionlock.list; exclusions ("!…") and comments are left out."""
    lines = (raw.strip() for raw in text.splitlines())
    return tuple(raw for raw in lines if raw and raw[0] not in "#!")


def parse_zypp_locks(text: str) -> tuple[str, ...]:
    """Package patterns of /etc/zypp/locks."""
    return tuple(re.findall(r"(?m)^solvable_name:\s*(\S+)", text))


def with_holds(packages: tuple[Package, ...], patterns: tuple[str, ...]) -> tuple[Package, ...]:
    """Packages that a lock keeps at their version get dpkg's mark for it ("hi")."""

    def locked(package: Package) -> bool:
        full = f"{package.name}-{package.version}"
        for pattern in patterns:
            without_epoch = re.sub(r"-\d+:", "-", pattern)
            if fnmatch.fnmatchcase(package.name, pattern) or fnmatch.fnmatchcase(
                full, without_epoch
            ):
                return True
            if fnmatch.fnmatchcase(f"{full}.x", without_epoch.replace(".*", ".x")):
                return True
        return False

    return tuple(
        replace(package, status="hi") if locked(package) else package for package in packages
    )
