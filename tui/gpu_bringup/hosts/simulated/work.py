"""What maintainer scripts, dkms and the boot do to a machine. Generators yield what is printed."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Union

from gpu_bringup.hosts.simulated.machine import Image, Key, Loaded, Machine
from gpu_bringup.hosts.simulated.render import keys_text
from gpu_bringup.hosts.simulated.tree import File, Module


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes: seconds of the machine's clock."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """The program waits for an answer."""

    text: str
    secret: bool = False


Said = Union[str, Wait, Ask]
Work = Generator[Said, str, bool]
Program = Generator[Said, str, int]

NAMES = ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm", "nvidia-peermem")
"""NVIDIA's kernel modules, in the order in which dkms.conf names them."""
_USES = {
    "nvidia_uvm": ("nvidia",),
    "nvidia_modeset": ("nvidia",),
    "nvidia_drm": ("nvidia_modeset",),
    "nvidia_peermem": ("nvidia",),
}
MOK = "/var/lib/dkms/mok.pub"
_SIGN_HASH = "sha256"


# --- dkms ------------------------------------------------------------------------------------------


def compiler_of(machine: Machine, kernel: str) -> str:
    """The compiler that built a kernel ("gcc-14"); empty: its configuration names none."""
    match = re.search(r'CONFIG_CC_VERSION_TEXT="(\S+)', machine.text(f"/boot/config-{kernel}"))
    if not match:
        return ""
    return re.sub(r"^x86_64-linux-gnu-", "", match[1])


def has_headers(machine: Machine, kernel: str) -> bool:
    """Is there a build tree of this kernel?"""
    return machine.tree.exists(f"/lib/modules/{kernel}/build/Makefile")


def make_key(machine: Machine) -> list[str]:
    """dkms's own key pair, made where there is none; the lines that tell of it."""
    if machine.tree.exists(MOK):
        return []
    key = Key.made("DKMS module signing key", f"{machine.name} {machine.clock}")
    machine.tree.write("/var/lib/dkms/mok.key", File("PRIVATE KEY", 0o600, modified=machine.clock))
    machine.write(MOK, keys_text((key,)))
    return ["Certificate or key are missing, generating self signed certificate for MOK..."]


def keys_in(text: str) -> tuple[Key, ...]:
    """The keys in a certificate file of the tree."""
    found = []
    for row in text.splitlines()[1:]:
        parts = row.split("|")
        if len(parts) == 3:
            found.append(Key(*parts))
    return tuple(found)


def signing_key(machine: Machine) -> Key | None:
    """The key that dkms signs with."""
    found = keys_in(machine.text(MOK))
    return found[0] if found else None


def _extension(machine: Machine, kernel: str) -> str:
    return ".ko.xz" if "CONFIG_MODULE_COMPRESS_XZ=y" in machine.text(f"/boot/config-{kernel}") else ".ko"


def vermagic(kernel: str) -> str:
    """The vermagic of a module that was built for a kernel."""
    return f"{kernel} SMP preempt mod_unload modversions "


def dkms_flavour(machine: Machine, module: str, version: str) -> str:
    """Licence of the module that a source tree builds."""
    text = machine.text(f"/usr/src/{module}-{version}/dkms.conf")
    return "NVIDIA" if "FLAVOUR=proprietary" in text else "Dual MIT/GPL"


def failure_of(machine: Machine, version: str, kernel: str) -> str:
    """The compiler's error of a build that fails; empty: it works."""
    for driver, release, error in machine.builds:
        if version.startswith(driver) and kernel.startswith(release):
            return error
    compiler = compiler_of(machine, kernel)
    if compiler and not machine.tree.exists(f"/usr/bin/{compiler}"):
        return f"/bin/sh: 1: {compiler}: not found"
    return ""


def dkms_versions(machine: Machine) -> tuple[tuple[str, str], ...]:
    """(module, version) of everything that dkms knows."""
    found = []
    for module in machine.tree.names("/var/lib/dkms") or ():
        for name in machine.tree.names(f"/var/lib/dkms/{module}") or ():
            if not name.startswith("kernel-") and machine.tree.names(f"/var/lib/dkms/{module}/{name}") is not None:
                found.append((module, name))
    return tuple(found)


