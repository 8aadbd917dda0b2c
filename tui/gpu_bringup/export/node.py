"""A node as the GPU Operator finds it, and what must hold before the operator comes. Pure.

Sources: GPU Operator v26.7.0 chart values and "Precompiled Driver Containers"; driver containers
refuse to build for a node whose kernel headers they can't get, and their modules are not signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.model.enums import InstallMethod, SecureBoot
from gpu_bringup.model.target import Verdict
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of, driver_key, upstream_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue
    from gpu_bringup.model.facts import Facts
    from gpu_bringup.model.stack import ComponentRelease
    from gpu_bringup.model.target import Target

OPERATOR = "gpu-operator"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold on the node."""

    verdict: Verdict
    text: str
    """What was found, in a sentence."""
    next: str = ""
    """What to do; empty: nothing."""

    def to_json(self) -> dict[str, str]:
        """One entry of ``node_checks`` in ``recommend --json``."""
        return {"verdict": self.verdict.value, "text": self.text, "next": self.next}


@dataclass(frozen=True, slots=True)
class Node:
    """What the values file depends on."""

    system: str
    """"ubuntu:24.04"; empty: not known."""
    kernels: tuple[str, ...]
    """Kernel releases of the node."""
    arch: str
    host_driver: str
    """Version of the driver that the host has; empty: none."""
    host_method: InstallMethod | None
    """How it came here; None: not known."""
    host_toolkit: str
    """Version of the host's container toolkit; empty: none."""
    toolkit_configured: bool
    """containerd or CRI-O names NVIDIA's runtime."""
    runtimes: tuple[str, ...] | None
    """Container engines on the host; None: not known."""
    nouveau: bool | None
    """A competing driver is loaded; None: not known."""
    secure_boot: bool | None
    """The kernel wants signed modules; None: not known."""
    cgroup2: bool | None
    """cgroup v2 is in use; None: not known."""


def _cgroup2(facts: Facts) -> bool | None:
    """By the hierarchy that process 1 or the kernel's command line names; systemd's default since 247."""
    line = facts.kernels.command_line
    if isinstance(line, str) and "systemd.unified_cgroup_hierarchy=0" in line:
        return False
    return None


def node_of(facts: Facts, answers: Answers, *, described: bool = False) -> Node:
    """The node's side of the values file, from the facts.

    Args:
        described: the host was told by flags: what nobody looked at is not known.
    """
    os = facts.os
    loaded = facts.modules.loaded
    method = facts.packages.method
    containers = facts.containers
    runtimes = containers.runtimes
    boot = facts.secure_boot.state
    secure = None if isinstance(boot, Unknown) else boot is SecureBoot.ENABLED
    if answers.secure_boot is not None:
        secure = answers.secure_boot
    installed = facts.kernels.installed
    running = facts.kernels.running
    kernels = (
        [kernel.release for kernel in installed if kernel.bootable]
        if isinstance(installed, tuple)
        else []
    )
    if answers.kernel:
        kernels = [answers.kernel]
    elif isinstance(running, str):
        kernels = [running, *kernels]
    files = facts.modules.files
    on_disk = [
        item.version
        for item in (files if isinstance(files, tuple) else ())
        if item.name == "nvidia" and isinstance(item.version, str)
    ]
    version = facts.modules.loaded_version
    configured = containers.configured
    return Node(
        system="" if isinstance(os, Unknown) else f"{os.id}:{os.version}",
        kernels=tuple(dict.fromkeys(kernels)),
        arch="" if isinstance(os, Unknown) else os.arch,
        host_driver=version if isinstance(version, str) else (on_disk[0] if on_disk else ""),
        host_method=None if described or isinstance(method, Unknown) else method,
        host_toolkit=containers.toolkit_version
        if isinstance(containers.toolkit_version, str)
        else "",
        toolkit_configured=isinstance(configured, tuple)
        and any(name in configured for name in ("containerd", "crio")),
        runtimes=None if described or isinstance(runtimes, Unknown) else runtimes,
        nouveau=None
        if described or isinstance(loaded, Unknown)
        else any(item.name in ("nouveau", "nova_core", "nova_drm") for item in loaded),
        secure_boot=secure,
        cgroup2=_cgroup2(facts),
    )


def newest_operator(catalogue: Catalogue) -> ComponentRelease | None:
    """The newest release of the GPU Operator that is supported; None: none on record."""
    supported = [
        item
        for item in catalogue.stack.component_releases
        if item.component == OPERATOR and item.support == "supported"
    ]
    return max(supported, key=lambda item: driver_key(item.version), default=None)


def _major(system: str, release: ComponentRelease) -> str:
    """The operator's name for a node's system: exactly, or by its major version; empty: none."""
    name, _, version = system.partition(":")
    same = "rhel" if name in ("rocky", "rhel") else name
    for wanted in (f"{same}:{version}", f"{same}:{version.split('.')[0]}"):
        if wanted in release.systems:
            return wanted
    return ""


def operator_version(node: Node, release: ComponentRelease, target: Target) -> str:
    """The driver that the operator can bring to this node: the target's, else the newest known driver
    container of its branch; empty: none is on record."""
    if not _major(node.system, release):
        return ""
    if target.driver.version in release.drivers:
        return target.driver.version
    same = [item for item in release.drivers if branch_of(item) == target.driver.branch]
    return max(same, key=driver_key, default="")


