"""The version ledger: every component that must agree, where its version stands, what last changed it.

Pure. The package that a component belongs to is told by its name among the installed ones, so that a
record answers as the host does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpu_bringup.ladder.served import gsp_firmware, served
from gpu_bringup.ladder.view import (
    library_version,
    loaded_version,
    packages,
    primary_releases,
    upstream_version,
)
from gpu_bringup.ladder.words import ev
from gpu_bringup.model.initramfs import Initramfs
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.change import Change
    from gpu_bringup.model.facts import Facts, Package
    from gpu_bringup.model.ladder import Evidence

_OWNERS = {
    "libcuda": r"^(libcuda1|libnvidia-compute-\d+(-server)?|nvidia-driver-cuda-libs|"
    r"nvidia-compute-G\d+|xorg-x11-drv-nvidia-cuda-libs|nvidia-driver-libs)$",
    "libnvidia-ml": r"^(libnvidia-ml1|libnvidia-compute-\d+(-server)?|libnvidia-ml|nvidia-driver-NVML"
    r"|nvidia-driver-cuda-libs|nvidia-compute-G\d+|xorg-x11-drv-nvidia-cuda-libs)$",
    "gsp": r"^(firmware-nvidia-gsp.*|nvidia-firmware(-\d.*)?|nvidia-kernel-common(-\d+.*)?|"
    r"nvidia-gpu-firmware|nvidia-common-G\d+|nvidia-kmod-common)$",
    "fabricmanager": r"^(nvidia-fabric-?manager(-\d+)?|cuda-drivers-fabricmanager(-\d+)?)$",
    "persistenced": r"^(nvidia-persistenced|nvidia-persistenced-\d+|nvidia-compute-utils-\d+(-server)?)$",
    "nvidia-smi": r"^(nvidia-smi|nvidia-utils-\d+(-server)?|nvidia-compute-utils-G\d+|"
    r"nvidia-driver-cuda|xorg-x11-drv-nvidia-cuda)$",
    "container-toolkit": r"^nvidia-container-toolkit$",
    "cuda-toolkit": r"^(cuda-toolkit-\d+-\d+|nvidia-cuda-toolkit)$",
    "module": r"^(nvidia-(kernel|open-kernel).*-?dkms|nvidia-dkms-.*|nvidia-kernel-open-dkms|"
    r"kmod-nvidia.*|akmod-nvidia.*|nvidia-open-driver-G\d+.*|nvidia-driver-G\d+-kmp.*)$",
}

_LEARN = {
    "loaded": "cat /proc/driver/nvidia/version",
    "module": "modinfo -F version {file}",
    "initramfs": "lsinitramfs {file}",
    "libcuda": "readlink -f {file}",
    "libnvidia-ml": "readlink -f {file}",
    "gsp": "ls {file}",
    "fabricmanager": "nv-fabricmanager --version",
}
"""Read-only commands that tell a component's version."""
_LEARN_ANYWHERE = {
    "initramfs": "lsinitramfs /boot/initrd.img-{kernel}",
    "libcuda": "ldconfig -p | grep libcuda.so.1",
    "libnvidia-ml": "ldconfig -p | grep libnvidia-ml.so.1",
    "gsp": "ls /lib/firmware/nvidia",
}
"""The same where its file isn't known either."""


