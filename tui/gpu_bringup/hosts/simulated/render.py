"""What a kernel and its programs show of a machine's state: /proc, /sys, /dev, dpkg's status file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated.packages import status_text
from gpu_bringup.hosts.simulated.tree import File

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Gpu, Machine

GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
"""EFI_GLOBAL_VARIABLE (UEFI specification 3.3)."""
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
"""shim's vendor id (shim, lib/guid.c)."""
_EFIVARS = "/sys/firmware/efi/efivars"
_SIZES = {"nvidia": 14_299_136, "nvidia_uvm": 1_830_912, "nvidia_modeset": 1_843_200,
          "nvidia_drm": 135_168, "nouveau": 3_096_576}  # fmt: skip


def render(machine: Machine) -> None:
    """Write everything that follows from the state into the tree."""
    tree = machine.tree
    for folder in ("/proc", "/sys", "/dev"):
        tree.remove(folder)
    _proc(machine)
    _processes(machine)
    _modules(machine)
    for gpu in machine.gpus:
        _device(machine, gpu)
    _firmware(machine)
    _dev(machine)
    _services(machine)
    tree.write("/var/lib/dpkg/status", status_text(machine.packages.installed, "amd64"))
    machine.dirty = False


def driver_of(machine: Machine, gpu: Gpu) -> str:
    """Which driver holds a GPU; empty: none."""
    if gpu.pci_class == "068000":
        return "nvidia-nvswitch" if "nvidia" in machine.loaded else ""
    for name in ("vfio_pci", "nvidia", "nouveau"):
        if name in machine.loaded:
            return name.replace("_", "-")
    return ""


def _proc(machine: Machine) -> None:
    tree, release = machine.tree, machine.running_kernel
    mounts = "24 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw\n" + "".join(
        f"{30 + number} 24 8:{3 + number} / {mount} rw,relatime shared:1 - ext4 /dev/sda{3 + number} rw\n"
        for number, mount in enumerate(sorted(machine.spaces))
        if mount != "/"
    )
    texts = {
        "sys/kernel/osrelease": f"{release}\n",
        "sys/kernel/arch": f"{machine.architecture}\n",
        "sys/kernel/tainted": "12288\n" if "nvidia" in machine.loaded else "0\n",
        "sys/kernel/modules_disabled": "0\n",
        "sys/kernel/random/boot_id": f"{machine.boot_id()}\n",
        "version": f"Linux version {release} (builder@example.org) #1 SMP PREEMPT_DYNAMIC\n",
        "cmdline": f"BOOT_IMAGE=/boot/vmlinuz-{release} root=/dev/sda2 ro quiet\n",
        "cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu vme de pse sse sse2 ht\n",
        "locks": "",
        "stat": f"cpu  0 0 0 0\nbtime {int(machine.booted)}\n",
        "1/comm": "systemd\n",
        "1/cgroup": "0::/init.scope\n",
        "1/mountinfo": mounts,
        "self/mountinfo": mounts,
        "2/comm": "kthreadd\n",
        "uptime": f"{machine.clock - machine.booted:.2f} 0.00\n",
    }
    for name, text in texts.items():
        tree.write(f"/proc/{name}", text)
    tree.write("/proc/keys", _keys(machine))


def _keys(machine: Machine) -> str:
    rows = ["00000001 I------     1 perm 1f030000     0     0 keyring   .builtin_trusted_keys: 1"]
    rows += [
        f"{number:08x} I------     1 perm 1f030000     0     0 asymmetri {key.common_name}: "
        f"{key.sha1}: X509.rsa {key.sha1[-8:]} []"
        for number, key in enumerate(machine.firmware.enrolled, 0x10)
    ]
    rows.append(
        "00000002 I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: "
        "6ccece7e4c6c0d1f6149f3dd27dfcc5cbb419ea1: X509.rsa bb419ea1 []"
    )
    return "\n".join(rows) + "\n"


