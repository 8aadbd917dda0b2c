"""What is compared between a real Debian root file system and the simulated one, and how it is read.

The real side is captured once by ``tests/rig/conformance.sh`` into ``tests/cases/conformance``; the test
replays the same commands on a simulated twin.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gpu_bringup.facts.dpkg import parse_query
from gpu_bringup.facts.libraries import parse_ldconfig
from gpu_bringup.facts.modules import parse_modinfo
from gpu_bringup.families.apt_output import first_error, parse_simulation

PACKAGES = (
    "dkms", "kmod", "libcuda1", "libnvidia-ml1", "linux-headers-{new}", "linux-headers-{old}",
    "linux-headers-amd64", "linux-image-{new}", "linux-image-{old}", "linux-image-amd64", "make",
    "nvidia-driver-cuda", "nvidia-kernel-open-dkms", "nvidia-modprobe", "nvidia-persistenced",
)  # fmt: skip
"""Packages that both sides know, so that answers about them can be compared."""
FORM = "'${db:Status-Abbrev}|${Package}|${Version}\\n'"
ALL = f"dpkg-query -W -f {FORM} {' '.join(PACKAGES)}"
"""Asked after each change: dpkg's states of these packages."""
MODULES = "modinfo -k {new} nvidia"
YES = "apt-get -y -q --allow-downgrades --allow-change-held-packages --no-install-recommends"
DKMS = "dkms status"


@dataclass(frozen=True)
class Row:
    """One command.

    Attributes:
        line: with {new}, {old} (kernel releases) and {driver} to be filled in.
        reader: name in ``READERS``; empty: only the exit status is compared.
    """

    line: str
    reader: str = ""

    def argv(self, names: dict[str, str]) -> tuple[str, ...]:
        """The words of the command with the names of a host."""
        line = self.line
        for key, value in names.items():
            line = line.replace("{" + key + "}", value)
        return tuple(shlex.split(line))


def _rows(*rows: str | tuple[str, str]) -> tuple[Row, ...]:
    return tuple(Row(row) if isinstance(row, str) else Row(*row) for row in rows)


