"""Archives of a simulated machine, made from the data in ``profiles/machines``."""

from __future__ import annotations

import re
from typing import Any

from gpu_bringup.hosts.simulated.packages import Archive, Offer

LIBRARIES = "/usr/lib/x86_64-linux-gnu"
_FILES = {
    "gcc-12": ("/usr/bin/gcc-12", "/usr/bin/x86_64-linux-gnu-gcc-12"),
    "gcc-14": ("/usr/bin/gcc-14", "/usr/bin/x86_64-linux-gnu-gcc-14"),
    "gcc": ("/usr/bin/gcc",),
    "make": ("/usr/bin/make",),
    "dkms": ("/usr/sbin/dkms",),
    "mokutil": ("/usr/bin/mokutil",),
    "openssl": ("/usr/bin/openssl",),
    "kmod": ("/usr/bin/kmod",),
    "gpg": ("/usr/bin/gpg",),
}
"""The files by which facts and commands see that a package is there."""


def make(data: dict[str, Any], config: str) -> Archive:
    """One archive.

    Args:
        data: an element of "archives".
        config: the kernels' configuration.
    """
    offers: list[Offer] = []
    for name, version, *depends in data.get("packages", ()):
        offers.append(_plain(name, version, tuple(depends)))
    for release, version in data.get("kernels", ()):
        offers += _kernel(release, version, config)
    for version in data.get("drivers", ()):
        offers += _driver(version)
    return Archive(
        data["uri"],
        data["suite"],
        data["component"],
        data["origin"],
        data.get("label", ""),
        data.get("key", ""),
        tuple(offers),
    )


def _plain(name: str, version: str, depends: tuple[str, ...]) -> Offer:
    files = tuple((path, "size 40000") for path in _FILES.get(name, ()))
    if name == "nvidia-fabricmanager":
        files = (("/usr/bin/nv-fabricmanager", "size 40000"),)
        return Offer(name, version, "service", depends, files=files, argument=f"{name}.service")
    return Offer(name, version, "files", depends, files=files)


def _kernel(release: str, version: str, config: str) -> list[Offer]:
    image = (
        (f"/boot/vmlinuz-{release}", "size 12000000"),
        (f"/boot/config-{release}", config),
        (f"/boot/System.map-{release}", "size 83"),
    )
    tree = f"/usr/src/linux-headers-{release}"
    headers = (
        (f"{tree}/Makefile", "# a build tree\n"),
        (f"{tree}/Module.symvers", "0x00000000\tmodule_layout\tvmlinux\tEXPORT_SYMBOL\n"),
        (f"{tree}/.config", config),
        (f"{tree}/scripts/sign-file", "size 30000"),
        (f"{tree}/include/generated/utsrelease.h", f'#define UTS_RELEASE "{release}"\n'),
        (f"/usr/lib/modules/{release}/build", f"-> {tree}"),
    )
    flavour = release.rsplit("-", 1)[-1]
    built = re.search(r'CONFIG_CC_VERSION_TEXT="(?:x86_64-linux-gnu-)?(\S+)', config)
    compiler = built[1] if built else "gcc"
    return [
        Offer(f"linux-image-{release}", version, "kernel", ("kmod", "initramfs-tools"), files=image,
              argument=release, size=110_000_000, source="linux-signed-amd64"),
        Offer(f"linux-headers-{release}", version, "headers", (compiler,), files=headers,
              argument=release, size=15_000_000, source="linux"),
        Offer(f"linux-image-{flavour}", version, depends=(f"linux-image-{release} (= {version})",),
              source="linux-signed-amd64"),
        Offer(f"linux-headers-{flavour}", version,
              depends=(f"linux-headers-{release} (= {version})",), source="linux"),
    ]  # fmt: skip


def _driver(version: str) -> list[Offer]:
    package = f"{version}-1"
    exact = f"(= {package})"

    def library(name: str, stem: str) -> Offer:
        files = (
            (f"{LIBRARIES}/{stem}.{version}", "size 1000000"),
            (f"{LIBRARIES}/{stem}.1", f"-> {stem}.{version}"),
        )
        return Offer(name, package, depends=("libc6",), files=files)

    firmware = tuple(
        (f"/usr/lib/firmware/nvidia/{version}/{name}", "size 40000")
        for name in ("gsp_ga10x.bin", "gsp_tu10x.bin")
    )

    def modules(name: str, flavour: str, other: str) -> Offer:
        return Offer(
            name,
            package,
            "dkms-module",
            ("dkms", "make", f"firmware-nvidia-gsp {exact}"),
            conflicts=(other,),
            argument=f"nvidia {flavour}",
            size=60_000_000,
        )

    return [
        library("libcuda1", "libcuda.so"),
        library("libnvidia-ml1", "libnvidia-ml.so"),
        Offer("firmware-nvidia-gsp", package, files=firmware),
        Offer("nvidia-modprobe", package, depends=("libc6",),
              files=(("/usr/bin/nvidia-modprobe", "size 40000"),)),
        Offer("nvidia-persistenced", package, "service", ("libc6",),
              files=(("/usr/bin/nvidia-persistenced", "size 40000"),),
              argument="nvidia-persistenced.service"),
        Offer("nvidia-driver-cuda", package,
              depends=(f"libcuda1 {exact}", f"libnvidia-ml1 {exact}", "nvidia-modprobe",
                       "nvidia-persistenced"),
              files=(("/usr/bin/nvidia-smi", "size 700000"),)),
        modules("nvidia-kernel-open-dkms", "open", "nvidia-kernel-dkms"),
        modules("nvidia-kernel-dkms", "proprietary", "nvidia-kernel-open-dkms"),
    ]  # fmt: skip