@dataclass(frozen=True, slots=True)
class Component:
    """One line of the ledger."""

    id: str
    """ "loaded", "module", "initramfs", "libcuda", …"""
    title: str
    kernel: str
    """The release it is for; empty: any."""
    version: Fact[str | None]
    """None: it is not there."""
    file: str
    """Where the version was read; "package database" for those without a file of their own."""
    package: str
    """Package that brought it; empty: none is known."""
    must_agree: bool
    """Its version must be the driver's, to the last digit."""
    change: Change | None = None
    """The package transaction that last changed it."""

    @property
    def learn(self) -> str:
        """The command that would tell a version that isn't known; empty: none is known to do it."""
        if not isinstance(self.version, Unknown):
            return ""
        command = _LEARN.get(self.id, "")
        path = self.file if self.file.startswith("/") else ""
        if "{file}" in command and not path:
            command = _LEARN_ANYWHERE.get(self.id, "")
        if self.id == "initramfs" and path and "/initrd.img-" not in path:
            command = "lsinitrd {file}"
        return command.format(file=path, kernel=self.kernel)

    def to_json(self) -> dict[str, Any]:
        """An entry of ``check --ledger --json``."""
        change = self.change
        return {
            "id": self.id,
            "title": self.title,
            "kernel": self.kernel or None,
            "version": "unknown" if isinstance(self.version, Unknown) else self.version,
            "file": self.file,
            "package": self.package or None,
            "must_agree": self.must_agree,
            "why_unknown": self.version.reason if isinstance(self.version, Unknown) else None,
            "learn": self.learn or None,
            "changed": None
            if change is None
            else {
                "when": change.when,
                "package": change.package,
                "action": change.action,
                "from": change.old or None,
                "to": change.new or None,
                "command": change.command or None,
                "user": change.user or None,
                "unattended": change.unattended,
                "source": change.source,
            },
        }


@dataclass(frozen=True, slots=True)
class Ledger:
    components: tuple[Component, ...]
    reference: str
    """The driver version that the others are held against; empty: none is known."""
    history: Fact[int]
    """How many changes are known; Unknown: no history could be read."""
    culprit: str
    """One sentence that names the change after which they differ; empty: they agree or it isn't known."""
    notes: tuple[str, ...] = ()
    """Histories that could not be read to their end ("FILE: why")."""

    @property
    def differing(self) -> tuple[Component, ...]:
        """Components that should be the reference's version and aren't."""
        return tuple(item for item in self.components if differs(item, self.reference))

    @property
    def unknown(self) -> tuple[Component, ...]:
        """Components of the driver whose version isn't known."""
        return tuple(c for c in self.components if c.must_agree and isinstance(c.version, Unknown))

    @property
    def verdict(self) -> str:
        """ "differs", else "unknown" where a version that must agree isn't known, else "agrees"."""
        if self.differing or self.culprit:
            return "differs"
        return "agrees" if self.reference and not self.unknown else "unknown"


_INSIDE = Component("initramfs", "module in initramfs", "", None, "", "", True)


def differs(item: Component, reference: str) -> bool:
    """Is this a component of the driver with a known version other than the reference's?"""
    return (
        item.must_agree
        and bool(reference)
        and isinstance(item.version, str)
        and item.version != reference
    )


def _owner(facts: Facts, key: str, version: Fact[str | None]) -> str:
    pattern = re.compile(_OWNERS[key])
    names = [name for name in packages(facts) if pattern.match(name)]
    have = packages(facts)
    fitting = [n for n in names if upstream_version(have[n].version) == version]
    return next(iter(fitting or names), "")


def _last(changes: tuple[Change, ...], package: str) -> Change | None:
    return next((c for c in reversed(changes) if c.package == package), None) if package else None


def _packaged(facts: Facts, key: str) -> tuple[Fact[str | None], str]:
    """Version and package of a component that only the package database knows."""
    if isinstance(facts.packages.installed, Unknown):
        return facts.packages.installed, ""
    name = _owner(facts, key, None)
    if not name:
        return None, ""
    version = packages(facts)[name].version
    return upstream_version(version) or version, name


def _mattering(ctx: Context) -> tuple[str, ...]:
    """Kernels whose modules must agree: running, default and next; in an image, every bootable one."""
    files = ctx.facts.modules.files
    built = {f.kernel for f in files} if not isinstance(files, Unknown) else set()
    primary = primary_releases(ctx)
    return primary if built.intersection(primary) else ctx.releases


