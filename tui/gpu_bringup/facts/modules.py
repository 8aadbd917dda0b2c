"""NVIDIA's kernel modules: the files on disk for each kernel, and what is loaded now."""

from __future__ import annotations

import posixpath
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.facts import dkms, modprobe
from gpu_bringup.facts.ask import line, names
from gpu_bringup.model.enums import Flavour
from gpu_bringup.model.facts import LoadedModule, ModuleFacts, ModuleFile
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_FOLDERS = (
    "updates/dkms",
    "updates",
    "extra",
    "extra/drivers/video",
    "weak-updates",
    "kernel",
    "kernel/drivers",
    "kernel/drivers/video",
    "kernel/drivers/char/drm",
    "misc",
    "video",
)
"""Where DKMS, akmods, kmod and KMP packages, prebuilt modules and the runfile put them."""
_FILE = re.compile(r"^(nvidia(?:[-_][\w-]+)?)\.ko(\.xz|\.zst|\.gz)?$")
_FOREIGN = ("nvidia-wmi", "nvidia_wmi", "nvidia-ffa", "nvidia_ffa", "nvidia-vrs", "nvidia_vrs")
"""Modules of the kernel's own whose names begin like the driver's."""
_LICENCES = {"NVIDIA": Flavour.PROPRIETARY, "Dual MIT/GPL": Flavour.OPEN}
_TELLS_FLAVOUR = ("nvidia", "nvidia_modeset")
"""nvidia-uvm and nvidia-drm carry a free licence in both flavours."""
_COMPETITORS = ("nouveau", "nova_core", "nova_drm", "vfio_pci")
_KERNEL = re.compile(r"^\d+\.\d+")


def parse_modinfo(text: str) -> tuple[dict[str, str], ...]:
    """The blocks of ``modinfo FILE...``: each begins with "filename:"; first value of a key wins."""
    blocks: list[dict[str, str]] = []
    for raw in text.splitlines():
        key, separator, value = raw.partition(":")
        if not separator or not re.fullmatch(r"[\w.]+", key):
            continue
        if key == "filename":
            blocks.append({})
        if blocks:
            blocks[-1].setdefault(key, value.strip())
    return tuple(blocks)


def name_of_stem(stem: str) -> str:
    """The module's name in the kernel from its file's stem: "nvidia-current-open-uvm" -> "nvidia_uvm"."""
    words = [
        word
        for word in re.split(r"[-_]", stem)
        if not re.fullmatch(r"current|open|tesla|legacy|\d+\w*", word)
    ]
    return "_".join(words)


def parse_loaded(text: str) -> tuple[LoadedModule, ...]:
    """NVIDIA's and competing modules of /proc/modules; counts that it hides ("-") are 0."""
    found = []
    for raw in text.splitlines():
        words = raw.split()
        if len(words) < 4:
            continue
        name = words[0]
        foreign = any(name.startswith(prefix) for prefix in _FOREIGN) or name == "nvidiafb"
        ours = (name == "nvidia" or name.startswith("nvidia_")) and not foreign
        if not ours and name not in _COMPETITORS:
            continue
        users = tuple(user for user in words[3].split(",") if user and user != "-")
        count = int(words[2]) if words[2].isdigit() else 0
        found.append(LoadedModule(name, references=count, users=users))
    return tuple(found)


