"""What several rungs read from the facts in the same way. Pure; each answer says where it is unknown."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.lookup import architecture_of, gpu_by_pci
from gpu_bringup.ladder.words import Say, ev, listed
from gpu_bringup.model.catalogue import DriverPackage
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import branch_of, driver_key
from gpu_bringup.rules.subject import Board

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import (
        Facts,
        ModuleFile,
        Package,
        PciDevice,
    )
    from gpu_bringup.model.gpu_facts import NvmlGpu
    from gpu_bringup.model.ladder import Evidence, RungResult
    from gpu_bringup.model.unknown import Fact

_DRIVER_PACKAGE = re.compile(
    r"^(?!.*(?:container|firmware|settings|xconfig|support|common|cuda-toolkit|pinning))"
    r"(?:nvidia-(?!modprobe|persistenced|installer).*(?:dkms|kmp|driver|open|headless|kernel)"
    r"|nvidia-open$|kmod-nvidia|akmod-nvidia|linux-modules-nvidia|libcuda1$|libnvidia-compute"
    r"|nvidia-compute|cuda-drivers)"
)


def packages(facts: Facts) -> dict[str, Package]:
    """Installed packages by name; empty where that isn't known."""
    listing = facts.packages.installed
    if isinstance(listing, Unknown):
        return {}
    return {package.name: package for package in listing if package.installed}


def known_packages(facts: Facts) -> dict[str, Package]:
    """Installed packages and those that only wait to be configured, by name."""
    listing = facts.packages.installed
    if isinstance(listing, Unknown):
        return {}
    return {p.name: p for p in listing if p.installed or p.half_done}


def base_name(package: str) -> str:
    """ "libcuda1=550.163.01-2" -> "libcuda1"."""
    return package.split("=", 1)[0].split(":", 1)[0]


def is_version(installed: str, wanted: str) -> bool:
    """Is the installed version the wanted one? An rpm is asked for without epoch and release.

    A Debian version is compared as a whole: what is asked for there has its revision, or "*" for any.
    """
    if not wanted or installed == wanted:
        return True
    if wanted.endswith("-*"):
        return installed.split(":")[-1].startswith(wanted[:-1])
    return "-" not in wanted and installed.split(":")[-1].rpartition("-")[0] == wanted