def _drivers(ctx: Context, loaded: Fact[str | None]) -> list[Component]:
    facts = ctx.facts
    found = [
        Component("loaded", "loaded module", "", loaded, "/proc/driver/nvidia/version", "", True)
    ]
    files = facts.modules.files
    for file in () if isinstance(files, Unknown) else files:
        if file.name == "nvidia":
            owner = _module_owner(facts, file.kernel, file.version)
            matters = file.kernel in _mattering(ctx)
            found.append(
                Component(
                    "module", "module on disk", file.kernel, file.version, file.path, owner, matters
                )
            )
    for image in _images(ctx):
        inside = image.module("nvidia")
        matters = image.kernel in _mattering(ctx)
        if isinstance(image.modules, Unknown) and matters:
            found.append(
                replace(_INSIDE, kernel=image.kernel, version=image.modules, file=image.path)
            )
        if inside is not None:
            found.append(
                Component(
                    "initramfs", "module in initramfs", image.kernel, inside.version, image.path, "", matters
                )
            )  # fmt: skip
    libraries = facts.libraries.libraries
    by_work = served(facts)
    for soname, key in (("libcuda.so.1", "libcuda"), ("libnvidia-ml.so.1", "libnvidia-ml")):
        listing = () if isinstance(libraries, Unknown) else libraries
        mine = next((i for i in listing if i.soname == soname and not i.stub), None)
        version: Fact[str | None] = None if mine is None else mine.version
        if isinstance(libraries, Unknown):
            version = libraries
        where = "linker cache" if mine is None else mine.real_path or mine.path
        if isinstance(version, Unknown) and soname in by_work:
            version, where = by_work[soname]
        found.append(Component(key, key, "", version, where, _owner(facts, key, version), True))
    return found


def _images(ctx: Context) -> tuple[Initramfs, ...]:
    """What each initramfs holds; one whose inside isn't known where none was looked into.

    None where the driver isn't this system's: its initramfs has no part in it.
    """
    facts = ctx.facts
    if not isinstance(facts.initramfs, Unknown):
        return facts.initramfs
    files = facts.modules.files
    built = {f.kernel for f in files} if not isinstance(files, Unknown) else set()
    return tuple(
        Initramfs(release, f"initramfs of {release}", facts.initramfs, facts.initramfs)
        for release in _mattering(ctx)
        if release in built and not ctx.outside_driver
    )


def _module_owner(facts: Facts, release: str, version: Fact[str]) -> str:
    have = packages(facts)
    own = next((n for n in have if n.startswith("linux-modules-nvidia") and release in n), "")
    return own or _owner(facts, "module", version)


def _rest(ctx: Context, reference: str) -> list[Component]:
    facts = ctx.facts
    found: list[Component] = []
    firmware = facts.devices.firmware
    gsp: Fact[str | None]
    if isinstance(firmware, Unknown):
        gsp = firmware
    else:
        gsp = reference if reference in firmware else next(iter(firmware), None)
    where = "/lib/firmware/nvidia"
    if isinstance(gsp, Unknown) and gsp_firmware(facts):
        gsp, where = gsp_firmware(facts), "NVML"
    found.append(Component("gsp", "GSP firmware", "", gsp, where, _owner(facts, "gsp", gsp), True))
    manager = facts.services.fabric_manager
    if manager is not None:
        owner = _owner(facts, "fabricmanager", manager)
        found.append(_plain("fabricmanager", "fabric manager", manager, owner, must_agree=True))
    version, name = _packaged(facts, "persistenced")
    if version is not None:
        found.append(_plain("persistenced", "nvidia-persistenced", version, name))
    version, name = _packaged(facts, "nvidia-smi")
    if version is not None:
        found.append(_plain("nvidia-smi", "nvidia-smi", version, name, must_agree=True))
    toolkit = facts.containers.toolkit_version
    if toolkit is not None:
        owner = _owner(facts, "container-toolkit", toolkit)
        found.append(_plain("container-toolkit", "container toolkit", toolkit, owner))
    cuda = facts.toolkit.cuda
    if cuda is not None:
        item = _plain("cuda-toolkit", "CUDA toolkit", cuda, _owner(facts, "cuda-toolkit", cuda))
        found.append(replace(item, file=facts.toolkit.path or item.file))
    return found


def _plain(
    key: str, title: str, version: Fact[str | None], package: str, *, must_agree: bool = False
) -> Component:
    return Component(key, title, "", version, "package database", package, must_agree)


def _image_package(have: dict[str, Package], release: str) -> str:
    for name in (f"linux-image-{release}", f"linux-image-unsigned-{release}"):
        if name in have:
            return name
    # RPM kernels carry version and release of their package in their own release.
    for name in ("kernel-core", "kernel", "kernel-default"):
        if name in have and release.startswith(have[name].version):
            return name
    return ""


