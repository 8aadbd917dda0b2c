"""From facts and answers to a ``Subject``: which boards, which system, which kernels."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.boards import is_vgpu_name
from gpu_bringup.catalogue.lookup import (
    architecture_of,
    distribution,
    find_gpu,
    gpu_by_pci,
    suggest_gpus,
)
from gpu_bringup.errors import InputError
from gpu_bringup.model.enums import Flavour, SecureBoot
from gpu_bringup.model.gpu_facts import NvmlFacts
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.rules.frameworks import entry_for, framework_named
from gpu_bringup.rules.hardware import jetson_hint, refuse_no_gpu, system_named
from gpu_bringup.rules.release import target_kernel
from gpu_bringup.rules.subject import Board, TargetKernel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpu_bringup.model.answers import Answers
    from gpu_bringup.model.catalogue import Catalogue, DistributionRelease, Framework, Gpu
    from gpu_bringup.model.facts import Facts, PciDevice
    from gpu_bringup.model.kernels import KernelAbi

_RELEASE = re.compile(r"^\d[\w.+~-]{0,63}\Z", re.ASCII)
"""A kernel release: uname(2) holds 64 characters, and they become part of names of packages."""
_PCI_ID = re.compile(r"^(?:0x)?([0-9a-f]{4}):(?:0x)?([0-9a-f]{4})$")


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that names what is spelt most alike, or everything where that is short."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word.lower(), [name.lower() for name in names], 3, 0.5)
    originals = [name for name in names if name.lower() in close]
    if originals:
        return f"Did you mean {' or '.join(originals)}?"
    return f"Known: {', '.join(names[:24])}{', …' if len(names) > 24 else ''}."


def named_board(name: str, catalogue: Catalogue) -> Board:
    """The board that a name or a PCI id stands for.

    Raises:
        InputError: a name that no board has, or an id of another vendor; says what is near.
    """
    text = name.strip().lower()
    match = _PCI_ID.match(text)
    if match:
        if match[1] != "10de":
            raise InputError(
                f"{name} is no NVIDIA device: their vendor id is 10de",
                place="--gpu",
                hint="Give the id as 10de:XXXX (lspci -nn shows it) or the board's name.",
            )
        refuse_no_gpu(f"{match[1]}:{match[2]}", catalogue)
        return board_by_id(f"{match[1]}:{match[2]}", catalogue)
    gpu = find_gpu(catalogue, text)
    if gpu is not None:
        return _listed(gpu, gpu.pci_ids[0] if gpu.pci_ids else "", catalogue)
    if is_vgpu_name(name):
        return Board(name.strip(), vgpu=True)
    machine = system_named(name, catalogue)
    if machine is not None:
        gpu, count = machine
        return replace(_listed(gpu, gpu.pci_ids[0] if gpu.pci_ids else "", catalogue), count=count)
    near = suggest_gpus(catalogue, text)
    hint = f"Did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"no GPU is called {name!r}",
        place="--gpu",
        hint=f"{jetson_hint(text) or hint}A PCI id (10de:XXXX, from lspci -nn) works for every board.",
    )


@lru_cache(maxsize=1024)
def board_by_id(pci_id: str, catalogue: Catalogue, subsystem: str = "") -> Board:
    """The board with a PCI id: listed, placed by its architecture's range, or unknown."""
    pci_id = pci_id.lower()
    gpu = gpu_by_pci(catalogue, pci_id, subsystem.lower())
    if gpu is not None:
        return _listed(gpu, pci_id, catalogue)
    architecture = architecture_of(catalogue, pci_id)
    if architecture is not None:
        return Board(f"NVIDIA {architecture.name} GPU {pci_id}", pci_id, None, architecture)
    return Board(f"NVIDIA GPU {pci_id}", pci_id)


def _detected(device: PciDevice, facts: Facts, catalogue: Catalogue) -> Board:
    """The board of a PCI function; the driver's name for it tells a vGPU where PCI doesn't."""
    board = board_by_id(device.pci_id, catalogue, device.subsystem_id)
    name = next(
        (
            gpu.name
            for gpu in (facts.nvml.gpus if isinstance(facts.nvml, NvmlFacts) else ())
            if device.bus_id and gpu.bus_id.lower().endswith(device.bus_id.lower())
        ),
        board.name,
    )
    if device.vgpu is True or is_vgpu_name(name):
        return replace(
            board, name=name if is_vgpu_name(name) else f"{board.name} (vGPU)", vgpu=True
        )
    return board


