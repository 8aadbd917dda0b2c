"""What all families share: pure helpers over packages and facts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.families.base import Change, PackageManager, SigningScheme
from gpu_bringup.model.plan import Command, Write
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gpu_bringup.model.catalogue import DriverPackage
    from gpu_bringup.model.facts import Facts, SigningKey

BLACKLIST_PATH = "/etc/modprobe.d/gpu-bringup-nouveau.conf"

_DRIVER_PACKAGE = re.compile(
    r"nvidia|^libcuda(?:1|debugger|-)|^cuda-(?:drivers|compat)|^libnv(?:cuvid|optix|sdm)|^libxnvctrl"
    r"|^nvlsm$"
)
_NOT_DRIVER = re.compile(
    # Containers' tools, toolkits and keyrings have versions of their own and need their fixes.
    r"nvidia-container|nvidia-cuda|nvidia-docker|nvidia-driver-pinning|nvidia-fs|keyring|^nvidia-repo"
)

SERVICES = {
    "persistenced": "nvidia-persistenced.service",
    "fabricmanager": "nvidia-fabricmanager.service",
    "imex": "nvidia-imex.service",
    "dcgm": "nvidia-dcgm.service",
    "cdi-refresh": "nvidia-cdi-refresh.service",
    "docker": "docker.service",
    "containerd": "containerd.service",
    "crio": "crio.service",
}

CONTAINER_PACKAGES = ("nvidia-container-toolkit",)


def driver_packages(package: DriverPackage, kernels: Sequence[str]) -> tuple[str, ...]:
    """The package's names with each kernel filled in, the kernel package at its exact version."""
    names = list(package.packages)
    if package.kernel_package and package.kernel_package not in names:
        names.append(package.kernel_package)
    result: list[str] = []
    for name in names:
        pin = ""
        if name == package.kernel_package and package.package_version and "=" not in name:
            pin = f"={package.package_version}"
        each = [name.replace("{kernel}", kernel) for kernel in kernels]
        result += [item + pin for item in (each if "{kernel}" in name else [name])]
    return tuple(dict.fromkeys(result))


def kernel_packages(package: DriverPackage, release: str) -> tuple[str, ...]:
    """Just the package with the modules or their source, for one kernel."""
    wanted = package.kernel_package.replace("{kernel}", release)
    return tuple(
        name
        for name in driver_packages(package, (release,))
        if name.partition("=")[0] == wanted.partition("=")[0]
    )


def dkms_modules(package: DriverPackage, facts: Facts) -> tuple[tuple[str, str], ...]:
    """(module, version) as dkms knows this driver; empty when dkms doesn't have it."""
    if isinstance(facts.modules.dkms, Unknown):
        return ()
    found = dict.fromkeys(
        (build.module, build.version)
        for build in facts.modules.dkms
        if build.module.startswith("nvidia") and build.module != "nvidia-fs"
    )
    versioned = [item for item in found if not package.version or item[1] == package.version]
    named = [item for item in versioned if item[0] in package.module_names]
    return tuple(named or versioned)


def repair_by_dkms(package: DriverPackage, release: str, facts: Facts) -> tuple[Command, ...]:
    """Build and install again for one kernel, even where dkms thinks that it did; may be empty."""
    commands: list[Command] = []
    for module, version in dkms_modules(package, facts):
        for action in ("build", "install"):
            commands.append(
                Command(("dkms", action, "-m", module, "-v", version, "-k", release, "--force"))
            )
    return tuple(commands)


def reinstall(manager: PackageManager, names: Sequence[str], facts: Facts) -> tuple[Command, ...]:
    """Install the same versions again, and hold again what is held: dpkg forgets holds over it.

    apt takes the candidate for it, which may be a later driver than the rest: a driver's package is
    asked for in its own version, in any packaging revision of it.
    """
    listing = facts.packages.installed
    have = {p.name: p for p in listing} if not isinstance(listing, Unknown) else {}
    bare = [name.partition("=")[0] for name in names]
    again = tuple(name for name in bare if name in have and have[name].held)
    if manager.name == "apt":
        names = tuple(
            _same(have[base].version, base) if base in have else name
            for base, name in zip(bare, names, strict=True)
        )
    return (manager.reinstall(names), *((manager.hold(again),) if again else ()))


def _same(version: str, name: str) -> str:
    upstream, dash, _ = version.rpartition("-")
    return f"{name}={upstream}-*" if dash and is_driver_package(name) else name


def _source_gone(package: DriverPackage, facts: Facts) -> bool:
    """Does dkms know this driver while the source that it points to is missing?"""
    known = dkms_modules(package, facts)
    builds = () if isinstance(facts.modules.dkms, Unknown) else facts.modules.dkms
    return any((b.module, b.version) in known and b.source_present is False for b in builds)


