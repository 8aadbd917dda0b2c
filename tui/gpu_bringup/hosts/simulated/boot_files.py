"""Initramfs images, GRUB's configuration and saved variables."""

from __future__ import annotations

import re

from gpu_bringup.hosts.simulated.machine import Image, Machine
from gpu_bringup.hosts.simulated.tree import File
from gpu_bringup.hosts.simulated.work import Wait, Work

_IMAGE_BYTES = 60_000_000
CONFIGURATION = ("/etc/modprobe.d", "/usr/lib/modprobe.d")


def graphics_modules(machine: Machine, kernel: str) -> tuple[tuple[str, str], ...]:
    """(path, version) of the graphics drivers that an initramfs of this kernel takes along."""
    wanted = set(machine.text("/etc/initramfs-tools/modules").split())
    found = []
    for path, node in machine.tree.walk(f"/usr/lib/modules/{kernel}"):
        module = node.module if isinstance(node, File) else None
        if module is not None and wanted & {module.name, module.name.replace("_", "-")}:
            found.append((path.removeprefix("/"), module.version))
    return tuple(found)


def update_initramfs(machine: Machine, kernel: str) -> Work:
    """Make an initramfs anew; True: it is there."""
    yield f"update-initramfs: Generating /boot/initrd.img-{kernel}"
    yield Wait(20)
    old = machine.tree.file(f"/boot/initrd.img-{kernel}")
    size = _IMAGE_BYTES if old is None or old.size is None else old.size
    # The new one is written beside the old one, and then takes its name.
    if machine.free("/boot") < size:
        yield "gzip: stdout: No space left on device"
        yield "E: mkinitramfs failure gzip 1"
        yield f"update-initramfs: failed for /boot/initrd.img-{kernel} with 1."
        return False
    configuration = tuple(
        (path.removeprefix("/"), node.text)
        for folder in CONFIGURATION
        for path, node in machine.tree.walk(folder)
        if isinstance(node, File) and path.endswith(".conf")
    )
    machine.images[kernel] = Image(graphics_modules(machine, kernel), configuration)
    machine.tree.write(f"/boot/initrd.img-{kernel}", File("", 0o644, size, machine.clock))
    machine.changed()
    return True


def update_grub(machine: Machine) -> Work:
    """Write grub.cfg from what is in /boot."""
    yield "Generating grub configuration file ..."
    settings = machine.text("/etc/default/grub")
    match = re.search(r"(?m)^GRUB_DEFAULT=[\"']?([^\"'\n]*)", settings)
    default = match[1] if match else "0"
    rows = [
        "if [ -s $prefix/grubenv ]; then\n  load_env\nfi",
        'if [ "${next_entry}" ] ; then\n   set default="${next_entry}"\n   set next_entry=',
        "   save_env next_entry\n   set boot_once=true\nelse",
        f'   set default="{"${saved_entry}" if default == "saved" else default}"\nfi',
    ]
    kernels = tuple(reversed(machine.kernels()))
    title = "Debian GNU/Linux" if machine.family == "debian" else "Ubuntu"
    for release in kernels:
        yield f"Found linux image: /boot/vmlinuz-{release}"
        if machine.tree.exists(f"/boot/initrd.img-{release}"):
            yield f"Found initrd image: /boot/initrd.img-{release}"
    if kernels:
        rows.append(_entry(title, f"gnulinux-simple-{machine.name}", kernels[0], ""))
        rows.append(
            f"submenu 'Advanced options for {title}' $menuentry_id_option "
            f"'gnulinux-advanced-{machine.name}' {{"
        )
        for release in kernels:
            name = f"{title}, with Linux {release}"
            rows.append(_entry(name, f"gnulinux-{release}-advanced-{machine.name}", release, "\t"))
        rows.append("}")
    machine.write("/boot/grub/grub.cfg", "\n".join(rows) + "\n", 0o600)
    yield "done"
    return True


def _entry(title: str, identity: str, release: str, indent: str) -> str:
    return (
        f"{indent}menuentry '{title}' --class gnu-linux $menuentry_id_option '{identity}' {{\n"
        f"{indent}\tlinux\t/boot/vmlinuz-{release} root=/dev/sda2 ro quiet\n"
        f"{indent}\tinitrd\t/boot/initrd.img-{release}\n{indent}}}"
    )


def environment_block(machine: Machine) -> dict[str, str]:
    """GRUB's saved variables."""
    rows = machine.text("/boot/grub/grubenv").splitlines()
    return dict(row.split("=", 1) for row in rows if "=" in row and not row.startswith("#"))


def save_environment(machine: Machine, values: dict[str, str]) -> None:
    """Write GRUB's saved variables (grub-editenv)."""
    text = "# GRUB Environment Block\n" + "".join(
        f"{key}={value}\n" for key, value in values.items()
    )
    machine.write("/boot/grub/grubenv", text.ljust(1024, "#"))


def chosen_kernel(machine: Machine) -> str:
    """The kernel that boots next; a one-shot choice is used up."""
    kernels = tuple(reversed(machine.kernels()))
    settings = machine.text("/etc/default/grub")
    match = re.search(r"(?m)^GRUB_DEFAULT=[\"']?([^\"'\n]*)", settings)
    wanted = match[1] if match else "0"
    values = environment_block(machine)
    if wanted == "saved":
        wanted = values.get("saved_entry", "0")
    once = values.pop("next_entry", "")
    if once:
        wanted = once
        save_environment(machine, values)
    for release in kernels:
        if release in wanted:
            return release
    number = wanted.rsplit(">", 1)[-1]
    at = int(number) if ">" in wanted and number.isdigit() else 0
    return kernels[min(at, len(kernels) - 1)] if kernels else machine.running_kernel
