"""What the initramfs of a kernel would do at the next boot before the real file system is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import has_module, module_files, wanted
from gpu_bringup.ladder.words import ev

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.initramfs import Initramfs
    from gpu_bringup.model.ladder import Cause


def images(ctx: Context) -> tuple[Initramfs, ...]:
    """Images of the kernels that matter that were looked into, each once."""
    found: dict[str, Initramfs] = {}
    for looked in (ctx.facts.initramfs, ctx.facts.outdated_images):
        if isinstance(looked, tuple):
            found.update((image.kernel, image) for image in looked)
    return tuple(found[release] for release in ctx.releases if release in found)


def nouveau_causes(ctx: Context) -> list[Cause]:
    """Images that hold nouveau and nothing that keeps it from taking the GPU."""
    found = []
    for image in images(ctx):
        free = isinstance(image.blacklisted, tuple) and "nouveau" not in image.blacklisted
        if free and image.module("nouveau") is not None:
            text = "holds nouveau, and no line in it blacklists it"
            found.append(cause("nouveau-loaded", 0.88, ev(image.path, text)))
    return found


def stale_causes(ctx: Context) -> list[Cause]:
    """Images that hold another version of the nvidia module than the one that is, or will be, on disk."""
    found = []
    for image in images(ctx):
        inside = image.module("nvidia")
        files = module_files(ctx, image.kernel)
        if inside is None or not isinstance(inside.version, str):
            continue
        stays = bool(files) and has_module(ctx, image.kernel)
        disk = files[0].version if stays else wanted(ctx).version or None
        where = files[0].path if stays else "the module to be built"
        if isinstance(disk, str) and disk != inside.version:
            told = (ev(image.path, inside.version), ev(where, disk))
            found.append(cause("initramfs-stale-module", 0.93, *told))
    return found
