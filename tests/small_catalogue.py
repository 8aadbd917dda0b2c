"""A small catalogue for unit tests: few boards, branches and kernels, made-up where it doesn't matter."""

from __future__ import annotations

from datetime import date

from gpu_bringup.model.catalogue import (
    Architecture,
    Branch,
    Build,
    Catalogue,
    DistributionRelease,
    DriverPackage,
    DriverRelease,
    Framework,
    Gpu,
    KernelLimit,
    PackageRepository,
    Scenario,
    Source,
    StableBreak,
    Toolkit,
)
from gpu_bringup.model.enums import Flavour

OPEN, CLOSED = Flavour.OPEN, Flavour.PROPRIETARY
S = ("doc",)


def architecture(
    name: str,
    ranges: tuple[int, int],
    modules: str,
    first: str,
    last: str | None,
    cuda: tuple[str, str | None],
) -> Architecture:
    return Architecture(
        name.lower().replace(" ", "-"),
        name,
        (),
        (ranges,),
        modules,
        first,
        last,
        cuda[0],
        cuda[1],
        S,
    )


def gpu(
    name: str,
    pci: str,
    arch: str,
    first: str | None,
    modules: str,
    fabric: str = "none",
    *aliases: str,
) -> Gpu:
    return Gpu(
        name.lower().replace(" ", "-"), f"NVIDIA {name}", aliases, (pci,), arch, "", first, modules,
        fabric, None, True, S,
    )  # fmt: skip


def branch(
    name: str, kind: str, first: str, last: str, end: date | None, cuda: str, *,
    flavours: tuple[Flavour, ...] = (OPEN, CLOSED), floor: str | None = None, certain: bool = True,
) -> Branch:  # fmt: skip
    status = "unknown" if end is None else "supported" if end > date(2026, 11, 22) else "ended"
    return Branch(name, kind, first, last, end, status, cuda, flavours, floor, S, "", certain)


def package(
    source: str,
    name: str,
    flavour: Flavour,
    version: str = "",
    revision: str = "",
    route: str = "dkms",
) -> DriverPackage:
    kernel = {
        "prebuilt": f"linux-modules-nvidia-{name}-server-open-{{kernel}}",
        "dkms": "nvidia-open-kernel-dkms" if flavour is OPEN else "nvidia-kernel-dkms",
    }[route]
    pin = () if source == "distribution" else (f"nvidia-driver-pinning-{name}",)
    return DriverPackage(
        id=f"{source}-{name}-{flavour.value}-{route}",
        source=source,
        branch=name,
        version=version,
        package_version=revision,
        flavour=flavour,
        route=route,
        kernel_package=kernel,
        packages=(kernel, f"libcuda-{name}", *pin),
        components=("contrib", "non-free") if source == "distribution" else (),
        repository="" if source == "distribution" else "nvidia-cuda",
        pin=pin,
        module_names=("nvidia",),
        sources=S,
    )


def repository_packages(*names: str) -> tuple[DriverPackage, ...]:
    return tuple(
        package("nvidia-repository", name, flavour)
        for name in names
        for flavour in ((OPEN,) if name == "620" else (OPEN, CLOSED))
    )


def system(
    os_id: str, version: str, kernel: str, family: str, drivers: tuple[DriverPackage, ...],
    end: date | None = date(2028, 8, 9),
) -> DistributionRelease:  # fmt: skip
    return DistributionRelease(
        os_id,
        version,
        "",
        f"{os_id.title()} {version}",
        family,
        kernel,
        end,
        f"{os_id}{version}",
        drivers,
        S,
    )


DEBIAN13 = system(
    "debian", "13", "6.12", "debian",
    (
        package("distribution", "550", OPEN, "550.163.01", "550.163.01-2"),
        package("distribution", "550", CLOSED, "550.163.01", "550.163.01-2"),
        *repository_packages("580", "595", "620"),
    ),
)  # fmt: skip
DEBIAN12 = system(
    "debian", "12", "6.1", "debian",
    (
        package("distribution", "535", CLOSED, "535.309.01", "535.309.01-0+deb12u1"),
        *repository_packages("580"),
    ),
    date(2026, 7, 11),
)  # fmt: skip
UBUNTU = system(
    "ubuntu", "24.04", "6.8", "ubuntu",
    (
        package("distribution", "580", OPEN, "580.173.02", "580.173.02-0ubuntu1", "prebuilt"),
        package("distribution", "580", OPEN, "580.173.02", "580.173.02-0ubuntu1"),
        *repository_packages("580", "595"),
    ),
)  # fmt: skip
RHEL9 = system(
    "rhel", "9", "5.14.0-687", "rhel", repository_packages("580", "595"), date(2032, 5, 31)
)

BRANCHES = (
    branch("525", "production", "525.60.13", "525.147.05", date(2023, 12, 1), "12.0"),
    branch("535", "lts", "535.54.03", "535.309.01", date(2026, 6, 1), "12.2", floor="535.309.01"),
    branch("550", "production", "550.54.14", "550.163.01", date(2025, 4, 30), "12.4"),
    branch("570", "production", "570.86.15", "570.211.01", date(2026, 1, 31), "12.8"),
    branch("580", "lts", "580.65.06", "580.178.04", date(2028, 6, 1), "13.0", floor="580.159.03"),
    branch(
        "595", "production", "595.58.03", "595.91.07", date(2027, 3, 1), "13.2", floor="595.71.05"
    ),
    branch(
        "620", "unknown", "620.70.06", "620.70.06", None, "13.5", flavours=(OPEN,), certain=False
    ),
)
RELEASES = (
    *("535.129.03", "535.309.01", "550.163.01", "570.211.01", "580.65.06", "580.119.02"),
    *("580.126.09", "580.173.02", "580.178.04", "595.91.07", "620.70.06"),
)


