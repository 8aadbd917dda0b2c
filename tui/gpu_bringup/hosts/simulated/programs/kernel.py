"""modprobe and its family, initramfs, boot loader, uname, mokutil, reboot."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import boot_files, booting, dkms_tree, kernel_modules, work
from gpu_bringup.hosts.simulated.programs.words import program, said, split
from gpu_bringup.hosts.simulated.tree import File, Module
from gpu_bringup.hosts.simulated.work import Ask, Program

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine


@program("uname")
def uname(machine: Machine, argv: tuple[str, ...]) -> Program:
    release, words = machine.running_kernel, set(argv[1:])
    if "-r" in words:
        return (yield from said(release))
    if "-m" in words:
        return (yield from said(machine.architecture))
    if "-a" in words:
        return (
            yield from said(
                f"Linux {machine.name} {release} #1 SMP PREEMPT_DYNAMIC {machine.architecture} GNU/Linux"
            )
        )
    return (yield from said("Linux"))


# --- modules ---------------------------------------------------------------------------------------


@program("modprobe")
def modprobe(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:])
    if "-r" in options or "--remove" in options:
        return (yield from rmmod(machine, ("rmmod", *words)))
    if "-n" in options or "--dry-run" in options:
        return 0
    if not words:
        yield "modprobe: ERROR: missing parameters. See -h."
        return 1
    for name in words[:1] if "-a" not in options else words:
        error = kernel_modules.insert(machine, name)
        if error.startswith("FATAL"):
            yield f"modprobe: {error}"
            return 1
        if error == "install command failed":
            yield f"modprobe: ERROR: could not insert '{name.replace('-', '_')}': Invalid argument"
            return 1
        if error:
            yield f"modprobe: ERROR: could not insert '{name.replace('-', '_')}': {error}"
            return 1
    return 0


@program("insmod")
def insmod(machine: Machine, argv: tuple[str, ...]) -> Program:
    path = argv[1] if len(argv) > 1 else ""
    file = machine.tree.file(path)
    if file is None or file.module is None:
        yield f"insmod: ERROR: could not load module {path}: No such file or directory"
        return 1
    error = kernel_modules.insert(machine, file.module.name)
    if error:
        yield f"insmod: ERROR: could not insert module {path}: {error.removeprefix('FATAL: ')}"
        return 1
    return 0


@program("rmmod")
def rmmod(machine: Machine, argv: tuple[str, ...]) -> Program:
    for name in (word for word in argv[1:] if not word.startswith("-")):
        error = kernel_modules.remove_module(machine, name)
        if error:
            yield f"rmmod: ERROR: {error}"
            return 1
    return 0


@program("lsmod")
def lsmod(machine: Machine, argv: tuple[str, ...]) -> Program:
    yield "Module                  Size  Used by"
    for row in machine.text("/proc/modules").splitlines():
        name, size, count, users = row.split()[:4]
        yield f"{name:<20} {size:>7}  {count} {'' if users == '-' else users.rstrip(',')}"
    return 0


@program("depmod")
def depmod(machine: Machine, argv: tuple[str, ...]) -> Program:
    yield work.Wait(3)
    return 0


@program("modinfo")
def modinfo(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, words = split(argv[1:], "-F", "-k")
    status = 0
    for word in words:
        path, file = word, machine.tree.file(word) if word.startswith("/") else None
        if not word.startswith("/"):
            found = kernel_modules.module_file(machine, word, options.get("-k", ""))
            path, file = found if found else (word, None)
        if file is None or file.module is None:
            yield f"modinfo: ERROR: Module {word} not found."
            status = 1
            continue
        rows = _module_rows(path, file, file.module)
        if options.get("-F"):
            yield from said([value for key, value in rows if key == options["-F"]])
        else:
            yield from said([f"{key + ':':<15} {value}" for key, value in rows])
    return status


def _module_rows(path: str, file: File, module: Module) -> list[tuple[str, str]]:
    rows = [("filename", path)]
    if module.version:
        rows.append(("version", module.version))
    rows += [("license", module.license), ("name", module.name), ("vermagic", module.vermagic)]
    if module.key:
        rows += [
            ("sig_id", "PKCS#7"),
            ("signer", module.signer),
            ("sig_key", module.key),
            ("sig_hashalgo", "sha256"),
        ]
    return rows


# --- initramfs and boot loader ------------------------------------------------------------------------


@program("update-initramfs")
def update_initramfs(machine: Machine, argv: tuple[str, ...]) -> Program:
    options, _ = split(argv[1:], "-k")
    kernel = options.get("-k") or machine.running_kernel
    kernels = machine.kernels() if kernel == "all" else (kernel,)
    for release in kernels:
        if release not in machine.kernels():
            # It makes an image for a kernel that isn't there, and is content (0.148).
            yield f"update-initramfs: Generating /boot/initrd.img-{release}"
            yield f"W: missing /lib/modules/{release}"
            continue
        if not (yield from boot_files.update_initramfs(machine, release)):
            return 1
    return 0


@program("lsinitramfs")
def lsinitramfs(machine: Machine, argv: tuple[str, ...]) -> Program:
    path = argv[-1] if len(argv) > 1 else ""
    release = path.rsplit("initrd.img-", 1)[-1]
    image = machine.images.get(release)
    if image is None or not machine.tree.exists(path):
        yield f"lsinitramfs: {path}: No such file or directory"
        return 1
    yield from said([path for path, _ in (*image.modules, *image.configuration)])
    return 0


@program("update-grub", "grub-mkconfig")
def update_grub(machine: Machine, argv: tuple[str, ...]) -> Program:
    yield from boot_files.update_grub(machine)
    return 0


@program("grub-reboot", "grub-set-default")
def grub_choice(machine: Machine, argv: tuple[str, ...]) -> Program:
    _, words = split(argv[1:], "--boot-directory")
    if not words:
        yield "More than one menu entry?"
        return 1
    values = boot_files.environment_block(machine)
    values["next_entry" if argv[0].endswith("grub-reboot") else "saved_entry"] = words[0]
    boot_files.save_environment(machine, values)
    return 0


@program("grub-editenv")
def grub_editenv(machine: Machine, argv: tuple[str, ...]) -> Program:
    words = [word for word in argv[1:] if not word.startswith("/") and word != "-"]
    values = boot_files.environment_block(machine)
    if words[:1] == ["list"]:
        yield from said([f"{key}={value}" for key, value in values.items()])
        return 0
    if words[:1] == ["set"]:
        values.update(
            {key: value for key, equals, value in (w.partition("=") for w in words[1:]) if equals}
        )
    elif words[:1] == ["unset"]:
        for word in words[1:]:
            values.pop(word, None)
    elif words[:1] != ["create"]:
        yield "grub-editenv: error: unknown command."
        return 1
    boot_files.save_environment(machine, values)
    return 0


@program("reboot", "shutdown", "init")
def reboot(machine: Machine, argv: tuple[str, ...]) -> Program:
    yield from booting.reboot(machine)
    return 0


# --- Secure Boot -----------------------------------------------------------------------------------


@program("mokutil")
def mokutil(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not machine.tree.exists("/usr/bin/mokutil"):
        yield "bash: mokutil: command not found"
        return 127
    options, _words = split(argv[1:], "--import", "-i", "--test-key", "-t")
    firmware = machine.firmware
    if not firmware.efi:
        yield "EFI variables are not supported on this system"
        return 1
    if "--sb-state" in options:
        return (yield from said(f"SecureBoot {'enabled' if firmware.secure_boot else 'disabled'}"))
    for option, keys in (("--list-enrolled", firmware.enrolled), ("--list-new", firmware.pending)):
        if option in options:
            if not keys:
                yield "MokListRT is empty" if option == "--list-enrolled" else "MokNew is empty"
            for number, key in enumerate(keys, 1):
                pairs = ":".join(re.findall("..", key.sha1))
                yield f"[key {number}]"
                yield f"SHA1 Fingerprint: {pairs}"
                yield f"        Subject: CN={key.common_name}"
            return 0 if keys or option == "--list-new" else 1
    if "--list-delete" in options:
        yield "MokDel is empty"
        return 0
    if "--revoke-import" in options:
        firmware.pending, firmware.password = (), ""
        machine.changed()
        return 0
    path = options.get("--import") or options.get("-i") or options.get("--test-key") or (
        options.get("-t") or "")  # fmt: skip
    keys = dkms_tree.keys_in(machine.text(path))
    if not path or not keys:
        yield f"Failed to get file status, {path or 'no file'}"
        return 255
    if keys[0] in firmware.enrolled:
        yield (
            f"SKIP: {path} is already enrolled"
            if "--test-key" not in options
            else f"{path} is already enrolled"
        )
        return 0 if "--test-key" not in options else 1
    if keys[0] in firmware.pending:
        yield f"SKIP: {path} is already in the enrollment request"
        return 0
    if "--test-key" in options or "-t" in options:
        yield f"{path} is not enrolled"
        return 0
    first = yield Ask("input password: ", secret=True)
    second = yield Ask("input password again: ", secret=True)
    if first != second:
        yield "password doesn't match"
        return 255
    firmware.pending = (*firmware.pending, keys[0])
    firmware.password = first.strip("\n")
    machine.changed()
    return 0