def _processes(machine: Machine) -> None:
    tree = machine.tree
    for unit in machine.units.values():
        if unit.running and unit.comm:
            pid = unit_pid(unit.name)
            tree.write(f"/proc/{pid}/comm", unit.comm[:15] + "\n")
            tree.write(f"/proc/{pid}/cgroup", f"0::/system.slice/{unit.name}\n")
            if unit.needs_driver and "nvidia" in machine.loaded:
                tree.link(f"/proc/{pid}/fd/3", "/dev/nvidiactl")
            else:
                tree.folder(f"/proc/{pid}/fd")
    for job in machine.jobs:
        base = f"/proc/{job.pid}"
        tree.write(f"{base}/comm", job.command.split()[0].rsplit("/", 1)[-1][:15] + "\n")
        tree.write(f"{base}/cmdline", "\0".join(job.command.split()) + "\0")
        scope = f"/system.slice/docker-{job.container}.scope" if job.container else "/user.slice"
        tree.write(f"{base}/cgroup", f"0::{scope}\n")
        tree.folder(f"{base}/fd")
        if job.gpus:
            for number, name in enumerate(("nvidiactl", *(f"nvidia{gpu}" for gpu in job.gpus)), 5):
                tree.link(f"{base}/fd/{number}", f"/dev/{name}")


def unit_pid(name: str) -> int:
    """The process id of a unit's main process; the same in each run."""
    return 700 + sum(name.encode()) % 200


def _modules(machine: Machine) -> None:
    tree = machine.tree
    rows = ["ext4 1208320 1 - Live 0xffffffffc0a00000"]
    for name, loaded in machine.loaded.items():
        users = [other for other, item in machine.loaded.items() if name in item.users]
        count = len(users) + (_open_files(machine) if name in ("nvidia", "nvidia_uvm") else 0)
        names = "".join(f"{user}," for user in users) or "-"
        rows.append(
            f"{name} {_SIZES.get(name, 65_536)} {count} {names} Live 0xffffffffc0400000 (OE)"
        )
        tree.write(f"/sys/module/{name}/initstate", "live\n")
        if loaded.module.version:
            tree.write(f"/sys/module/{name}/version", f"{loaded.module.version}\n")
    tree.write("/proc/modules", "\n".join(reversed(rows)) + "\n")
    tree.folder("/sys/module/ext4")
    tree.write("/sys/module/firmware_class/parameters/path", "\n")
    tree.write("/sys/module/module/parameters/sig_enforce", "N\n")
    nvidia = machine.loaded.get("nvidia")
    if nvidia is None:
        return
    version = nvidia.module.version
    kind = "Open Kernel Module for x86_64" if nvidia.module.license != "NVIDIA" else (
        "x86_64 Kernel Module")  # fmt: skip
    tree.write(
        "/proc/driver/nvidia/version",
        f"NVRM version: NVIDIA UNIX {kind}  {version}  Release Build  (dvs-builder@)\n",
    )
    tree.write("/proc/driver/nvidia/params", "DeviceFileMode: 438\nModifyDeviceFiles: 1\n")


def _open_files(machine: Machine) -> int:
    held = sum(1 for job in machine.jobs if job.gpus)
    return held + sum(1 for unit in machine.units.values() if unit.running and unit.needs_driver)


def _device(machine: Machine, gpu: Gpu) -> None:
    base = f"/sys/bus/pci/devices/{gpu.bus_id}"
    vendor, subdevice = gpu.subsystem.split(":")
    texts = {
        "vendor": "0x10de",
        "device": f"0x{gpu.device}",
        "class": f"0x{gpu.pci_class}",
        "subsystem_vendor": f"0x{vendor}",
        "subsystem_device": f"0x{subdevice}",
        "revision": "0xff" if gpu.fallen_off else "0xa1",
        "current_link_width": "16",
        "max_link_width": "16",
        "current_link_speed": "32.0 GT/s PCIe",
        "max_link_speed": "32.0 GT/s PCIe",
        "numa_node": "0",
        "modalias": f"pci:v000010DEd0000{gpu.device.upper()}sv000010DEsd0000{subdevice.upper()}bc03sc02i00",
    }
    for name, text in texts.items():
        machine.tree.write(f"{base}/{name}", text + "\n")
    driver = driver_of(machine, gpu)
    if driver:
        machine.tree.link(f"{base}/driver", f"../../../../bus/pci/drivers/{driver}")