def dkms_built(machine: Machine, module: str, version: str, kernel: str) -> bool:
    """Is this version built and installed for a kernel?"""
    base = f"/var/lib/dkms/{module}"
    link = machine.tree.own_node(f"{base}/kernel-{kernel}-x86_64")
    target = getattr(link, "target", "")
    return bool(target == f"{version}/{kernel}/x86_64")


def dkms_add(machine: Machine, module: str, version: str) -> None:
    machine.tree.link(f"/var/lib/dkms/{module}/{version}/source", f"/usr/src/{module}-{version}")
    machine.changed()


def dkms_build(machine: Machine, module: str, version: str, kernel: str) -> Work:
    """Build for one kernel: "build" and "install" of dkms(8); True: it is installed."""
    base = f"/var/lib/dkms/{module}/{version}"
    if not machine.tree.exists(f"{base}/source/dkms.conf"):
        yield f"\nError! {module}/{version} is broken!"
        yield "Missing the source directory or the symbolic link pointing to it."
        yield "Manual intervention is required!"
        return False
    if not has_headers(machine, kernel):
        yield f"\nError! Your kernel headers for kernel {kernel} cannot be found at /lib/modules/{kernel}/build or /lib/modules/{kernel}/source."
        yield f"Please install the linux-headers-{kernel} package or use the --kernelsourcedir option to tell DKMS where it's located."
        return False
    yield f"Sign command: /lib/modules/{kernel}/build/scripts/sign-file"
    yield "Signing key: /var/lib/dkms/mok.key"
    yield "Public certificate (MOK): /var/lib/dkms/mok.pub"
    for line in make_key(machine):
        yield line
    yield ""
    yield Wait(180)
    error = failure_of(machine, version, kernel)
    log = f"DKMS (dkms-3.2.2) make.log for {module}/{version} for kernel {kernel} (x86_64)\n"
    if error:
        text = log + f"Building module(s)\n{error}\nmake: *** [Makefile:115: modules] Error 2\n"
        machine.write(f"{base}/build/make.log", text)
        yield "Building module(s)...(bad exit status: 2)"
        yield "Failed command:"
        yield f"'make' -j16 NV_EXCLUDE_BUILD_MODULES='' KERNEL_UNAME={kernel} IGNORE_PREEMPT_RT_PRESENCE=1 modules"
        yield f"\nError! Bad return status for module build on kernel: {kernel} (x86_64)"
        yield f"Consult {base}/build/make.log for more information."
        return False
    if machine.free("/var") < 40_000_000:
        machine.write(f"{base}/build/make.log", log + "fatal error: error writing to /tmp/cc.s: No space left on device\n")
        yield "Building module(s)...(bad exit status: 2)"
        yield f"\nError! Bad return status for module build on kernel: {kernel} (x86_64)"
        yield f"Consult {base}/build/make.log for more information."
        return False
    yield "Building module(s)....... done."
    key = signing_key(machine)
    extension = _extension(machine, kernel)
    folder = f"{base}/{kernel}/x86_64"
    machine.write(f"{folder}/log/make.log", log + "Building module(s)\n# exit code: 0\n")
    for name in NAMES:
        yield f"Signing module {base}/build/{name}.ko"
        info = Module(
            name.replace("-", "_"),
            version,
            dkms_flavour(machine, module, version),
            vermagic(kernel),
            key.common_name if key else "",
            key.key_id if key else "",
        )
        file = File("", 0o644, 3_000_000, machine.clock, info)
        machine.tree.write(f"{folder}/module/{name}{extension}", file)
    for name in NAMES:
        target = f"/lib/modules/{kernel}/updates/dkms/{name}{extension}"
        yield f"Installing {target}"
        built = machine.tree.file(f"{folder}/module/{name}{extension}")
        assert built is not None
        machine.tree.write(target, built)
    machine.tree.remove(f"{base}/build")
    machine.tree.link(f"/var/lib/dkms/{module}/kernel-{kernel}-x86_64", f"{version}/{kernel}/x86_64")
    machine.changed()
    yield "Running depmod.... done."
    return True


