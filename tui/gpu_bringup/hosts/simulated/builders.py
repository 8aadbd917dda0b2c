"""Builders of simulated servers: from the first boot of a fresh system to one that works."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import booting, dkms_tree, maintainer, render
from gpu_bringup.hosts.simulated.archives import make
from gpu_bringup.hosts.simulated.machine import Gpu, Key, Machine
from gpu_bringup.hosts.simulated.packages import Archive, Offer
from gpu_bringup.hosts.simulated.programs import services
from gpu_bringup.hosts.simulated.sources import reached
from gpu_bringup.hosts.simulated.work import Ask
from gpu_bringup.resources import data_folder

GIB = 2**30
GPUS = {
    "h100": Gpu("", "2330", "NVIDIA H100 80GB HBM3", 9, (9, 0), 80 * GIB, first_driver=525),
    "h200": Gpu("", "2335", "NVIDIA H200", 9, (9, 0), 141 * GIB, first_driver=550),
    "a100": Gpu("", "20b2", "NVIDIA A100-SXM4-80GB", 7, (8, 0), 80 * GIB, "10de:1463",
                first_driver=450),
    "l4": Gpu("", "27b8", "NVIDIA L4", 8, (8, 9), 24 * GIB, first_driver=525),
    "v100": Gpu("", "1db6", "NVIDIA Tesla V100-PCIE-32GB", 6, (7, 0), 32 * GIB, "10de:124a",
                first_driver=390, last_driver=580),
    "blackwell": Gpu("", "2901", "NVIDIA B200", 10, (10, 0), 180 * GIB, first_driver=570,
                     open_only=True),
}  # fmt: skip
"""Boards by the names that lessons use; PCI ids as in profiles/catalogue."""
SERVERS = ("debian12", "debian13")
"""Files in profiles/machines."""
_ON, _OFF = ("on", "yes", "true"), ("off", "no", "false")


def _number(parameters: dict[str, str], name: str, default: int) -> int:
    text = parameters.pop(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= 16:
        raise InputError(f"{name}={text}: a number from 1 to 16 is expected")
    return int(text)


def build(name: str, **parameters: str) -> Machine:
    """A server.

    Args:
        name: one of ``SERVERS``.
        parameters: ``driver`` (a version, or "none" for a fresh system), ``flavour`` ("open",
            "proprietary"), ``gpu`` (one of ``GPUS``), ``gpus`` (how many), ``secure_boot`` ("on").

    Raises:
        InputError: no such builder, parameter or value.
    """
    if name not in SERVERS:
        raise InputError(f"there is no builder '{name}'; there are: {', '.join(SERVERS)}")
    key = tuple(sorted(parameters.items()))
    return _built(name, key).copy()


@lru_cache(maxsize=64)
def _built(name: str, chosen: tuple[tuple[str, str], ...]) -> Machine:
    parameters = dict(chosen)
    data = _data(name)
    driver = parameters.pop("driver", data["default_driver"])
    flavour = parameters.pop("flavour", "open")
    board = parameters.pop("gpu", "h100")
    count = _number(parameters, "gpus", 1)
    secure = parameters.pop("secure_boot", "off")
    if board not in GPUS:
        raise InputError(f"gpu={board}: there are {', '.join(GPUS)}")
    if flavour not in ("open", "proprietary"):
        raise InputError(f"flavour={flavour}: open or proprietary is expected")
    if secure not in (*_ON, *_OFF):
        raise InputError(f"secure_boot={secure}: on or off is expected")
    known = next(item for item in data["archives"] if item["id"] == data["driver_archive"])[
        "drivers"
    ]
    if driver not in ("none", *known):
        raise InputError(f"driver={driver}: there are none, {', '.join(known)}")
    if parameters:
        raise InputError(f"builder {name} has no parameter '{next(iter(parameters))}'")
    machine = _fresh(data, board, count)
    machine.firmware.secure_boot = secure in _ON
    if driver != "none":
        _install(machine, data, driver, flavour)
    booting.start(machine)
    machine.events = ()
    return machine


def _data(name: str) -> dict[str, Any]:
    text = data_folder("profiles").joinpath("machines").joinpath(f"{name}.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _fresh(data: dict[str, Any], board: str, count: int) -> Machine:
    machine = Machine(name=data["name"], family=data["family"])
    tree = machine.tree
    for name in ("lib", "bin", "sbin", "lib64"):
        tree.folder(f"/usr/{name}")
        tree.link(f"/{name}", f"usr/{name}")
    for folder in ("/boot/efi", "/boot/grub", "/etc/modprobe.d", "/etc/apt/preferences.d",
                   "/etc/apt/apt.conf.d", "/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/usr/src",
                   "/tmp", "/var/tmp", "/root", "/var/lib/dpkg/updates", "/usr/lib/modules",
                   "/etc/apt/keyrings"):  # fmt: skip
        tree.folder(folder)
    for path in ("/usr/bin/apt-get", "/usr/bin/bash", "/usr/bin/dpkg", "/usr/bin/sudo"):
        tree.write(path, "")
    for path, text in (
        ("/etc/os-release", data["os_release"]),
        ("/etc/debian_version", data["debian_version"]),
        data["sources_file"],
        (
            "/etc/default/grub",
            'GRUB_DEFAULT=0\nGRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n',
        ),
        ("/usr/lib/modprobe.d/aliases.conf", "alias net-pf-1 unix\n"),
        ("/etc/initramfs-tools/modules", ""),
    ):
        machine.write(path, text)
    machine.spaces = {"/": 440 * GIB, "/boot": 1 * GIB}
    machine.filler = {"/": 24 * GIB}
    machine.archives = tuple(make(item, data["config"]) for item in data["archives"])
    machine.packages.fetched = tuple(archive for archive, _ in reached(machine))
    machine.gpus = tuple(_placed(board, number) for number in range(count))
    for name in data["installed"]:
        _put(machine, _offer(machine.archives, name))
    release = data["first_kernel"]
    for name in (f"linux-image-{release}", data["kernel_meta"][0]):
        _put(machine, _offer(machine.archives, name, _version_of(machine.archives, release)))
    machine.running_kernel = release
    return machine


def _placed(board: str, number: int) -> Gpu:
    from dataclasses import replace

    return replace(GPUS[board], bus_id=f"0000:{0x17 + 8 * number:02x}:00.0")


def _version_of(archives: tuple[Archive, ...], release: str) -> str:
    return _offer(archives, f"linux-image-{release}").version


def _offer(archives: tuple[Archive, ...], name: str, version: str = "") -> Offer:
    for archive in archives:
        for offer in archive.offers:
            if offer.name == name and (not version or offer.version == version):
                return offer
    raise InputError(
        f"no archive of the simulated server has the package {name} {version}".rstrip()
    )


def _put(machine: Machine, offer: Offer) -> None:
    maintainer.unpack(machine, offer, automatic=False)
    for _ in maintainer.configure(machine, offer.name):
        pass


def _install(machine: Machine, data: dict[str, Any], driver: str, flavour: str) -> None:
    """Bring the driver, by the commands that the plan of this program runs."""
    nvidia = next(item for item in data["archives"] if item["id"] == data["driver_archive"])
    keyring = f"/etc/apt/keyrings/gpu-bringup-{data['repository']}.gpg"
    machine.write(keyring, nvidia["key"] + "\n")
    machine.write(
        f"/etc/apt/sources.list.d/gpu-bringup-{data['repository']}.sources",
        f"Types: deb\nURIs: {nvidia['uri']}\nSuites: {nvidia['suite']}\nSigned-By: {keyring}\n",
    )
    machine.write(
        "/etc/modprobe.d/gpu-bringup-nouveau.conf", "blacklist nouveau\nblacklist nova_core\n"
    )
    path, text = data["sources_file"]
    machine.write(path, text.replace(" main non-free", " main contrib non-free"))
    open_modules = flavour == "open"
    kernel = "nvidia-kernel-open-dkms" if open_modules else "nvidia-kernel-dkms"
    machine.running_kernel = data["first_kernel"]
    headers = f"linux-headers-{data['first_kernel']}"
    meta = data["kernel_meta"][1]
    version = _version_of(machine.archives, data["first_kernel"])
    do(machine, "apt-get update")
    compiler = dkms_tree.compiler_of(machine, data["first_kernel"])
    do(
        machine,
        f"apt-get install -y {headers} {meta}={version} {compiler} make libc6-dev dkms openssl kmod",
    )
    key = Key.made("DKMS module signing key", machine.name)
    machine.write(dkms_tree.MOK, render.keys_text((key,)))
    machine.write("/var/lib/dkms/mok.key", "PRIVATE KEY\n", 0o600)
    if machine.firmware.secure_boot:
        machine.firmware.enrolled = (key,)
    branch = driver.split(".")[0]
    names = ("nvidia-driver-cuda", kernel, "nvidia-persistenced")
    do(machine, f"apt-get install -y nvidia-driver-pinning-{branch}")
    libraries = " ".join(f"{name}={driver}-1" for name in ("libcuda1", "libnvidia-ml1",
                         "firmware-nvidia-gsp", "nvidia-modprobe"))  # fmt: skip
    do(machine, f"apt-get install -y {' '.join(f'{n}={driver}-1' for n in names)} {libraries}")
    do(machine, f"update-initramfs -u -k {data['first_kernel']}")
    do(machine, f"apt-mark hold {' '.join(names)} {data['kernel_meta'][0]} {meta}")


def do(machine: Machine, command: str) -> list[str]:
    """Run a command on a machine without waiting; its lines.

    Raises:
        InputError: it failed, so that what is being built can't be.
    """
    running = services.run(machine, tuple(command.split()))
    lines: list[str] = []
    try:
        said = next(running)
        while True:
            if isinstance(said, str):
                lines.append(said)
            said = running.send("") if isinstance(said, Ask) else next(running)
    except StopIteration as stopped:
        if stopped.value:
            told = "\n".join(lines[-6:])
            raise InputError(f"'{command}' failed on the simulated server:\n{told}") from None
    return lines


Builder = Callable[..., Machine]