def repair_module(
    manager: PackageManager, package: DriverPackage, release: str, facts: Facts
) -> Change:
    """By dkms where it has the source; else the package that carries the module or registers it."""
    commands = repair_by_dkms(package, release, facts) if package.route == "dkms" else ()
    if commands and _source_gone(package, facts):
        # The package brings its source back; dkms then builds from it.
        names = kernel_packages(package, release)
        commands = (*reinstall(manager, names, facts), *commands) if names else commands
    if not commands:
        names = kernel_packages(package, release)
        if not names:
            return Change()
        present = installed_names(facts)
        there = all(name.partition("=")[0] in present for name in names)
        commands = reinstall(manager, names, facts) if there else (manager.install(names),)
    return Change(commands=(*commands, Command(("depmod", "-a", release))))


def installed_names(facts: Facts) -> frozenset[str]:
    """Names of the installed packages that matter; empty when they aren't known."""
    if isinstance(facts.packages.installed, Unknown):
        return frozenset()
    return frozenset(
        package.name.partition(":")[0] for package in facts.packages.installed if package.installed
    )


def is_driver_package(name: str) -> bool:
    """Is this one of the packages that make up a driver (modules, libraries, tools, fabric)?"""
    return bool(_DRIVER_PACKAGE.search(name)) and not _NOT_DRIVER.search(name)


def guard_packages(facts: Facts, kernel_name: re.Pattern[str]) -> tuple[str, ...]:
    """Installed driver packages and those that match ``kernel_name``, in alphabetical order."""
    return tuple(
        sorted(
            name
            for name in installed_names(facts)
            if is_driver_package(name) or kernel_name.match(name)
        )
    )


def blacklist_change(
    initramfs: str, more: tuple[Command, ...] = (), undo: tuple[Command, ...] = ()
) -> Change:
    """A modprobe.d file of our own that keeps nouveau and nova off the GPUs.

    ``initramfs``: the command that an operator runs after taking it back.
    """
    text = (
        "# Written by gpu-bringup: the kernel's own drivers nouveau and nova must not take the\n"
        "# NVIDIA GPUs before NVIDIA's driver does.\n"
        f"# To take it back: remove this file, run `{initramfs}`, reboot.\n"
        "blacklist nouveau\n"
        "options nouveau modeset=0\n"
        "blacklist nova_core\n"
        "blacklist nova_drm\n"
    )
    return Change(writes=(Write(BLACKLIST_PATH, text),), commands=more, undo=undo)


DKMS_KEY, DKMS_CERTIFICATE = "/var/lib/dkms/mok.key", "/var/lib/dkms/mok.pub"
"""Where dkms 3 looks for its pair and makes it (dkms 3.0.10 and 3.2.2, prepare_mok)."""


def own_pair(facts: Facts) -> SigningKey | None:
    """The pair that dkms's configuration names instead of the usual one; None: none named."""
    return next(
        (k for k in facts.secure_boot.keys if k.kind == "dkms" and k.key_path != DKMS_KEY), None
    )


def dkms_scheme(facts: Facts, packages: tuple[str, ...]) -> SigningScheme:
    """dkms signs: with the operator's own pair where its configuration names one, else with its own."""
    own = own_pair(facts)
    key = own.key_path if own is not None else DKMS_KEY
    certificate = own.certificate_path if own is not None else DKMS_CERTIFICATE
    return SigningScheme(
        kind="dkms",
        key_path=key,
        certificate_path=certificate,
        packages=packages,
        make_key=(),
        enrol=enrol(certificate),
        revoke=REVOKE_ENROLMENT,
    )


def signing_kind(facts: Facts, usual: str) -> str:
    """Kind of the key in use: one that dkms is told to take, then an enrolled one, one that exists,
    the usual one.

    Source of the first: dkms takes mok_signing_key before a distribution's key (3.2.2, prepare_mok).
    """
    keys = facts.secure_boot.keys
    if usual != "akmods" and own_pair(facts) is not None:
        return "dkms"

    def first(condition: object) -> str:
        return next((key.kind for key in keys if _holds(key, condition)), "")

    return first("enrolled") or (usual if _has(keys, usual) else first("exists")) or usual


def _holds(key: SigningKey, condition: object) -> bool:
    return key.exists is True and (condition == "exists" or key.enrolled is True)


def _has(keys: Sequence[SigningKey], kind: str) -> bool:
    return any(key.kind == kind and key.exists is True for key in keys)


def enrol(certificate: str) -> Command:
    """Ask shim to enrol a certificate at the next boot; asks for a one-time password twice."""
    return Command(("mokutil", "--import", certificate), interactive=True)


REVOKE_ENROLMENT = Command(
    ("mokutil", "--revoke-import"),
    # 255: no request is waiting any more (it was confirmed at the console), nothing to take back.
    ok_statuses=(0, 255),
)


def major(version: str) -> int | None:
    """First number of a version ("9.8" -> 9); None where there is none."""
    match = re.match(r"\d+", version)
    return int(match[0]) if match else None


def pin_branch(manager: PackageManager, package: DriverPackage) -> Change:
    """Install the packages that keep a branch, where the entry names any."""
    if not package.pin:
        return Change()
    return Change(commands=(manager.install(package.pin),), undo=(manager.remove(package.pin),))