def dkms_remove(machine: Machine, module: str, version: str, kernel: str = "") -> Work:
    """Take a version away, for one kernel or from the tree altogether."""
    base = f"/var/lib/dkms/{module}"
    found = False
    for name in machine.tree.names(base) or ():
        link = machine.tree.own_node(f"{base}/{name}")
        target = getattr(link, "target", "")
        release = name.removeprefix("kernel-").removesuffix("-x86_64")
        if not target.startswith(f"{version}/") or (kernel and release != kernel):
            continue
        found = True
        yield f"Module {module}/{version} for kernel {release} (x86_64):"
        yield "Before uninstall, this module version was ACTIVE on this kernel."
        for item in NAMES:
            for extension in (".ko.xz", ".ko"):
                path = f"/lib/modules/{release}/updates/dkms/{item}{extension}"
                if machine.tree.remove(path):
                    yield f"Deleting {path}"
        machine.tree.remove(f"{base}/{name}")
        machine.tree.remove(f"{base}/{version}/{release}")
        yield "Running depmod.... done."
    if not kernel and machine.tree.remove(f"{base}/{version}"):
        found = True
        yield f"\nDeleting module {module}/{version} completely from the DKMS tree."
        if not machine.tree.names(base):
            machine.tree.remove(base)
    machine.changed()
    return found


def dkms_autoinstall(machine: Machine, kernel: str) -> Work:
    """Build whatever isn't there yet for a kernel; True: nothing failed."""
    good = True
    for module, version in dkms_versions(machine):
        if dkms_built(machine, module, version, kernel):
            continue
        yield f"Autoinstall of module {module}/{version} for kernel {kernel} (x86_64)"
        good = (yield from dkms_build(machine, module, version, kernel)) and good
    return good


# --- initramfs and boot loader ------------------------------------------------------------------------


_CONFIGURATION = ("/etc/modprobe.d", "/usr/lib/modprobe.d")


def graphics_modules(machine: Machine, kernel: str) -> tuple[tuple[str, str], ...]:
    """(path, version) of the graphics drivers that an initramfs of this kernel takes along."""
    wanted = machine.text("/etc/initramfs-tools/modules").split()
    found = []
    for path, node in machine.tree.walk(f"/usr/lib/modules/{kernel}"):
        if isinstance(node, File) and node.module is not None:
            if node.module.name in wanted or node.module.name.replace("_", "-") in wanted:
                found.append((path.removeprefix("/"), node.module.version))
    return tuple(found)


def update_initramfs(machine: Machine, kernel: str) -> Work:
    """Make an initramfs anew; True: it is there."""
    yield f"update-initramfs: Generating /boot/initrd.img-{kernel}"
    yield Wait(20)
    old = machine.tree.file(f"/boot/initrd.img-{kernel}")
    if machine.free("/boot") < 70_000_000:
        yield "gzip: stdout: No space left on device"
        yield "E: mkinitramfs failure gzip 1"
        yield f"update-initramfs: failed for /boot/initrd.img-{kernel} with 1."
        return False
    configuration = tuple(
        (path.removeprefix("/"), node.text)
        for folder in _CONFIGURATION
        for path, node in machine.tree.walk(folder)
        if isinstance(node, File) and path.endswith(".conf")
    )
    machine.images[kernel] = Image(graphics_modules(machine, kernel), configuration)
    size = 60_000_000 if old is None or old.size is None else old.size
    machine.tree.write(
        f"/boot/initrd.img-{kernel}", File("", 0o644, size, machine.clock)
    )
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
    text = "# GRUB Environment Block\n" + "".join(f"{key}={value}\n" for key, value in values.items())
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


# --- modules ---------------------------------------------------------------------------------------


