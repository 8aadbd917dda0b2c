"""Which commands a system has: a look-up with apt is of no use on a host with zypper."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_DEB = ("debian", "ubuntu")
_DNF = ("rhel", "fedora", "amazon")
_RPM = (*_DNF, "suse")
_TOOLS = {
    "apt": _DEB,
    "apt-get": _DEB,
    "apt-cache": _DEB,
    "apt-mark": _DEB,
    "apt-config": _DEB,
    "dpkg": _DEB,
    "dpkg-query": _DEB,
    "lsinitramfs": _DEB,
    "update-initramfs": _DEB,
    "dnf": _DNF,
    "yum": _DNF,
    "zypper": ("suse",),
    "rpm": _RPM,
    "lsinitrd": _RPM,
    "dracut": _RPM,
}
_NAMES = {
    "debian": "Debian",
    "ubuntu": "Ubuntu",
    "rhel": "RHEL",
    "fedora": "Fedora",
    "amazon": "Amazon Linux",
    "suse": "SUSE",
}


def families_of(argv: Sequence[str]) -> tuple[str, ...]:
    """The families that have a command's program; empty: all of them, or nothing is known."""
    return _TOOLS.get(argv[0], ()) if argv else ()


def names(families: Iterable[str]) -> str:
    """Families as people call them: "Debian, Ubuntu"; empty for none."""
    return ", ".join(_NAMES[family] for family in families)


def fitting(argvs: Iterable[tuple[str, ...]], family: str) -> tuple[tuple[str, ...], ...]:
    """The look-ups that a host of this family can run; ``family`` empty: not known, all of them."""
    return tuple(
        argv
        for argv in argvs
        if argv and (not family or not families_of(argv) or family in families_of(argv))
    )
