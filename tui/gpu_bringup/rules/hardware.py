"""What people name as hardware besides a board: a whole machine, a switch, a module for the edge."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.catalogue.boards import plain
from gpu_bringup.catalogue.lookup import find_gpu
from gpu_bringup.errors import InputError

if TYPE_CHECKING:
    from gpu_bringup.model.boards import System
    from gpu_bringup.model.catalogue import Catalogue, Gpu

_LINE = re.compile(r"^(?:nvidia )?(dgx|hgx)[ -]+(.+?)(?: (\d+)-?gpu)?$")


def refuse_no_gpu(pci_id: str, catalogue: Catalogue) -> None:
    """Refuse ids of NVIDIA devices that are no GPU.

    Args:
        pci_id: "10de:22a3", in lower case.

    Raises:
        InputError: it is an NVSwitch, or no device at all.
    """
    switches = {
        *catalogue.nvswitch_ids,
        *(i for item in catalogue.systems for i in item.switch_ids),
    }
    if pci_id in switches:
        raise InputError(
            f"{pci_id} is an NVSwitch, not a GPU",
            place="--gpu",
            hint="Name the GPUs beside it: lspci -nn -d 10de: shows them as 3D controllers.",
        )
    if pci_id == "10de:0000":
        raise InputError(
            f"{pci_id} is the id of no GPU",
            place="--gpu",
            hint="lspci -nn -d 10de: shows the ids of the GPUs that are there.",
        )


def jetson_hint(text: str) -> str:
    """What to say of the name of a Jetson module; empty: it is none."""
    if not re.search(r"\b(?:jetson|orin|xavier|tegra)\b", text.lower()):
        return ""
    return "Jetson modules of that kind are in no list of this program, which is for servers. "


def system_named(text: str, catalogue: Catalogue) -> tuple[Gpu, int] | None:
    """The GPU of a machine or baseboard, and how many of them it has: "DGX H100" is 8 H100 SXM.

    Where a machine comes with several kinds of boards, and the name tells none of them, the first
    on record stands for them: they are served alike. None: no machine on record is called so.
    """
    wanted = " ".join(text.lower().split())
    match = _LINE.match(wanted)
    if match is None:
        found = _by_name(wanted, catalogue)
        return _boards(found, catalogue, "") if found is not None else None
    line, model, count = match[1], match[2], match[3]
    named = find_gpu(catalogue, model)
    for system in sorted(catalogue.systems, key=lambda item: -item.gpu_count):
        if line not in system.name.lower() or (count and int(count) != system.gpu_count):
            continue
        if named is not None and named.id in system.gpus:
            return named, system.gpu_count
        if _words(model) <= _words(system.name):
            return _boards(system, catalogue, model)
    found = _by_name(wanted, catalogue)
    return _boards(found, catalogue, "") if found is not None else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _by_name(wanted: str, catalogue: Catalogue) -> System | None:
    """The machine of that id, or with that name among those that it goes by."""
    for system in catalogue.systems:
        names = re.split(r", | and ", system.name)
        if plain(wanted) in {plain(name) for name in (system.id, system.name, *names)}:
            return system
    return None


def _boards(system: System, catalogue: Catalogue, model: str) -> tuple[Gpu, int] | None:
    known = [gpu for gpu in catalogue.gpus if gpu.id in system.gpus]
    known.sort(key=lambda gpu: system.gpus.index(gpu.id))
    fitting = [gpu for gpu in known if model and model in gpu.name.lower()]
    first = next(iter(fitting or known), None)
    return (first, system.gpu_count) if first is not None else None
