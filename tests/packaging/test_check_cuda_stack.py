"""scripts/check_cuda_stack.sh on systems laid out in folders, under every POSIX shell that is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/check_cuda_stack.sh"
SHELLS = [shell for shell in ("sh", "dash", "bash", "busybox") if shutil.which(shell)]
RELEASE = "6.1.0-50-amd64"
EFI = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

# kmod is not on every host: this answers from files that hold what it would have read.
MODINFO = """\
#!/bin/sh
sed -n "s/^$2=//p" "$3"
"""


class System:
    """A system in a folder: by default one H200 in good order on Debian."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a system"
        self.tools = folder / "tools"
        self.tools.mkdir()
        (self.tools / "modinfo").write_text(MODINFO)
        (self.tools / "modinfo").chmod(0o755)
        self.write("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.gpu("0000:00:06.0", "nvidia")
        for name in ("sys/module/nvidia_uvm", "sys/module/ext4", "sys/firmware/acpi"):
            (self.root / name).mkdir(parents=True)
        self.write("sys/module/nvidia/version", "580.159.04\n")
        for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
            self.write(f"dev/{name}")
        self.write("proc/driver/nvidia/gpus/0000:00:06.0/information", "Device Minor: \t 0\n")
        self.kernel(RELEASE)
        self.module(RELEASE, "updates/dkms/nvidia-current.ko.xz", "580.159.04")
        self.libraries("usr/lib/x86_64-linux-gnu", "580.159.04")

    def write(self, name: str, text: str = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def gpu(
        self, address: str, driver: str, device: str = "0x2335", kind: str = "0x030200"
    ) -> None:
        folder = f"sys/bus/pci/devices/{address}"
        for name, text in (("vendor", "0x10de"), ("device", device), ("class", kind)):
            self.write(f"{folder}/{name}", text + "\n")
        if driver:
            (self.root / folder / "driver").symlink_to(f"../../../bus/pci/drivers/{driver}")

    def kernel(self, release: str, headers: str | None = "") -> None:
        """Install a kernel with its headers; those of another release, or none."""
        (self.root / f"lib/modules/{release}/kernel").mkdir(parents=True)
        if headers is not None:
            source = f"usr/src/linux-headers-{release}"
            text = f'#define UTS_RELEASE "{headers or release}"\n'
            self.write(f"{source}/include/generated/utsrelease.h", text)
            self.write(f"{source}/Makefile", "include ../common\n")
            (self.root / f"lib/modules/{release}/build").symlink_to(f"/{source}")

    def module(self, release: str, place: str, version: str, **fields: str) -> Path:
        known = {"version": version, "vermagic": f"{release} SMP preempt mod_unload ", **fields}
        text = "".join(f"{name}={value}\n" for name, value in known.items())
        return self.write(f"lib/modules/{release}/{place}", text)

    def libraries(self, folder: str, version: str) -> None:
        for name in ("libcuda", "libnvidia-ml"):
            self.write(f"{folder}/{name}.so.{version}")
            (self.root / folder / f"{name}.so.1").unlink(missing_ok=True)
            (self.root / folder / f"{name}.so.1").symlink_to(f"{name}.so.{version}")

    def remove(self, name: str) -> None:
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    def check(self, shell: str = "sh") -> tuple[int, str]:
        command = [shell, *(["sh"] if shell == "busybox" else []), str(SCRIPT)]
        done = subprocess.run(
            [*command, "--root", str(self.root)],
            capture_output=True,
            text=True,
            env={"PATH": f"{self.tools}:{os.environ['PATH']}"},
            check=False,
        )
        assert done.stderr == ""
        return done.returncode, done.stdout


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_system_in_good_order(system: System, shell: str) -> None:
    status, output = system.check(shell)
    assert status == 0, output
    assert "BROKEN" not in output
    assert f"{RELEASE}: nvidia 580.159.04" in output
    assert "driven by nvidia" in output


@pytest.mark.parametrize(
    ("place", "build"),
    [
        ("updates/dkms/nvidia.ko.zst", True),  # Ubuntu, DKMS
        ("kernel/nvidia-580srv-open/nvidia.ko", False),  # Ubuntu, prebuilt: needs no headers
        ("extra/nvidia.ko.xz", True),  # RHEL, DKMS
        ("updates/nvidia.ko", False),  # SUSE
        ("kernel/drivers/video/nvidia.ko", True),  # runfile
        ("updates/dkms/nvidia-current-open.ko", True),  # Debian
    ],
)
def test_where_the_distributions_put_the_module(system: System, place: str, build: bool) -> None:
    system.remove(f"lib/modules/{RELEASE}")
    system.kernel(RELEASE, headers="" if build else None)
    system.module(RELEASE, place, "580.159.04")
    status, output = system.check()
    assert status == 0, output


def test_rhel_weak_updates_are_built_for_another_release(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates")
    system.module(RELEASE, "weak-updates/nvidia.ko", "580.159.04", vermagic="5.14.0-427 SMP ")
    assert system.check()[0] == 0


def test_modules_with_similar_names_are_not_the_driver(system: System) -> None:
    system.remove(f"lib/modules/{RELEASE}/updates")
    for name in (
        "kernel/drivers/video/fbdev/nvidia/nvidiafb.ko",
        "updates/dkms/nvidia-current-uvm.ko",
    ):
        system.module(RELEASE, name, "1")
    status, output = system.check()
    assert status == 1
    assert (
        f"BROKEN   module      {RELEASE}: no nvidia module, though its headers are there" in output
    )


def test_a_newer_kernel_without_headers_is_found_before_its_first_boot(system: System) -> None:
    system.kernel("6.1.0-56-amd64", headers=None)
    status, output = system.check()
    assert status == 1
    assert "6.1.0-56-amd64: no nvidia module, and no headers to build one" in output
    assert f"OK       module      {RELEASE}" in output


def test_headers_of_another_release(system: System) -> None:
    system.kernel("6.1.0-56-amd64", headers="6.1.0-50-amd64")
    system.module("6.1.0-56-amd64", "updates/dkms/nvidia.ko", "580.159.04")
    status, output = system.check()
    assert status == 1
    assert "its build folder holds those of 6.1.0-50-amd64" in output


def test_a_removed_kernels_leftover_folder_does_not_count(system: System) -> None:
    system.module("6.1.0-13-amd64", "updates/dkms/nvidia.ko", "535.129.03")
    assert system.check()[0] == 0


def test_a_module_built_for_another_kernel(system: System) -> None:
    system.module(RELEASE, "updates/dkms/nvidia-current.ko.xz", "580.159.04", vermagic="6.1.0-44 x")
    assert "was built for 6.1.0-44" in system.check()[1]


def test_loaded_module_older_than_the_one_on_disk(system: System) -> None:
    system.write("sys/module/nvidia/version", "570.211.01\n")
    status, output = system.check()
    assert status == 1
    assert "570.211.01 is loaded, 580.159.04 is on disk" in output


def test_library_of_another_version(system: System) -> None:
    system.libraries("usr/lib/x86_64-linux-gnu", "570.211.01")
    status, output = system.check()
    assert status == 1
    assert "libcuda.so.1 is 570.211.01, the loaded module 580.159.04" in output


def test_no_libraries(system: System) -> None:
    system.remove("usr/lib/x86_64-linux-gnu")
    assert "not installed: libcuda.so.1 libnvidia-ml.so.1" in system.check()[1]


def test_nouveau_holds_the_gpu(system: System) -> None:
    system.gpu("0000:00:07.0", "nouveau")
    (system.root / "sys/module/nouveau").mkdir()
    output = system.check()[1]
    assert "0000:00:07.0 (10de:2335) is held by nouveau" in output
    assert "BROKEN   nouveau     loaded: nouveau" in output


@pytest.mark.parametrize(
    ("driver", "words"), [("", "has no driver"), ("vfio-pci", "held by vfio-pci")]
)
def test_a_gpu_that_the_driver_does_not_have(system: System, driver: str, words: str) -> None:
    system.gpu("0000:00:07.0", driver)
    status, output = system.check()
    assert status == 1
    assert f"0000:00:07.0 (10de:2335) {'is ' if driver else ''}{words}" in output


def test_an_unsigned_module_under_lockdown(system: System) -> None:
    system.write("sys/kernel/security/lockdown", "none [integrity] confidentiality\n")
    efi = system.write(EFI)
    efi.write_bytes(b"\x06\0\0\0\x01")
    status, output = system.check()
    assert status == 1
    assert "OK       secureboot  on; unsigned modules are refused (kernel lockdown)" in output
    assert "nvidia-current.ko.xz is not signed, and kernel lockdown refuses it" in output
    system.module(RELEASE, "updates/dkms/nvidia-current.ko.xz", "580.159.04", signer="DKMS key")
    assert system.check()[0] == 0


def test_secure_boot_off(system: System) -> None:
    system.write(EFI).write_bytes(b"\x06\0\0\0\0")
    assert "OK       secureboot  off" in system.check()[1]


def test_missing_device_files(system: System) -> None:
    system.remove("dev/nvidia-uvm")
    system.remove("dev/nvidia0")
    assert "not there: /dev/nvidia-uvm /dev/nvidia0" in system.check()[1]


def test_nvswitches_need_the_fabric_manager(system: System) -> None:
    system.gpu("0000:00:09.0", "nvidia-nvswitch", device="0x22a3", kind="0x068000")
    status, output = system.check()
    assert status == 1
    assert "1 NVSwitches, and no fabric manager is running" in output
    system.write("proc/4711/comm", "nv-fabricmanage\n")
    assert system.check()[0] == 0


def test_no_gpu_is_broken_and_the_module_that_cannot_load_is_unknown(system: System) -> None:
    system.remove("sys/bus/pci/devices/0000:00:06.0")
    system.remove("sys/module/nvidia")
    output = system.check()[1]
    assert "BROKEN   gpu         no NVIDIA GPU on the PCI bus" in output
    assert "UNKNOWN  loaded" in output


def test_a_sandbox_that_shows_nothing_is_unknown(system: System) -> None:
    system.remove("sys")
    status, output = system.check()
    assert status == 1
    for rung in ("gpu", "nouveau", "secureboot", "loaded"):
        assert f"UNKNOWN  {rung} " in output


def test_a_mounted_system_has_nothing_running(system: System) -> None:
    system.remove("proc")
    system.remove("sys")
    status, output = system.check()
    assert status == 0, output
    assert "none of this system's is running" in output


@pytest.mark.parametrize("record", ["h200-x1", "h200-x2"])
def test_a_recorded_host_whose_driver_comes_from_outside(system: System, record: str) -> None:
    shutil.rmtree(system.root)
    host = json.loads((ROOT / f"tests/hosts/{record}.json").read_text())
    for name, text in host["files"].items():
        system.write(name[1:], text)
    for name, target in host["links"].items():
        path = system.root / name[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
    for folder, names in sorted(host["listings"].items(), reverse=True):
        for name in names:
            path = system.root / folder[1:] / name
            if folder.startswith("/dev"):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
            elif not path.exists() and not path.is_symlink():
                path.mkdir(parents=True)
    system.write("proc/sys/kernel/osrelease", "6.18.44-cloud-gpu\n")
    output = system.check()[1]
    assert output.count("is driven by nvidia") == int(record[-1])
    assert "OK       loaded      580.159.04" in output
    assert "OK       module      no kernel is installed on this file system" in output


def test_this_machine_is_looked_at_in_a_second(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT)], capture_output=True, text=True, timeout=20, check=False, cwd=tmp_path
    )
    assert done.returncode in (0, 1)
    assert done.stderr == ""
    assert "kernel" in done.stdout


@pytest.mark.parametrize("arguments", [["--rot", "/"], ["--root", "/nonexistent"], ["x"]])
def test_bad_usage(arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr


def test_it_names_no_command_that_loads_modules() -> None:
    commands = [
        line for line in SCRIPT.read_text().splitlines() if not line.lstrip().startswith("#")
    ]
    for command in ("nvidia-smi", "$(modprobe", "$(nvidia-"):
        assert not any(command in line for line in commands)
