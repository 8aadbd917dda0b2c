"""Further ways to break a simulated machine, and hosts that some lessons need to begin with.

They enter themselves into ``faults.FAULTS``: import this module to have them.
"""

from __future__ import annotations

from dataclasses import replace

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import booting, maintainer
from gpu_bringup.hosts.simulated.archives import make
from gpu_bringup.hosts.simulated.builders import do
from gpu_bringup.hosts.simulated.fault_table import kernel_between
from gpu_bringup.hosts.simulated.faults import driver_version, fault, newer_kernel, put
from gpu_bringup.hosts.simulated.machine import Gpu, Job, Machine, Unit
from gpu_bringup.hosts.simulated.packages import (
    HALF_CONFIGURED,
    Archive,
    Installed,
    Offer,
)
from gpu_bringup.hosts.simulated.tree import File

CDI_UNIT = "nvidia-cdi-refresh.service"
CDI_PATH = "nvidia-cdi-refresh.path"
TOOLKIT = "1.19.1"
"""Version of the container toolkit (the floor of rung "containers")."""
_DAY = 86_400


# --- NVSwitch --------------------------------------------------------------------------------------


@fault("nvswitch-board")
def nvswitch_board(machine: Machine, manager: str = "same") -> None:
    """The GPUs sit on an HGX board: four NVSwitches, and the fabric manager that sets them up.

    ``manager``: "same" as the driver's version, or the version that was left behind.
    """
    if any(gpu.pci_class == "068000" for gpu in machine.gpus):
        raise InputError("this server has NVSwitches already")
    switches = tuple(
        Gpu(f"0000:{0xA0 + number:02x}:00.0", "22a3", "NVSwitch", 9, (0, 0), 0, pci_class="068000")
        for number in range(4)
    )
    machine.gpus = (*machine.gpus, *switches)
    version = driver_version(machine) if manager == "same" else manager
    put(machine, "nvidia-fabricmanager", f"{version}-1")
    unit = machine.units["nvidia-fabricmanager.service"]
    machine.units[unit.name] = replace(unit, enabled=True)
    booting.start(machine)


@fault("fabricmanager-stopped")
def fabricmanager_stopped(machine: Machine) -> None:
    """The fabric manager was switched off."""
    unit = machine.units.get("nvidia-fabricmanager.service")
    if unit is None:
        raise InputError("this fault needs a server with a fabric manager (nvswitch-board)")
    machine.units[unit.name] = replace(unit, enabled=False, running=False)


# --- containers ------------------------------------------------------------------------------------


@fault("docker-host")
def docker_host(machine: Machine) -> None:
    """Docker and NVIDIA's container toolkit are installed and know of each other."""
    for path in ("/usr/bin/docker", "/usr/bin/dockerd"):
        machine.tree.write(path, File("", 0o755, 60_000_000))
    offer = Offer(
        "nvidia-container-toolkit",
        f"{TOOLKIT}-1",
        depends=("libc6",),
        files=(("/usr/bin/nvidia-ctk", "size 9000000"),),
    )
    maintainer.unpack(machine, offer, automatic=False)
    for _ in maintainer.configure(machine, offer.name):
        pass
    machine.write("/etc/docker/daemon.json", RUNTIME)
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    machine.units["docker.service"] = Unit("docker.service", "dockerd", enabled=True, running=True)
    machine.units[CDI_UNIT] = Unit(CDI_UNIT)
    machine.units[CDI_PATH] = Unit(CDI_PATH)


RUNTIME = (
    '{\n    "runtimes": {\n        "nvidia": {\n            "args": [],\n'
    '            "path": "nvidia-container-runtime"\n        }\n    }\n}\n'
)
"""daemon.json as ``nvidia-ctk runtime configure --runtime=docker`` writes it."""


@fault("container-lost-gpus")
def container_lost_gpus(machine: Machine) -> None:
    """systemctl daemon-reload took the container's GPUs; a colleague's mending took Docker's runtime."""
    if "docker.service" not in machine.units:
        raise InputError("this fault needs a server with Docker (docker-host)")
    machine.tree.remove("/etc/cdi/nvidia.yaml")
    machine.tree.remove("/var/run/cdi/nvidia.yaml")
    machine.write("/etc/docker/daemon.json", '{\n    "log-driver": "journald"\n}\n')
    container = "3f1c0de5a7b2" + "0" * 52
    machine.jobs = (*machine.jobs, Job(5151, "root", "vllm serve", (), container, important=False))


# --- old drivers and kernels -----------------------------------------------------------------------


_DEBIAN = "550.163.01"
"""Debian 13's own driver (profiles/catalogue/distributions/debian.toml)."""


