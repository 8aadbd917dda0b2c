"""Flavours of kernels (generic, aws, cloud-amd64, rt, 64k), and packages of ready-made modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.view import packages, route, upstream_version
from gpu_bringup.ladder.words import ev, listed
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context
    from gpu_bringup.model.facts import ModuleFile
    from gpu_bringup.model.ladder import Cause

_PLUS = re.compile(r"\+(?!deb|bpo|rpt)([a-z0-9-]+)$")
_DASH = re.compile(r"-(\D[\w-]*)$")


def kernel_flavour(release: str) -> str:
    """ "amd64", "cloud-amd64", "generic", "aws", "rt", "64k"; empty: the distribution's only one."""
    match = _PLUS.search(release) or _DASH.search(release)
    return match[1] if match else ""


def prebuilt_cause(ctx: Context, release: str) -> Cause | None:
    """Ready-made modules are in use here, and this kernel's package isn't installed; else None."""
    dkms = ctx.facts.modules.dkms
    builds = () if isinstance(dkms, Unknown) else dkms
    if any(build.module.startswith("nvidia") for build in builds):
        return None
    names = packages(ctx.facts)
    ubuntu = [n for n in names if n.startswith("linux-modules-nvidia-")]
    if ubuntu and not any(name.endswith(release) for name in ubuntu):
        told = ev("package database", f"{listed(ubuntu[:3])}; none for {release}")
        return cause("precompiled-modules-missing-ubuntu", 0.93, told)
    kmods = [n for n in names if re.match(r"kmod-nvidia-\D*\d.*-\d", n)]
    if kmods:
        told = ev("package database", f"{listed(kmods[:3])}; none for {release}")
        return cause("precompiled-kmod-missing", 0.9, told)
    return None


def el_minor(release: str) -> str:
    """ "9_4" in a release of RHEL or a rebuild ("5.14.0-427.el9_4.x86_64"); empty: it names none."""
    match = re.search(r"\.el(\d+_\d+)\b", release)
    return match[1] if match else ""


def same_version(ctx: Context, files: tuple[ModuleFile, ...]) -> list[Cause]:
    """dkms left a module of the other flavour in place, because its version is the same."""
    if route(ctx) != "dkms" or not files or isinstance(files[0].flavour, Unknown):
        return []
    builders = [
        p for n, p in packages(ctx.facts).items() if re.search(r"nvidia.*dkms|dkms.*nvidia", n)
    ]
    flavours = {Flavour.OPEN if "open" in p.name else Flavour.PROPRIETARY for p in builders}
    if len(flavours) != 1 or files[0].flavour in flavours:
        return []
    if any(upstream_version(p.version) != files[0].version for p in builders):
        return []
    named = ev("package database", f"{listed(p.name for p in builders)} {builders[0].version}")
    told = ev(files[0].path, f"{files[0].version}, {files[0].flavour.value}")
    return [cause("dkms-version-check-noop", 0.88, told, named)]
