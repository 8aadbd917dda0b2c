"""Histories of package managers as texts: apt, dpkg, zypper; and dnf's as its digest. All pure.

Dates in apt's and dpkg's logs and in zypp's history are written in figures, whatever the locale; what
has another form is passed over. Broken lines never end the reading: half a log is worth half.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from gpu_bringup.model.change import UNATTENDED, Change

RELEVANT = re.compile(
    r"nvidia|cuda|^linux-(?:image|headers|modules|generic|signed|kbuild)|^kernel(?:-|$)|dkms|^kmod-"
    r"|^akmod|^cudnn|fabricmanager|^nvlsm|^libnccl|^datacenter-gpu"
)
"""Packages whose changes can break or mend the driver."""
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)\s+(\d\d:\d\d:\d\d)")
_ITEM = re.compile(r"([a-z0-9][a-z0-9+.-]*)(?::([a-z0-9]+))? \(([^()]*)\)")
_ACTIONS = {
    "Install": "install",
    "Upgrade": "upgrade",
    "Downgrade": "downgrade",
    "Reinstall": "reinstall",
    "Remove": "remove",
    "Purge": "purge",
}
_DPKG = re.compile(
    r"^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) (install|upgrade|remove|purge) "
    r"([a-z0-9][a-z0-9+.-]*)(?::\S+)? (\S+) (\S+)$"
)


def _stamp(text: str) -> str:
    found = _STAMP.search(text)
    return f"{found[1]} {found[2]}" if found else ""


def _automatic(command: str) -> bool:
    return any(word in command.lower() for word in UNATTENDED)


def parse_apt(text: str, source: str) -> tuple[Change, ...]:
    """The changes in a history.log of apt: paragraphs "Start-Date: …", "Commandline: …", "Upgrade: …"."""
    found: list[Change] = []
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        fields: dict[str, str] = {}
        for raw in paragraph.splitlines():
            key, separator, value = raw.partition(":")
            if separator and re.fullmatch(r"[A-Z][A-Za-z-]*", key):
                fields[key] = value.strip()
        when = _stamp(fields.get("Start-Date", ""))
        if not when:
            continue
        command = fields.get("Commandline", "")
        asked = fields.get("Requested-By", "")
        user = asked.partition(" (")[0].strip()
        for key, action in _ACTIONS.items():
            for name, _, versions in _ITEM.findall(fields.get(key, "")):
                if not RELEVANT.search(name):
                    continue
                parts = [part.strip() for part in versions.split(",")]
                old, new = "", parts[0]
                if action in ("upgrade", "downgrade") and len(parts) > 1:
                    old, new = parts[0], parts[1]
                elif action in ("remove", "purge"):
                    old, new = parts[0], ""
                found.append(
                    Change(when, name, action, old, new, command, user, _automatic(command), source)
                )
    return tuple(found)


def parse_dpkg(text: str, source: str) -> tuple[Change, ...]:
    """The changes in a dpkg.log ("DATE TIME upgrade NAME:ARCH OLD NEW"): it names no command."""
    found = []
    for raw in text.splitlines():
        match = _DPKG.match(raw.strip())
        if match is None or not RELEVANT.search(match[4]):
            continue
        action = match[3]
        old = "" if match[5] == "<none>" else match[5]
        new = "" if match[6] == "<none>" or action in ("remove", "purge") else match[6]
        if action == "upgrade" and old == new:
            action = "reinstall"
        found.append(
            Change(f"{match[1]} {match[2]}", match[4], action, old, new, "", "", False, source)
        )
    return tuple(found)


def parse_zypp(text: str, source: str) -> tuple[Change, ...]:
    """The changes in zypp's history: "DATE|install|NAME|VERSION|ARCH|USER@HOST|…" lines.

    zypp writes an upgrade as an installation; the version before is that of the line before for the
    same package. Commands stand in lines of their own ("DATE|command|USER@HOST|'zypper' 'up'|") before
    what they did. Source: libzypp, zypp/HistoryLog.
    """
    found: list[Change] = []
    versions: dict[str, str] = {}
    command = user = ""
    for raw in text.splitlines():
        parts = raw.strip().split("|")
        if raw.startswith("#") or len(parts) < 4 or not _STAMP.fullmatch(parts[0]):
            continue
        kind = parts[1].strip()
        if kind == "command":
            user = parts[2].partition("@")[0]
            command = parts[3].replace("'", "")
        elif kind in ("install", "remove"):
            name, version = parts[2], parts[3]
            old = versions.get(name, "")
            if kind == "install":
                action = "install" if not old else "reinstall" if old == version else "upgrade"
                new = version
                versions[name] = version
            else:
                action, old, new = "remove", version, ""
                versions.pop(name, None)
            if RELEVANT.search(name):
                found.append(
                    Change(
                        _stamp(parts[0]),
                        name,
                        action,
                        old,
                        new,
                        command,
                        user,
                        _automatic(command),
                        source,
                    )
                )
    return tuple(found)


def _utc(seconds: object) -> str:
    try:
        moment = datetime.fromtimestamp(float(str(seconds)), timezone.utc)
        return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return ""


def parse_dnf(digest: dict[str, Any], source: str) -> tuple[Change, ...]:
    """The changes in dnf's history: what replaced a package, and the "replaced" line of the old one."""
    found: list[Change] = []
    for transaction in digest.get("transactions", ()):
        if not isinstance(transaction, dict):
            continue
        when = _utc(transaction.get("begin"))
        items = [item for item in transaction.get("items", ()) if _is_item(item)]
        replaced = {name: version for action, name, version in items if action == "replaced"}
        command = str(transaction.get("command", ""))
        number = transaction.get("user")
        # -1 (4294967295) is the audit system's "nobody logged in": a service, or a chroot.
        user = "root" if number == 0 else f"user id {number}" if isinstance(number, int) else ""
        service = number in (-1, 4294967295)
        for action, name, version in items:
            if action in ("replaced", "reason", "other", "obsoleted") or not RELEVANT.search(name):
                continue
            gone = action == "remove"
            found.append(
                Change(
                    when,
                    name,
                    "install" if action == "obsolete" else action,
                    version if gone else replaced.get(name, ""),
                    "" if gone else version,
                    f"dnf {command}" if command and not command.startswith("dnf") else command,
                    "" if service else user,
                    _automatic(command),
                    source,
                )
            )
    return tuple(found)


def _is_item(value: object) -> bool:
    return (
        isinstance(value, list) and len(value) == 3 and all(isinstance(part, str) for part in value)
    )
