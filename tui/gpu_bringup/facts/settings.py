"""Variables that programs on this host are started with: looked for by name, nothing else is kept.

Environment files hold passwords and tokens, so only the names that were asked for leave this module,
and none of it enters a host record. Sources: environment(5) of pam_env, systemd.exec(5)
("Environment=", "EnvironmentFile="), systemd-system.conf(5) ("DefaultEnvironment="),
environment.d(5), containers.conf(5).
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names, text
from gpu_bringup.model.advice import Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from gpu_bringup.hosts.base import Host

_PLAIN_FILES = ("/etc/environment", "/etc/default/docker", "/etc/sysconfig/docker")
_PLAIN_FOLDERS = (("/etc/environment.d", ".conf"), ("/etc/profile.d", ".sh"))
_UNIT_FOLDERS = ("/etc/systemd/system", "/run/systemd/system")
_MANAGER_FILES = ("/etc/systemd/system.conf", "/etc/systemd/user.conf")
_MOST_FILES = 200
"""Files that are looked at; a host with more units than that is looked at in part."""
_LIMIT = 65_536
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+|-\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*[=:]\s*(.*?)\s*$")
_UNIT_LINE = re.compile(r"^\s*(Environment|DefaultEnvironment|EnvironmentFile)\s*=\s*(.*)$")
_ENV_LIST = re.compile(r"^\s*env\s*=\s*\[(.*?)\]", re.DOTALL | re.MULTILINE)


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def assignments(content: str, wanted: Collection[str]) -> tuple[tuple[str, str, int], ...]:
    """(name, value, line) of the wanted variables in an environment file or shell profile.

    Lines are "NAME=value", with "export" or quotes where people write them; compose files' "- NAME=value"
    and "NAME: value" are understood too. Comments and everything else are passed over.
    """
    found = []
    for number, raw in enumerate(content.splitlines(), 1):
        match = _ASSIGNMENT.match(raw)
        if match and match[1] in wanted:
            found.append((match[1], _unquoted(match[2].split(" #")[0].rstrip()), number))
    return tuple(found)


def _words(value: str) -> list[str]:
    try:
        return shlex.split(value, comments=False)
    except ValueError:
        return value.split()


def unit_assignments(
    content: str, wanted: Collection[str]
) -> tuple[tuple[tuple[str, str, int], ...], tuple[str, ...]]:
    """((name, value, line) of the wanted variables, files that the unit reads more from).

    A line that ends in a backslash goes on in the next one (systemd.syntax(7)).
    """
    found: list[tuple[str, str, int]] = []
    files: list[str] = []
    pending, start = "", 0
    for number, raw in enumerate(content.splitlines(), 1):
        start = start or number
        if raw.endswith("\\"):
            pending += raw[:-1] + " "
            continue
        match = _UNIT_LINE.match(pending + raw)
        line, pending, start = start, "", 0
        if match is None:
            continue
        if match[1] == "EnvironmentFile":
            files.append(match[2].strip().removeprefix("-"))
            continue
        for word in _words(match[2]):
            name, sign, value = word.partition("=")
            if sign and name in wanted:
                found.append((name, value, line))
    return tuple(found), tuple(path for path in files if path.startswith("/"))


def container_assignments(content: str, wanted: Collection[str]) -> tuple[tuple[str, str], ...]:
    """(name, value) of the wanted variables in the "env" list of a containers.conf."""
    return tuple(
        (name, value)
        for block in _ENV_LIST.findall(content)
        for name, value in re.findall(r"[\"']([A-Za-z_]\w*)=(.*?)[\"']", block)
        if name in wanted
    )


def _units(host: Host) -> Iterator[str]:
    """Unit files and drop-ins that somebody put there, not those of packages."""
    for folder in _UNIT_FOLDERS:
        for name in names(host, folder):
            path = f"{folder}/{name}"
            if name.endswith(".service"):
                yield path
            elif name.endswith(".d"):
                yield from (
                    f"{path}/{item}" for item in names(host, path) if item.endswith(".conf")
                )
    yield from _MANAGER_FILES
    for path in _MANAGER_FILES:
        yield from (f"{path}.d/{item}" for item in names(host, f"{path}.d"))


def observe(host: Host, wanted: Collection[str]) -> tuple[Setting, ...]:
    """Where the wanted variables are set: this process, environment files, units, containers.conf.

    What can't be read is passed over: that nothing was found does not say that nothing is set.
    """
    found = []
    for name in sorted(wanted):
        value = host.environment(name)
        if isinstance(value, str):
            found.append(Setting(name, value, "this process's environment"))
    plain = list(_PLAIN_FILES)
    for folder, ending in _PLAIN_FOLDERS:
        plain += [f"{folder}/{name}" for name in names(host, folder) if name.endswith(ending)]
    for number, path in enumerate(_units(host)):
        if number >= _MOST_FILES:
            break
        own, files = unit_assignments(text(host, path, limit=_LIMIT), wanted)
        found += [Setting(name, value, f"{path}:{line}") for name, value, line in own]
        plain += [posixpath.normpath(item) for item in files]
    for path in dict.fromkeys(plain):
        own = assignments(text(host, path, limit=_LIMIT), wanted)
        found += [Setting(name, value, f"{path}:{line}") for name, value, line in own]
    path = "/etc/containers/containers.conf"
    for name, value in container_assignments(text(host, path, limit=_LIMIT), wanted):
        found.append(Setting(name, value, path))
    return tuple(found)
