"""A healthy Debian 13 server with one H100 and 550 proprietary modules by dkms; tests vary it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from gpu_bringup.families.debian import family
from gpu_bringup.ladder.base import Context
from gpu_bringup.model.catalogue import (
    Architecture,
    Catalogue,
    DistributionRelease,
    DriverPackage,
    Gpu,
    PackageRepository,
)
from gpu_bringup.model.enums import Flavour, HeadersState, InstallMethod, SecureBoot
from gpu_bringup.model.facts import (
    Certificate,
    ContainerFacts,
    DeviceFacts,
    DkmsBuild,
    Facts,
    Headers,
    Kernel,
    KernelFacts,
    Library,
    LibraryFacts,
    LoadedModule,
    LogFacts,
    ModuleFacts,
    ModuleFile,
    OsFacts,
    Package,
    PackageFacts,
    PciDevice,
    PciFacts,
    PlatformFacts,
    Repository,
    SecureBootFacts,
    ServiceFacts,
    SigningKey,
    Space,
    StorageFacts,
    ToolkitFacts,
)
from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts, NvmlGpu
from gpu_bringup.model.target import DriverChoice, Target

KERNEL = "6.12.107+deb13-amd64"
VERSION = "550.163.01"
BUS = "0000:06:00.0"
SIGNER = "DKMS module signing key"
DRIVER_PACKAGES = (
    "nvidia-kernel-dkms",
    "libcuda1",
    "libnvidia-ml1",
    "nvidia-smi",
    "nvidia-persistenced",
)

PACKAGE = DriverPackage(
    id="debian13-550",
    source="distribution",
    branch="550",
    version=VERSION,
    package_version="550.163.01-2",
    flavour=Flavour.PROPRIETARY,
    route="dkms",
    kernel_package="nvidia-kernel-dkms",
    packages=DRIVER_PACKAGES,
    components=("contrib", "non-free", "non-free-firmware"),
    repository="",
    pin=(),
    module_names=("nvidia-current", "nvidia-current-uvm", "nvidia-current-modeset"),
    sources=(),
)

TARGET = Target(
    scenario="long-term-stable",
    gpus=("NVIDIA H100",),
    kernels=(KERNEL,),
    keep_kernel=True,
    driver=DriverChoice("550", VERSION, Flavour.PROPRIETARY),
    package=PACKAGE,
    cuda="12.4",
)


def _gpu(name: str, pci: str, architecture: str, open_modules: str, fabric: str = "none") -> Gpu:
    return Gpu(name, f"NVIDIA {name}", (name.lower(),), (pci,), architecture, "9.0", None, open_modules,
               fabric, 80.0, True, ())  # fmt: skip


def _architecture(name: str, first: int, last: int, open_modules: str) -> Architecture:
    return Architecture(
        name.lower(), name, ("9.0",), ((first, last),), open_modules, "520", None, "11.8", None, ()
    )


def make_catalogue() -> Catalogue:
    return Catalogue(
        sources={},
        architectures={
            "volta": _architecture("Volta", 0x1D81, 0x1DFF, "unsupported"),
            "hopper": _architecture("Hopper", 0x2300, 0x23FF, "supported"),
            "blackwell": _architecture("Blackwell", 0x2900, 0x29FF, "required"),
        },
        gpus=(
            _gpu("V100", "10de:1db4", "volta", "unsupported"),
            _gpu("H100", "10de:2330", "hopper", "supported", "fabricmanager"),
            _gpu("H200", "10de:2335", "hopper", "supported", "fabricmanager"),
            replace(_gpu("B200", "10de:2901", "blackwell", "required"), first_driver="570.86.15"),
        ),
        nvswitch_ids=("10de:22a3",),
        branches={},
        releases={},
        toolkits=(),
        kernel_limits=(),
        stable_breaks=(),
        builds=(),
        distributions=(
            DistributionRelease(
                "debian",
                "13",
                "trixie",
                "Debian 13",
                "debian",
                "6.12",
                None,
                "debian13",
                (PACKAGE,),
                (),
            ),
        ),
        repositories={
            "nvidia-cuda": PackageRepository(
                "nvidia-cuda",
                "NVIDIA's CUDA repository",
                "https://developer.download.nvidia.com/compute/cuda/repos/{distro}/{arch}/",
                "",
                "https://developer.download.nvidia.com/compute/cuda/repos/{distro}/{arch}/key.pub",
                ("EB693B3035CD5710E231E123A4B469963BF863CC",),
                (),
            ),
            "nvidia-container": PackageRepository(
                "nvidia-container",
                "NVIDIA's container repository",
                "https://nvidia.github.io/libnvidia-container/stable/deb/{arch}",
                "",
                "https://nvidia.github.io/libnvidia-container/gpgkey",
                ("C95B321B61E88C1809C4F759DDCAE044F796ECB0",),
                (),
            ),
        },
        frameworks=(),
        scenarios={},
        kernel_series_end={},
        as_of=date(2026, 11, 22),
    )


def make_kernel(release: str = KERNEL, *, running: bool = True, headers: bool = True) -> Kernel:
    state = HeadersState.COMPLETE if headers else HeadersState.MISSING
    return Kernel(
        release,
        running=running,
        default=running,
        headers=Headers(state, f"/lib/modules/{release}/build", release if headers else ""),
        compiler_text="gcc-14 (Debian 14.2.0-19) 14.2.0",
        compiler="gcc-14",
        compiler_present=True,
        signature_forced=False,
        realtime=False,
        modules_enabled=True,
        initramfs=True,
    )


def make_files(
    release: str = KERNEL, version: str = VERSION, flavour: Flavour = Flavour.PROPRIETARY
) -> tuple[ModuleFile, ...]:
    return tuple(
        ModuleFile(
            release,
            f"/lib/modules/{release}/updates/dkms/nvidia-current{stem}.ko.xz",
            f"nvidia-current{stem}",
            f"nvidia{stem.replace('-', '_')}",
            version,
            flavour,
            f"{release} SMP preempt mod_unload modversions",
            SIGNER,
            "01:02",
            True,
        )
        for stem in ("", "-uvm", "-modeset")
    )


def make_packages(*, held: bool = True, driver: bool = True) -> tuple[Package, ...]:
    status = "hi" if held else "ii"
    names = DRIVER_PACKAGES if driver else ()
    return (
        *(Package(name, "550.163.01-2", status) for name in names),
        Package("dkms", "3.2.2-1"),
        Package("gcc-14", "14.2.0-19"),
        Package("linux-image-amd64", "6.12.107-1", status),
        Package("linux-headers-amd64", "6.12.107-1", status),
        Package(f"linux-headers-{KERNEL}", "6.12.107-1"),
        Package("openssl", "3.5.4-1"),
        Package("mokutil", "0.7.2-1"),
    )


def healthy() -> Facts:
    """The healthy host."""
    key = Certificate("aa" * 20, SIGNER, "01:02")
    components = ("main", "contrib", "non-free", "non-free-firmware")
    return Facts(
        os=OsFacts("debian", "13", "Debian GNU/Linux 13 (trixie)", "trixie"),
        platform=PlatformFacts(
            container=None,
            chroot=False,
            virtualisation=None,
            cloud=None,
            modules_loadable=True,
            modules_note="/proc/sys/kernel/modules_disabled",
            init="systemd",
            root=True,
            sudo=True,
            clock_plausible=True,
        ),
        kernels=KernelFacts(KERNEL, (make_kernel(),)),
        pci=PciFacts((PciDevice(BUS, "10de:2330", "10de:16c1", "030200", "nvidia"),), (), False),
        secure_boot=SecureBootFacts(
            SecureBoot.ENABLED,
            "integrity",
            True,
            (key,),
            (),
            (
                SigningKey(
                    "dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", True, key, True, False
                ),
            ),
        ),
        packages=PackageFacts(
            manager="apt",
            installed=make_packages(),
            unfinished=(),
            interrupted=False,
            lock_owner=None,
            repositories=(
                Repository(
                    "/etc/apt/sources.list.d/debian.sources",
                    1,
                    "http://archive.example.org/debian",
                    ("trixie",),
                    components,
                    kind="distribution",
                ),
            ),
            unattended_upgrades=False,
            unattended_blacklist=(),
            method=InstallMethod.DISTRIBUTION,
        ),
        modules=ModuleFacts(
            files=make_files(),
            loaded=(
                LoadedModule("nvidia", VERSION, 2, ("nvidia_uvm", "nvidia_modeset")),
                LoadedModule("nvidia_uvm", VERSION, 0),
                LoadedModule("nvidia_modeset", VERSION, 0),
            ),
            loaded_version=VERSION,
            loaded_flavour=Flavour.PROPRIETARY,
            dkms=(DkmsBuild("nvidia-current", VERSION, KERNEL, "installed", True),),
            blacklisted=("nouveau /etc/modprobe.d/gpu-bringup-nouveau.conf:4",),
        ),
        devices=DeviceFacts(("nvidia0", "nvidiactl", "nvidia-uvm"), (VERSION,), (), 0o666),
        libraries=LibraryFacts(
            tuple(
                Library(
                    name,
                    f"/usr/lib/x86_64-linux-gnu/{name}",
                    VERSION,
                    False,
                    f"/usr/lib/{name}.real",
                )
                for name in ("libcuda.so.1", "libnvidia-ml.so.1")
            )
        ),
        nvml=NvmlFacts(
            VERSION,
            "12.4",
            (
                NvmlGpu(
                    0,
                    "00000000:06:00.0",
                    "NVIDIA H100 80GB HBM3",
                    remapped_pending=False,
                    remapped_failed=False,
                    persistence=True,
                ),
            ),
        ),
        cuda=CudaFacts(0, "12.4", 1, "/usr/lib/x86_64-linux-gnu/libcuda.so.1"),
        services=ServiceFacts(None, False, None, None, True, True),
        containers=ContainerFacts(None, (), (), ()),
        storage=StorageFacts(
            tuple(Space(path, 50 << 30) for path in ("/", "/boot", "/var", "/usr"))
        ),
        toolkit=ToolkitFacts(None),
        log=LogFacts(()),
    )


def fresh() -> Facts:
    """The same server before anything was done: nouveau quiet, no driver, no headers, main only."""
    facts = healthy()
    kernel = replace(make_kernel(headers=False), compiler_present=False)
    (source,) = facts.packages.repositories
    gpu = replace(facts.pci.gpus[0], driver=None)
    return replace(
        facts,
        kernels=replace(facts.kernels, installed=(kernel,)),
        pci=replace(facts.pci, gpus=(gpu,)),
        secure_boot=SecureBootFacts(
            SecureBoot.DISABLED,
            "none",
            False,
            (),
            (),
            (
                SigningKey(
                    "dkms", "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub", False, None, False
                ),
            ),
        ),
        packages=replace(
            facts.packages,
            installed=(Package("linux-image-amd64", "6.12.107-1"),),
            repositories=(replace(source, components=("main",)),),
            method=InstallMethod.NONE,
        ),
        modules=ModuleFacts((), (), None, None, (), ()),
        devices=DeviceFacts((), ()),
        libraries=LibraryFacts(()),
        nvml=None,
        cuda=None,
        services=ServiceFacts(None, False, None, None, False, False),
    )


SOURCES = """Types: deb
URIs: http://archive.example.org/debian
Suites: trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""


def context(facts: Facts | None = None, target: Target | None = None) -> Context:
    facts = facts if facts is not None else healthy()
    known = facts.os if isinstance(facts.os, OsFacts) else None
    return Context(
        facts=facts,
        catalogue=make_catalogue(),
        target=target,
        family=family(known) if known is not None and known.id == "debian" else None,
        files={"/etc/apt/sources.list.d/debian.sources": SOURCES},
    )