def module_file(machine: Machine, name: str) -> tuple[str, File] | None:
    """The file that modprobe would load for the running kernel: updates before the kernel's own."""
    name = name.replace("-", "_")
    found: list[tuple[int, str, File]] = []
    for path, node in machine.tree.walk(f"/usr/lib/modules/{machine.running_kernel}"):
        if isinstance(node, File) and node.module is not None and node.module.name == name:
            found.append((0 if "/updates/" in path else 1, path, node))
    if not found:
        return None
    _, path, file = min(found, key=lambda item: item[:2])
    return path.replace("/usr/lib/modules/", "/lib/modules/", 1), file


def blacklisted(machine: Machine) -> frozenset[str]:
    """Modules that modprobe.d keeps from being loaded by alias."""
    return _blacklist(
        node.text
        for folder in _CONFIGURATION
        for path, node in machine.tree.walk(folder)
        if isinstance(node, File) and path.endswith(".conf")
    )


def _blacklist(texts: object) -> frozenset[str]:
    assert hasattr(texts, "__iter__")
    found: set[str] = set()
    for text in texts:
        for row in str(text).splitlines():
            words = row.split()
            if len(words) >= 2 and words[0] == "blacklist":
                found.add(words[1].replace("-", "_"))
    return frozenset(found)


def switched_off(machine: Machine, name: str) -> bool:
    """Does modprobe.d replace its loading by another command ("install NAME /bin/false")?"""
    for folder in _CONFIGURATION:
        for path, node in machine.tree.walk(folder):
            if isinstance(node, File) and path.endswith(".conf"):
                for row in node.text.splitlines():
                    words = row.split()
                    if len(words) >= 3 and words[0] == "install" and words[1].replace("-", "_") == name:
                        if words[2].endswith(("/false", "/true")):
                            return True
    return False


def insert(machine: Machine, name: str, *, explicit: bool = True) -> str:
    """Load a module and those that it needs; the error's words, empty where it is loaded."""
    name = name.replace("-", "_")
    if name in machine.loaded:
        return ""
    if switched_off(machine, name):
        return "install command failed"
    found = module_file(machine, name)
    if found is None:
        return f"FATAL: Module {name} not found in directory /lib/modules/{machine.running_kernel}"
    for needed in _USES.get(name, ()):
        error = insert(machine, needed, explicit=False)
        if error:
            return error
    return _load(machine, found[1])


def _load(machine: Machine, file: File) -> str:
    module = file.module
    assert module is not None
    name = module.name
    if not module.vermagic.startswith(machine.running_kernel + " "):
        machine.say(
            f"{name}: version magic '{module.vermagic}' should be '{vermagic(machine.running_kernel)}'"
        )
        return "Exec format error"
    if machine.firmware.secure_boot and module.signer != "kernel" and not _trusted(machine, module):
        machine.say(
            "Loading of module with unavailable key is rejected"
            if module.key
            else "Loading of unsigned module is rejected"
        )
        return "Key was rejected by service"
    if name == "nvidia":
        error = _probe(machine, module)
        if error:
            return error
        if "nouveau" in machine.loaded:
            machine.say("NVRM: GPU 0000:17:00.0 is already bound to nouveau.")
            return "No such device"
    machine.loaded[name] = Loaded(module, _USES.get(name, ()))
    machine.changed()
    return ""


def _trusted(machine: Machine, module: Module) -> bool:
    return bool(module.key) and any(key.key_id == module.key for key in machine.firmware.enrolled)


def _probe(machine: Machine, module: Module) -> str:
    branch = int(module.version.split(".")[0])
    open_modules = module.license != "NVIDIA"
    seen = 0
    for gpu in machine.gpus:
        if gpu.pci_class == "068000":
            continue
        if gpu.fallen_off:
            machine.say(f"NVRM: GPU {gpu.bus_id}: GPU has fallen off the bus.")
            continue
        if not gpu.first_driver <= branch <= gpu.last_driver:
            machine.say(
                f"NVRM: The NVIDIA GPU {gpu.bus_id} (PCI ID: 10de:{gpu.device})\n"
                f"NVRM: installed in this system is not supported by the\n"
                f"NVRM: NVIDIA {module.version} driver release."
            )
            continue
        if gpu.open_only and not open_modules:
            machine.say(
                f"NVRM: The NVIDIA GPU {gpu.bus_id} (PCI ID: 10de:{gpu.device}) installed in this system "
                "requires use of the NVIDIA open kernel modules."
            )
            continue
        seen += 1
    if not seen:
        machine.say("NVRM: No NVIDIA GPU found.")
        return "No such device"
    kind = "Open Kernel Module for x86_64" if open_modules else "x86_64 Kernel Module"
    machine.say(f"NVRM: loading NVIDIA UNIX {kind}  {module.version}  Release Build")
    return ""


