"""Ways to break a simulated machine, one function each, as real upgrades and people break servers."""

from __future__ import annotations

from dataclasses import replace

from gpu_bringup.errors import InputError
from gpu_bringup.hosts.simulated import (
    archives,
    boot_files,
    booting,
    dkms_tree,
    faults_hardware,
    kernel_modules,
    maintainer,
    sources,
)
from gpu_bringup.hosts.simulated.builders import do
from gpu_bringup.hosts.simulated.fault_table import (
    FAULTS,
    Fault,
    breaks,
    driver_package,
    driver_version,
    fault,
    forget,
    kernel_between,
    newer_kernel,
    older_driver,
    put,
)
from gpu_bringup.hosts.simulated.machine import Image, Machine
from gpu_bringup.hosts.simulated.packages import (
    HALF_CONFIGURED,
    UNPACKED,
    Installed,
    status_text,
)
from gpu_bringup.hosts.simulated.tree import File

# --- kernel and headers ------------------------------------------------------------------------------


@fault("kernel-upgraded")
def kernel_upgraded(machine: Machine, headers: str = "missing", booted: str = "yes") -> None:
    """A new kernel came; with ``headers`` "missing" its headers didn't."""
    release, version = newer_kernel(machine)
    if headers == "missing":
        forget(machine, "linux-headers-amd64")
    else:
        put(machine, f"linux-headers-{release}", version)
    put(machine, f"linux-image-{release}", version)
    if booted == "yes":
        booting.start(machine)


@fault("headers-removed")
def headers_removed(machine: Machine) -> None:
    """Somebody's autoremove took the headers and the module's build for the running kernel."""
    release = machine.running_kernel
    for module, version in dkms_tree.dkms_versions(machine):
        for _ in dkms_tree.dkms_remove(machine, module, version, release):
            pass
    forget(machine, "linux-headers-amd64")
    forget(machine, f"linux-headers-{release}")
    booting.start(machine)


@fault("headers-deleted")
def headers_deleted(machine: Machine) -> None:
    """The headers' files were deleted by hand; dpkg believes that they are there."""
    release = machine.running_kernel
    machine.tree.remove(f"/usr/src/linux-headers-{release}")
    for module, version in dkms_tree.dkms_versions(machine):
        for _ in dkms_tree.dkms_remove(machine, module, version, release):
            pass
    booting.start(machine)


@fault("compiler-missing")
def compiler_missing(machine: Machine) -> None:
    """The kernel's compiler was removed, and the module with it."""
    for name in ("gcc", dkms_tree.compiler_of(machine, machine.running_kernel)):
        item = machine.packages.installed.pop(name, None)
        if item is not None:
            for path, _ in item.offer.files:
                machine.tree.remove(path)
    for module, version in dkms_tree.dkms_versions(machine):
        for _ in dkms_tree.dkms_remove(machine, module, version, machine.running_kernel):
            pass
    booting.start(machine)


@fault("driver-too-old")
def driver_too_old(machine: Machine) -> None:
    """The kernel went on, and the installed driver doesn't compile on it any more."""
    release, version = newer_kernel(machine)
    old = older_driver(machine)
    downgrade(machine, old)
    machine.builds = (
        *machine.builds,
        (
            old,
            release,
            f"/var/lib/dkms/nvidia/{old}/build/nvidia/os-mlock.c:36:12: error: implicit declaration "
            "of function 'follow_pfn'",
        ),
    )
    put(machine, f"linux-headers-{release}", version)
    put(machine, f"linux-image-{release}", version)
    booting.start(machine)


def downgrade(machine: Machine, version: str) -> None:
    """Put the whole driver at another version, as one set."""
    for name, item in list(machine.packages.installed.items()):
        if item.offer.version.split("-")[0] == driver_version(machine) and name != driver_package(
            machine
        ):
            put(machine, name, f"{version}-1")
    name = driver_package(machine)
    forget_old = machine.packages.installed[name].offer.version.split("-")[0]
    for _ in dkms_tree.dkms_remove(machine, "nvidia", forget_old):
        pass
    machine.tree.remove(f"/usr/src/nvidia-{forget_old}")
    put(machine, name, f"{version}-1")
    for release in machine.kernels():
        for _ in boot_files.update_initramfs(machine, release):
            pass
    booting.start(machine)


# --- module and libraries --------------------------------------------------------------------------


@fault("module-unloaded")
def module_unloaded(machine: Machine) -> None:
    """The modules were taken out of the kernel and never loaded again."""
    machine.loaded = {
        name: item for name, item in machine.loaded.items() if not name.startswith("nvidia")
    }
    for name, unit in list(machine.units.items()):
        if unit.needs_driver:
            machine.units[name] = replace(unit, running=False)


