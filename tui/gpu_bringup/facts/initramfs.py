"""Each bootable kernel's initramfs: is it there, which driver modules and blacklists it holds."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

from gpu_bringup.facts.ask import names
from gpu_bringup.facts.modprobe import parse_modprobe
from gpu_bringup.facts.modules import name_of_stem
from gpu_bringup.model.initramfs import Initramfs, InitramfsModule
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import KernelFacts

_NAMES = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")
"""Debian and Ubuntu (initramfs-tools), RHEL and Fedora (dracut), SUSE (dracut); all in /boot."""
_STEM = re.compile(r"^(.+?)\.ko(?:\.\w+)?$")
_RELEASE = re.compile(r"lib/modules/([^/]+)/")
_MODPROBE_FOLDERS = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)


def parse_modules(digest: dict[str, Any]) -> tuple[InitramfsModule, ...]:
    """The driver modules in an initramfs's digest; entries that make no sense are left out."""
    found = []
    for item in digest.get("modules", ()):
        path = str(item.get("path", "")) if isinstance(item, dict) else ""
        stem = _STEM.match(posixpath.basename(path))
        release = _RELEASE.search(path)
        if stem is None or release is None:
            continue
        version = item.get("version")
        found.append(
            InitramfsModule(
                name=name_of_stem(stem[1]),
                path=path,
                kernel=release[1],
                version=version
                if isinstance(version, str)
                else Unknown(f"{path} in the initramfs names no version that could be read"),
            )
        )
    return tuple(found)


def parse_blacklist(digest: dict[str, Any]) -> tuple[str, ...]:
    """Modules that the modprobe.d inside an initramfs keeps from loading; links are followed."""
    texts = {
        str(item.get("path")): str(item.get("text", ""))
        for item in digest.get("configuration", ())
        if isinstance(item, dict)
    }
    links = {
        str(item.get("path")): str(item.get("target", ""))
        for item in digest.get("links", ())
        if isinstance(item, dict)
    }
    found: list[str] = []
    for path in sorted({*texts, *links}):
        if not path.startswith(tuple(f"{folder}/" for folder in _MODPROBE_FOLDERS)):
            continue
        if not path.endswith(".conf"):
            continue
        real = path
        for _ in range(8):
            real = links.get(real, real)
        found += [module for module, _ in parse_modprobe(texts.get(real, ""))]
    return tuple(dict.fromkeys(found))


def _look(host: Host, release: str, boot: Fact[tuple[str, ...]]) -> Initramfs:
    if isinstance(boot, Unknown):
        return Initramfs(release, "", boot, boot)
    name = next((n for form in _NAMES if (n := form.format(release)) in boot), "")
    if not name:
        return Initramfs(release, "", (), ())
    path = f"/boot/{name}"
    digest = host.digest("initramfs", path)
    if digest is None:
        return Initramfs(release, "", (), ())
    if isinstance(digest, Unknown):
        return Initramfs(release, path, digest, digest)
    return Initramfs(release, path, parse_modules(digest), parse_blacklist(digest))


def observe(host: Host, kernels: KernelFacts) -> Fact[tuple[Initramfs, ...]]:
    """One for each bootable kernel; takes up to seconds each.

    A kernel whose images the boot loader keeps outside /boot (systemd-boot's own folders) is left out:
    nothing is known of its initramfs.
    """
    if isinstance(kernels.installed, Unknown):
        return kernels.installed
    listing = host.list_dir("/boot")
    boot: Fact[tuple[str, ...]] = listing if isinstance(listing, Unknown) else listing or ()
    images = names(host, "/boot")
    return tuple(
        _look(host, kernel.release, boot)
        for kernel in kernels.installed
        if kernel.bootable
        and (
            isinstance(boot, Unknown)
            or any(name.endswith(f"-{kernel.release}") for name in images)
            or any(form.format(kernel.release) in images for form in _NAMES)
        )
    )
