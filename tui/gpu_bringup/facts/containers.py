"""Container engines, NVIDIA's container toolkit and the CDI descriptions of the GPUs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import any_exists, names, text
from gpu_bringup.facts.services import package_version
from gpu_bringup.model.facts import ContainerFacts, PackageFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_ENGINES = {
    "docker": ("/usr/bin/dockerd", "/usr/local/bin/dockerd"),
    "containerd": ("/usr/bin/containerd", "/usr/local/bin/containerd"),
    "podman": ("/usr/bin/podman",),
    "crio": ("/usr/bin/crio", "/usr/local/bin/crio"),
}
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi", "/run/cdi")


def docker_configured(daemon_json: str) -> bool:
    """Does Docker's daemon.json name NVIDIA's runtime or switch CDI on?"""
    try:
        settings = json.loads(daemon_json)
    except ValueError:
        return False
    if not isinstance(settings, dict):
        return False
    runtimes, features = settings.get("runtimes"), settings.get("features")
    named = isinstance(runtimes, dict) and any("nvidia" in str(name) for name in runtimes)
    cdi = isinstance(features, dict) and features.get("cdi") is True
    return named or cdi or "nvidia" in str(settings.get("default-runtime", ""))


def toml_configured(config: str) -> bool:
    """Does a containerd or CRI-O configuration name NVIDIA's runtime or switch CDI on?"""
    lines = [raw for raw in config.splitlines() if not raw.strip().startswith("#")]
    return any(
        re.search(r"runtimes\.[\"']?nvidia|nvidia-container-runtime|enable_cdi\s*=\s*true", raw)
        for raw in lines
    )


def _texts(host: Host, path: str, folder: str) -> str:
    parts = [text(host, path)]
    parts += [text(host, f"{folder}/{name}") for name in names(host, folder)]
    return "\n".join(parts)


def _cdi(host: Host) -> Fact[tuple[str, ...]]:
    found: dict[str, str] = {}
    unread: Unknown | None = None
    for folder in _CDI_FOLDERS:
        listing = host.list_dir(folder)
        if isinstance(listing, Unknown):
            unread = listing if unread is None else unread
            continue
        for name in listing or ():
            head = host.read_text(f"{folder}/{name}", limit=4096)
            if isinstance(head, str) and "nvidia.com/" in head:
                # /var/run is /run on most systems: one file is one description.
                found.setdefault(name, f"{folder}/{name}")
    return unread if unread is not None and not found else tuple(found.values())


_LIBCUDA = re.compile(r"libcuda\.so\.(\d{3}\.\d+(?:\.\d+)?)")


def _cdi_versions(host: Host, specs: Fact[tuple[str, ...]]) -> tuple[tuple[str, str], ...]:
    """The driver that each description was made for: it names libcuda with its version."""
    found = []
    for path in () if isinstance(specs, Unknown) else specs:
        match = _LIBCUDA.search(text(host, path, limit=1_000_000))
        if match:
            found.append((path, match[1]))
    return tuple(found)


_CONFIG = "/etc/nvidia-container-runtime/config.toml"
_ROOT = re.compile(r"(?m)^\s*root\s*=\s*[\"']([^\"'\n]*)[\"']")


def _driver_root(host: Host) -> Fact[str]:
    """The [nvidia-container-cli] section's root; a line behind "#" is the default, which is "/"."""
    config = host.read_text(_CONFIG, limit=65_536)
    if isinstance(config, Unknown):
        return config
    match = _ROOT.search(config or "")
    return match[1].rstrip("/") if match else ""


_NVIDIA_MAJOR = "195:"
"""Of nvidiactl and nvidia0 …, in the kernel's list of devices (admin-guide/devices)."""


def _device_links(host: Host) -> Fact[bool]:
    listing = host.list_dir("/dev/char")
    if isinstance(listing, Unknown):
        return listing
    return any(name.startswith(_NVIDIA_MAJOR) for name in listing or ())


def docker_cgroup_driver(daemon_json: str, second_version: Fact[bool]) -> Fact[str]:
    """The driver that daemon.json names, else Docker's default: systemd where cgroups are v2.

    Source: moby/moby pull request 40846, as told in kubernetes/kubernetes 111231.
    """
    match = re.search(r"native\.cgroupdriver=(\w+)", daemon_json)
    if match:
        return match[1]
    if isinstance(second_version, Unknown):
        return second_version
    return "systemd" if second_version else "cgroupfs"


def observe(host: Host, packages: PackageFacts) -> ContainerFacts:
    answers = {engine: any_exists(host, *paths) for engine, paths in _ENGINES.items()}
    present = tuple(engine for engine, answer in answers.items() if answer is True)
    unknown = [answer for answer in answers.values() if isinstance(answer, Unknown)]
    runtimes: Fact[tuple[str, ...]] = unknown[0] if unknown and not present else present
    cdi = _cdi(host)
    checks = {
        "docker": lambda: docker_configured(text(host, "/etc/docker/daemon.json")),
        "containerd": lambda: toml_configured(
            _texts(host, "/etc/containerd/config.toml", "/etc/containerd/conf.d")
        ),
        "podman": lambda: (
            bool(isinstance(cdi, tuple) and cdi)
            or host.exists("/usr/share/containers/oci/hooks.d/oci-nvidia-hook.json") is True
        ),
        "crio": lambda: toml_configured(
            _texts(host, "/etc/crio/crio.conf", "/etc/crio/crio.conf.d")
        ),
    }
    version = package_version(packages.installed, "nvidia-container-toolkit")
    if version is None and host.exists("/usr/bin/nvidia-ctk") is True:
        version = Unknown("/usr/bin/nvidia-ctk is there, but no package says its version")
    snap = any_exists(host, "/snap/bin/docker", "/var/snap/docker")
    root = _driver_root(host)
    docker: Fact[str] = Unknown("no docker here")
    if "docker" in present:
        second = host.exists("/sys/fs/cgroup/cgroup.controllers")
        docker = docker_cgroup_driver(text(host, "/etc/docker/daemon.json"), second)
    return ContainerFacts(
        device_links=_device_links(host) if present else Unknown("no container engine here"),
        docker_cgroups=docker,
        docker_snap=False if "docker" in present else snap,
        driver_root=root,
        driver_root_there=host.exists(root) if isinstance(root, str) and root else True,
        toolkit_version=version,
        runtimes=runtimes,
        configured=runtimes
        if isinstance(runtimes, Unknown)
        else tuple(engine for engine in present if checks[engine]()),
        cdi_specs=cdi,
        cdi_versions=_cdi_versions(host, cdi),
    )
