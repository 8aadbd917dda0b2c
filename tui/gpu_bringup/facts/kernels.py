"""The running kernel and every kernel that this host can boot next."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from gpu_bringup.facts import boot
from gpu_bringup.facts.ask import any_exists, line, output
from gpu_bringup.facts.kernel_config import KernelConfig, observe_headers, read_config
from gpu_bringup.model.facts import Kernel, KernelFacts, Package, PackageFacts
from gpu_bringup.model.unknown import Fact, Unknown
from gpu_bringup.model.versions import compare_debian

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_IMAGE = re.compile(r"^(?:vmlinuz|vmlinux|[Ii]mage)-(\d+\.\d+.*)$")
_RELEASE = re.compile(r"^\d+\.\d+")
_LEFTOVER = (".old", ".bak", ".dpkg-tmp", ".dpkg-new", ".hmac", ".signed")


def image_releases(boot_names: tuple[str, ...]) -> tuple[str, ...]:
    """Releases of the kernel images among the names in /boot (rescue images left out)."""
    found = []
    for name in boot_names:
        match = _IMAGE.match(name)
        if match and not name.endswith(_LEFTOVER) and "rescue" not in name:
            found.append(match[1])
    return tuple(dict.fromkeys(found))


def version_word(proc_version: str) -> str:
    """The release in /proc/version ("Linux version RELEASE (…"); empty where it isn't one."""
    words = proc_version.split()
    return words[2] if len(words) > 2 and words[:2] == ["Linux", "version"] else ""


def owner_version(release: str, packages: tuple[Package, ...]) -> str:
    """Version of the package that owns a kernel; empty where no known package does.

    Where only the headers are installed (an image to be prepared), theirs: both are built from one
    source and carry one version.
    """
    installed = {package.name: package.version for package in packages if package.installed}
    for prefix in ("linux-image-", "linux-image-unsigned-", "linux-headers-"):
        if prefix + release in installed:
            return installed[prefix + release]
    # RPM kernels carry version, release and architecture in the kernel's own release.
    for package in packages:
        if package.name.startswith("kernel") and release.startswith(package.version):
            return package.version
    return ""


def _running(host: Host) -> Fact[str]:
    release = line(host, "/proc/sys/kernel/osrelease")
    if isinstance(release, str) and release:
        return release
    version = line(host, "/proc/version")
    if isinstance(version, str) and version_word(version):
        return version_word(version)
    answer = output(host, "uname", "-r")
    return answer.strip() if isinstance(answer, str) else answer


def _image_installed(host: Host, release: str, images: Fact[tuple[str, ...]]) -> bool:
    if not isinstance(images, Unknown):
        return release in images
    # /boot can't be read: modules.builtin comes with the kernel image, never with its headers.
    return host.exists(f"/lib/modules/{release}/modules.builtin") is True


def _kernel(
    host: Host,
    release: str,
    running: Fact[str],
    images: Fact[tuple[str, ...]],
    loader: boot.BootFacts,
    packages: tuple[Package, ...],
) -> Kernel:
    config: Fact[KernelConfig] = read_config(host, release)
    compiler: Fact[str] = config if isinstance(config, Unknown) else config.compiler
    if compiler == "":
        compiler = Unknown("the kernel's configuration names no compiler")
    return Kernel(
        release=release,
        running=release == running,
        bootable=release == running
        or _image_installed(host, release, images)
        or release in loader.releases,
        default=loader.default
        if isinstance(loader.default, Unknown)
        else release == loader.default,
        one_shot=bool(loader.one_shot) and release == loader.one_shot,
        headers=observe_headers(host, release),
        compiler_text=config if isinstance(config, Unknown) else config.compiler_text,
        compiler=compiler,
        compiler_present=compiler
        if isinstance(compiler, Unknown)
        else any_exists(host, f"/usr/bin/{compiler}", f"/usr/local/bin/{compiler}"),
        signature_forced=config if isinstance(config, Unknown) else config.signature_forced,
        signature_hash=config if isinstance(config, Unknown) else config.signature_hash,
        realtime=config if isinstance(config, Unknown) else config.realtime,
        modules_enabled=config if isinstance(config, Unknown) else config.modules,
        package_version=owner_version(release, packages),
    )


def observe(host: Host, packages: PackageFacts) -> KernelFacts:
    running = _running(host)
    folders = host.list_dir("/lib/modules")
    listing = host.list_dir("/boot")
    images: Fact[tuple[str, ...]] = (
        listing if isinstance(listing, Unknown) else image_releases(listing or ())
    )
    command_line = line(host, "/proc/cmdline", limit=65_536)
    loader = boot.observe(host)
    installed: Fact[tuple[Kernel, ...]]
    if isinstance(folders, Unknown) and isinstance(images, Unknown):
        installed = folders
    else:
        found = (
            {name for name in folders or () if _RELEASE.match(name)}
            if isinstance(folders, tuple)
            else set()
        )
        if not isinstance(images, Unknown):
            found |= set(images)
        owned = packages.installed if isinstance(packages.installed, tuple) else ()
        newest = sorted(found, key=functools.cmp_to_key(compare_debian), reverse=True)
        installed = tuple(
            _kernel(host, release, running, images, loader, owned) for release in newest
        )
    return KernelFacts(
        running=running,
        installed=installed,
        boot_loader=loader.loader,
        boot_entries=loader.entries,
        boot_folder=loader.folder,
        default_saved=loader.saved,
        default_entry=loader.wanted,
        boots_once=loader.once_obeyed,
        command_line=command_line
        if command_line is not None
        else Unknown("/proc/cmdline does not exist"),
    )