@fault("library-mismatch")
def library_mismatch(machine: Machine) -> None:
    """The driver was upgraded in the night; the kernel still holds the module from before."""
    new = driver_version(machine)
    downgrade(machine, older_driver(machine))
    jobs, units, loaded = machine.jobs, dict(machine.units), dict(machine.loaded)
    log, boot, kernel = machine.log, machine.boot, machine.running_kernel
    downgrade(machine, new)
    machine.jobs, machine.units, machine.loaded = jobs, units, loaded
    machine.log, machine.boot, machine.running_kernel = log, boot, kernel
    machine.write(
        "/var/log/apt/history.log",
        "\nStart-Date: 2026-11-22  06:41:03\nCommandline: /usr/bin/unattended-upgrade\n"
        f"Upgrade: {driver_package(machine)}:amd64 ({older_driver(machine)}-1, {new}-1)\n"
        "End-Date: 2026-11-22  06:44:51\n",
    )


@fault("module-older")
def module_older(machine: Machine) -> None:
    """The modules on the disk were left at an older version than the libraries."""
    old, name = older_driver(machine), driver_package(machine)
    for _ in dkms_tree.dkms_remove(machine, "nvidia", driver_version(machine)):
        pass
    machine.tree.remove(f"/usr/src/nvidia-{driver_version(machine)}")
    put(machine, name, f"{old}-1")
    booting.start(machine)


@fault("source-removed")
def source_removed(machine: Machine) -> None:
    """The modules' source and their builds are gone; dkms's entry is a link to nothing."""
    version, release = driver_version(machine), machine.running_kernel
    machine.tree.remove(f"/usr/src/nvidia-{version}")
    for path in (f"/usr/lib/modules/{release}/updates/dkms", f"/var/lib/dkms/nvidia/{version}/{release}",
                 f"/var/lib/dkms/nvidia/kernel-{release}-x86_64"):  # fmt: skip
        machine.tree.remove(path)
    booting.start(machine)


@fault("wrong-flavour")
def wrong_flavour(machine: Machine) -> None:
    """The proprietary modules were installed on boards that only the open ones drive."""
    version, name = driver_version(machine), driver_package(machine)
    if name != "nvidia-kernel-open-dkms":
        raise InputError("the proprietary modules are installed here already")
    forget(machine, name)
    put(machine, "nvidia-kernel-dkms", f"{version}-1")
    booting.start(machine)


@fault("runfile-over-packages")
def runfile_over_packages(machine: Machine, version: str = "570.133.20") -> None:
    """NVIDIA's installer was run over the packages, and left its libraries in front of theirs."""
    folder = "/usr/lib/x86_64-linux-gnu"
    for stem in ("libcuda.so", "libnvidia-ml.so"):
        machine.tree.write(f"{folder}/{stem}.{version}", File("", size=1_000_000))
        machine.tree.link(f"{folder}/{stem}.1", f"{stem}.{version}")
    machine.tree.write("/usr/bin/nvidia-uninstall", File("", 0o755, 900_000))
    machine.tree.write("/usr/bin/nvidia-installer", File("", 0o755, 900_000))
    machine.write(
        "/var/log/nvidia-installer.log",
        "nvidia-installer log file '/var/log/nvidia-installer.log'\n"
        f"nvidia-installer version: {version}\n",
    )


@fault("libcuda-twice")
def libcuda_twice(machine: Machine, version: str = "570.133.20") -> None:
    """A second libcuda of another version lies where the linker looks first."""
    machine.tree.write(f"/usr/local/lib/libcuda.so.{version}", File("", size=1_000_000))
    machine.tree.link("/usr/local/lib/libcuda.so.1", f"libcuda.so.{version}")


@fault("nvidia-blacklisted")
def nvidia_blacklisted(machine: Machine) -> None:
    """A file that somebody left keeps the driver from being loaded."""
    machine.write("/etc/modprobe.d/old-test.conf", "blacklist nvidia\ninstall nvidia /bin/false\n")
    for release in machine.kernels():
        for _ in boot_files.update_initramfs(machine, release):
            pass
    booting.start(machine)


@fault("nouveau-in-initramfs")
def nouveau_in_initramfs(machine: Machine) -> None:
    """nouveau is in the initramfs without its blacklist: it is first at each boot."""
    machine.write("/etc/initramfs-tools/modules", "nouveau\n")
    for path in list(machine.tree.names("/etc/modprobe.d") or ()):
        machine.tree.remove(f"/etc/modprobe.d/{path}")
    for release in machine.kernels():
        for _ in boot_files.update_initramfs(machine, release):
            pass
    booting.start(machine)


@fault("initramfs-old-module")
def initramfs_old_module(machine: Machine) -> None:
    """An initramfs of an older driver: at boot it loads the module from before."""
    release, old = machine.running_kernel, older_driver(machine)
    found = kernel_modules.module_file(machine, "nvidia")
    if found is None or found[1].module is None:
        raise InputError("this fault needs a server with a module")
    machine.write("/etc/initramfs-tools/modules", "nvidia\n")
    image = machine.images.get(release, Image())
    machine.images[release] = Image(
        ((f"usr/lib/modules/{release}/updates/dkms/nvidia.ko.xz", old),), image.configuration
    )
    path = f"/boot/initrd.img-{release}"
    there = machine.tree.file(path)
    if there is not None:
        machine.tree.write(path, replace(there, modified=machine.booted - 86_400))


