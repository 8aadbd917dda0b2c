"""dkms's tree: what it knows, builds, signs and installs (dkms(8))."""

from __future__ import annotations

import re

from gpu_bringup.hosts.simulated.machine import Key, Machine
from gpu_bringup.hosts.simulated.render import keys_text
from gpu_bringup.hosts.simulated.tree import File, Module
from gpu_bringup.hosts.simulated.work import Wait, Work

NAMES = ("nvidia", "nvidia-uvm", "nvidia-modeset", "nvidia-drm", "nvidia-peermem")
"""NVIDIA's kernel modules, in the order in which dkms.conf names them."""
MOK = "/var/lib/dkms/mok.pub"


def compiler_of(machine: Machine, kernel: str) -> str:
    """The compiler that built a kernel ("gcc-14"); empty: its configuration names none."""
    match = re.search(r'CONFIG_CC_VERSION_TEXT="(\S+)', machine.text(f"/boot/config-{kernel}"))
    if not match:
        return ""
    return re.sub(r"^x86_64-linux-gnu-", "", match[1])


def has_headers(machine: Machine, kernel: str) -> bool:
    """Is there a build tree of this kernel?"""
    return machine.tree.exists(f"/lib/modules/{kernel}/build/Makefile")


def no_headers(kernel: str) -> tuple[str, str]:
    """dkms's words where a kernel has no build tree."""
    base = f"/lib/modules/{kernel}"
    return (
        f"\nError! Your kernel headers for kernel {kernel} cannot be found at {base}/build or "
        f"{base}/source.",
        f"Please install the linux-headers-{kernel} package or use the --kernelsourcedir option to "
        "tell DKMS where it's located.",
    )


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
    return (
        ".ko.xz"
        if "CONFIG_MODULE_COMPRESS_XZ=y" in machine.text(f"/boot/config-{kernel}")
        else ".ko"
    )


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
            if (
                not name.startswith("kernel-")
                and machine.tree.names(f"/var/lib/dkms/{module}/{name}") is not None
            ):
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


def release_of(machine: Machine) -> str:
    """The version of dkms itself ("3.2.2")."""
    item = machine.packages.installed.get("dkms")
    return item.offer.version.split("-")[0] if item is not None else ""


def dkms_compiled(machine: Machine, module: str, version: str, kernel: str) -> bool:
    """Are there modules in dkms's own tree, installed or not?"""
    return machine.tree.exists(f"/var/lib/dkms/{module}/{version}/{kernel}/x86_64/module")


def dkms_build(
    machine: Machine, module: str, version: str, kernel: str, *, install: bool = True
) -> Work:
    """ "build" of dkms(8) for one kernel, and "install" where it is wanted; True: it worked."""
    base = f"/var/lib/dkms/{module}/{version}"
    if not machine.tree.exists(f"{base}/source/dkms.conf"):
        yield f"\nError! {module}/{version} is broken!"
        yield "Missing the source directory or the symbolic link pointing to it."
        yield "Manual intervention is required!"
        return False
    if not has_headers(machine, kernel):
        yield from no_headers(kernel)
        return False
    yield f"Sign command: /lib/modules/{kernel}/build/scripts/sign-file"
    yield "Signing key: /var/lib/dkms/mok.key"
    yield "Public certificate (MOK): /var/lib/dkms/mok.pub"
    yield from make_key(machine)
    yield ""
    yield Wait(180)
    error = failure_of(machine, version, kernel)
    log = f"DKMS (dkms-{release_of(machine)}) make.log for {module}/{version}"
    log += f" for kernel {kernel} (x86_64)\n"
    if error:
        text = log + f"Building module(s)\n{error}\nmake: *** [Makefile:115: modules] Error 2\n"
        machine.write(f"{base}/build/make.log", text)
        yield "Building module(s)...(bad exit status: 2)"
        yield "Failed command:"
        yield (
            f"'make' -j16 NV_EXCLUDE_BUILD_MODULES='' KERNEL_UNAME={kernel} "
            "IGNORE_PREEMPT_RT_PRESENCE=1 modules"
        )
        yield f"\nError! Bad return status for module build on kernel: {kernel} (x86_64)"
        yield f"Consult {base}/build/make.log for more information."
        return False
    if machine.free("/var") < 40_000_000:
        machine.write(
            f"{base}/build/make.log",
            log + "fatal error: error writing to /tmp/cc.s: No space left on device\n",
        )
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
    machine.tree.remove(f"{base}/build")
    machine.changed()
    if install:
        yield from dkms_install(machine, module, version, kernel)
    return True


def dkms_install(machine: Machine, module: str, version: str, kernel: str) -> Work:
    """ "install" of dkms(8): what was built is put where modprobe finds it."""
    extension = _extension(machine, kernel)
    folder = f"/var/lib/dkms/{module}/{version}/{kernel}/x86_64"
    for name in NAMES:
        target = f"/lib/modules/{kernel}/updates/dkms/{name}{extension}"
        yield f"Installing {target}"
        built = machine.tree.file(f"{folder}/module/{name}{extension}")
        assert built is not None
        machine.tree.write(target, built)
    machine.tree.link(
        f"/var/lib/dkms/{module}/kernel-{kernel}-x86_64", f"{version}/{kernel}/x86_64"
    )
    machine.changed()
    yield "Running depmod.... done."
    return True


def dkms_remove(
    machine: Machine, module: str, version: str, kernel: str = "", *, keep: bool = False
) -> Work:
    """Take a version away, for one kernel or from the tree altogether.

    Args:
        keep: leave what was built in dkms's own tree, as "uninstall" does.
    """
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
        folder = f"/lib/modules/{release}/updates/dkms"
        if machine.tree.names(folder) == ():
            machine.tree.remove(folder)
        machine.tree.remove(f"{base}/{name}")
        if not keep:
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