def holders(machine: Machine, name: str) -> list[str]:
    """What keeps a module from being taken out: modules and programs."""
    found = [other for other, item in machine.loaded.items() if name in item.users]
    if name in ("nvidia", "nvidia_uvm"):
        found += [job.command.split()[0] for job in machine.jobs if job.gpus]
        found += [u.name for u in machine.units.values() if u.running and u.needs_driver]
    return found


def remove_module(machine: Machine, name: str) -> str:
    """Take a module out of the kernel; the error's words, empty where it is gone."""
    name = name.replace("-", "_")
    if name not in machine.loaded:
        return f"Module {name} is not currently loaded"
    held = holders(machine, name)
    if held:
        modules = [item for item in held if item in machine.loaded]
        return f"Module {name} is in use" + (f" by: {' '.join(modules)}" if modules else "")
    del machine.loaded[name]
    machine.happened("module-unloaded", name)
    machine.changed()
    return ""


# --- boot ------------------------------------------------------------------------------------------


def reboot(machine: Machine) -> Work:
    """Restart: MokManager where keys wait, the chosen kernel, modules by their aliases, services."""
    machine.happened("reboot", machine.running_kernel)
    for job in machine.jobs:
        if job.important:
            machine.happened("job-killed", job.command)
    machine.jobs = ()
    firmware = machine.firmware
    if firmware.pending and firmware.efi:
        answer = yield Ask("MokManager: Press any key to perform MOK management [10 s, empty: let it pass]: ")
        if answer.strip():
            typed = yield Ask("Enroll MOK > Continue > Yes. Password: ", secret=True)
            if typed.strip("\n") == firmware.password:
                firmware.enrolled = (*firmware.enrolled, *firmware.pending)
                yield "The system must now be rebooted"
            else:
                yield "Password doesn't match"
        firmware.pending, firmware.password = (), ""
    start(machine)
    return True


def start(machine: Machine) -> None:
    """What happens from the boot loader to the login."""
    machine.running_kernel = chosen_kernel(machine)
    machine.boot += 1
    machine.clock += 150
    machine.booted = machine.clock - 40
    machine.loaded = {}
    machine.log = ()
    release = machine.running_kernel
    machine.say(f"Linux version {release}")
    state = "enabled" if machine.firmware.secure_boot else "disabled"
    if machine.firmware.efi:
        machine.say(f"secureboot: Secure boot {state}")
    machine.firmware.lockdown = "integrity" if machine.firmware.secure_boot else "none"
    image = machine.images.get(release, Image())
    early = _blacklist(text for _, text in image.configuration)
    for path, _ in image.modules:
        name = posixpath.basename(path).split(".")[0].replace("-", "_")
        if name not in early:
            insert(machine, name)
    if "nouveau" not in machine.loaded:
        off = blacklisted(machine)
        if machine.gpus and "nvidia" not in off and module_file(machine, "nvidia") is not None:
            error = insert(machine, "nvidia")
            if not error:
                insert(machine, "nvidia_uvm")
                insert(machine, "nvidia_modeset")
        if "nvidia" not in machine.loaded and "nouveau" not in off:
            insert(machine, "nouveau")
    for name, unit in list(machine.units.items()):
        works = not unit.needs_driver or _service_works(machine, name)
        machine.units[name] = replace(unit, running=unit.enabled and works)
    machine.changed()


def _service_works(machine: Machine, name: str) -> bool:
    if "nvidia" not in machine.loaded:
        return False
    if "fabricmanager" in name:
        driver = machine.loaded["nvidia"].module.version
        manager = machine.packages.installed.get("nvidia-fabricmanager")
        return manager is not None and manager.offer.version.split("-")[0] == driver
    return True
