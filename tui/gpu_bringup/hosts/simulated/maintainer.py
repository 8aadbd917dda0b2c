"""What the packages' own scripts do when dpkg unpacks, configures and removes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import boot_files, dkms_tree, work
from gpu_bringup.hosts.simulated.packages import (
    CONFIG_FILES,
    HALF_CONFIGURED,
    INSTALLED,
    UNPACKED,
    Installed,
    Offer,
)
from gpu_bringup.hosts.simulated.tree import File

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine


def unpack(machine: Machine, offer: Offer, *, automatic: bool) -> str:
    """Put a package's files in place; the error's words, empty where it worked."""
    old = machine.packages.installed.get(offer.name)
    mount = "/boot" if offer.kind == "kernel" else "/usr"
    if machine.free(mount) < offer.size // (4 if offer.kind == "kernel" else 1):
        return f"cannot copy extracted data for './{offer.name}': No space left on device"
    if old is not None and old.state != CONFIG_FILES:
        if offer.kind == "dkms-module" and old.offer.version != offer.version:
            _source_gone(machine, old.offer)
        new = {path for path, _ in offer.files}
        for path, _ in old.offer.files:
            if path not in new and not path.startswith("/etc/"):
                machine.tree.remove(path)
    for path, text in offer.files:
        if text.startswith("-> "):
            machine.tree.link(path, text.removeprefix("-> "))
        elif not (path.startswith("/etc/") and machine.tree.exists(path)):
            content = text.removeprefix("size ") if text.startswith("size ") else text
            file = (
                File("", 0o644, int(content), machine.clock)
                if text.startswith("size ")
                else File(content, 0o644, modified=machine.clock)
            )
            machine.tree.write(path, file)
    if offer.kind == "kernel":
        _kernel_files(machine, offer.argument)
    held = old.held if old is not None else False
    machine.packages.installed[offer.name] = Installed(
        offer, UNPACKED, held, automatic if old is None else old.automatic and automatic
    )
    machine.changed()
    return ""


def _source_gone(machine: Machine, offer: Offer) -> None:
    """What the old version's prerm does: dkms forgets it, for every kernel."""
    module, _ = offer.argument.split()
    version = offer.version.split("-")[0].split(":")[-1]
    for _ in dkms_tree.dkms_remove(machine, module, version):
        pass
    machine.tree.remove(f"/usr/src/{module}-{version}")


def _kernel_files(machine: Machine, release: str) -> None:
    from gpu_bringup.hosts.simulated.tree import Module

    base = f"/usr/lib/modules/{release}"
    for name, folder in (("nouveau", "drivers/gpu/drm/nouveau"), ("vfio-pci", "drivers/vfio/pci")):
        info = Module(name.replace("-", "_"), "", "GPL", dkms_tree.vermagic(release), "kernel")
        machine.tree.write(
            f"{base}/kernel/{folder}/{name}.ko.xz", File("", 0o644, 900_000, 0.0, info)
        )
    for name in (
        "modules.builtin",
        "modules.dep",
        "modules.order",
        "modules.alias",
        "modules.symbols",
    ):
        machine.tree.write(f"{base}/{name}", "kernel/fs/ext4/ext4.ko\n")


def configure(machine: Machine, name: str) -> work.Work:
    """Run a package's postinst; True: it is installed."""
    item = machine.packages.installed[name]
    yield f"Setting up {name} ({item.offer.version}) ..."
    good = yield from _postinst(machine, item.offer)
    state = INSTALLED if good else HALF_CONFIGURED
    machine.packages.installed[name] = replace(machine.packages.installed[name], state=state)
    machine.changed()
    return good


def _postinst(machine: Machine, offer: Offer) -> work.Work:
    yield work.Wait(1)
    if offer.kind == "kernel":
        return (yield from _kernel(machine, offer.argument))
    if offer.kind == "headers":
        if machine.packages.has("dkms") and offer.argument in machine.kernels():
            yield "/etc/kernel/header_postinst.d/dkms:"
            # A build that fails here doesn't fail the package: dkms's hook ends with status 0.
            yield from dkms_tree.dkms_autoinstall(machine, offer.argument)
        return True
    if offer.kind == "dkms-module":
        return (yield from _dkms_module(machine, offer))
    if offer.kind == "service":
        _service(machine, offer.argument)
    return True


