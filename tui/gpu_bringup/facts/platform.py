"""Where this system runs: container, chroot, virtual machine, cloud; can modules be loaded at all?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import any_exists, line, names, output
from gpu_bringup.facts.mounts import Mount, parse_mountinfo, root_mount
from gpu_bringup.model.facts import PlatformFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_EARLIEST = 1_767_225_600
"""2026-01-01: this program is younger, so a clock before it is wrong."""
_LATEST = 4_102_444_800
"""2100-01-01."""

_ENGINES = (
    ("kubepods", "kubernetes"),
    ("containerd", "containerd"),
    ("docker", "docker"),
    ("libpod", "podman"),
    ("containers/storage", "podman"),
    ("crio", "crio"),
    ("lxc", "lxc"),
    ("machine.slice/systemd-nspawn", "systemd-nspawn"),
)

_CLOUDS = (
    ("amazon ec2", "aws"),
    ("google", "gcp"),
    ("oraclecloud", "oracle"),
    ("alibaba", "alibaba"),
    ("tencent", "tencent"),
    ("digitalocean", "digitalocean"),
    ("hetzner", "hetzner"),
    ("scaleway", "scaleway"),
    ("vultr", "vultr"),
    ("openstack", "openstack"),
)

_AZURE_ASSET_TAG = "7783-7084-3265-9085-8269-3286-77"
"""Chassis asset tag of every Azure machine (as cloud-init's Azure data source looks for it)."""

_HYPERVISORS = (
    ("vmware", "vmware"),
    ("virtualbox", "virtualbox"),
    ("innotek", "virtualbox"),
    ("parallels", "parallels"),
    ("xen", "xen"),
    ("bochs", "qemu"),
    ("qemu", "kvm"),
    ("kvm", "kvm"),
    ("openstack", "kvm"),
    ("amazon ec2", "kvm"),
    ("google", "kvm"),
    ("alibaba cloud", "kvm"),
)


def engine_of(words: str) -> str | None:
    """The container engine that a cgroup path or a mount's options name."""
    return next((name for mark, name in _ENGINES if mark in words), None)


def cloud_of(dmi: str) -> str | None:
    """The cloud that DMI's vendor and product strings name."""
    lowered = dmi.lower()
    if _AZURE_ASSET_TAG in lowered:
        return "azure"
    return next((name for mark, name in _CLOUDS if mark in lowered), None)


def hypervisor_of(dmi: str, hypervisor_flag: bool) -> str | None:
    """The hypervisor that DMI names; "vm" where only the processor's flag says there is one."""
    lowered = dmi.lower()
    if not hypervisor_flag and ".metal" in lowered:
        return None
    if "microsoft corporation" in lowered and "virtual machine" in lowered:
        return "hyper-v"
    named = next((name for mark, name in _HYPERVISORS if mark in lowered), None)
    return named or ("vm" if hypervisor_flag else None)


def is_chroot(own: tuple[Mount, ...], first: tuple[Mount, ...] | None) -> Fact[bool]:
    """Is this process's root another folder than process 1's?

    ``own`` and ``first`` are /proc/self/mountinfo and /proc/1/mountinfo (None: unreadable). The
    kernel leaves out mounts that can't be reached from a process's root, so a chroot into a plain
    folder has no "/" line at all, and one into a mount has another device or folder there.
    """
    mine = root_mount(own)
    if mine is None:
        return True
    if first is None:
        return Unknown("reading /proc/1/mountinfo was not possible")
    theirs = root_mount(first)
    if theirs is None:
        return Unknown("process 1 shows no root mount")
    return (mine.device, mine.root) != (theirs.device, theirs.root)


def _mounts(host: Host, pid: str) -> Fact[tuple[Mount, ...] | None]:
    answer = host.read_text(f"/proc/{pid}/mountinfo")
    return parse_mountinfo(answer) if isinstance(answer, str) else answer


def _container(host: Host) -> Fact[str | None]:
    named = line(host, "/run/systemd/container")
    if isinstance(named, str) and named:
        return named
    environ = host.read_text("/proc/1/environ")
    match = re.search(r"(?:^|\0)container=([^\0]+)", environ if isinstance(environ, str) else "")
    if match:
        return match[1]
    mounts = _mounts(host, "self")
    root = root_mount(mounts) if isinstance(mounts, tuple) else None
    cgroup = host.read_text("/proc/1/cgroup")
    engine = engine_of(cgroup if isinstance(cgroup, str) else "")
    if engine is None and root is not None and root.kind in ("overlay", "fuse.fuse-overlayfs"):
        engine = engine_of(root.super_options)
    if engine is not None:
        return engine
    # An image made from a container keeps its marker: only believed where process 2 isn't the
    # kernel's thread daemon, which is seen in the first PID namespace alone.
    if line(host, "/proc/2/comm") == "kthreadd":
        return None
    markers = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))
    answers = [(host.exists(path), name) for path, name in markers]
    for answer, name in answers:
        if answer is True:
            return name
    if isinstance(host.environment("KUBERNETES_SERVICE_HOST"), str):
        return "kubernetes"
    unknown = [answer for answer, _ in answers if isinstance(answer, Unknown)]
    if unknown:
        return unknown[0]
    if isinstance(cgroup, Unknown) and isinstance(mounts, Unknown):
        return cgroup
    return None


