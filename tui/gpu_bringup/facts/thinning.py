"""What of long answers a record keeps: the part that is read of them, and nothing of the rest.

A package database, the histories of package managers and the linker's cache tell a stranger every
program of a server, and make a record ten times as long as it need be. What is kept answers as the
whole would: the observers' own patterns choose it. Passed to ``RecordingHost``.
"""

from __future__ import annotations

import re
from typing import Any

from gpu_bringup.facts import dpkg, dpkg_damage
from gpu_bringup.facts.dpkg_depends import stanzas, thinned
from gpu_bringup.facts.history_parsers import RELEVANT
from gpu_bringup.facts.libraries import SONAMES
from gpu_bringup.facts.log import driver_lines
from gpu_bringup.facts.packages import MATTERS

_STATUS = re.compile(r"/var/lib/dpkg/status(?:-old)?$|/var/backups/dpkg\.status\.\d+")
_DPKG_LOG = re.compile(r"/dpkg\.log(?:[.-]\d+)?(?:\.\w+)?$")
_APT_LOG = re.compile(r"/apt/history\.log(?:[.-]\d+)?(?:\.\w+)?$")
_ZYPP_LOG = re.compile(r"/zypp/history(?:-\d+)?(?:\.\w+)?$")
_ITEM = re.compile(r"[a-z0-9][a-z0-9+.-]*(?::[a-z0-9]+)? \([^()]*\)")
_BOOT = re.compile(r"Linux version|Command line:|Secure boot|EFI v", re.IGNORECASE)


def file(path: str, text: str) -> str:
    """What of a file's text is read; all of it for a file that isn't known to be long."""
    if _STATUS.match(path):
        return _status(text)
    if _DPKG_LOG.search(path):
        return _lines(text, _dpkg_line)
    if _APT_LOG.search(path):
        return _apt(text)
    if _ZYPP_LOG.search(path):
        return _zypp(text)
    return text


def listing(path: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """What of a folder's names is read: of dpkg's lists of files those of packages that matter."""
    if path != "/var/lib/dpkg/info":
        return names
    return tuple(name for name in names if name.endswith(".list") and MATTERS.search(name))


def output(command: str, text: str) -> str:
    """What of a command's answer is read."""
    if command == "ldconfig -p":
        return _lines(text, lambda line: any(name in line for name in SONAMES))
    if command == "dmesg":
        kept = set(driver_lines(text))
        return _lines(text, lambda line: line.rstrip() in kept or bool(_BOOT.search(line)))
    if command.startswith("rpm -qa --qf "):
        # Two lines stand for the rest: a database that holds no package at all is a damaged one.
        first = text.splitlines()[:2]
        return _lines(text, lambda line: line in first or "|" not in line or _rpm_line(line))
    return text


def digest(key: str, value: dict[str, Any]) -> dict[str, Any]:
    """What of a file that is no text is read: of a packed log as of an open one."""
    kind, _, path = key.partition(" ")
    if kind == "log" and isinstance(value.get("text"), str):
        return {**value, "text": file(re.sub(r"\.(?:gz|xz|zst)$", "", path), value["text"])}
    if kind == "dnf-history":
        kept = []
        for transaction in value.get("transactions", ()):
            items = [item for item in transaction.get("items", ()) if RELEVANT.search(item[1])]
            if items:
                kept.append({**transaction, "items": items})
        return {**value, "transactions": kept}
    return value


def _lines(text: str, keep: Any) -> str:
    return "".join(f"{line}\n" for line in text.splitlines() if keep(line))


def _rpm_line(line: str) -> bool:
    return MATTERS.search(line.partition("|")[0]) is not None


def _dpkg_line(line: str) -> bool:
    words = line.split(" ")
    changes = len(words) > 4 and words[2] in ("install", "upgrade", "remove", "purge")
    return changes and RELEVANT.search(words[3].partition(":")[0]) is not None


def _status(text: str) -> str:
    if dpkg_damage.damage(text)[0]:
        return _damaged(text)
    every = stanzas(text)
    own = {item.name for item in every if MATTERS.search(item.name) or item.name == "dpkg"}
    return thinned(every, own, set(dpkg.unfinished(dpkg.parse_status(text))))


_READ = re.compile(r"(?:Package|Status|Version): ")


def _damaged(text: str) -> str:
    """A damaged status file with the damage in its place: every line stays, what isn't read in it goes."""
    place = dpkg_damage.damage(text)[0] - 1
    lines = re.sub("\0{2,}", "\0", text).split("\n")
    kept = []
    for number, line in enumerate(lines):
        if line and not _READ.match(line):
            # Another field, of which nothing is told; the place itself keeps what shows the damage.
            line = "\0" if "\0" in line else line[:12] if number == place else " ."
        kept.append(line)
    return "\n".join(kept)


def _apt(text: str) -> str:
    kept = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        lines, moved = [], False
        for line in paragraph.splitlines():
            key, _, value = line.partition(":")
            if key in ("Start-Date", "Commandline", "Requested-By", "End-Date", "Error"):
                lines.append(line)
            elif items := [i for i in _ITEM.findall(value) if RELEVANT.search(_name(i))]:
                lines.append(f"{key}: {', '.join(items)}")
                moved = True
        if moved:
            kept.append("\n".join(lines) + "\n")
    return "\n".join(kept)


def _name(item: str) -> str:
    return item.split(" ", 1)[0].partition(":")[0]


def _zypp(text: str) -> str:
    lines: list[str] = []
    command = ""
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) > 3 and parts[1].strip() == "command":
            command = line
        elif len(parts) > 3 and RELEVANT.search(parts[2]):
            lines += [command, line] if command else [line]
            command = ""
    return "".join(f"{line}\n" for line in lines)
