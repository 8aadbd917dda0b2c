"""Servers that an upgrade, a crash or a board broke: recorded hosts with one thing changed in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from gpu_bringup import engine
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.model.answers import Answers
from gpu_bringup.ui.state import Wizard
from gpu_bringup.ui.terminal import Terminal
from gpu_bringup.ui.wizard_app import WizardApp
from ui.driving import HOSTS

Record = dict[str, Any]
_OLD, _NEW = "6.12.107+deb13-amd64", "6.12.115+deb13-amd64"
_LIBRARIES = "/usr/lib/x86_64-linux-gnu"


def _read(name: str) -> Record:
    data = json.loads((HOSTS / name).read_text("utf-8"))
    assert isinstance(data, dict)
    return data


def _upgraded() -> Record:
    """The new kernel was booted; its headers were never installed."""
    return _read("debian13-kernel-upgraded.json")


def _on_the_old_kernel() -> Record:
    data = _upgraded()
    for path, text in data["files"].items():
        if path.startswith("/proc/"):
            data["files"][path] = text.replace(_NEW, _OLD)
    for name, result in data["commands"].items():
        if name in ("uname -r", "dmesg"):
            result["output"] = result["output"].replace(_NEW, _OLD)
    for folder, names in data["listings"].items():
        data["listings"][folder] = [name for name in names if _NEW not in name]
    return data


def _nouveau() -> Record:
    data = _on_the_old_kernel()
    data["files"]["/proc/modules"] += "nouveau 3956736 1 - Live 0xffffffffc0b00000\n"
    data["listings"]["/sys/module"].append("nouveau")
    data["links"]["/sys/bus/pci/devices/0000:17:00.0/driver"] = (
        "../../../../bus/pci/drivers/nouveau"
    )
    del data["files"]["/etc/modprobe.d/nvidia-blacklists-nouveau.conf"]
    data["listings"]["/etc/modprobe.d"] = []
    return data


def _unsigned() -> Record:
    data = _on_the_old_kernel()
    data["commands"]["mokutil --sb-state"]["output"] = "SecureBoot enabled\n"
    data["commands"]["dmesg"]["output"] = (
        "[    0.000000] secureboot: Secure boot enabled\n"
        "[    9.300000] Loading of unsigned module is rejected\n"
        "[    9.310000] nvidia: module verification failed: Key was rejected by service\n"
    )
    data["files"]["/sys/kernel/security/lockdown"] = "none [integrity] confidentiality\n"
    return data


def _half_configured() -> Record:
    data = _upgraded()
    status = data["files"]["/var/lib/dpkg/status"]
    at = status.index("Package: nvidia")
    data["files"]["/var/lib/dpkg/status"] = status[:at] + status[at:].replace(
        "Status: install ok installed", "Status: install ok half-configured", 1
    )
    return data


def _libraries_newer() -> Record:
    data = _read("h200-x2.json")
    data["nvml"] = {"error": "Driver/library version mismatch"}
    data["cuda"] = {"error": "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"}
    for name in ("nvidia-smi", "nvidia-smi -q", "nvidia-smi -L"):
        data["commands"][name] = {
            "exit": 18,
            "output": "Failed to initialize NVML: Driver/library version mismatch\n"
            "NVML library version: 580.173\n",
        }
    old, new = "580.159.04", "580.173.02"
    libraries = data["listings"]["/usr/local/nvidia/lib64"]
    data["listings"]["/usr/local/nvidia/lib64"] = [name.replace(old, new) for name in libraries]
    data["commands"]["ldconfig -p"]["output"] = data["commands"]["ldconfig -p"]["output"].replace(
        old, new
    )
    return data


def _off_the_bus() -> Record:
    data = _read("h200-x2.json")
    data["commands"]["dmesg"]["output"] += (
        "[ 7301.000001] NVRM: GPU at PCI:0000:00:07: GPU-00000000-0000-0000-0000-000000000000\n"
        "[ 7301.000002] NVRM: Xid (PCI:0000:00:07): 79, pid='<unknown>', name=<unknown>, "
        "GPU has fallen off the bus.\n"
    )
    data["nvml"]["gpus"] = data["nvml"]["gpus"][:1]
    return data


def _cuda_fails() -> Record:
    data = _read("h200-x2.json")
    data["cuda"] = {"cuInit": 802, "device_count": 0}
    return data


BROKEN: dict[str, Callable[[], Record]] = {
    "kernel-upgraded": _upgraded,
    "nouveau": _nouveau,
    "unsigned": _unsigned,
    "half-configured": _half_configured,
    "libraries-newer": _libraries_newer,
    "off-the-bus": _off_the_bus,
    "cuda-fails": _cuda_fails,
}
"""Name -> makes the record."""


def broken(name: str, *, basic: bool = False) -> WizardApp:
    """The wizard on such a server's record."""
    host = RecordedHost.from_bytes(json.dumps(BROKEN[name]()).encode(), f"{name}.json")
    wizard = Wizard(host, engine.load_catalogue(), Answers(), recorded_label=name, basic=basic)
    return WizardApp(wizard, Terminal(basic=basic, ascii_only=basic))