def precompiled(node: Node, release: ComponentRelease, branch: str) -> tuple[str, ...]:
    """The node's kernels that a precompiled driver of that branch exists for."""
    system = _major(node.system, release)
    found = []
    for kernel in node.kernels:
        upstream = upstream_kernel(kernel)
        series = upstream.series if upstream else ""
        if system and f"{system} {series} {branch}" in release.kernels:
            found.append(kernel)
    return tuple(found)


def host_keeps_driver(node: Node, release: ComponentRelease | None, target: Target) -> str:
    """Why the driver must be the host's; empty: the operator can bring it."""
    if node.host_driver:
        return f"the host has driver {node.host_driver} already; two drivers exclude each other"
    if release is None:
        return "no release of the operator is on record here"
    if not node.system:
        return "whether a driver container fits this node is not known"
    if not _major(node.system, release):
        return f"the operator {release.version} has no driver containers for {node.system}"
    if not operator_version(node, release, target):
        return (
            f"no driver container of R{target.driver.branch} is on record for {node.system} "
            f"(known: {', '.join(release.drivers) or 'none'})"
        )
    if node.secure_boot and not _all_precompiled(node, release, target.driver.branch):
        return "Secure Boot is on, and modules that a driver container builds on the node are not signed"
    return ""


def _all_precompiled(node: Node, release: ComponentRelease, branch: str) -> bool:
    return bool(node.kernels) and precompiled(node, release, branch) == node.kernels


def use_precompiled(node: Node, release: ComponentRelease | None, target: Target) -> bool:
    """Take the precompiled container: only where Secure Boot leaves nothing else, and it exists."""
    return (
        release is not None
        and bool(node.secure_boot)
        and node.arch in ("", "x86_64")
        and _all_precompiled(node, release, target.driver.branch)
    )


def checks(node: Node, release: ComponentRelease | None, target: Target) -> Iterator[Check]:
    """What must hold on the node before the operator is installed."""
    ok, bad, open_ = Verdict.OK, Verdict.VIOLATED, Verdict.UNKNOWN
    if node.host_method is InstallMethod.RUNFILE or node.host_method is InstallMethod.MIXED:
        yield Check(
            bad,
            "a driver from NVIDIA's .run installer is on the host",
            "take it away with its own nvidia-uninstall, or keep it updated by hand",
        )
    elif node.host_method is None:
        yield Check(open_, "how the host's driver was installed is not known")
    else:
        yield Check(ok, "no driver from a .run installer")
    if node.nouveau is None:
        yield Check(open_, "whether nouveau is loaded is not known", "lsmod | grep nouveau")
    elif node.nouveau:
        yield Check(
            bad,
            "nouveau is loaded: no other driver can take the GPUs",
            "blacklist it, rebuild the initramfs, reboot (gpu-bringup plan)",
        )
    else:
        yield Check(ok, "nouveau is not loaded")
    engines = [name for name in node.runtimes or () if name in ("containerd", "crio")]
    if node.runtimes is None:
        yield Check(open_, "which container runtimes there are is not known")
    elif not engines:
        yield Check(
            bad,
            "neither containerd nor CRI-O is on this host",
            "install the runtime that the cluster's kubelet uses",
        )
    else:
        yield Check(
            ok,
            f"{' and '.join(engines)}: the operator's toolkit writes its configuration by itself",
        )
    if node.cgroup2 is False:
        yield Check(
            bad,
            "the kernel's command line asks for cgroup v1",
            "take systemd.unified_cgroup_hierarchy=0 out of it, reboot",
        )
    else:
        yield Check(
            open_,
            "cgroup v2 with the systemd driver, for the kubelet and the runtime alike",
            "stat -fc %T /sys/fs/cgroup says cgroup2fs; SystemdCgroup = true in containerd's configuration",
        )
    yield from _driver_checks(node, release, target)


def _driver_checks(node: Node, release: ComponentRelease | None, target: Target) -> Iterator[Check]:
    """What only matters to whoever brings the driver: the host, or the operator."""
    ok, bad, open_ = Verdict.OK, Verdict.VIOLATED, Verdict.UNKNOWN
    if node.secure_boot is None:
        yield Check(open_, "whether Secure Boot is on is not known", "mokutil --sb-state")
    if release is None or host_keeps_driver(node, release, target):
        if node.secure_boot:
            yield Check(
                ok,
                "Secure Boot is on: the host's driver must be signed with a key that the firmware "
                "trusts, which gpu-bringup plan sees to",
            )
        if node.host_driver and node.host_driver != target.driver.version:
            yield Check(
                open_,
                f"the host has driver {node.host_driver}, recommended is {target.driver.version}",
                "gpu-bringup plan shows the way there",
            )
        return
    branch = target.driver.branch
    fits = precompiled(node, release, branch)
    missing = [kernel for kernel in node.kernels if kernel not in fits]
    if fits:
        yield Check(ok, f"a precompiled R{branch} driver is known for {', '.join(fits)}")
    if not node.kernels:
        yield Check(
            bad if node.secure_boot else open_,
            f"whether a precompiled R{branch} driver fits {node.system} can't be told: no kernel was named",
            "name the nodes' kernel: --kernel RELEASE (uname -r says it on a node)",
        )
    if missing:
        yield Check(
            bad if node.secure_boot else open_,
            f"no precompiled R{branch} driver is on record for {node.system} with "
            f"{', '.join(missing)}",
            "a container that builds on the node needs that kernel's headers from the distribution's "
            "archive, and makes modules that Secure Boot refuses",
        )
