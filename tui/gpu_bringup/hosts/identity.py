"""Finds out what would identify a host, its people or its network, so that it can be replaced.

Only names are found here; patterns that are secret wherever they stand (addresses, UUIDs, keys,
URLs) belong to ``redaction``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HOST_FILES = ("/etc/hostname", "/proc/sys/kernel/hostname", "/etc/mailname")
DOMAIN_FILE = "/proc/sys/kernel/domainname"
USER_FILE = "/etc/passwd"
ID_FILES = ("/etc/machine-id", "/var/lib/dbus/machine-id")
DMI_FOLDERS = ("/sys/class/dmi/id", "/sys/devices/virtual/dmi/id")
DMI_NAMES = (
    "product_serial",
    "board_serial",
    "chassis_serial",
    "product_uuid",
    "board_asset_tag",
    "chassis_asset_tag",
)
DMI_FILES = tuple(f"{folder}/{name}" for folder in DMI_FOLDERS for name in DMI_NAMES)
ASKED = (*HOST_FILES, DOMAIN_FILE, USER_FILE, *ID_FILES, *DMI_FILES[: len(DMI_NAMES)])
"""Files whose text tells what to hide; reading them needs no place in the record."""
USER_VARIABLES = ("USER", "LOGNAME", "SUDO_USER", "USERNAME")

_COMMON_WORDS = """
admin administrator almalinux amazon amd64 arm64 azureuser boot build builder buildd centos
cloud compute container cuda daemon data debian default dev ec2-user fedora generic gpu gpu-node
gpu-server host host1 hostname kernel kvm linux local localdomain localhost localhost.localdomain
machine main module name nobody node none nvidia opensuse operator oracle pci redhat rhel rocky
root server suse system systemd test ubuntu unknown user vagrant virtual vm x86_64
a10 a100 b100 b200 b300 gb200 gb300 h100 h200 l4 l40 l40s t4 v100 bill dash even iris mark may
max ring rose will hope grant drew chase art
"""
# A record is full of these words: as somebody's name they identify nobody, and replacing them
# would spoil every package name and message.
COMMON = frozenset(_COMMON_WORDS.split())
"""Host and user names that are replaced only where their place says what they are."""

_NO_SERIAL = re.compile(
    r"^(?:serial(?:-\d+)?$|n/?a$|none|null|unknown|not |to be filled|default string|system serial"
    r"|chassis serial|base board serial|0+$|x+$|\.+$|no asset)",
    re.IGNORECASE,
)
_SET_TO = re.compile(r"[Hh]ostname (?:set to|is) <?([\w.-]+)>?|\bhostname=([\w.-]+)")
_UNAME = re.compile(r"^Linux (\S+) \d")
_HOME = re.compile(r"(?:^|(?<=[^\w.-]))/home/([^/\s:\"']+)")
_PEOPLE_FIELDS = frozenset(
    ("Maintainer", "Original-Maintainer", "Homepage", "Bugs", "Description", "Conffiles")
)
_MIN_LITERAL = 3
_STAND_IN = re.compile(r"(?:host|user)\d*")
"""What this program itself puts in place of a name."""


def is_serial(value: str) -> bool:
    """Is this a number of one device, or does it say that there is none (or stands for one)?"""
    return bool(value) and not _NO_SERIAL.match(value)


@dataclass(slots=True)
class Secrets:
    """What to hide, by kind."""

    hosts: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    """Private domains that a host name ended with."""
    users: set[str] = field(default_factory=set)
    homes: set[str] = field(default_factory=set)
    """Home folders outside of /home."""
    serials: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    """Machine ids: 32 hex digits."""

    def add_host(self, name: str) -> None:
        """A host name, with or without a domain."""
        name = name.strip().rstrip(".").lower()
        short, _, domain = name.partition(".")
        if short not in COMMON and len(short) >= _MIN_LITERAL and not _STAND_IN.fullmatch(short):
            self.hosts.add(short)
        if domain not in COMMON and "." in domain and not domain.endswith("example.org"):
            self.domains.add(domain)

    def add_user(self, name: str, home: str = "") -> None:
        """An account of a person."""
        name = name.strip()
        if name not in COMMON and len(name) >= _MIN_LITERAL and not _STAND_IN.fullmatch(name):
            self.users.add(name)
        if home.count("/") > 1 and not home.startswith("/home/") and home not in ("", "/root"):
            self.homes.add(home.rstrip("/"))

    def add_serial(self, value: str) -> None:
        """A serial number or asset tag; values that say 'none' are left."""
        value = value.strip()
        if len(value) > _MIN_LITERAL and is_serial(value):
            self.serials.add(value)


def from_files(files: Mapping[str, str], secrets: Secrets) -> None:
    """What the files in ``ASKED`` tell."""
    for path in (*HOST_FILES, DOMAIN_FILE):
        name = files.get(path, "").strip()
        if name and "(" not in name and not name.startswith("#"):
            secrets.add_host(name)
    for path in ID_FILES:
        value = files.get(path, "").strip()
        if len(value) == 32:
            secrets.ids.add(value)
    for path in DMI_FILES:
        secrets.add_serial(files.get(path, ""))
    for line in files.get(USER_FILE, "").splitlines():
        account = line.split(":")
        # Accounts of people: /etc/login.defs has UID_MIN 1000, 65534 is nobody.
        if len(account) > 5 and account[2].isdigit() and 1000 <= int(account[2]) < 65534:
            secrets.add_user(account[0], account[5])


def from_texts(texts: Iterable[str], secrets: Secrets) -> None:
    """Names that any text gives away by the place they stand in."""
    for text in texts:
        for match in _SET_TO.finditer(text):
            secrets.add_host(match[1] or match[2])
        for match in _HOME.finditer(text):
            secrets.add_user(match[1])
        node = _UNAME.match(text)
        if node is not None and node[1] != "version":
            secrets.add_host(node[1])


def from_environment(variables: Mapping[str, str | None], secrets: Secrets) -> None:
    """Names in variables of the environment."""
    for name in USER_VARIABLES:
        secrets.add_user(variables.get(name) or "")
    secrets.add_host(variables.get("HOSTNAME") or "")
    home = variables.get("HOME") or ""
    if home.startswith("/"):
        secrets.add_user("", home)


def without_full_names(passwd: str) -> str:
    """passwd(5) without the comment field, which holds people's names and rooms."""
    lines = (line.split(":") for line in passwd.splitlines())
    return "".join(":".join([*line[:4], "", *line[5:]]) + "\n" for line in lines)


def without_people(status: str) -> str:
    """dpkg's database without the fields that name people, or that tell nothing about this host."""
    kept: list[str] = []
    dropped = False
    for line in status.splitlines():
        if not line.startswith((" ", "\t")):
            dropped = line.partition(":")[0] in _PEOPLE_FIELDS
        if not dropped:
            kept.append(f"{line}\n")
    return "".join(kept)