GROUPS: dict[str, tuple[Row, ...]] = {
    "looking at packages": _rows(
        (ALL, "packages"),
        ("dpkg-query -W no-such-package", "text"),
        ("dpkg-query -W -f '${Status}' kmod", "text"),
        ("dpkg-query -s no-such-package", "first line"),
        ("dpkg-query -S /usr/bin/kmod", "text"),
        ("dpkg-query -S /no/such/file", "text"),
        ("dpkg-query -L no-such-package", "first line"),
        "dpkg-query",
        "dpkg -l nvidia-driver-cuda",
        "dpkg -l no-such-package",
        ("dpkg -s no-such-package", "first line"),
        "dpkg -s kmod",
        ("dpkg -S /no/such/file", "text"),
        ("dpkg --audit", "text"),
        ("dpkg --print-architecture", "text"),
        ("apt-mark showhold", "text"),
        ("apt-cache policy libcuda1", "policy"),
        ("apt-cache policy linux-image-amd64", "policy"),
        ("apt-cache policy no-such-package", "policy"),
        ("apt-cache madison libcuda1", "madison"),
        "apt-cache madison no-such-package",
        ("apt-cache show no-such-package", "error"),
        ("apt-get -s -q install no-such-package", "simulation"),
        ("apt-get -s -q install kmod", "simulation"),
        ("apt-get -s -q install libcuda1=1.2.3-1", "simulation"),
        ("apt-get -s -q remove nvidia-modprobe", "simulation"),
        ("apt-get -s -q remove --allow-change-held-packages nvidia-modprobe", "simulation"),
        ("apt-get -s -q purge linux-headers-{old}", "simulation"),
        ("apt-get -s -q install --reinstall libcuda1", "simulation"),
        ("apt-get no-such-word", "error"),
        ("apt-mark no-such-word", "error"),
        "apt-get install",
        ("ldconfig -p", "libraries"),
    ),
    "looking at modules and files": _rows(
        (DKMS, "lines"),
        ("dkms status nvidia/{driver}", "lines"),
        "dkms --version",
        ("dkms status -k {old}", "lines"),
        ("dkms status no-such-module", "lines"),
        (MODULES, "module"),
        ("modinfo -k {old} nvidia-uvm", "module"),
        ("modinfo -k {new} -F version nvidia", "text"),
        ("modinfo -k {new} -F signer nvidia", "text"),
        ("modinfo /lib/modules/{new}/updates/dkms/nvidia.ko.xz", "module"),
        "modinfo -k {new} no-such-module",
        ("modinfo /no/such/file.ko", "text"),
        ("insmod /no/such/file.ko", "text"),
        "modprobe no-such-module",
        "rmmod no-such-module",
        ("ls /no/such/file", "text"),
        ("ls /lib/modules/{new}/updates/dkms", "lines"),
        ("cat /no/such/file", "text"),
        ("cat /etc", "text"),
        "cat /etc/debian_version",
        ("head -n 1 /etc/os-release", "text"),
        ("head /no/such/file", "text"),
        ("tail /no/such/file", "text"),
        ("grep no-such-word /etc/os-release", "text"),
        ("grep -c ID= /etc/os-release", "text"),
        ("grep ^ID= /etc/os-release", "text"),
        ("grep x /no/such/file", "text"),
        ("grep x /etc", "text"),
        ("rm /no/such/file", "text"),
        ("rm -f /no/such/file", "text"),
        ("rm /etc", "text"),
        ("mkdir /etc", "text"),
        ("mkdir -p /etc", "text"),
        ("mkdir /no/such/folder", "text"),
        ("cp /no/such/file /tmp/x", "text"),
        ("mv /no/such/file /tmp/x", "text"),
        ("chmod 600 /no/such/file", "text"),
        ("id -u", "text"),
        ("whoami", "text"),
        ("uname -m", "text"),
        ("uname -s", "text"),
        ("echo a b", "text"),
        "true",
        "false",
        "update-initramfs -u -k 9.9.9",
        "lsinitramfs /no/such/file",
        ("mokutil --sb-state", "text"),
        ("mokutil --list-new", "text"),
    ),
    "holds": _rows(
        ("apt-mark hold libcuda1", "text"),
        ("apt-mark hold libcuda1", "text"),
        ("apt-mark showhold", "text"),
        ("apt-mark unhold libcuda1 nvidia-driver-cuda", "text"),
        ("apt-mark unhold libcuda1", "text"),
        ("apt-mark showhold", "text"),
        ("apt-mark hold no-such-package", "error"),
        ("apt-mark auto kmod", "text"),
        ("apt-mark manual kmod", "text"),
        (ALL, "packages"),
    ),
    "removals": _rows(
        ("apt-get -y -q remove libcuda1", "error"),
        ("apt-get -s -q purge nvidia-kernel-open-dkms", "simulation"),
        ("apt-get -y -q purge nvidia-kernel-open-dkms", "error"),
        ("apt-get -y -q purge kmod-no-such", "error"),
        ("dpkg -r libcuda1", "first line"),
        (ALL, "packages"),
        (f"{YES} remove libcuda1", ""),
        (ALL, "packages"),
        (f"{YES} install libcuda1", ""),
        (ALL, "packages"),
        ("dpkg --configure -a", "text"),
        ("dpkg --audit", "text"),
        f"{YES} purge nvidia-kernel-open-dkms",
        (ALL, "packages"),
        (DKMS, "lines"),
        ("ls /lib/modules/{new}/updates/dkms", ""),
        ("modinfo -k {new} -F version nvidia", ""),
    ),
    "dkms": _rows(
        "dkms install nvidia/{driver} -k {old}",
        "dkms uninstall nvidia/{driver} -k {old}",
        (DKMS, "lines"),
        "dkms install nvidia/{driver} -k {old}",
        (DKMS, "lines"),
        "dkms unbuild nvidia/{driver} -k {old}",
        (DKMS, "lines"),
        "dkms build nvidia/{driver} -k {old}",
        (DKMS, "lines"),
        "dkms install nvidia/{driver} -k {old}",
        (DKMS, "lines"),
        ("modinfo -k {old} nvidia", "module"),
        "dkms build nvidia/1.2.3 -k {new}",
        "dkms install no-such-module/1.0 -k {new}",
        "dkms remove no-such-module/1.0 --all",
        "dkms add no-such-module/1.0",
        "dkms no-such-word",
        "dkms autoinstall -k {new}",
        "dkms remove nvidia/{driver} --all",
        (DKMS, "lines"),
        "dkms install nvidia/{driver} -k {new}",
    ),
    "without headers": _rows(
        f"{YES} purge linux-headers-{{old}}",
        (ALL, "packages"),
        (DKMS, "lines"),
        "dkms unbuild nvidia/{driver} -k {old}",
        "dkms build nvidia/{driver} -k {old}",
        "dkms install nvidia/{driver} -k {old}",
        "dkms autoinstall -k {old}",
        (DKMS, "lines"),
    ),
    "another release": _rows(
        f"{YES} install libcuda1={{before}}-1 libnvidia-ml1={{before}}-1 "
        "nvidia-driver-cuda={before}-1 nvidia-kernel-open-dkms={before}-1",
        (ALL, "packages"),
        (DKMS, "lines"),
        (MODULES, "module"),
        ("ldconfig -p", "libraries"),
        ("apt-mark showhold", "text"),
        "update-initramfs -u -k {new}",
        f"{YES} purge linux-image-{{old}} linux-headers-{{old}}",
        (ALL, "packages"),
        (DKMS, "lines"),
    ),
}
"""Each begins on the healthy server; the rows of one follow each other."""


