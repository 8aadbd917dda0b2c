"""Facts about a host that nobody looked at: described by flags, taken as freshly installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import distribution, find_gpu
from gpu_bringup.errors import InputError
from gpu_bringup.model.enums import HeadersState, InstallMethod, SecureBoot
from gpu_bringup.model.facts import (
    ContainerFacts,
    DeviceFacts,
    Facts,
    Headers,
    Kernel,
    KernelFacts,
    LibraryFacts,
    LogFacts,
    ModuleFacts,
    OsFacts,
    Package,
    PackageFacts,
    PciDevice,
    PciFacts,
    PlatformFacts,
    SecureBootFacts,
    ServiceFacts,
    StorageFacts,
    ToolkitFacts,
)
from gpu_bringup.model.unknown import Fact, Unknown
from gpu_bringup.rules.describe import named_board
from gpu_bringup.rules.platform import host_arch

if TYPE_CHECKING:
    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue

_DESCRIBED = Unknown("the host was described by flags, not looked at")
_ARM_KERNEL = re.compile(r"aarch64|arm64|[-+]64kb?$")
"""Releases of Arm kernels name the machine, or pages of 64 KiB, which only Arm has."""
_MANAGERS = {"debian": "apt", "ubuntu": "apt", "suse": "zypper"}


def described_os(answers: Answers, catalogue: Catalogue) -> OsFacts:
    """The operating system that ``--os ID:VERSION`` names.

    Raises:
        InputError: it isn't of the form ID:VERSION, or a GPU that was named doesn't exist.
    """
    os_id, colon, version = answers.os.partition(":")
    if not colon or not os_id or not version:
        raise InputError(
            f"{answers.os!r} isn't a distribution and its version",
            file="--os",
            hint="Write it as ID:VERSION, such as debian:13 or ubuntu:24.04.",
        )
    release = distribution(catalogue, os_id, version)
    name = release.name if release else f"{os_id} {version}"
    codename = release.codename if release else ""
    by_kernel = "aarch64" if _ARM_KERNEL.search(answers.kernel) else "x86_64"
    arch = host_arch(named_board(gpu, catalogue) for gpu in answers.gpus) or by_kernel
    return OsFacts(id=os_id, version=version, name=name, codename=codename, arch=arch)


def described_facts(
    answers: Answers, catalogue: Catalogue, installed: tuple[str, ...] = ()
) -> Facts:
    """A freshly installed host as the flags describe it; what they don't say is unknown.

    Args:
        installed: packages that such a host has (its kernel's meta package).
    """
    system = described_os(answers, catalogue)
    release = distribution(catalogue, system.id, system.version)
    manager = _MANAGERS.get(release.family, "dnf") if release else None
    devices: list[PciDevice] = []
    for name in answers.gpus:
        gpu = find_gpu(catalogue, name)
        pci_id = gpu.pci_ids[0] if gpu else name.lower()
        devices.append(PciDevice(bus_id="", pci_id=pci_id, pci_class="030200", driver=_DESCRIBED))
    kernels: Fact[tuple[Kernel, ...]] = _DESCRIBED
    if answers.kernel:
        headers = Headers(state=HeadersState.MISSING, detail="taken as not installed")
        kernels = (Kernel(release=answers.kernel, running=True, default=True, headers=headers),)
    secure_boot: Fact[SecureBoot] = _DESCRIBED
    if answers.secure_boot is not None:
        secure_boot = SecureBoot.ENABLED if answers.secure_boot else SecureBoot.DISABLED
    return Facts(
        os=system,
        platform=PlatformFacts(container=None, chroot=False, modules_loadable=True, root=True),
        kernels=KernelFacts(running=answers.kernel or _DESCRIBED, installed=kernels),
        pci=PciFacts(gpus=tuple(devices), nvswitches=(), nvlink5=False),
        secure_boot=SecureBootFacts(state=secure_boot, enrolled=(), pending=()),
        packages=PackageFacts(
            manager=manager,
            installed=tuple(Package(name, "") for name in installed),
            unfinished=(),
            interrupted=False,
            lock_owner=None,
            repositories=_DESCRIBED,
            method=InstallMethod.NONE,
        ),
        modules=ModuleFacts(
            files=(),
            loaded=(),
            loaded_version=None,
            loaded_flavour=None,
            dkms=(),
            blacklisted=(),
        ),
        devices=DeviceFacts(nodes=(), firmware=()),
        libraries=LibraryFacts(libraries=()),
        nvml=None,
        cuda=None,
        services=ServiceFacts(fabric_manager=None, nvlsm=None, imex=None),
        containers=ContainerFacts(toolkit_version=None, runtimes=(), configured=()),
        storage=StorageFacts(),
        toolkit=ToolkitFacts(cuda=None),
        log=LogFacts(lines=()),
        recorded=True,
    )