def _firmware(machine: Machine) -> None:
    tree, firmware = machine.tree, machine.firmware
    tree.folder("/sys/firmware/acpi")
    tree.folder("/sys/firmware/dmi")
    for name, text in (
        ("sys_vendor", "Supermicro"),
        ("product_name", "SYS-821GE-TNHR"),
        ("bios_vendor", "American Megatrends International, LLC."),
    ):
        tree.write(f"/sys/class/dmi/id/{name}", text + "\n")
    modes = ("none", "integrity", "confidentiality")
    told = " ".join(f"[{mode}]" if mode == firmware.lockdown else mode for mode in modes)
    tree.write("/sys/kernel/security/lockdown", told + "\n")
    if not firmware.efi:
        return
    flag = "\1" if firmware.secure_boot else "\0"
    tree.write(f"{_EFIVARS}/SecureBoot-{GLOBAL}", f"\6\0\0\0{flag}")
    tree.write(f"{_EFIVARS}/MokListRT-{SHIM}", keys_text(firmware.enrolled))
    if firmware.pending:
        tree.write(f"{_EFIVARS}/MokNew-{SHIM}", keys_text(firmware.pending))


MARK = "certificate of a simulated machine\n"


def keys_text(keys: tuple[object, ...]) -> str:
    """How keys are kept in a file of the tree (``certificates`` reads it)."""
    from gpu_bringup.hosts.simulated.machine import Key

    rows = [f"{key.common_name}|{key.sha1}|{key.key_id}" for key in keys if isinstance(key, Key)]
    return MARK + "\n".join(rows) + "\n"


def _dev(machine: Machine) -> None:
    tree = machine.tree
    for name in (
        "console",
        "null",
        "zero",
        "random",
        "urandom",
        "tty",
        "kmsg",
        "sda",
        "sda1",
        "sda2",
    ):
        tree.write(f"/dev/{name}", File(size=0))
    tree.folder("/dev/pts")
    numbers = ["  1 mem", "  5 /dev/tty", " 10 misc"]
    if "nvidia" in machine.loaded:
        numbers += ["195 nvidia", "195 nvidiactl"]
        gpus = [gpu for gpu in machine.gpus if gpu.pci_class != "068000"]
        for index in range(len(gpus)):
            tree.write(f"/dev/nvidia{index}", File(size=0, mode=0o666))
        tree.write("/dev/nvidiactl", File(size=0, mode=0o666))
    if "nvidia_uvm" in machine.loaded:
        numbers.append("238 nvidia-uvm")
        for name in ("nvidia-uvm", "nvidia-uvm-tools"):
            tree.write(f"/dev/{name}", File(size=0, mode=0o666))
    tree.write(
        "/proc/devices", "Character devices:\n" + "\n".join(numbers) + "\n\nBlock devices:\n"
    )


def _services(machine: Machine) -> None:
    tree = machine.tree
    tree.folder("/sys/fs/cgroup/system.slice")
    wants = "/etc/systemd/system/multi-user.target.wants"
    for unit in machine.units.values():
        if unit.running:
            pid = str(unit_pid(unit.name)) if unit.comm else ""
            tree.write(f"/sys/fs/cgroup/system.slice/{unit.name}/cgroup.procs", f"{pid}\n")
        path = f"{wants}/{unit.name}"
        if unit.enabled:
            if tree.own_node(path) is None:
                tree.link(path, f"/usr/lib/systemd/system/{unit.name}")
        else:
            tree.remove(path)
