"""What is inside an initramfs: archives as the real tools make them, and damaged ones."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
from pathlib import Path

import pytest

from gpu_bringup.facts import initramfs
from gpu_bringup.facts.initramfs import parse_blacklist, parse_modules
from gpu_bringup.hosts.initramfs import InitramfsError, module_version, read_initramfs
from gpu_bringup.hosts.local import LocalHost
from gpu_bringup.hosts.recorded import RecordedHost
from gpu_bringup.hosts.recording import RecordingHost
from gpu_bringup.model.facts import Kernel, KernelFacts
from gpu_bringup.model.unknown import Unknown
from unit.fakes import FakeHost

RELEASE = "6.12.107+deb13-amd64"
MODULES = f"usr/lib/modules/{RELEASE}"


def _entry(name: str, data: bytes = b"", mode: int = 0o100644) -> bytes:
    head = [0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
    text = b"070701" + b"".join(b"%08X" % value for value in head) + name.encode() + b"\0"
    text += b"\0" * (-len(text) % 4)
    return text + data + b"\0" * (-len(data) % 4)


def _archive(entries: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    whole = b"".join(_entry(name, data) for name, data in entries.items())
    for name, target in (links or {}).items():
        whole += _entry(name, target.encode(), 0o120777)
    return whole + _entry("TRAILER!!!")


def _ko(version: str) -> bytes:
    return b"\x7fELF\0srcversion=ABC\0version=" + version.encode() + b"\0license=NVIDIA\0"


EARLY = _archive({"kernel/x86/microcode/GenuineIntel.bin": b"m" * 1001}) + b"\0" * 511
MAIN = _archive(
    {
        "init": b"#!/bin/sh\n",
        f"{MODULES}/kernel/drivers/gpu/drm/nouveau/nouveau.ko.xz": lzma.compress(b"\x7fELF\0"),
        f"{MODULES}/updates/dkms/nvidia-current.ko.xz": lzma.compress(_ko("535.261.03")),
        f"{MODULES}/updates/dkms/nvidia-current-drm.ko": _ko("535.261.03"),
        f"{MODULES}/kernel/drivers/video/fbdev/nvidiafb.ko": b"x",
        "etc/modprobe.d/gpu.conf": b"blacklist nouveau\noptions nouveau modeset=0\n",
        "etc/nvidia/current/blacklist": b"blacklist nova_core\n",
        "etc/modprobe.d/sound.conf": b"options snd_hda_intel power_save=1\n",
    },
    {"etc/modprobe.d/nvidia.conf": "../nvidia/current/blacklist"},
)


def _zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-q"], input=data, capture_output=True, check=True).stdout


def _lz4(data: bytes) -> bytes:
    # -l: the legacy frames that initramfs-tools and dracut write for the kernel.
    return subprocess.run(["lz4", "-l", "-q"], input=data, capture_output=True, check=True).stdout


PACKERS = {
    "plain": lambda data: data,
    "gzip": gzip.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "bzip2": bz2.compress,
    "zstd": _zstd,
    "lz4": _lz4,
}


@pytest.mark.process
@pytest.mark.parametrize("early", [b"", EARLY], ids=["main only", "microcode first"])
@pytest.mark.parametrize("packer", PACKERS)
def test_every_packing(packer: str, early: bytes, tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    path.write_bytes(early + PACKERS[packer](MAIN))
    found = read_initramfs(str(path))
    modules = {m.name: m for m in parse_modules(found)}
    assert set(modules) == {"nouveau", "nvidia", "nvidia_drm"}
    assert modules["nvidia"].version == "535.261.03"
    assert modules["nvidia"].kernel == RELEASE
    assert isinstance(modules["nouveau"].version, Unknown)
    assert parse_blacklist(found) == ("nouveau", "nova_core")
    assert found["entries"] == 9 + bool(early)


@pytest.mark.process
def test_zstd_module_inside(tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    name = f"{MODULES}/extra/nvidia.ko.zst"
    path.write_bytes(_archive({name: _zstd(_ko("580.95.05"))}))
    (module,) = parse_modules(read_initramfs(str(path)))
    assert module.version == "580.95.05"
    (module,) = parse_modules(read_initramfs(str(path), programs="/nowhere"))
    assert isinstance(module.version, Unknown)


def test_damaged_ones_say_so(tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    packed = gzip.compress(EARLY + MAIN)
    for damaged in (
        b"",
        b"\0" * 4096,
        b"junk that is no archive",
        packed[: len(packed) // 2],
        EARLY + MAIN[: len(MAIN) // 2],
        b"070701" + b"zz" * 60,
        b"070701" + b"F" * 104,
        os.urandom(16) + packed,
        lzma.compress(MAIN)[:-40],
        gzip.compress(b"no cpio"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(InitramfsError):
            read_initramfs(str(path))
        assert isinstance(LocalHost().digest("initramfs", str(path)), Unknown)


@pytest.mark.process
def test_cut_off_zstd_and_missing_program(tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    packed = _zstd(MAIN + os.urandom(1 << 16))
    path.write_bytes(packed[:100])
    with pytest.raises(InitramfsError, match="cut off"):
        read_initramfs(str(path))
    path.write_bytes(packed)
    with pytest.raises(InitramfsError, match="no zstd command"):
        read_initramfs(str(path), programs="/nowhere")


def test_gives_up_in_time(tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    path.write_bytes(MAIN)
    with pytest.raises(InitramfsError, match="longer than"):
        read_initramfs(str(path), seconds=-1.0)


def test_module_version() -> None:
    assert module_version(_ko("1.2")) == "1.2"
    assert module_version(b"srcversion=1\0vermagic=2\0") is None
    assert module_version(b"") is None


# --- the observer ----------------------------------------------------------------------------------


def _kernels(*releases: str) -> KernelFacts:
    return KernelFacts(running=releases[0], installed=tuple(Kernel(r) for r in releases))


@pytest.mark.parametrize("form", ["initrd.img-{}", "initramfs-{}.img", "initrd-{}"])
def test_observe_names_of_distributions(form: str) -> None:
    name = form.format("6.1.0-50-amd64")
    host = FakeHost(
        listings={"/boot": ("vmlinuz-6.1.0-50-amd64", name, "vmlinuz-6.1.0-51-amd64")},
        digests={f"initramfs /boot/{name}": {"entries": 1, "modules": [], "configuration": []}},
    )
    looked = initramfs.observe(
        host, _kernels("6.1.0-50-amd64", "6.1.0-51-amd64", "6.2.0-elsewhere")
    )
    assert isinstance(looked, tuple)
    there, without = looked
    assert (there.path, there.modules) == (f"/boot/{name}", ())
    assert not without.present


def test_observe_unreadable() -> None:
    host = FakeHost(unreadable=("/boot",))
    (only,) = initramfs.observe(host, _kernels("6.1.0-50-amd64"))
    assert isinstance(only.modules, Unknown)


def test_record_answers_the_same(tmp_path: Path) -> None:
    path = tmp_path / "initrd.img"
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as file:
        file.write(MAIN)
    path.write_bytes(stream.getvalue())
    recording = RecordingHost(LocalHost())
    answer = recording.digest("initramfs", str(path))
    data = json.dumps(recording.record()).encode()
    recorded = RecordedHost.from_bytes(data, "record")
    assert recorded.digest("initramfs", str(path)) == answer
    assert isinstance(recorded.digest("initramfs", "/boot/other"), Unknown)
