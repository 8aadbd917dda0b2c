"""dkms's own tree (/var/lib/dkms): what it has, built, installed and failed to build (dkms(8))."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names, text
from gpu_bringup.facts.make_log import first_error, log_kernel, probes_hold
from gpu_bringup.model.facts import DkmsBuild
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_TREE = "/var/lib/dkms"
_LINK = re.compile(r"^kernel-(.+)-([^-]+)$")


def installed_link(name: str) -> str:
    """Kernel release in a link name such as "kernel-6.1.0-50-amd64-x86_64"; empty: no such link."""
    match = _LINK.match(name)
    return match[1] if match else ""


def _built(host: Host, folder: str, arch: str) -> bool:
    return any(".ko" in name for name in names(host, f"{folder}/{arch}/module"))


def _failed(host: Host, module: str, version: str, built: set[str]) -> list[DkmsBuild]:
    """Builds that left a log and no module."""
    base = f"{_TREE}/{module}/{version}"
    logs = [f"{base}/build/make.log"]
    for kernel in names(host, base):
        if kernel in ("build", "source"):
            continue
        logs += [f"{base}/{kernel}/{arch}/log/make.log" for arch in names(host, f"{base}/{kernel}")]
    failed: dict[str, DkmsBuild] = {}
    for path in logs:
        kernel = path.removeprefix(f"{base}/").split("/")[0]
        if kernel in built:
            continue
        content = text(host, path)
        if not content:
            continue
        kernel = log_kernel(content) or ("" if kernel == "build" else kernel)
        if kernel not in built:
            failed[kernel] = DkmsBuild(
                module,
                version,
                kernel,
                "failed",
                log_path=path,
                first_error=first_error(content),
                probes_hold=probes_hold(content),
            )
    return list(failed.values())


def _version(host: Host, module: str, version: str, links: dict[str, str]) -> list[DkmsBuild]:
    base = f"{_TREE}/{module}/{version}"
    content = names(host, base)
    source: Fact[bool] = host.exists(f"{base}/source")
    if source is True:
        source = host.exists(f"{base}/source/dkms.conf")
    builds: list[DkmsBuild] = []
    for kernel in content:
        if kernel in ("build", "source"):
            continue
        archs = names(host, f"{base}/{kernel}")
        if not any(_built(host, f"{base}/{kernel}", arch) for arch in archs):
            continue
        target = links.get(kernel, "")
        state = "installed" if target.startswith(f"{version}/") else "built"
        builds.append(DkmsBuild(module, version, kernel, state, source))
    failed = _failed(host, module, version, {build.kernel for build in builds})
    builds += [replace(item, source_present=source) for item in failed]
    if source is False:
        builds.append(DkmsBuild(module, version, "", "broken", source))
    elif not builds:
        builds.append(DkmsBuild(module, version, "", "added", source))
    return builds


def observe(host: Host) -> Fact[tuple[DkmsBuild, ...]]:
    """Every module version that dkms knows, for each kernel; empty where there is no dkms tree."""
    modules = host.list_dir(_TREE)
    if isinstance(modules, Unknown):
        return modules
    builds: list[DkmsBuild] = []
    for module in modules or ():
        content = host.list_dir(f"{_TREE}/{module}")
        if not isinstance(content, tuple):
            continue
        links: dict[str, str] = {}
        for name in content:
            target = host.read_link(f"{_TREE}/{module}/{name}")
            if installed_link(name) and isinstance(target, str):
                links[installed_link(name)] = target
        versions = [
            name
            for name in content
            if not installed_link(name)
            and name != "original_module"
            and host.list_dir(f"{_TREE}/{module}/{name}") is not None
        ]
        for version in versions:
            builds += _version(host, module, version, links)
    return tuple(builds)