def _headers_package(have: dict[str, Package], release: str) -> str:
    for name in (f"linux-headers-{release}", "kernel-devel", "kernel-default-devel"):
        if name in have and (release in name or release.startswith(have[name].version)):
            return name
    return ""


def _kernels(ctx: Context) -> list[Component]:
    have = packages(ctx.facts)
    found = []
    for release, kernel in ctx.kernels():
        image = _image_package(have, release)
        version = have[image].version if image else release
        folder = f"/lib/modules/{release}"
        found.append(Component("kernel", "kernel", release, version, folder, image, False))
        if kernel is not None:
            tree = kernel.headers
            told = tree.state if isinstance(tree.state, Unknown) else tree.release or None
            where, owner = tree.path or f"{folder}/build", _headers_package(have, release)
            found.append(Component("headers", "headers", release, told, where, owner, False))
    return found


def _sentence(item: Component, kept: str, version: str) -> str:
    change = item.change
    if change is None:
        return ""
    moved = f"went from {change.old} to {change.new}" if change.old else f"came as {change.new}"
    if not change.new:
        moved = f"({change.old}) was removed"
    return f"{change.package} {moved} on {change.when} by {change.by}; {kept} stayed at {version}."


def _culprit(ctx: Context, components: tuple[Component, ...], reference: str) -> str:
    """The latest change on one side of a difference; the other side is what stayed."""
    agreeing = [c for c in components if c.must_agree and c.version == reference]
    differing = [c for c in components if differs(c, reference) and c.change is not None]
    if any(differs(c, reference) for c in components):
        moved = [c for c in (*differing, *agreeing) if c.change is not None and c.id != "loaded"]
        last = max(moved, key=lambda c: c.change.when if c.change else "", default=None)
        if last is None:
            return ""
        # What stayed is whatever of the other version didn't move after it.
        others = [
            c
            for c in components
            if c.must_agree and isinstance(c.version, str) and c.version != last.version
        ]
        stayed = next((c for c in others if c.id == "loaded"), others[0] if others else None)
        if stayed is None:
            return ""
        return _sentence(last, f"the {stayed.title}", str(stayed.version))
    return _kernel_culprit(ctx, components)


def _kernel_culprit(ctx: Context, components: tuple[Component, ...]) -> str:
    """A kernel that came without a module of its own."""
    files = ctx.facts.modules.files
    if isinstance(files, Unknown):
        return ""
    built = {file.kernel for file in files if file.name == "nvidia"}
    for item in components:
        change = item.change
        if item.id != "kernel" or item.kernel in built or change is None or not built:
            continue
        return (
            f"{change.package} came as {change.new} on {change.when} by {change.by}; no nvidia module "
            f"was built for {item.kernel}."
        )
    return ""


def ledger(ctx: Context) -> Ledger:
    """All components of this host, each with its last change where the history was looked up."""
    facts = ctx.facts
    changes = () if isinstance(facts.history, Unknown) else facts.history
    loaded = facts.modules.loaded_version
    reference = loaded_version(facts) or library_version(facts)
    if not reference:
        files = () if isinstance(facts.modules.files, Unknown) else facts.modules.files
        versions = [f.version for f in files if f.name == "nvidia" and isinstance(f.version, str)]
        reference = versions[0] if versions else ""
    plain = [*_drivers(ctx, loaded), *_rest(ctx, reference), *_kernels(ctx)]
    components = tuple(_changed(item, changes) for item in plain)
    known: Fact[int] = facts.history if isinstance(facts.history, Unknown) else len(changes)
    culprit = _culprit(ctx, components, reference)
    return Ledger(components, reference, known, culprit, facts.history_notes)


def _changed(item: Component, changes: tuple[Change, ...]) -> Component:
    return replace(item, change=_last(changes, item.package))


def culprit_evidence(ctx: Context) -> tuple[Evidence, ...]:
    """The sentence that names the change, as evidence of a rung; none where nothing was looked up."""
    if isinstance(ctx.facts.history, Unknown) or not ctx.facts.history:
        return ()
    found = ledger(ctx)
    if not found.culprit:
        return ()
    source = next(
        (c.change.source for c in found.components if c.change and c.change.when in found.culprit),
        "package history",
    )
    return (ev(source, found.culprit),)