def _packages(status: int, output: str) -> Any:
    return sorted((p.status.strip(), p.name, p.version) for p in parse_query(output))


def _simulation(status: int, output: str) -> Any:
    found = parse_simulation(status, output)
    installs = sorted(name.split(":")[0] for name, _ in found.installs)
    return [found.ok, found.error, installs, sorted(found.removes)]


def _policy(status: int, output: str) -> Any:
    return re.findall(r"^  (Installed|Candidate): (\S+)", output, re.M)


def _madison(status: int, output: str) -> Any:
    # The rig's archive has another series besides.
    rows = [
        line.split("|")[:2] for line in output.splitlines() if "| 580." in line.replace("  ", " ")
    ]
    return sorted({(name.strip(), version.strip()) for name, version in rows})


def _module(status: int, output: str) -> Any:
    keys = ("filename", "name", "version", "signer")
    return [
        [*(block.get(key, "") for key in keys), block.get("vermagic", "").split(" ")[0]]
        for block in parse_modinfo(output)
    ]


def _libraries(status: int, output: str) -> Any:
    wanted = ("libcuda.so", "libnvidia-ml.so")
    return sorted(row for row in parse_ldconfig(output) if row[0].startswith(wanted))


def _lines(status: int, output: str) -> Any:
    return sorted(line.strip() for line in output.splitlines() if line.strip())


def _first_line(status: int, output: str) -> Any:
    return next((line for line in output.splitlines() if line.strip()), "")


def _text(status: int, output: str) -> Any:
    return output.strip("\n")


def _error(status: int, output: str) -> Any:
    return first_error(output)


READERS: dict[str, Callable[[int, str], Any]] = {
    "packages": _packages,
    "simulation": _simulation,
    "policy": _policy,
    "madison": _madison,
    "module": _module,
    "libraries": _libraries,
    "lines": _lines,
    "first line": _first_line,
    "text": _text,
    "error": _error,
}
"""(exit status, output) -> what the program makes of it."""


def common(text: str, names: dict[str, str]) -> str:
    """Output without what differs between any two hosts: the kernels' numbers, the archive's name."""
    for key in ("new", "old"):
        number = names[key].split("+")[0]
        text = text.replace(number, key.upper())
    text = text.replace(names["running"], "RUNNING")
    return re.sub(r"https?://[^/\s]+/", "http://archive.example.org/", text)
