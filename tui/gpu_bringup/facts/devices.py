"""NVIDIA's device nodes and the GSP firmware on disk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import line, names
from gpu_bringup.model.facts import DeviceFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_FOLDERS_OF_NODES = ("nvidia-caps", "nvidia-caps-imex-channels")
_VERSION = re.compile(r"^\d+\.\d+(\.\d+)?$")


def parse_file_mode(params: str) -> int | None:
    """DeviceFileMode of /proc/driver/nvidia/params (decimal there); None: not named."""
    match = re.search(r"(?m)^DeviceFileMode:\s*(\d+)\s*$", params)
    return int(match[1]) if match else None


def _nodes(host: Host) -> Fact[tuple[str, ...]]:
    listing = host.list_dir("/dev")
    if isinstance(listing, Unknown):
        return listing
    nodes: list[str] = []
    for name in listing or ():
        if name in _FOLDERS_OF_NODES:
            nodes += [f"{name}/{node}" for node in names(host, f"/dev/{name}")]
        elif name.startswith("nvidia"):
            nodes.append(name)
    return tuple(nodes)


def _firmware_folders(host: Host) -> list[str]:
    extra = line(host, "/sys/module/firmware_class/parameters/path")
    first = [extra.rstrip("/")] if isinstance(extra, str) and extra.startswith("/") else []
    # The kernel looks into the extra path first, then here (firmware_class documentation).
    return [
        f"{folder}/nvidia"
        for folder in dict.fromkeys(
            [*first, "/lib/firmware/updates", "/lib/firmware", "/usr/local/nvidia/firmware"]
        )
    ]


def observe(host: Host) -> DeviceFacts:
    versions: list[str] = []
    paths: list[str] = []
    unread: Unknown | None = None
    for folder in _firmware_folders(host):
        listing = host.list_dir(folder)
        if isinstance(listing, Unknown):
            unread = listing if unread is None else unread
            continue
        for version in listing or ():
            files = names(host, f"{folder}/{version}") if _VERSION.match(version) else ()
            if any(name.startswith("gsp") and ".bin" in name for name in files):
                versions.append(version)
                paths.append(f"{folder}/{version}")
    params = host.read_text("/proc/driver/nvidia/params", limit=65_536)
    mode = parse_file_mode(params) if isinstance(params, str) else None
    return DeviceFacts(
        nodes=_nodes(host),
        firmware=unread if unread is not None and not versions else tuple(dict.fromkeys(versions)),
        firmware_paths=tuple(paths),
        device_file_mode=mode
        if mode is not None
        else Unknown("/proc/driver/nvidia/params does not name a file mode"),
    )