def parse_driver_version(text: str) -> tuple[str, Flavour | None]:
    """Version and flavour in /proc/driver/nvidia/version; ("", None) where it says neither."""
    match = re.search(r"NVRM version:.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    if not match:
        return "", None
    return match[1], Flavour.OPEN if "Open Kernel Module" in text else Flavour.PROPRIETARY


def _paths(host: Host, release: str) -> list[str]:
    base = f"/lib/modules/{release}"
    folders = [f"{base}/{folder}" for folder in _FOLDERS]
    found: list[str] = []
    while folders:
        folder = folders.pop(0)
        for name in names(host, folder):
            match = _FILE.match(name)
            if match and not name.startswith(_FOREIGN):
                found.append(f"{folder}/{name}")
            elif "." not in name and "nvidia" in name:
                folders.append(f"{folder}/{name}")
    return list(dict.fromkeys(found))


def _file(release: str, path: str, info: dict[str, str] | None, reason: Unknown) -> ModuleFile:
    match = _FILE.match(posixpath.basename(path))
    stem = match[1] if match else posixpath.basename(path)
    compressed = bool(match and match[2])
    if info is None:
        return ModuleFile(
            release,
            path,
            stem,
            name_of_stem(stem),
            reason,
            reason,
            reason,
            reason,
            reason,
            compressed,
        )
    name = info.get("name") or name_of_stem(stem)
    flavour: Fact[Flavour] = Unknown(f"the licence of {name} is the same in both flavours")
    if name in _TELLS_FLAVOUR:
        licence = info.get("license", "")
        flavour = _LICENCES.get(licence, Unknown(f"modinfo names the licence '{licence}'"))
    version = info.get("version", "")
    vermagic = info.get("vermagic", "")
    return ModuleFile(
        kernel=release,
        path=path,
        file_name=stem,
        name=name,
        version=version or Unknown(f"{path} names no version"),
        flavour=flavour,
        vermagic=vermagic or Unknown(f"{path} names no vermagic"),
        signer=info.get("signer") or ("" if info.get("sig_key") else None),
        signature_key=info.get("sig_key") or None,
        compressed=compressed,
    )


def with_flavours(files: tuple[ModuleFile, ...]) -> tuple[ModuleFile, ...]:
    """Give nvidia-uvm and its like the flavour of the nvidia module of the same set."""
    main = {
        (item.kernel, posixpath.dirname(item.path), item.version): item.flavour
        for item in files
        if item.name == "nvidia" and isinstance(item.version, str)
    }
    return tuple(
        replace(
            item,
            flavour=main.get(
                (item.kernel, posixpath.dirname(item.path), item.version), item.flavour
            ),
        )
        if isinstance(item.flavour, Unknown) and isinstance(item.version, str)
        else item
        for item in files
    )


def _files(host: Host) -> Fact[tuple[ModuleFile, ...]]:
    releases = host.list_dir("/lib/modules")
    if isinstance(releases, Unknown):
        return releases
    paths = [
        (release, path)
        for release in releases or ()
        if _KERNEL.match(release)
        for path in _paths(host, release)
    ]
    if not paths:
        return ()
    answer = host.run(("modinfo", *(path for _, path in paths)), timeout=20.0)
    reason = Unknown("modinfo gave no answer about this file")
    blocks: tuple[dict[str, str], ...] = ()
    if isinstance(answer, Unknown):
        reason = answer
    elif answer.missing:
        reason = Unknown("there is no modinfo command on this host")
    else:
        # One bad file makes modinfo exit with 1; the others' blocks are still there.
        blocks = parse_modinfo(answer.output)
    by_path = {block["filename"]: block for block in blocks}
    return with_flavours(
        tuple(_file(release, path, by_path.get(path), reason) for release, path in paths)
    )


def _loaded(host: Host) -> Fact[tuple[LoadedModule, ...]]:
    table = host.read_text("/proc/modules")
    if isinstance(table, Unknown):
        return table
    found = []
    for module in parse_loaded(table or ""):
        version = line(host, f"/sys/module/{module.name}/version")
        found.append(replace(module, version=version))
    return tuple(found)


def _loaded_driver(
    host: Host, loaded: Fact[tuple[LoadedModule, ...]]
) -> tuple[Fact[str | None], Fact[Flavour | None]]:
    said = host.read_text("/proc/driver/nvidia/version", limit=4096)
    version, flavour = parse_driver_version(said) if isinstance(said, str) else ("", None)
    if version:
        return version, flavour
    if isinstance(loaded, Unknown):
        return loaded, loaded
    nvidia = next((module for module in loaded if module.name == "nvidia"), None)
    if nvidia is None:
        return None, None
    reason = Unknown("/proc/driver/nvidia/version does not say which flavour is loaded")
    if isinstance(nvidia.version, str):
        return nvidia.version, reason
    return Unknown("the loaded nvidia module names no version"), reason


def observe(host: Host) -> ModuleFacts:
    loaded = _loaded(host)
    version, flavour = _loaded_driver(host, loaded)
    return ModuleFacts(
        files=_files(host),
        loaded=loaded,
        loaded_version=version,
        loaded_flavour=flavour,
        dkms=dkms.observe(host),
        blacklisted=modprobe.observe(host),
    )
