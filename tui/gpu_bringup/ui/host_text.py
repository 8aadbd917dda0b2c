"""What a host is, in two lines or a small table. Pure."""

from __future__ import annotations

from collections import Counter

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Facts
from gpu_bringup.summary import host_json
from gpu_bringup.ui.words import MUTED, column, lines


def host_card(facts: Facts, catalogue: Catalogue, wide: bool) -> Content:
    """System, kernel, GPUs and Secure Boot: four lines where there is room, else two."""
    data = host_json(facts, catalogue)
    names = Counter(
        f"{gpu['name']} ({gpu['architecture']})"
        if gpu["architecture"] != "unknown"
        else gpu["name"]
        for gpu in data["gpus"]
    )
    gpus = ", ".join(f"{count} x {name}" for name, count in names.items())
    if not gpus:
        gpus = tr("no NVIDIA GPU seen on the PCI bus")
    system, kernel = data["os"]["name"], data["kernel"]["running"]
    boot = data["secure_boot"]
    if not wide:
        return lines(
            [
                Content.assemble((system, "bold"), tr(", kernel "), (kernel, "bold")),
                Content.assemble((gpus, "bold"), tr(", Secure Boot "), (boot, "bold")),
            ]
        )
    later = [release for release in data["kernel"]["bootable"] if release != kernel]
    also = tr("  also bootable: {releases}").format(releases=", ".join(later)) if later else ""
    rows = (
        (tr("System"), system, ""),
        (tr("Kernel"), kernel, also),
        (tr("GPUs"), gpus, ""),
        (tr("Secure Boot"), boot, ""),
    )
    return lines(
        Content.assemble((column(name, 13), MUTED), (value, "bold"), (more, MUTED))
        for name, value, more in rows
    )
