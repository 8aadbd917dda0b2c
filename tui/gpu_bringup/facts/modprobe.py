"""modprobe.d(5) and the kernel's command line: NVIDIA's modules and competitors kept from loading."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import line
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_FOLDERS = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)
"""In this order: a file name found earlier hides the same name later."""
_OURS = re.compile(r"^(nvidia(_\w+)?|nvidia_current\w*|nouveau|nova(_\w+)?)$")
_NEVER = re.compile(r"^(/usr)?/s?bin/(false|true)$|^:$")


def parse_modprobe(text: str) -> tuple[tuple[str, int], ...]:
    """(module, line) of modules that this file keeps from loading, names with underscores."""
    found = []
    joined = text.replace("\\\n", "  ")
    for index, raw in enumerate(joined.splitlines(), start=1):
        words = raw.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        module = words[1].replace("-", "_")
        blocked = (
            words[0] == "blacklist"
            or (words[0] == "install" and len(words) > 2 and _NEVER.match(words[2]))
            or (words[0] == "alias" and len(words) > 2 and words[2] == "off")
        )
        if blocked and _OURS.match(module):
            found.append((module, index))
    return tuple(found)


def parse_command_line(text: str) -> tuple[str, ...]:
    """Modules that the kernel's command line keeps from loading."""
    found: list[str] = []
    for word in text.split():
        key, _, value = word.partition("=")
        if key in ("modprobe.blacklist", "rd.driver.blacklist", "module_blacklist"):
            found += [name.replace("-", "_") for name in value.split(",")]
    return tuple(dict.fromkeys(name for name in found if _OURS.match(name)))


def observe(host: Host) -> Fact[tuple[str, ...]]:
    """ "MODULE FILE:LINE" of each entry that counts; Unknown where none is known and no folder, or not
    every file, could be looked into."""
    found: list[str] = []
    seen: set[str] = set()
    unread: list[Unknown] = []
    hidden: Unknown | None = None
    for folder in _FOLDERS:
        listing = host.list_dir(folder)
        if isinstance(listing, Unknown):
            unread.append(listing)
            continue
        for name in listing or ():
            if not name.endswith(".conf") or name in seen:
                continue
            seen.add(name)
            path = posixpath.join(folder, name)
            content = host.read_text(path)
            if isinstance(content, Unknown):
                hidden = content if hidden is None else hidden
            if isinstance(content, str):
                found += [f"{module} {path}:{index}" for module, index in parse_modprobe(content)]
    command_line = line(host, "/proc/cmdline", limit=65_536)
    if isinstance(command_line, str):
        found += [f"{module} /proc/cmdline:1" for module in parse_command_line(command_line)]
    if not found and len(unread) == len(_FOLDERS):
        return unread[0]
    if not found and hidden is not None:
        # What a file says that could not be read isn't known.
        return hidden
    return tuple(found)