def _listed(gpu: Gpu, pci_id: str, catalogue: Catalogue) -> Board:
    return Board(gpu.name, pci_id, gpu, catalogue.architectures.get(gpu.architecture))


def boards_of(
    facts: Facts | None, answers: Answers, catalogue: Catalogue
) -> tuple[Board, ...] | Unknown:
    """The boards to serve, each kind once; those named outrank those detected."""
    if answers.gpus:
        found = [named_board(name, catalogue) for name in answers.gpus]
    elif facts is None:
        found = []
    elif isinstance(facts.pci.gpus, Unknown):
        return facts.pci.gpus
    else:
        found = [_detected(device, facts, catalogue) for device in facts.pci.gpus]
    counts: Counter[str] = Counter()
    for board in found:
        counts[board.name] += board.count
    kinds = {board.name: board for board in found}
    return tuple(replace(board, count=counts[name]) for name, board in kinds.items())


@lru_cache(maxsize=256)
def find_distribution(os: str, catalogue: Catalogue) -> DistributionRelease | None:
    """The release that "debian:13", "ubuntu:24.04.3" or "rocky:9.8" means, or None."""
    name, _, version = os.strip().lower().partition(":")
    # "24.04.3" is release 24.04, "9.8" is release 9, "15-SP7" is release 15.
    fields = re.split(r"[.-]", version)
    for count in range(len(fields), 0, -1):
        found = distribution(catalogue, name, ".".join(fields[:count]))
        if found is not None:
            return found
    return None


def distribution_of(
    facts: Facts | None, answers: Answers, catalogue: Catalogue
) -> tuple[DistributionRelease | None, str]:
    """(the release, what the system calls itself)."""
    if answers.os:
        return find_distribution(answers.os, catalogue), answers.os
    if facts is None or isinstance(facts.os, Unknown):
        return None, ""
    os = facts.os
    for name in (os.id, *os.like):
        found = find_distribution(f"{name}:{os.version}", catalogue)
        if found is not None:
            return found, os.name or f"{os.id} {os.version}"
    return None, os.name or f"{os.id} {os.version}".strip()


def kernels_of(
    facts: Facts | None,
    answers: Answers,
    system: DistributionRelease,
    abis: tuple[KernelAbi, ...] = (),
) -> tuple[tuple[TargetKernel, ...], tuple[str, ...]]:
    """(kernels that the driver must work on, what must be told of kernels left out)."""
    family = system.family
    if answers.kernel:
        return (_kernel(facts, answers.kernel, family, abis),), ()
    if facts is None:
        standard = target_kernel(system.kernel, family=family)
        # A series without a release: good for a first judgement, nothing can be prepared for it.
        return (
            TargetKernel("", standard.upstream, standard.vendor, False, standard.stable_patches),
        ), ()
    installed = () if isinstance(facts.kernels.installed, Unknown) else facts.kernels.installed
    running = facts.kernels.running if isinstance(facts.kernels.running, str) else ""
    releases = [kernel.release for kernel in installed if kernel.bootable]
    # In a chroot or container the running kernel is the host's, not this system's.
    if running and not (releases and _elsewhere(facts) and facts.kernel(running) is None):
        releases.insert(0, running)
    wanted, notes = [], []
    for release in dict.fromkeys(releases):
        kernel = _kernel(facts, release, family, abis)
        known = facts.kernel(release)
        leads = release == running or (known is not None and known.default is True)
        if kernel.realtime and not leads and len(releases) > 1:
            notes.append(
                f"{release} is a real-time kernel, which NVIDIA's modules aren't built for: it is left "
                "out. Don't boot it on this server, or remove it."
            )
            continue
        wanted.append(kernel)
    return tuple(wanted), tuple(notes)


def _kernel(
    facts: Facts | None, release: str, family: str, abis: tuple[KernelAbi, ...]
) -> TargetKernel:
    known = facts.kernel(release) if facts is not None else None
    if known is None:
        return target_kernel(release, family=family, abis=abis)
    realtime = known.realtime if isinstance(known.realtime, bool) else None
    kernel = target_kernel(
        release, family=family, package_version=known.package_version, realtime=realtime, abis=abis
    )
    if not isinstance(known.compiler, str):
        return kernel
    present = known.compiler_present if isinstance(known.compiler_present, bool) else None
    return replace(kernel, compiler=known.compiler, compiler_present=present)


def _elsewhere(facts: Facts) -> bool:
    """Is the running kernel another system's? A container that was given a driver is no image."""
    if isinstance(facts.modules.loaded_version, str):
        return False
    platform = facts.platform
    return platform.chroot is True or (
        not isinstance(platform.container, Unknown) and platform.container is not None
    )