def _chroot(host: Host, container: Fact[str | None]) -> Fact[bool]:
    own = _mounts(host, "self")
    if isinstance(own, Unknown):
        return own
    if own is None:
        # No /proc: every booted system mounts it, a bare chroot need not.
        listing = host.list_dir("/proc")
        return True if listing in ((), None) else Unknown("/proc/self/mountinfo does not exist")
    if isinstance(container, str) and root_mount(own) is not None:
        return False
    first = _mounts(host, "1")
    return is_chroot(own, first if isinstance(first, tuple) else None)


def _modules_loadable(host: Host) -> tuple[Fact[bool], str]:
    switch = line(host, "/proc/sys/kernel/modules_disabled")
    if switch == "1":
        return False, "/proc/sys/kernel/modules_disabled is 1: no further module can be loaded"
    modules = host.exists("/proc/modules")
    if modules is False and host.exists("/proc/version") is True:
        return False, (
            "/proc/modules does not exist: this kernel is built without loadable modules "
            "(CONFIG_MODULES)"
        )
    if switch == "0":
        return True, "/proc/sys/kernel/modules_disabled is 0"
    if modules is True:
        return True, "/proc/modules exists"
    return Unknown("neither /proc/sys/kernel/modules_disabled nor /proc/modules could be read"), ""


def _dmi(host: Host) -> Fact[str | None]:
    folder = "/sys/class/dmi/id"
    parts = [
        line(host, f"{folder}/{name}")
        for name in ("sys_vendor", "product_name", "bios_vendor", "chassis_asset_tag")
    ]
    found = [part for part in parts if isinstance(part, str) and part]
    if found:
        return " / ".join(found)
    return next((part for part in parts if isinstance(part, Unknown)), None)


def _virtualisation(host: Host, dmi: Fact[str | None]) -> Fact[str | None]:
    kind = line(host, "/sys/hypervisor/type")
    if kind == "xen":
        return "xen"
    cpuinfo = host.read_text("/proc/cpuinfo", limit=16_384)
    flagged = isinstance(cpuinfo, str) and re.search(r"(?m)^flags\b.*\bhypervisor\b", cpuinfo)
    named = hypervisor_of(dmi if isinstance(dmi, str) else "", bool(flagged))
    if named:
        return named
    # Processors without the flag (arm64) and records without cpuinfo: virtio is a VM's hardware.
    if any(name.startswith("virtio_") for name in names(host, "/sys/module")) and (
        not isinstance(dmi, str)
    ):
        return "vm"
    if isinstance(cpuinfo, Unknown):
        asked = output(host, "systemd-detect-virt") if host.kind == "recorded" else cpuinfo
        if isinstance(asked, Unknown):
            return cpuinfo
        return None if asked.strip() in ("", "none") else asked.strip()
    return None


def observe(host: Host) -> PlatformFacts:
    container = _container(host)
    loadable, note = _modules_loadable(host)
    dmi = _dmi(host)
    virtualisation = _virtualisation(host, dmi)
    uid, clock = host.uid(), host.now()
    init = line(host, "/proc/1/comm")
    vendor = line(host, "/sys/class/dmi/id/sys_vendor")
    return PlatformFacts(
        container=container,
        chroot=_chroot(host, container),
        virtualisation=virtualisation,
        cloud=dmi if isinstance(dmi, Unknown) else cloud_of(dmi or ""),
        modules_loadable=loadable,
        modules_note=note,
        init=init if init is not None else Unknown("/proc/1/comm does not exist"),
        root=uid if isinstance(uid, Unknown) else uid == 0,
        sudo=any_exists(host, "/usr/bin/sudo", "/bin/sudo", "/usr/local/bin/sudo"),
        clock_plausible=clock if isinstance(clock, Unknown) else _EARLIEST <= clock < _LATEST,
        vendor=vendor if vendor != "" else None,
        cpu_vgpu_guest=False
        if virtualisation is None
        else Unknown("only NVML tells a vGPU from a GPU passed through"),
    )