def missing(facts: Facts, names: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``names`` ("name" or "name=version") that aren't known to be installed so."""
    have = packages(facts)
    result = []
    for name in names:
        package = have.get(base_name(name))
        version = name.partition("=")[2]
        if package is None or not is_version(package.version, version):
            result.append(name)
    return tuple(result)


def upstream_version(version: str) -> str:
    """The driver version in a package version: "1:580.126.09-1ubuntu1" -> "580.126.09"."""
    match = re.search(r"\d{3}\.\d+(?:\.\d+)?", version)
    return match[0] if match else ""


def board(ctx: Context, device: PciDevice) -> Board:
    """The catalogue's entry for a device, or its architecture by PCI id range, or only its number."""
    pci_id = device.pci_id.lower()
    known = gpu_by_pci(ctx.catalogue, pci_id, device.subsystem_id)
    place = architecture_of(ctx.catalogue, pci_id)
    if known is not None:
        return Board(known.name, device.pci_id, known, place)
    if place is not None:
        return Board(f"NVIDIA {place.name} GPU {device.pci_id}", device.pci_id, None, place)
    return Board(f"NVIDIA GPU {device.pci_id}", device.pci_id)


def gpus(ctx: Context) -> tuple[PciDevice, ...]:
    """GPUs on the bus; none where that isn't known."""
    found = ctx.facts.pci.gpus
    return () if isinstance(found, Unknown) else found


def boards(ctx: Context) -> tuple[Board, ...]:
    """One board a GPU on the bus."""
    return tuple(board(ctx, device) for device in gpus(ctx))


def installing(ctx: Context) -> bool:
    """Has a target been agreed on?"""
    return ctx.target is not None


def prepare_only(ctx: Context) -> bool:
    """Is a kernel being prepared that doesn't run here (an image, a chroot)?"""
    return ctx.target is not None and ctx.target.prepare_only


def later(ctx: Context) -> str:
    """Why what needs a running driver can only be seen later; empty when it can be seen now."""
    if prepare_only(ctx):
        return f"seen at the first boot of {listed(ctx.releases) or 'the prepared kernel'}"
    if ctx.target is not None and ctx.facts.pci.gpus == ():
        return f"seen once the {listed(ctx.target.gpus) or 'GPU'} is in this machine"
    return ""


def outside_skip(ctx: Context, say: Say) -> RungResult:
    """The answer of the install-side rungs where the driver comes from outside."""
    evidence = ctx.facts.packages.method_evidence
    return say.skipped(
        "the driver comes from outside this system; nothing is to be installed here",
        *(ev("installation method", text) for text in evidence),
    )


def short_bus(bus_id: str) -> str:
    """ "00000000:00:06.0" and "0000:00:06.0" are one address: domain in four digits, small letters."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:].rjust(4, '0')}:{rest}"


_WIDTHS = (1, 2, 4, 8, 12, 16, 32)
"""Lanes that a link can have; sysfs shows other numbers (0, 63, 255) where it doesn't know."""


def _lanes(value: Fact[int]) -> int:
    return value if isinstance(value, int) and value in _WIDTHS else 0


def link_widths(ctx: Context, gpu: NvmlGpu) -> tuple[int, int, str]:
    """(lanes now, lanes possible, who says so) of a GPU's PCIe link; 0: not known.

    NVML's maximum counts, since it knows the slot too; sysfs answers where NVML gives none.
    """
    place = short_bus(gpu.bus_id)
    device = next((d for d in gpus(ctx) if short_bus(d.bus_id) == place), None)
    seen = _lanes(device.link_width) if device is not None else 0
    now = _lanes(gpu.pcie_width)
    most = _lanes(gpu.pcie_width_max)
    if most:
        return now or seen, most, "NVML"
    most = _lanes(device.link_width_max) if device is not None else 0
    return min((width for width in (now, seen) if width), default=0), most, "sysfs"


def log_lines(ctx: Context, pattern: str, limit: int = 3) -> tuple[Evidence, ...]:
    """The newest lines of the kernel's log that match, as evidence."""
    lines = ctx.facts.log.lines
    if isinstance(lines, Unknown):
        return ()
    seen = re.compile(pattern)
    return tuple(ev("kernel log", line) for line in lines if seen.search(line))[-limit:]


def loaded_version(facts: Facts) -> str:
    """Version of the loaded module; empty when none is loaded or it isn't known."""
    version = facts.modules.loaded_version
    return version if isinstance(version, str) else ""


def loaded_names(facts: Facts) -> tuple[str, ...]:
    """Names of loaded modules (NVIDIA's and competitors), with underscores."""
    loaded = facts.modules.loaded
    return () if isinstance(loaded, Unknown) else tuple(m.name.replace("-", "_") for m in loaded)


def module_files(ctx: Context, release: str, name: str = "nvidia") -> tuple[ModuleFile, ...]:
    """Files of one module for one kernel; none where that isn't known."""
    files = ctx.facts.modules.files
    if isinstance(files, Unknown):
        return ()
    return tuple(f for f in files if f.kernel == release and f.name == name)


def library_version(facts: Facts) -> str:
    """Version of the libcuda (else libnvidia-ml) that programs get; empty: none or not known."""
    libraries = facts.libraries.libraries
    if isinstance(libraries, Unknown):
        return ""
    for soname in ("libcuda.so.1", "libnvidia-ml.so.1"):
        for library in libraries:
            if library.soname == soname and not library.stub and isinstance(library.version, str):
                return library.version
    return ""


def driver_traces(ctx: Context) -> tuple[str, ...]:
    """What shows that a driver has been installed here; empty: none was."""
    facts = ctx.facts
    traces: list[str] = []
    if loaded_version(facts):
        traces.append(f"module {loaded_version(facts)} is loaded")
    files = facts.modules.files
    if not isinstance(files, Unknown):
        kernels = dict.fromkeys(f.kernel for f in files if f.name == "nvidia")
        traces += [f"a module file for {kernel}" for kernel in kernels]
    if not isinstance(facts.modules.dkms, Unknown):
        builds = dict.fromkeys(
            f"{b.module}/{b.version}" for b in facts.modules.dkms if b.module.startswith("nvidia")
        )
        traces += [f"{build} in dkms" for build in builds]
    if isinstance(facts.nvml, NvmlFacts):
        traces.append(f"NVML answers for driver {facts.nvml.driver_version}")
    elif isinstance(facts.cuda, CudaFacts) and facts.cuda.init == 0:
        traces.append("CUDA starts")
    traces += [
        f"package {name} {package.version}"
        for name, package in packages(facts).items()
        if _DRIVER_PACKAGE.match(name)
    ]
    return tuple(traces)


def foreign_kernel(file: ModuleFile) -> str:
    """The other kernel release that a file was built for; empty: its own, or it isn't known.

    A link in weak-updates to another release's module is meant so.
    """
    if not isinstance(file.vermagic, str) or "weak-updates" in file.path:
        return ""
    magic = file.vermagic.split(" ", 1)[0]
    return magic if magic != file.kernel else ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The module that each kernel should have; empty or None: any."""

    version: str = ""
    flavour: Flavour | None = None
    branch: str = ""
    source: str = ""
    """Who says so, for words on the screen."""

    def fits(self, file: ModuleFile) -> bool:
        """Is this file the wanted version and flavour (unknown ones are given the benefit)?"""
        if foreign_kernel(file):
            return False
        if isinstance(file.version, str):
            if self.version and file.version != self.version:
                return False
            if self.branch and not self.version and branch_of(file.version) != self.branch:
                return False
        known = not isinstance(file.flavour, Unknown)
        return not (self.flavour is not None and known and file.flavour is not self.flavour)

    @property
    def words(self) -> str:
        flavour = f" {self.flavour.value}" if self.flavour is not None else ""
        return f"{self.version or self.branch or 'driver'}{flavour}"


def wanted(ctx: Context) -> Wanted:
    """The target's module, else the one that the installed libraries need."""
    if ctx.target is not None:
        driver = ctx.target.driver
        if not ctx.target.package.branch_certain:
            # Whatever version the source brings is the right one.
            return Wanted(flavour=driver.flavour, source="the chosen driver")
        return Wanted(driver.version, driver.flavour, driver.branch, "the chosen driver")
    version = library_version(ctx.facts)
    if version:
        return Wanted(version, source="the installed libraries")
    versions = {
        f.version
        for f in (() if isinstance(ctx.facts.modules.files, Unknown) else ctx.facts.modules.files)
        if f.name == "nvidia" and isinstance(f.version, str)
    }
    newest = max(versions, key=driver_key, default="")
    return Wanted(newest, source="the newest module on disk" if newest else "")


def has_module(ctx: Context, release: str) -> bool:
    """Is there a module file of the wanted version and flavour for this kernel?"""
    wish = wanted(ctx)
    return any(wish.fits(file) for file in module_files(ctx, release))


def needs_module(ctx: Context) -> tuple[str, ...]:
    """Kernel releases that still lack the wanted module."""
    if isinstance(ctx.facts.modules.files, Unknown):
        return () if ctx.target is None else ctx.releases
    return tuple(release for release in ctx.releases if not has_module(ctx, release))


def primary_releases(ctx: Context) -> tuple[str, ...]:
    """The kernels that matter most: the target's, else the running, default and one-shot ones."""
    if ctx.target is not None:
        return ctx.releases
    return tuple(
        release
        for release, kernel in ctx.kernels()
        if kernel is None
        or kernel.running
        or kernel.one_shot
        or kernel.default is True
        or release == ctx.facts.kernels.running
    )


def route(ctx: Context) -> str:
    """How this host gets its modules: "dkms" (built here), "prebuilt", or empty: not known."""
    if ctx.target is not None:
        return ctx.target.package.route
    builds = ctx.facts.modules.dkms
    if not isinstance(builds, Unknown) and any(b.module.startswith("nvidia") for b in builds):
        return "dkms"
    if any(re.search(r"dkms", name) and "nvidia" in name for name in packages(ctx.facts)):
        return "dkms"
    package = installed_package(ctx)
    if package is not None:
        return package.route
    return "prebuilt" if any(has_module(ctx, release) for release in ctx.releases) else ""


def installed_package(ctx: Context) -> DriverPackage | None:
    """The driver package that this host has, as the catalogue knows it or as dkms's tree tells it."""
    facts = ctx.facts
    have = packages(facts)
    if not isinstance(facts.os, Unknown):
        for distribution in ctx.catalogue.distributions:
            if distribution.os_id != facts.os.id:
                continue
            if not facts.os.version.startswith(distribution.version):
                continue
            for package in distribution.drivers:
                for release in ctx.releases or ("",):
                    owner = have.get(package.kernel_package.replace("{kernel}", release))
                    if owner is None or (
                        package.version and upstream_version(owner.version) != package.version
                    ):
                        continue
                    version = upstream_version(owner.version)
                    if branch_of(version) == package.branch:
                        return replace(package, version=version)
    return _from_dkms(ctx, have)


def _from_dkms(ctx: Context, have: dict[str, Package]) -> DriverPackage | None:
    builds = ctx.facts.modules.dkms
    if isinstance(builds, Unknown):
        return None
    own = [build for build in builds if build.module.startswith("nvidia")]
    if not own:
        return None
    newest = max(own, key=lambda build: driver_key(build.version))
    is_open = "open" in newest.module
    owner = next((n for n in have if "nvidia" in n and "dkms" in n), "")
    stems = [f.file_name for release in ctx.releases for f in module_files(ctx, release)]
    return DriverPackage(
        id="installed",
        source="distribution",
        branch=branch_of(newest.version),
        version=newest.version,
        package_version=have[owner].version if owner else "",
        flavour=Flavour.OPEN if is_open or "open" in owner else Flavour.PROPRIETARY,
        route="dkms",
        kernel_package=owner,
        packages=(owner,) if owner else (),
        components=(),
        repository="",
        pin=(),
        module_names=tuple(dict.fromkeys(stems)) or ("nvidia",),
        sources=(),
    )


def driver_set(ctx: Context) -> tuple[str, ...]:
    """Packages ("name" or "name=version") of the target's headless install; empty without one."""
    if ctx.target is None or ctx.family is None:
        return ()
    names = ctx.family.driver_packages(ctx.target.exact_package, ctx.releases)
    return tuple(dict.fromkeys((*names, *module_metas(ctx))))


def module_metas(ctx: Context) -> tuple[str, ...]:
    """Meta packages that bring ready-made modules along with every later kernel.

    Only where the kernel's own meta package is installed: a kernel that nothing moves needs none.
    """
    if ctx.target is None or ctx.family is None or ctx.target.source_kind == "local":
        return ()
    have = packages(ctx.facts)
    names: list[str] = []
    for release in ctx.releases:
        metas = ctx.family.module_meta_packages(ctx.target.package, release, ctx.facts)
        moves = any(name in have for name in ctx.family.kernel_meta_packages(release))
        names += metas if moves else [name for name in metas if name in have]
    return tuple(dict.fromkeys(names))


def header_metas(ctx: Context, release: str) -> tuple[str, ...]:
    """Meta packages that must bring headers along, because this kernel's own meta is installed.

    A kernel that no meta package moves needs none: its headers' meta would only bring headers of
    another kernel, for which dkms then builds (and may fail). One that is there already counts.
    """
    if ctx.family is None or route(ctx) == "prebuilt":
        return ()
    have = packages(ctx.facts)
    moves = any(name in have for name in ctx.family.kernel_meta_packages(release))
    metas = ctx.family.header_meta_packages(release, ctx.facts)
    return metas if moves else tuple(name for name in metas if name in have)
