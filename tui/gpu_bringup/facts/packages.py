"""The package manager: what is installed, held, half done, and where packages come from."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts import databases, dpkg, rpm, sources
from gpu_bringup.facts.apt_conf import all_values, last_value, parse_apt_conf
from gpu_bringup.facts.ask import line, names, text
from gpu_bringup.model.facts import OsFacts, Package, PackageFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.hosts.base import Host

_MANAGERS = (
    ("apt", ("debian", "ubuntu"), "/usr/bin/apt-get"),
    ("dnf", ("rhel", "fedora", "centos", "amzn", "ol", "rocky", "almalinux"), "/usr/bin/dnf"),
    ("zypper", ("suse", "sles", "opensuse"), "/usr/bin/zypper"),
)
_LOCKERS = re.compile(
    r"^(apt|apt-get|aptitude|dpkg|unattended-upgr|synaptic|packagekitd|dnf\d?|yum|microdnf|rpm|"
    r"zypper|rpmdb|frontend)$"
)
_LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)
"""What apt and dpkg lock (apt.conf(5), dpkg's dbmodify.c)."""
MATTERS = re.compile(
    r"nvidia|cuda|cudnn|nccl|nvlsm|nvswitch|"
    r"^(linux-|kernel|kmod|akmod|dkms|gcc(-\d+)?(-(x86-64|aarch64)-linux-gnu)?$|g\+\+|clang|llvm$|make$|build-essential$|binutils$|"
    r"openssl$|mokutil$|shim|sbsigntool|initramfs-tools|dracut|mkinitcpio|unattended-upgrades$|"
    r"dnf-automatic$|dnf-plugin|python3-dnf-plugin|libelf|elfutils|dwarves$|pahole$|bc$|zstd$|xz-utils$|"
    r"grub|systemd-boot|docker|containerd|podman|cri-o|datacenter-gpu-manager|glx-alternative|needrestart$|"
    r"sudo$|update-glx$|firmware-nvidia|libcuda|python3-venv$)"
)


def relevant(packages: Iterable[Package]) -> tuple[Package, ...]:
    """The packages that the ladder asks about."""
    return tuple(package for package in packages if MATTERS.search(package.name))


def parse_locks(text: str) -> tuple[tuple[str, int], ...]:
    """(process id, inode) of each write lock in /proc/locks (proc(5))."""
    pattern = r"(?m)^\d+: (?:POSIX|FLOCK|OFDLCK)\s+\S+\s+WRITE\s+(\d+)\s+\w+:\w+:(\d+)\s"
    return tuple(dict.fromkeys((pid, int(inode)) for pid, inode in re.findall(pattern, text)))


def _manager(host: Host, os: Fact[OsFacts]) -> Fact[str | None]:
    unknown: Unknown | None = None
    words = () if isinstance(os, Unknown) else (os.id, *os.like)
    ranked = sorted(_MANAGERS, key=lambda item: not any(word.startswith(item[1]) for word in words))
    for name, families, program in ranked:
        answer = host.exists(program)
        if answer is True:
            return name
        if isinstance(answer, Unknown):
            # A record that doesn't say: the distribution's own manager is on every one of its kind.
            if any(word.startswith(families) for word in words):
                return name
            unknown = answer if unknown is None else unknown
    return unknown


def _inodes(host: Host) -> set[int]:
    """Inodes of apt's and dpkg's own locks; empty: not known."""
    found = (host.digest("modified", path) for path in _LOCKS)
    return {item["inode"] for item in found if isinstance(item, dict) and "inode" in item}


def _lock_owner(host: Host, manager: str) -> Fact[str | None]:
    locks = host.read_text("/proc/locks")
    if not isinstance(locks, str):
        return locks
    # An apt-get in a container beside this system holds the locks of that container.
    own = _inodes(host) if manager == "apt" and "WRITE" in locks else set()
    for pid, inode in parse_locks(locks):
        if own and inode not in own:
            continue
        comm = line(host, f"/proc/{pid}/comm")
        if isinstance(comm, str) and _LOCKERS.match(comm):
            return comm
    return None


def _apt_unattended(host: Host) -> tuple[Fact[bool], Fact[tuple[str, ...]]]:
    folder = "/etc/apt/apt.conf.d"
    listing = host.list_dir(folder)
    if isinstance(listing, Unknown):
        return listing, listing
    settings = tuple(
        setting
        for name in listing or ()
        if re.fullmatch(r"[\w.-]+?(\.conf)?", name)
        for setting in parse_apt_conf(text(host, f"{folder}/{name}"))
    )
    wanted = last_value(settings, "APT::Periodic::Unattended-Upgrade") not in ("", "0")
    present = host.exists("/usr/bin/unattended-upgrade")
    blacklist = all_values(settings, "Unattended-Upgrade::Package-Blacklist")
    if isinstance(present, Unknown):
        return (present if wanted else False), blacklist
    return wanted and present, blacklist


def _timer(host: Host, *timers: str) -> bool:
    wants = names(host, "/etc/systemd/system/timers.target.wants")
    return any(name.startswith(timers) for name in wants)


def _dnf_unattended(host: Host) -> tuple[Fact[bool], Fact[tuple[str, ...]]]:
    settings = text(host, "/etc/dnf/automatic.conf")
    applies = re.search(r"(?mi)^\s*apply_updates\s*=\s*(yes|true|1)", settings) is not None
    on = _timer(host, "dnf-automatic-install") or (applies and _timer(host, "dnf-automatic"))
    main = host.read_text("/etc/dnf/dnf.conf")
    if isinstance(main, Unknown):
        return on, main
    found = re.findall(r"(?mi)^\s*exclude(?:pkgs)?\s*=\s*(.+)$", main or "")
    return on, tuple(word for row in found for word in re.split(r"[\s,]+", row) if word)


def _stream(host: Host) -> str:
    """The stream of nvidia-driver that dnf has switched on (/etc/dnf/modules.d, dnf.modularity(7))."""
    settings = text(host, "/etc/dnf/modules.d/nvidia-driver.module")
    state = re.search(r"(?m)^\s*state\s*=\s*(\w+)", settings)
    found = re.search(r"(?m)^\s*stream\s*=\s*(\S+)", settings)
    return found[1] if found and state and state[1] == "enabled" else ""


def _rpm(host: Host, manager: str, os: Fact[OsFacts]) -> PackageFacts:
    found, damage = databases.read_rpm(host)
    installed: Fact[tuple[Package, ...]]
    unfinished: Fact[tuple[str, ...]]
    if isinstance(found, Unknown):
        installed = unfinished = found
    else:
        unfinished = rpm.duplicates(found)
        locks = rpm.parse_versionlock(text(host, "/etc/dnf/plugins/versionlock.list"))
        locks += rpm.parse_zypp_locks(text(host, "/etc/zypp/locks"))
        installed = relevant(rpm.with_holds(tuple(package for package, _ in found), locks))
    if manager == "dnf":
        unattended, blacklist = _dnf_unattended(host)
    else:
        unattended = _timer(host, "transactional-update", "os-update", "yast-online-update")
        blacklist = ()
    return PackageFacts(
        manager=manager,
        installed=installed,
        unfinished=unfinished,
        interrupted=unfinished if isinstance(unfinished, Unknown) else bool(unfinished),
        lock_owner=_lock_owner(host, manager),
        repositories=sources.observe(host, manager, os),
        unattended_upgrades=unattended,
        unattended_blacklist=blacklist,
        damage=damage,
        module_stream=_stream(host) if manager == "dnf" else "",
    )


def observe(host: Host, os: Fact[OsFacts]) -> PackageFacts:
    """Everything but the installation method, which other facts tell (``facts.method``)."""
    manager = _manager(host, os)
    if not isinstance(manager, str):
        return PackageFacts(manager=manager)
    if manager != "apt":
        return _rpm(host, manager, os)
    database = databases.read_dpkg(host, MATTERS.search)
    packages = database.packages
    unattended, blacklist = _apt_unattended(host)
    return PackageFacts(
        manager=manager,
        installed=packages if isinstance(packages, Unknown) else relevant(packages),
        unfinished=packages if isinstance(packages, Unknown) else dpkg.unfinished(packages),
        interrupted=database.interrupted,
        lock_owner=_lock_owner(host, manager),
        repositories=sources.observe(host, manager, os),
        unattended_upgrades=unattended,
        unattended_blacklist=blacklist,
        damage=database.damage,
        backups=database.backups,
        unmet=database.unmet,
    )