def toolkit(version: str, driver: str) -> Toolkit:
    minor = "580.65.06" if version.startswith("13") else "525.60.13"
    return Toolkit(version, None, driver, minor, "5.0", "12.1", S)


def scenario(
    name: str,
    types: tuple[str, ...],
    months: int,
    containers: bool = False,
    os: tuple[str, ...] = (),
) -> Scenario:
    return Scenario(name, name, "", types, months, containers, True, (), S, os=os)


CATALOGUE = Catalogue(
    sources={
        "doc": Source("doc", "A document", "https://docs.example.org/doc", date(2026, 11, 22))
    },
    architectures={
        a.id: a
        for a in (
            architecture("Volta", (0x1D81, 0x1DFF), "unsupported", "470", "580", ("9.0", "12.9")),
            architecture("Hopper", (0x2300, 0x23FF), "supported", "520", None, ("11.8", None)),
            architecture("Blackwell", (0x2900, 0x29FF), "required", "570", None, ("12.8", None)),
            architecture(
                "Blackwell Ultra", (0x3180, 0x31FF), "required", "580", None, ("12.9", None)
            ),
            architecture("Rubin", (0x3000, 0x307F), "required", "620", None, ("13.4", None)),
        )
    },
    gpus=(
        gpu("V100 PCIe", "10de:1db4", "volta", None, "unsupported", "none", "v100"),
        gpu(
            "H100 SXM5 80GB",
            "10de:2330",
            "hopper",
            "525.85.05",
            "supported",
            "nvswitch-board",
            "h100",
        ),
        gpu(
            "B200", "10de:2901", "blackwell", "570.86.15", "required", "fabricmanager+nvlsm", "b200"
        ),
        gpu(
            "B300 SXM6",
            "10de:3182",
            "blackwell-ultra",
            "580.82.07",
            "required",
            "fabricmanager+nvlsm",
            "b300",
        ),
        gpu("GB200", "10de:2941", "blackwell", "570.124.04", "required", "imex"),
    ),
    nvswitch_ids=("10de:22a3",),
    branches={b.id: b for b in BRANCHES},
    releases={v: DriverRelease(v, None, True, S) for v in RELEASES},
    toolkits=(
        toolkit("12.2", "535.54.03"),
        toolkit("12.4", "550.54.14"),
        toolkit("12.8", "570.26"),
        toolkit("12.9", "575.51.03"),
        toolkit("13.0", "580.65.06"),
        toolkit("13.2", "595.45.04"),
        toolkit("13.5", "620.70.06"),
    ),
    kernel_limits=(
        KernelLimit("535.129.03", None, "6.6.14", "high", S),
        KernelLimit("535.309.01", None, "7.0", "medium", S),
        KernelLimit("550.163.01", None, "6.14", "high", S),
        KernelLimit("580.65.06", None, "6.16", "medium", S),
        KernelLimit("580.119.02", None, "6.18", "high", S),
        KernelLimit("580.126.09", None, "6.19", "high", S),
        KernelLimit("580.178.04", None, "7.2", "high", S),
        KernelLimit("595.91.07", None, "7.2", "low", S),
        KernelLimit("620.70.06", None, "7.2", "low", S),
    ),
    stable_breaks=(
        StableBreak(
            "pci_resize_resource_4args",
            "nv-pci.c: error: too few arguments to function 'pci_resize_resource'",
            OPEN,
            "6.19",
            (("6.1", 176, 192), ("6.12", 96, 97)),
            (
                ("535", "535.309.01"),
                ("550", "never"),
                ("570", "never"),
                ("580", "580.126.09"),
                ("595", "all"),
            ),
            S,
        ),
        StableBreak(
            "pfn_valid_gpl",
            "GPL-incompatible module nvidia.ko uses GPL-only symbol '__rcu_read_lock'",
            CLOSED,
            "6.8",
            (("6.1", 75, 76),),
            (("525", "never"), ("535", "535.161.07"), ("550", "550.54.14")),
            S,
        ),
    ),
    builds=(
        Build("550.163.01", "nvidia-kernel-dkms 550.163.01-2", CLOSED, "6.12.107", True, "", S),
        Build("580.119.02", "", OPEN, "6.12.107", False, "too few arguments", S),
        Build("580.126.09", "", OPEN, "6.12.107", True, "", S),
    ),
    distributions=(DEBIAN13, DEBIAN12, UBUNTU, RHEL9),
    repositories={
        "nvidia-cuda": PackageRepository(
            "nvidia-cuda", "NVIDIA's CUDA repository", "", "", "", (), S
        )
    },
    frameworks=(
        Framework("vllm", "vLLM", "0.10.0", None, "12.8", "525.60.13", S),
        Framework("vllm", "vLLM", "0.33.0", None, "13.0", "580.65.06", S),
    ),
    scenarios={
        s.id: s
        for s in (
            scenario("long-term-stable", ("lts", "production"), 12),
            scenario("new-hardware", ("production", "lts", "new-feature"), 3),
            scenario("kubernetes", ("lts", "production"), 6, containers=True),
            scenario("compliance", ("lts",), 12, os=("rhel:9",)),
        )
    },
    kernel_series_end={
        "6.1": date(2027, 12, 31),
        "6.12": date(2028, 12, 31),
        "7.1": date(2026, 9, 1),
    },
    as_of=date(2026, 11, 22),
)
