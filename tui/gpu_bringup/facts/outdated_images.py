"""Initramfs images that are older than what they were made from: only those are worth a look.

Reading an image takes a tenth of a second and more; asking when files were written takes none.
"""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names
from gpu_bringup.facts.initramfs import observe as look_into
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host
    from gpu_bringup.model.facts import Kernel, KernelFacts, ModuleFacts
    from gpu_bringup.model.initramfs import Initramfs

_MODPROBE = "/etc/modprobe.d"
_IMAGES = ("initrd.img-{}", "initramfs-{}.img", "initrd-{}")


def _time(host: Host, path: str) -> float | None:
    answer = host.digest("modified", path)
    if isinstance(answer, dict) and isinstance(answer.get("time"), (int, float)):
        return float(answer["time"])
    return None


def _next_ones(installed: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
    """The newest kernel, and those that run or are known to boot next."""
    chosen = [k for k in installed if k.running or k.one_shot or k.default is True]
    return tuple(dict.fromkeys((*installed[:1], *chosen)))


def observe(host: Host, kernels: KernelFacts, modules: ModuleFacts) -> Fact[tuple[Initramfs, ...]]:
    """What the outdated images hold; empty where every image is newer than its sources."""
    if isinstance(kernels.installed, Unknown):
        return kernels.installed
    files = modules.files if isinstance(modules.files, tuple) else ()
    settings = [_MODPROBE, *(posixpath.join(_MODPROBE, name) for name in names(host, _MODPROBE))]
    changed = [time for path in settings if (time := _time(host, path)) is not None]
    boot = names(host, "/boot")
    outdated = []
    for kernel in _next_ones(kernels.installed):
        image = next((n for form in _IMAGES if (n := form.format(kernel.release)) in boot), "")
        made = _time(host, f"/boot/{image}") if image and kernel.bootable else None
        if made is None:
            continue
        own = [_time(host, file.path) for file in files if file.kernel == kernel.release]
        if any(time > made for time in (*changed, *(time for time in own if time is not None))):
            outdated.append(kernel)
    return look_into(host, replace(kernels, installed=tuple(outdated))) if outdated else ()