# --- packages --------------------------------------------------------------------------------------


@fault("dpkg-interrupted")
def dpkg_interrupted(machine: Machine) -> None:
    """dpkg was killed while it configured the driver."""
    name = driver_package(machine)
    item = machine.packages.installed[name]
    machine.packages.installed[name] = replace(item, state=HALF_CONFIGURED)
    for other in ("nvidia-driver-cuda",):
        if other in machine.packages.installed:
            there = machine.packages.installed[other]
            machine.packages.installed[other] = replace(there, state=UNPACKED)
    release = machine.running_kernel
    for _ in dkms_tree.dkms_remove(machine, "nvidia", driver_version(machine), release):
        pass
    stanza = {name: machine.packages.installed[name]}
    machine.write("/var/lib/dpkg/updates/0001", status_text(stanza, "amd64"))
    booting.start(machine)


@fault("series-mixed")
def series_mixed(machine: Machine) -> None:
    """One library was taken from another version than the rest."""
    put(machine, "libnvidia-ml1", f"{older_driver(machine)}-1")


@fault("key-missing")
def key_missing(machine: Machine) -> None:
    """The key of the driver's repository is gone."""
    for archive, keyring in sources.reached(machine):
        if archive.key and keyring:
            machine.tree.remove(keyring)
            return
    raise InputError("no repository of this server has a key of its own")


@fault("held-package")
def held_package(machine: Machine) -> None:
    """Only a part of the set is held: the next upgrade moves the rest."""
    machine.tree.remove("/var/lib/dpkg/updates/0001")
    for name, item in list(machine.packages.installed.items()):
        if name.startswith(("libcuda", "libnvidia", "nvidia-")):
            machine.packages.installed[name] = replace(item, held=name == "libcuda1")


@fault("holds-lifted")
def holds_lifted(machine: Machine) -> None:
    """Somebody lifted every hold, and unattended upgrades are on."""
    machine.tree.remove("/var/lib/dpkg/updates/0001")
    for name, item in list(machine.packages.installed.items()):
        machine.packages.installed[name] = replace(item, held=False)
    machine.write(
        "/etc/apt/apt.conf.d/20auto-upgrades",
        'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n',
    )


def _another_kernel(machine: Machine) -> None:
    """An upgrade that came before: one more kernel, with its headers and module, and it runs."""
    if not machine.running_kernel.endswith("+deb13-amd64"):
        raise InputError("kernels=many needs a Debian 13 server; here: kernels=few")
    there = machine.archives[0]
    config = machine.text(f"/boot/config-{machine.running_kernel}")
    between = kernel_between(machine)
    made = archives.make(
        {"uri": there.uri, "suite": there.suite, "component": there.component,
         "origin": there.origin, "kernels": [list(between)]}, config,
    )  # fmt: skip
    offers = {offer.name: offer for offer in made.offers}
    metas = ("linux-headers-amd64", "linux-image-amd64")
    for name in (f"linux-headers-{between[0]}", f"linux-image-{between[0]}", *metas):
        maintainer.unpack(machine, offers[name], automatic=True)
        for _ in maintainer.configure(machine, name):
            pass
    booting.start(machine)


@fault("boot-full")
def boot_full(machine: Machine, free_mb: str = "50", kernels: str = "many") -> None:
    """/boot is full, and a new kernel's initramfs could not be made.

    ``kernels``: "many" have piled up, as they do where nobody removes them; "few": none can be spared.
    """
    mount = "/boot"
    room = int(free_mb) * 1_000_000
    if kernels not in ("many", "few"):
        raise InputError(f"kernels={kernels}: many or few is expected")
    if kernels == "many":
        _another_kernel(machine)
    release, version = newer_kernel(machine)
    put(machine, f"linux-headers-{release}", version)
    offer = next(
        item.offer for item in sources.candidates(machine, f"linux-image-{release}")
        if item.offer.version == version
    )  # fmt: skip
    maintainer.unpack(machine, offer, automatic=True)
    machine.packages.installed[offer.name] = Installed(offer, HALF_CONFIGURED, automatic=True)
    for meta in ("linux-headers-amd64", "linux-image-amd64"):
        put(machine, meta, version)
    machine.filler[mount] = 0
    machine.filler[mount] = max(0, machine.free(mount) - room)


__all__ = [
    "FAULTS",
    "Fault",
    "breaks",
    "do",
    "driver_package",
    "driver_version",
    "fault",
    "faults_hardware",
    "newer_kernel",
    "put",
]
