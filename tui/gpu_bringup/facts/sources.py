"""Package sources: apt's two formats (sources.list(5)), yum's and zypper's .repo files."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpu_bringup.facts.ask import names
from gpu_bringup.facts.keyrings import with_keys
from gpu_bringup.model.facts import OsFacts, Repository
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_ONE_LINE = re.compile(
    r"^(?P<off>#\s*)?deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?"
    r"(?P<uri>cdrom:\[[^\]]*\]\S*|[a-z][a-z+]*:\S+)\s+(?P<suite>\S+)(?P<components>[^#\n]*)"
)
_VENDOR_FILES = re.compile(
    r"^(redhat|rocky|almalinux|centos|fedora|amazonlinux|oracle-linux|opensuse|openSUSE|SUSE|SLE)",
)
_INLINE_KEY = "inline key"


def parse_one_line(path: str, text: str) -> tuple[Repository, ...]:
    """Entries of a sources.list; an entry behind a "#" is one that is switched off."""
    found = []
    for index, raw in enumerate(text.splitlines(), start=1):
        match = _ONE_LINE.match(raw.strip())
        if not match:
            continue
        signed = re.search(r"signed-by=(\S+)", match["options"] or "", re.IGNORECASE)
        found.append(
            Repository(
                file=path,
                line=index,
                uri=match["uri"],
                suites=(match["suite"],),
                components=tuple(match["components"].split()),
                signed_by=signed[1] if signed else "",
                enabled=match["off"] is None,
                format="one-line",
            )
        )
    return tuple(found)


def _stanzas(text: str) -> list[tuple[int, dict[str, str]]]:
    """(line of its first field, fields in lower case) of each deb822 stanza; comments are dropped."""
    stanzas: list[tuple[int, dict[str, str]]] = []
    fields: dict[str, str] = {}
    first, key = 0, ""
    for index, raw in enumerate([*text.splitlines(), ""], start=1):
        if raw.startswith("#"):
            continue
        if not raw.strip():
            if fields:
                stanzas.append((first, fields))
            fields, key = {}, ""
        elif raw[0] in " \t":
            if key:
                fields[key] += "\n" + raw.strip()
        else:
            name, separator, value = raw.partition(":")
            key = name.strip().lower() if separator else ""
            if key:
                first = first if fields else index
                fields[key] = value.strip()
    return stanzas


def parse_deb822(path: str, text: str) -> tuple[Repository, ...]:
    """Entries of a .sources file: one for each URI of each stanza that has binary packages."""
    found = []
    for first, fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split():
            continue
        signed = fields.get("signed-by", "")
        if "BEGIN PGP" in signed:
            signed = _INLINE_KEY
        for uri in fields.get("uris", "").split():
            found.append(
                Repository(
                    file=path,
                    line=first,
                    uri=uri,
                    suites=tuple(fields.get("suites", "").split()),
                    components=tuple(fields.get("components", "").split()),
                    signed_by=signed,
                    enabled=fields.get("enabled", "yes").lower() not in ("no", "false", "0"),
                    format="deb822",
                )
            )
    return tuple(found)


def parse_repo_file(path: str, text: str, format: str) -> tuple[Repository, ...]:
    """Sections of a yum or zypper .repo file; ``suites`` holds the section's id."""
    import configparser  # Only RPM systems need it, and start-up time counts.

    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return ()
    lines = {
        raw.strip()[1:-1]: index
        for index, raw in enumerate(text.splitlines(), start=1)
        if raw.strip().startswith("[") and raw.strip().endswith("]")
    }
    found = []
    for section in parser.sections():
        values = parser[section]
        locations = (
            values.get("baseurl") or values.get("metalink") or values.get("mirrorlist") or ""
        )
        if section == "main" or not locations.split():
            continue
        found.append(
            Repository(
                file=path,
                line=lines.get(section, 1),
                uri=locations.split()[0],
                suites=(section,),
                signed_by=" ".join((values.get("gpgkey") or "").split()),
                enabled=(values.get("enabled") or "1").strip().lower() not in ("0", "no", "false"),
                format=format,
            )
        )
    return tuple(found)


def _vendor_kind(repository: Repository) -> str:
    """ "nvidia", "nvidia-container" or "" by the repository's address."""
    lowered = repository.uri.lower()
    host = urlsplit(lowered).netloc
    local = re.search(r"/(cuda-repo|nvidia-driver-local-repo|nvidia-driver-repo)", lowered)
    if "libnvidia-container" in lowered or "nvidia-container-toolkit" in lowered:
        return "nvidia-container"
    if host in ("developer.download.nvidia.com", "developer.nvidia.com", "download.nvidia.com"):
        return "nvidia"
    return "nvidia" if local else ""


def classify(repository: Repository, os: Fact[OsFacts]) -> str:
    """What a repository is: see ``Repository.kind``."""
    vendor = _vendor_kind(repository)
    if vendor:
        return vendor
    if repository.format in ("yum", "zypp"):
        name = posixpath.basename(repository.file)
        return "distribution" if _VENDOR_FILES.match(name) else "other"
    path = urlsplit(repository.uri).path.rstrip("/").removesuffix(".list")
    archive = posixpath.basename(path)
    known = ("debian", "ubuntu", "ubuntu-ports", "debian-security", "debian-ports")
    own = archive in known or re.search(r"/ubuntu/archive$|-archive$", path) is not None
    if not own or "ppa.launchpad" in repository.uri or "main" not in repository.components:
        return "other"
    suites = repository.suites
    if not isinstance(os, Unknown) and os.codename and os.id in ("debian", "ubuntu"):
        aliases = ("stable", "testing", "unstable", "sid", "oldstable", "oldoldstable")
        if not any(suite.startswith((os.codename, *aliases)) for suite in suites):
            return "other"
    if all(suite.endswith(("-security", "/updates")) for suite in suites):
        return "security"
    if all(suite.endswith(("-backports", "-backports-sloppy")) for suite in suites):
        return "backports"
    return "distribution"


def _read(host: Host, path: str) -> tuple[Repository, ...]:
    content = host.read_text(path)
    if not isinstance(content, str):
        return ()
    if path.endswith(".sources"):
        return parse_deb822(path, content)
    if path.endswith(".repo"):
        return parse_repo_file(path, content, "zypp" if "/zypp/" in path else "yum")
    return parse_one_line(path, content)


def observe(host: Host, manager: str, os: Fact[OsFacts]) -> Fact[tuple[Repository, ...]]:
    """Every entry of the manager's sources, in the order in which it reads them."""
    folder = {
        "apt": "/etc/apt/sources.list.d",
        "dnf": "/etc/yum.repos.d",
        "zypper": "/etc/zypp/repos.d",
    }[manager]
    listing = host.list_dir(folder)
    main = host.read_text("/etc/apt/sources.list") if manager == "apt" else None
    if isinstance(listing, Unknown) and not isinstance(main, str):
        return listing
    endings = (".list", ".sources") if manager == "apt" else (".repo",)
    paths = ["/etc/apt/sources.list"] if manager == "apt" else []
    paths += [f"{folder}/{name}" for name in names(host, folder) if name.endswith(endings)]
    found = [repository for path in paths for repository in _read(host, path)]
    known = tuple(replace(item, kind=classify(item, os)) for item in found)
    return with_keys(host, known)
