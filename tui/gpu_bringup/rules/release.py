"""Kernel releases: what a name tells of the upstream version, and what it doesn't."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.model.versions import UpstreamKernel, upstream_kernel
from gpu_bringup.rules.subject import TargetKernel

if TYPE_CHECKING:
    from gpu_bringup.model.kernels import KernelAbi

_RHEL = re.compile(r"\.el\d+")
_SUSE = re.compile(r"^\d+\.\d+\.\d+-\d{6}\.|-default$")
_UBUNTU = re.compile(r"^\d+\.\d+\.0-\d+-(?!.*(?:amd64|arm64|686)).+$")


# Debian 11 and 12, and Debian 12's kernels backported to 11: an ABI number in the sublevel's place.
_DEBIAN_ABI = re.compile(r"^(\d+\.\d+)\.0-(?:0\.deb\d+\.)?(\d+)-(?:\w+-)*(?:amd64|arm64|686)")

# Kernels with patch sets of their own, by the mark in their release (pop-os/pop issue 3811: a build
# that fails on such a kernel and not on the upstream one of that number).
_FOREIGN = (
    (re.compile(r"-76\d{6}-"), "Pop!_OS"),
    (re.compile(r"-pve\b"), "Proxmox VE"),
    (re.compile(r"zabbly", re.IGNORECASE), "Zabbly"),
    (re.compile(r"xanmod", re.IGNORECASE), "XanMod"),
    (re.compile(r"liquorix|[-.]lqx", re.IGNORECASE), "Liquorix"),
    (re.compile(r"cachyos", re.IGNORECASE), "CachyOS"),
    (re.compile(r"[-_]tkg", re.IGNORECASE), "linux-tkg"),
    (re.compile(r"-zen\b", re.IGNORECASE), "Zen"),
    (re.compile(r"microsoft", re.IGNORECASE), "WSL"),
    (re.compile(r"-(?:surface|t2|hardened)\b", re.IGNORECASE), "a special build"),
)


def _foreign(release: str) -> str:
    """Whose patched kernel a release names; empty: none of those known to patch."""
    return next((name for mark, name in _FOREIGN if mark.search(release)), "")


def _by_abi(release: str, abis: tuple[KernelAbi, ...]) -> UpstreamKernel | None:
    """The upstream version behind an ABI number; None: it isn't on record."""
    match = _DEBIAN_ABI.match(release)
    if match is None:
        return None
    for abi in abis:
        sublevel = dict(abi.sublevels).get(int(match[2]))
        if abi.series == match[1] and sublevel is not None:
            major, minor = abi.series.split(".")
            return UpstreamKernel(int(major), int(minor), sublevel)
    return None


@lru_cache(maxsize=4096)
def target_kernel(
    release: str,
    *,
    family: str = "",
    package_version: str = "",
    realtime: bool | None = None,
    abis: tuple[KernelAbi, ...] = (),
) -> TargetKernel:
    """Understand a kernel release.

    Args:
        release: as ``uname -r`` prints it.
        family: distribution family, where it is known ("debian", "ubuntu", "rhel", "suse").
        package_version: of the package that owns it; Debian 12's tells the sublevel.
        realtime: CONFIG_PREEMPT_RT; None: judged by the name.
        abis: what ABI numbers stand for, where no package version tells the sublevel.
    """
    upstream = upstream_kernel(release)
    vendor = ""
    if _RHEL.search(release) or family == "rhel":
        vendor = "rhel"
    elif family == "suse" or _SUSE.search(release):
        vendor = "suse"
    # On Ubuntu a release of another shape is a kernel from elsewhere (mainline, a cloud's own).
    bare = family == "ubuntu" and re.match(r"^\d+\.\d+$", release) is not None
    ubuntu = bare or (family in ("", "ubuntu") and not vendor and bool(_UBUNTU.match(release)))
    if upstream is not None and upstream.sublevel is None and package_version and not ubuntu:
        owner = upstream_kernel(package_version.split(":")[-1])
        if owner is not None and owner.series == upstream.series:
            upstream = owner
    if upstream is not None and upstream.sublevel is None and not ubuntu:
        upstream = _by_abi(release, abis) or upstream
    if realtime is None:
        realtime = bool(re.search(r"[-+]rt\d*(?:[-.]|$)|-realtime$", release))
    return TargetKernel(
        release=release,
        upstream=upstream,
        vendor=vendor,
        realtime=realtime,
        stable_patches="Ubuntu" if ubuntu else "",
        foreign=_foreign(release),
    )