@fault("debian-driver")
def debian_driver(machine: Machine) -> None:
    """The driver is Debian's own, 550.163.01 with proprietary modules, from non-free."""
    if any(item.offer.kind == "dkms-module" for item in machine.packages.installed.values()):
        raise InputError("this server has a driver already (driver=none)")
    if "+deb13-" not in machine.running_kernel:
        raise InputError("this fault needs a server with Debian 13")
    first = machine.archives[0]
    offers = _debian_offers()
    for component in ("contrib", "non-free"):
        taken = offers if component == "non-free" else ()
        machine.archives = (
            *machine.archives,
            Archive(first.uri, first.suite, component, first.origin, first.label, "", taken),
        )
    path = "/etc/apt/sources.list.d/debian.sources"
    if not machine.tree.exists(path):
        raise InputError("this needs a server with Debian 13")
    text = machine.text(path).replace(
        "main non-free-firmware", "main contrib non-free non-free-firmware"
    )
    machine.write(path, text)
    machine.write("/etc/modprobe.d/nvidia-blacklists-nouveau.conf", "blacklist nouveau\n")
    release = machine.running_kernel
    do(machine, "apt-get update")
    do(machine, f"apt-get install -y linux-headers-{release} linux-headers-amd64 gcc-14 make dkms")
    do(machine, "apt-get install -y nvidia-kernel-dkms nvidia-smi libcuda1 nvidia-persistenced")
    do(machine, f"update-initramfs -u -k {release}")
    booting.start(machine)


def _debian_offers() -> tuple[Offer, ...]:
    """Debian's own packages of that driver, in its own version and with its own names."""
    made = make({"uri": "", "suite": "", "component": "", "origin": "", "drivers": [_DEBIAN]}, "")
    wanted = {"libcuda1", "libnvidia-ml1", "firmware-nvidia-gsp", "nvidia-modprobe",
              "nvidia-persistenced", "nvidia-kernel-dkms"}  # fmt: skip
    ours, theirs = f"{_DEBIAN}-1", f"{_DEBIAN}-2"
    found = [
        replace(
            offer,
            version=theirs,
            depends=tuple(text.replace(ours, theirs) for text in offer.depends),
            conflicts=tuple(name for name in offer.conflicts if name == "nvidia-kernel-open-dkms"),
            argument=offer.argument.replace("nvidia ", "nvidia-current ")
            if offer.kind == "dkms-module"
            else offer.argument,
        )
        for offer in made.offers
        if offer.name in wanted
    ]
    smi = Offer("nvidia-smi", theirs, depends=(f"libnvidia-ml1 (= {theirs})",),
                files=(("/usr/bin/nvidia-smi", "size 700000"),))  # fmt: skip
    return (*found, smi)


@fault("old-kernels")
def old_kernels(machine: Machine, free_mb: str = "60") -> None:
    """Old kernels fill /boot: the newest one's initramfs could not be written, dpkg stopped there."""
    old = machine.running_kernel
    config = machine.text(f"/boot/config-{old}")
    release, number = kernel_between(machine)
    there = machine.archives[0]
    between = make(
        {"uri": there.uri, "suite": there.suite, "component": there.component,
         "origin": there.origin, "kernels": [[release, number]]}, config,
    )  # fmt: skip
    names = {offer.name: offer for offer in between.offers}
    for name in (f"linux-headers-{release}", f"linux-image-{release}"):
        maintainer.unpack(machine, names[name], automatic=True)
        for _ in maintainer.configure(machine, name):
            pass
    booting.start(machine)
    image = machine.packages.installed[f"linux-image-{old}"]
    machine.packages.installed[f"linux-image-{old}"] = replace(image, automatic=True)
    release, version = newer_kernel(machine)
    put(machine, f"linux-headers-{release}", version)
    for archive in machine.packages.fetched:
        for offer in archive.offers:
            if offer.name == f"linux-image-{release}" and offer.version == version:
                maintainer.unpack(machine, offer, automatic=True)
                machine.packages.installed[offer.name] = Installed(
                    offer, HALF_CONFIGURED, automatic=True
                )
    for meta in ("linux-headers-amd64", "linux-image-amd64"):
        put(machine, meta, version)
    room = int(free_mb) * 1_000_000
    machine.filler["/boot"] = 0
    machine.filler["/boot"] = max(0, machine.free("/boot") - room)


# --- work ------------------------------------------------------------------------------------------


@fault("job-until")
def job_until(machine: Machine, until: str = "21:30", user: str = "customer") -> None:
    """Somebody's training runs on the GPUs, and ends by itself at this time of the machine's day."""
    hour, _, minute = until.partition(":")
    if not (hour.isdigit() and minute.isdigit() and int(hour) < 24 and int(minute) < 60):
        raise InputError(f"until={until}: a time such as 21:30 is expected")
    midnight = machine.clock - machine.clock % _DAY
    ends = midnight + int(hour) * 3600 + int(minute) * 60
    ends += _DAY if ends <= machine.clock else 0
    gpus = tuple(
        number
        for number, gpu in enumerate(g for g in machine.gpus if g.pci_class != "068000")
        if not gpu.fallen_off
    )
    job = Job(4343, user, "python3 train.py --config llama.yaml", gpus, ends=ends)
    machine.jobs = (*machine.jobs, job)