def _kernel(machine: Machine, release: str) -> work.Work:
    if machine.packages.has("dkms"):
        yield "/etc/kernel/postinst.d/dkms:"
        yield f"dkms: running auto installation service for kernel {release}."
        if dkms_tree.has_headers(machine, release):
            yield from dkms_tree.dkms_autoinstall(machine, release)
        elif dkms_tree.dkms_versions(machine):
            yield (
                f"dkms: autoinstall for kernel {release} was skipped since the kernel headers for "
                "this kernel do not seem to be installed."
            )
    yield "/etc/kernel/postinst.d/initramfs-tools:"
    good = yield from boot_files.update_initramfs(machine, release)
    if not good:
        yield "run-parts: /etc/kernel/postinst.d/initramfs-tools exited with return code 1"
        return False
    yield "/etc/kernel/postinst.d/zz-update-grub:"
    yield from boot_files.update_grub(machine)
    return True


def _dkms_module(machine: Machine, offer: Offer) -> work.Work:
    module, flavour = offer.argument.split()
    version = offer.version.split("-")[0].split(":")[-1]
    if (module, version) in dkms_tree.dkms_versions(machine):
        yield f"Removing old {module}/{version} DKMS files..."
        yield from dkms_tree.dkms_remove(machine, module, version)
    yield f"Loading new {module}/{version} DKMS files..."
    machine.write(
        f"/usr/src/{module}-{version}/dkms.conf",
        f'PACKAGE_NAME="{module}"\nPACKAGE_VERSION="{version}"\nAUTOINSTALL="yes"\n'
        f"# FLAVOUR={flavour}\n",
    )
    dkms_tree.dkms_add(machine, module, version)
    kernels = [release for release in machine.kernels() if dkms_tree.has_headers(machine, release)]
    if not kernels:
        yield f"It is likely that {machine.running_kernel} belongs to a chroot's host"
        yield "Building initial module for no kernel: no headers are installed"
        return True
    yield f"Building for {' and '.join(kernels)}"
    for release in kernels:
        yield f"\nBuilding initial module {module}/{version} for {release}"
        if not (yield from dkms_tree.dkms_build(machine, module, version, release)):
            return False
    return True


def _service(machine: Machine, unit: str) -> None:
    from gpu_bringup.hosts.simulated.machine import Unit

    comm = {"nvidia-fabricmanager.service": "nv-fabricmanager"}.get(
        unit, unit.removesuffix(".service")
    )
    driver = unit.startswith("nvidia-") and "container" not in unit
    machine.tree.write(
        f"/usr/lib/systemd/system/{unit}", "[Unit]\n[Install]\nWantedBy=multi-user.target\n"
    )
    known = machine.units.get(unit)
    if known is None:
        machine.units[unit] = Unit(unit, comm, enabled=False, running=False, needs_driver=driver)
        if unit == "nvidia-persistenced.service":
            running = "nvidia" in machine.loaded
            machine.units[unit] = Unit(unit, comm, enabled=True, running=running, needs_driver=True)


def remove(machine: Machine, name: str, *, purge: bool) -> work.Work:
    """Take a package away, with its settings where ``purge`` is set."""
    item = machine.packages.installed[name]
    offer = item.offer
    if item.state != CONFIG_FILES:
        yield f"Removing {name} ({offer.version}) ..."
        if offer.kind == "dkms-module":
            module, _ = offer.argument.split()
            version = offer.version.split("-")[0].split(":")[-1]
            yield from dkms_tree.dkms_remove(machine, module, version)
            machine.tree.remove(f"/usr/src/{module}-{version}")
        for path, _ in offer.files:
            if purge or not path.startswith("/etc/"):
                machine.tree.remove(path)
        if offer.kind == "kernel":
            yield from _kernel_gone(machine, offer.argument)
        if offer.kind == "service":
            machine.units.pop(offer.argument, None)
    if purge:
        yield f"Purging configuration files for {name} ({offer.version}) ..."
        for path, _ in offer.files:
            machine.tree.remove(path)
        machine.packages.installed.pop(name, None)
    elif any(path.startswith("/etc/") for path, _ in offer.files):
        machine.packages.installed[name] = replace(item, state=CONFIG_FILES)
    else:
        machine.packages.installed.pop(name, None)
    machine.happened("removed", name)
    machine.changed()
    return True


def _kernel_gone(machine: Machine, release: str) -> work.Work:
    for module, version in dkms_tree.dkms_versions(machine):
        if dkms_tree.dkms_built(machine, module, version, release):
            yield from dkms_tree.dkms_remove(machine, module, version, release)
    machine.tree.remove(f"/usr/lib/modules/{release}")
    machine.tree.remove(f"/boot/initrd.img-{release}")
    machine.images.pop(release, None)
    yield from boot_files.update_grub(machine)
    return True
