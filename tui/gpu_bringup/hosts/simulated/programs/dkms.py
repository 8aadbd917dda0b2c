"""dkms: its actions and exit statuses, as dkms 3.2.2 and 3.0.10 have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.hosts.simulated import dkms_tree
from gpu_bringup.hosts.simulated.programs.words import program, said, split

if TYPE_CHECKING:
    from gpu_bringup.hosts.simulated.machine import Machine
    from gpu_bringup.hosts.simulated.work import Program


@program("dkms")
def dkms(machine: Machine, argv: tuple[str, ...]) -> Program:
    if not machine.packages.has("dkms"):
        yield "bash: dkms: command not found"
        return 127
    options, words = split(argv[1:], "-m", "-v", "-k", "-a", "--kernelver", "--arch")
    if "--version" in options:
        return (yield from said(f"dkms-{dkms_tree.release_of(machine)}"))
    action = words[0] if words else "status"
    if action not in _ACTIONS:
        # It says so, and ends well (3.2.2).
        yield '\nError! Unknown action specified: ""'
        return 0
    kernel = options.get("-k") or options.get("--kernelver") or ""
    kernel = kernel.split("/")[0] or machine.running_kernel
    if action == "status":
        return (yield from _status(machine, words[1:], options))
    if action == "autoinstall":
        if not dkms_tree.has_headers(machine, kernel):
            yield from dkms_tree.no_headers(kernel)
            return 21 if dkms_tree.dkms_versions(machine) else 0
        good = yield from dkms_tree.dkms_autoinstall(machine, kernel)
        return 0 if good else 11
    name = words[1] if len(words) > 1 else ""
    module, _, version = name.partition("/")
    module, version = options.get("-m", module), options.get("-v", version)
    if not version and module:
        known = [v for m, v in dkms_tree.dkms_versions(machine) if m == module]
        version = known[-1] if known else ""
    if not module or not version:
        yield "Error! Arguments <module> and <module-version> are not specified."
        return 1
    if (module, version) not in dkms_tree.dkms_versions(machine):
        if action not in ("add", "build", "install"):
            yield f"\nError! The module/version combo: {module}/{version} is not located in the DKMS tree."
            return 3
        # "build" and "install" add what they don't know yet.
        if not machine.tree.exists(f"/usr/src/{module}-{version}/dkms.conf"):
            yield "\nError! Could not find module source directory."
            yield f"Directory: /usr/src/{module}-{version} does not exist."
            return 2
        dkms_tree.dkms_add(machine, module, version)
    if action in ("build", "install"):
        return (yield from _build(machine, action, module, version, kernel, "--force" in options))
    if action in ("unbuild", "uninstall", "remove"):
        everywhere = "" if "--all" in options else kernel
        keep = action == "uninstall"
        yield from dkms_tree.dkms_remove(machine, module, version, everywhere, keep=keep)
    return 0


_ACTIONS = ("add", "remove", "build", "unbuild", "install", "uninstall", "autoinstall", "status")


def _build(
    machine: Machine, action: str, module: str, version: str, kernel: str, force: bool
) -> Program:
    """ "build" or "install" of one kernel."""
    there = f"({machine.architecture}), skip. You may override by specifying --force."
    installed = dkms_tree.dkms_built(machine, module, version, kernel)
    compiled = dkms_tree.dkms_compiled(machine, module, version, kernel)
    if not force and action == "build" and compiled:
        yield f"Module {module}/{version} already built for kernel {kernel} {there}"
        return 0
    if not force and installed:
        yield f"Module {module}/{version} already installed on kernel {kernel} {there}"
        return 0
    if action == "install" and compiled:
        yield from dkms_tree.dkms_install(machine, module, version, kernel)
        return 0
    good = yield from dkms_tree.dkms_build(
        machine, module, version, kernel, install=action == "install"
    )
    if good:
        return 0
    if dkms_tree.has_headers(machine, kernel):
        return 10
    return 1 if dkms_tree.release_of(machine).startswith("3.0.") else 21


def _status(machine: Machine, words: list[str], options: dict[str, str]) -> Program:
    name, _, number = (words[0] if words else "").partition("/")
    name, number = options.get("-m", name), options.get("-v", number)
    wanted = (options.get("-k") or options.get("--kernelver") or "").split("/")[0]
    for module, version in dkms_tree.dkms_versions(machine):
        if (name and module != name) or (number and version != number):
            continue
        if not machine.tree.exists(f"/var/lib/dkms/{module}/{version}/source/dkms.conf"):
            yield f"{module}/{version}: broken"
            continue
        kernels = [
            k
            for k in machine.kernels()
            if dkms_tree.dkms_built(machine, module, version, k) and wanted in ("", k)
        ]
        for kernel in kernels:
            yield f"{module}/{version}, {kernel}, {machine.architecture}: installed"
        built = [
            k
            for k in machine.kernels()
            if k not in kernels
            and wanted in ("", k)
            and dkms_tree.dkms_compiled(machine, module, version, k)
            and not dkms_tree.dkms_built(machine, module, version, k)
        ]
        for kernel in built:
            yield f"{module}/{version}, {kernel}, {machine.architecture}: built"
        if not kernels and not built and not wanted:
            yield f"{module}/{version}: added"
    return 0