def prepares_only(facts: Facts | None, answers: Answers) -> bool:
    """Is the system prepared for a kernel that doesn't run here (an image, a chroot)?"""
    if facts is None:
        return False
    return _elsewhere(facts) or bool(answers.kernel and answers.kernel != facts.kernels.running)


def secure_boot_of(facts: Facts | None, answers: Answers) -> bool | None:
    """Is Secure Boot on? None: not known."""
    if answers.secure_boot is not None:
        return answers.secure_boot
    if facts is None or isinstance(facts.secure_boot.state, Unknown):
        return None
    return facts.secure_boot.state is SecureBoot.ENABLED


def frameworks_of(answers: Answers, catalogue: Catalogue) -> tuple[Framework, ...]:
    """The framework that was named: its version, else the nearest older one on record (the rules say
    that it is), without a version the newest; none if not known."""
    name, version = framework_named(answers.framework)
    found = entry_for((f for f in catalogue.frameworks if f.id == name), version)
    return (found,) if found is not None else ()


def _looks_like(word: str, known: Iterable[str]) -> bool:
    """Is it a known word, spelt wrong?"""
    names = [name.lower() for name in known]
    return bool(difflib.get_close_matches(word.lower(), names, 1, 0.6))


def validate_answers(answers: Answers, catalogue: Catalogue, *, strict: bool = True) -> None:
    """Check what the operator said against the catalogue.

    A framework that isn't known at all is no mistake: the rules say that what it needs isn't known.

    Args:
        strict: False lets a system pass that isn't known, as long as it is no known one spelt wrong.

    Raises:
        InputError: an unknown scenario, GPU, system, flavour or driver, or no version of a
            framework; with suggestions.
    """
    if answers.scenario not in catalogue.scenarios:
        raise InputError(
            f"no scenario is called {answers.scenario!r}",
            place="--scenario",
            hint=nearest(answers.scenario, catalogue.scenarios),
        )
    for name in answers.gpus:
        named_board(name, catalogue)
    framework, version = framework_named(answers.framework)
    if version and not re.match(r"^[vb]?\d[\w.+-]*\Z", version):
        raise InputError(
            f"{version!r} is no version of {framework}",
            place="--framework",
            hint=f"Give it as {framework}:1.2.3, or leave the version out for the newest.",
        )
    if answers.kernel and not _RELEASE.match(answers.kernel):
        raise InputError(
            f"{answers.kernel!r} is no kernel release",
            place="--kernel",
            hint="Give it as uname -r prints it, such as 6.12.107+deb13-amd64.",
        )
    if answers.os and not re.match(r"^[\w.-]+:[\w.-]+$", answers.os):
        raise InputError(
            f"{answers.os!r} names no system",
            place="--os",
            hint="Give it as ID:VERSION from /etc/os-release, such as debian:13.",
        )
    absent = bool(answers.os) and find_distribution(answers.os, catalogue) is None
    if absent and (strict or misspelt_system(answers.os, catalogue)):
        known = [f"{r.os_id}:{r.version}" for r in catalogue.distributions]
        raise InputError(
            f"the system {answers.os!r} isn't known", place="--os", hint=nearest(answers.os, known)
        )
    if answers.flavour and answers.flavour not in {flavour.value for flavour in Flavour}:
        raise InputError(
            f"no module flavour is called {answers.flavour!r}",
            place="--flavour",
            hint="Known: open, proprietary.",
        )
    _validate_driver(answers.driver, catalogue)


def misspelt_system(os: str, catalogue: Catalogue) -> bool:
    """Is a system's name like a known one, but none? (Another version of a known one is just not known.)"""
    name = os.lower().partition(":")[0]
    known = {release.os_id for release in catalogue.distributions}
    return name not in known and _looks_like(name, known)


def pinned_driver(text: str) -> str:
    """What the operator named as driver, without the R of "R580"."""
    return text.strip().lstrip("Rr")


def _validate_driver(text: str, catalogue: Catalogue) -> None:
    if not text:
        return
    name = pinned_driver(text)
    if not re.match(r"^\d{3}(\.\d+){0,2}$", name):
        raise InputError(
            f"{text!r} is no driver branch or version",
            place="--driver",
            hint="Give a branch (580) or a version (580.178.04).",
        )
    branch = name.split(".")[0]
    if branch not in catalogue.branches:
        raise InputError(
            f"no driver branch {branch} is known",
            place="--driver",
            hint=nearest(branch, catalogue.branches),
        )
