"""The distribution (os-release(5)) and the machine's architecture."""

from __future__ import annotations

import re
import shlex
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import line, output
from gpu_bringup.model.facts import OsFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_ELF_X86_64 = ">"
"""Low byte of e_machine 62 (EM_X86_64), the one machine number that is plain ASCII."""


def parse_os_release(text: str) -> dict[str, str]:
    """Variables of an os-release file; lines that are no assignment are left out."""
    values: dict[str, str] = {}
    for raw in text.splitlines():
        key, separator, value = raw.strip().partition("=")
        if not separator or not key.replace("_", "").isalnum():
            continue
        try:
            values[key] = _unquoted(value)
        except ValueError:
            values[key] = value.strip("\"'")
    return values


@lru_cache(maxsize=512)
def _unquoted(value: str) -> str:
    """As a shell reads it; hosts of one distribution have the same values.

    Raises:
        ValueError: a quote isn't closed.
    """
    return "".join(shlex.split(value))


_MACHINE = re.compile(r"[a-z][a-z0-9_]{2,11}")
"""A machine's name as the kernel writes it ("x86_64", "aarch64", "riscv64")."""


def _arch(host: Host) -> str:
    name = line(host, "/proc/sys/kernel/arch")
    if isinstance(name, str) and _MACHINE.fullmatch(name):
        return name
    # Kernels before 6.1 have no such file; the ELF header of a program that runs here tells it too.
    header = host.read_text("/proc/self/exe", limit=64)
    if isinstance(header, str) and header[1:5] == "ELF\x02" and header[18:19] == _ELF_X86_64:
        return "x86_64"
    answer = output(host, "uname", "-m")
    machine = answer.strip() if isinstance(answer, str) else ""
    return machine if _MACHINE.fullmatch(machine) else ""


def observe(host: Host) -> Fact[OsFacts]:
    text: Fact[str | None] = None
    for path in ("/etc/os-release", "/usr/lib/os-release"):
        text = host.read_text(path)
        if isinstance(text, str):
            break
    if isinstance(text, Unknown):
        return text
    if text is None:
        return Unknown("there is no /etc/os-release")
    values = parse_os_release(text)
    if not values.get("ID"):
        return Unknown("/etc/os-release names no distribution (ID)")
    return OsFacts(
        id=values["ID"].lower(),
        version=values.get("VERSION_ID", ""),
        name=values.get("PRETTY_NAME") or values.get("NAME") or values["ID"],
        codename=values.get("VERSION_CODENAME", ""),
        like=tuple(values.get("ID_LIKE", "").split()),
        arch=_arch(host),
    )
