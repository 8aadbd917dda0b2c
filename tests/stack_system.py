"""Systems laid out in folders for ``scripts/check_cuda_stack.sh``: real module files, made by code."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts/check_cuda_stack.sh"
RELEASE = "6.1.0-50-amd64"
DRIVER = "580.159.04"
EFI = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
SIGNED = b"~Module signature appended~\n"
LICENSES = {"open": "Dual MIT/GPL", "proprietary": "NVIDIA"}


def elf(fields: dict[str, str]) -> bytes:
    """A 64-bit ELF object that has only a .modinfo section: what modinfo reads of a module."""
    info = b"".join(f"{name}={value}".encode() + b"\0" for name, value in fields.items())
    names = b"\0.modinfo\0.shstrtab\0"
    at = 64
    sections = [
        (0, 0, 0, 0),
        (1, 1, at, len(info)),  # PROGBITS
        (10, 3, at + len(info), len(names)),  # STRTAB
    ]
    start = at + len(info) + len(names)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, start, 0, 64, 0, 0, 64, 3, 2)
    table = b"".join(
        struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, place, size, 0, 0, 1, 0)
        for name, kind, place, size in sections
    )
    return header + info + names + table


def packed(name: str, data: bytes) -> bytes:
    """The bytes of a file of that name: compressed as its ending says."""
    if name.endswith(".gz"):
        return gzip.compress(data)
    if name.endswith(".xz"):
        return lzma.compress(data, check=lzma.CHECK_CRC32)
    if name.endswith(".zst"):
        return subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout
    return data


class System:
    """A system in a folder: by default one H200 in good order on Debian."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a system"
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.write("proc/sys/kernel/osrelease", RELEASE + "\n")
        self.write("proc/1/comm", "systemd\n")
        self.gpu("0000:00:06.0", "nvidia")
        for name in ("sys/module/nvidia_uvm", "sys/module/ext4", "sys/firmware/acpi"):
            (self.root / name).mkdir(parents=True)
        self.load(DRIVER)
        for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
            self.write(f"dev/{name}")
        self.write("proc/driver/nvidia/gpus/0000:00:06.0/information", "Device Minor: \t 0\n")
        self.kernel(RELEASE)
        self.driver(RELEASE, "updates/dkms/nvidia-current.ko.xz")
        self.libraries("usr/lib/x86_64-linux-gnu", DRIVER)

    def write(self, name: str, text: str | bytes = "") -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def link(self, name: str, target: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def gpu(
        self, address: str, driver: str, device: str = "0x2335", kind: str = "0x030200"
    ) -> None:
        folder = f"sys/bus/pci/devices/{address}"
        for name, text in (("vendor", "0x10de"), ("device", device), ("class", kind)):
            self.write(f"{folder}/{name}", text + "\n")
        if driver:
            self.link(f"{folder}/driver", f"../../../bus/pci/drivers/{driver}")

    def load(self, version: str, flavour: str = "open") -> None:
        """Lay out /sys and /proc as that module loaded."""
        kind = "Open Kernel Module for x86_64" if flavour == "open" else "x86_64 Kernel Module"
        self.write("sys/module/nvidia/version", version + "\n")
        self.write(
            "proc/driver/nvidia/version",
            f"NVRM version: NVIDIA UNIX {kind}  {version}  Release Build  (builder@)  \n",
        )

    def kernel(
        self, release: str, headers: str | None = "", tree: str = "usr/src/linux-headers-{}"
    ) -> None:
        """Install a kernel with its headers; those of another release, or none."""
        (self.root / f"lib/modules/{release}/kernel").mkdir(parents=True, exist_ok=True)
        source = tree.format(release)
        if headers is not None:
            text = f'#define UTS_RELEASE "{headers or release}"\n'
            self.write(f"{source}/include/generated/utsrelease.h", text)
            self.write(f"{source}/Makefile", f"include ../{Path(source).name}-common/Makefile\n")
            self.write(f"{source}-common/Makefile", "VERSION = 6\n")
        # RHEL's kernel-core has the link even where kernel-devel isn't installed.
        self.link(f"lib/modules/{release}/build", f"/{source}")

    def module(
        self, release: str, place: str, version: str, signed: bool = False, **fields: str
    ) -> Path:
        known = {"license": LICENSES["open"], "version": version}
        known["vermagic"] = f"{release} SMP preempt mod_unload modversions "
        data = elf({**known, **fields}) + (SIGNED if signed else b"")
        return self.write(f"lib/modules/{release}/{place}", packed(place, data))

    def driver(self, release: str, place: str, version: str = DRIVER, **fields: Any) -> None:
        """The module, its companions beside it, and the firmware of its version."""
        stem, _, ending = place.partition(".ko")
        for part in ("", "-uvm", "-modeset", "-drm", "-peermem"):
            self.module(release, f"{stem}{part}.ko{ending}", version, **fields)
        (self.root / f"lib/firmware/nvidia/{version}").mkdir(parents=True, exist_ok=True)

    def libraries(self, folder: str, version: str) -> None:
        for name in ("libcuda", "libnvidia-ml"):
            self.write(f"{folder}/{name}.so.{version}")
            self.link(f"{folder}/{name}.so.1", f"{name}.so.{version}")

    def cuda(self, version: str, used: bool = True) -> None:
        """A toolkit in /usr/local, and the link that says it is the one in use."""
        self.write(
            f"usr/local/cuda-{version}/version.json",
            '{\n   "cuda" : {\n      "name" : "CUDA SDK",\n'
            f'      "version" : "{version}.1"\n   }},\n'
            '   "cuda_cudart" : {\n      "name" : "CUDA Runtime (cudart)",\n'
            '      "version" : "1.2.3"\n   }\n}\n',
        )
        if used:
            self.link("usr/local/cuda", "/etc/alternatives/cuda")
            self.link("etc/alternatives/cuda", f"/usr/local/cuda-{version}")

    def remove(self, name: str) -> None:
        path = self.root / name
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def tool(self, name: str, text: str) -> None:
        """A program that is found before the system's own."""
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def check(
        self, *options: str, under: str = "bash", script: Path = SCRIPT, user: int | None = None
    ) -> tuple[int, str]:
        """(exit status, standard output) of the script on this folder."""
        return run("--root", str(self.root), *options, tools=self.tools, under=under, script=script)

    def report(self, *options: str, **how: Any) -> dict[str, Any]:
        status, output = self.check("--json", *options, **how)
        document: dict[str, Any] = json.loads(output)
        assert status == (0 if document["verdict"] == "healthy" else 1)
        return document


def run(
    *arguments: str,
    tools: Path | None = None,
    under: str = "bash",
    script: Path = SCRIPT,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    """(exit status, standard output) of the script; nothing on standard error is let pass."""
    command = [under, *(["sh"] if under == "busybox" else []), str(script), *arguments]
    path = f"{tools}:{os.environ['PATH']}" if tools else os.environ["PATH"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"PATH": path, **(environment or {})},
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


def lay_out(system: System, record: Path) -> None:
    """Replace the system by one that a host record describes."""
    shutil.rmtree(system.root)
    host = json.loads(record.read_text())
    for name, text in host["files"].items():
        system.write(name[1:], text)
    for name, target in host["links"].items():
        system.link(name[1:], target)
    for folder, names in sorted(host["listings"].items(), reverse=True):
        for name in names:
            path = system.root / folder[1:] / name
            if path.exists() or path.is_symlink():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if folder.startswith("/dev") or ".so" in name or folder == "/boot":
                path.touch()
            else:
                path.mkdir()
