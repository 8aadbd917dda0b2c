"""NVIDIA's functions on the PCI bus: GPUs and NVSwitches, from sysfs alone."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import line, number
from gpu_bringup.model.bars import unset_bars
from gpu_bringup.model.facts import PciDevice, PciFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_BUS = "/sys/bus/pci/devices"
_VENDOR = "0x10de"
_WORD = re.compile(r"0x[0-9a-f]{4}")
_CLASS = re.compile(r"[0-9a-f]{4,6}")
_GPU_CLASSES = ("0300", "0302")
_SWITCH_CLASS = "0680"
_DEAD_BYTE = "\ufffd"
"""How a byte 0xff looks in a file that is read as text."""


def answers_no_more(config: str) -> bool:
    """Does the configuration space read as all ones, as of a device that fell off the bus?"""
    return len(config) >= 16 and set(config[:16]) == {_DEAD_BYTE}


_CONFIG_SIZE = 256
"""Bytes of the configuration space with the capabilities; only root gets more than 64."""
# A vendor-specific capability (id 0x09, next, length) whose content begins with "VF" marks a vGPU;
# that of a GPU that was passed through whole doesn't (NVIDIA k8s-device-plugin, internal/vgpu).
# Bytes that are no text read as one replacement character each.
_VGPU_CAPABILITY = re.compile(r"\t[^\t].VF", re.DOTALL)


def is_vgpu(config: str) -> Fact[bool]:
    """Is this the configuration space of a vGPU?

    Args:
        config: what could be read of it, as text.
    """
    if len(config) <= 64:
        return Unknown("only root can read the PCI capabilities, which tell a vGPU")
    return _VGPU_CAPABILITY.search(config, 48) is not None


def _bars(host: Host, folder: str) -> Fact[tuple[int, ...]]:
    answer = host.read_text(f"{folder}/resource", limit=4096)
    if isinstance(answer, str):
        return unset_bars(answer)
    return answer if isinstance(answer, Unknown) else Unknown(f"{folder} has no resource file")


def _hex(host: Host, path: str) -> str:
    answer = line(host, path)
    return answer.lower().removeprefix("0x") if isinstance(answer, str) else ""


def _words(host: Host, path: str) -> Fact[str]:
    answer = line(host, path)
    if isinstance(answer, Unknown):
        return answer
    if not answer or answer.startswith("Unknown"):
        return Unknown(f"{path} gives no value")
    return answer


def _driver(host: Host, folder: str) -> Fact[str | None]:
    link = host.read_link(f"{folder}/driver")
    return posixpath.basename(link) if isinstance(link, str) else link


def _device(host: Host, bus_id: str, device: str, pci_class: str) -> PciDevice:
    folder = f"{_BUS}/{bus_id}"
    subsystem = tuple(_hex(host, f"{folder}/subsystem_{part}") for part in ("vendor", "device"))
    config = host.read_text(f"{folder}/config", limit=_CONFIG_SIZE)
    return PciDevice(
        bus_id=bus_id,
        pci_id=f"10de:{device}",
        subsystem_id=":".join(subsystem) if all(subsystem) else "",
        pci_class=pci_class,
        driver=_driver(host, folder),
        link_width=number(host, f"{folder}/current_link_width"),
        link_width_max=number(host, f"{folder}/max_link_width"),
        link_speed=_words(host, f"{folder}/current_link_speed"),
        link_speed_max=_words(host, f"{folder}/max_link_speed"),
        numa_node=number(host, f"{folder}/numa_node"),
        fallen_off=_hex(host, f"{folder}/revision") == "ff"
        or (isinstance(config, str) and answers_no_more(config)),
        bars_unset=_bars(host, folder),
        vgpu=is_vgpu(config) if isinstance(config, str) else Unknown("no PCI configuration space"),
    )


def _nvlink5(host: Host) -> Fact[bool]:
    """An NVLink-5 fabric's bridge carries SW_MNG in its VPD (NVIDIA Fabric Manager User Guide)."""
    adapters = host.list_dir("/sys/class/infiniband")
    if isinstance(adapters, Unknown):
        return adapters
    unread: Unknown | None = None
    for adapter in adapters or ():
        vpd = host.read_text(f"/sys/class/infiniband/{adapter}/device/vpd", limit=4096)
        if isinstance(vpd, Unknown):
            unread = vpd if unread is None else unread
        elif vpd is not None and "SW_MNG" in vpd:
            return True
    return unread if unread is not None else False


def observe(host: Host) -> PciFacts:
    listing = host.list_dir(_BUS)
    if isinstance(listing, Unknown):
        return PciFacts(listing, listing, listing)
    gpus: list[PciDevice] = []
    switches: list[PciDevice] = []
    unread: Unknown | None = None
    for bus_id in listing or ():
        folder = f"{_BUS}/{bus_id}"
        # A device may vanish while it is read: then its files are absent, and so is the device.
        vendor = line(host, f"{folder}/vendor")
        if vendor != _VENDOR:
            if isinstance(vendor, str) and not _WORD.fullmatch(vendor):
                vendor = Unknown(f"{folder}/vendor holds no number")
            unread = vendor if isinstance(vendor, Unknown) and unread is None else unread
            continue
        device, pci_class = _hex(host, f"{folder}/device"), _hex(host, f"{folder}/class")
        if not _WORD.fullmatch(f"0x{device}") or not _CLASS.fullmatch(pci_class):
            what = f"{folder}: a device of NVIDIA's whose kind could not be read"
            unread = Unknown(what) if unread is None else unread
            continue
        if pci_class[:4] in _GPU_CLASSES:
            gpus.append(_device(host, bus_id, device, pci_class))
        elif pci_class[:4] == _SWITCH_CLASS:
            switches.append(_device(host, bus_id, device, pci_class))
    if unread is not None and not gpus:
        # Whether one of those is a GPU is not known.
        return PciFacts(unread, tuple(switches) or unread, unread)
    # Reading a VPD takes up to seconds, so only where there is a GPU to connect.
    fabric = _nvlink5(host) if gpus else False
    return PciFacts(tuple(gpus), tuple(switches), fabric)
