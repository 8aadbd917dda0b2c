"""Entries of the catalogue in words, each with its sources and the days on which they were read."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from datetime import date
from enum import Enum
from typing import Any

from gpu_bringup.commands.output import paint, show, wrap
from gpu_bringup.model.catalogue import Branch, Catalogue, Gpu, Scenario
from gpu_bringup.model.guide import GuideClaim, Origin

_VERDICTS = {
    "true": ("true", "green"),
    "partly": ("partly", "yellow"),
    "false": ("FALSE", "red"),
    "outdated": ("OUTDATED", "red"),
    "unverifiable": ("unproven", "cyan"),
}
_APART = frozenset({"sources", "note", "claims"})
"""Fields that are shown below the others."""


def show_entry(entry: Any, catalogue: Catalogue, origin: Origin | None, file: str) -> None:
    """One entry with all that is known of it."""
    if isinstance(entry, Scenario):
        _scenario(entry, origin)
    elif isinstance(entry, Gpu):
        _gpu(entry, catalogue)
    elif isinstance(entry, Branch):
        _branch(entry)
    elif isinstance(entry, GuideClaim):
        _claim(entry)
    else:
        _any(entry)
    note = getattr(entry, "note", "")
    if note and not isinstance(entry, GuideClaim):
        show(wrap(note, 2))
    show(f"  {'from':<16}{file}")
    _sources(getattr(entry, "sources", ()), catalogue)


def _sources(ids: Iterable[str], catalogue: Catalogue) -> None:
    names = list(ids)
    if names:
        show("  sources")
    for name in names:
        source = catalogue.sources[name]
        show(wrap(source.title, 4))
        show(f"      {source.url}{', ' if source.url else ''}read {source.read}")


def _scenario(scenario: Scenario, origin: Origin | None) -> None:
    taken = dict(origin.inherited) if origin else {}

    def row(label: str, text: str, *fields: str) -> tuple[str, str]:
        owners = dict.fromkeys(taken[name] for name in fields if name in taken)
        return label, f"{text}   (from {', '.join(owners)})" if text and owners else text

    show(paint(f"{scenario.id}: {scenario.title}", "bold"))
    show(wrap(scenario.summary, 2))
    chain = " -> ".join(origin.extends) if origin else ""
    _rows(
        ("extends", chain),
        row("branches", ", ".join(scenario.branch_types), "branch_types"),
        row("support left", f"{scenario.min_support_months} months or more", "min_support_months"),
        row("containers", "yes" if scenario.containers else "no", "containers"),
        row("holds", "kernel and driver" if scenario.hold else "nothing", "hold"),
        row("extras", ", ".join(scenario.extras), "extras"),
        row("systems", ", ".join(scenario.os), "os"),
        row("pinned driver", scenario.pinned_driver, "pinned_driver"),
        row("pinned kernel", scenario.pinned_kernel, "pinned_kernel"),
        row("pinned CUDA", scenario.pinned_cuda, "pinned_cuda"),
    )
    if scenario.guide:
        show(wrap(f"the guide of 2024-25 named: {scenario.guide}", 2))
        show(wrap(f"what holds now: {scenario.guide_difference}", 2))
    if scenario.claims:
        _claim_lines(scenario.claims)
        show("  gpu-bringup profiles show guide NUMBER tells what holds now, why and whence.")


def show_difference(scenario: Scenario | None) -> None:
    """What the guide of 2024-25 named for a scenario and what holds now, below a recommendation."""
    if scenario is None or not scenario.guide:
        return
    show()
    show(paint("What the selection guide of 2024-25 named", "bold"))
    show(wrap(f"{'named':<6} {scenario.guide}", 2))
    show(wrap(f"{'now':<6} {scenario.guide_difference}", 2))
    show(f"  claim by claim: gpu-bringup profiles show {scenario.id}")
    if scenario.guide_driver:
        show("  judged for this host: gpu-bringup recommend --pin guide")


def show_guide(catalogue: Catalogue, documents: str) -> None:
    """Every claim of the guide with its verdict, those of the scenarios first."""
    show(paint(f"The selection guide of 2024-25, claim by claim ({documents})", "bold"))
    for scenario in catalogue.scenarios.values():
        if scenario.claims:
            show()
            show(paint(f"{scenario.id}: {scenario.title}", "bold"))
            _claim_lines(scenario.claims)
    show()
    show(paint("In general", "bold"))
    _claim_lines(catalogue.claims)


def _claim_lines(claims: Iterable[GuideClaim]) -> None:
    for claim in claims:
        word, colour = _VERDICTS[claim.verdict]
        show(f"  {claim.id:>3}  {paint(f'{word:<8}', colour)}  {claim.topic}")
        show(wrap(f'"{claim.said}"', 17))
        show(wrap(f"now: {claim.now}", 17))
        if claim.reason:
            show(wrap(f"why: {claim.reason}", 17))


def _claim(claim: GuideClaim) -> None:
    word, colour = _VERDICTS[claim.verdict]
    show(f"{paint(f'Claim {claim.id}', 'bold')}: {paint(word, colour)} ({claim.topic})")
    _long("the guide says", claim.said)
    _long("what holds now", claim.now)
    _long("why", claim.reason)
    _long("how certain", claim.note)


def _long(label: str, text: str) -> None:
    if text:
        show(wrap(f"{label}: {text}", 2))


def _gpu(gpu: Gpu, catalogue: Catalogue) -> None:
    architecture = catalogue.architectures[gpu.architecture]
    first = gpu.first_driver or f"not known; {architecture.name} from R{architecture.first_branch}"
    last = gpu.last_branch or architecture.last_branch
    show(paint(gpu.name, "bold"))
    _rows(
        ("architecture", f"{architecture.name}, compute capability {gpu.compute_capability}"),
        ("PCI id", ", ".join(gpu.pci_ids)),
        ("first driver", first),
        ("last branch", f"R{last}" if last else ""),
        ("open modules", gpu.open_modules),
        ("fabric", gpu.fabric),
        ("memory", f"{gpu.memory_gb:g} GB" if gpu.memory_gb else ""),
        ("also called", ", ".join(gpu.aliases)),
    )


def _branch(branch: Branch) -> None:
    sure = "" if branch.type_certain else " (not confirmed by any source)"
    show(paint(f"R{branch.id}", "bold"))
    _rows(
        ("type", f"{branch.type}{sure}"),
        ("status", branch.status),
        ("end of support", str(branch.end_of_support or "not known")),
        ("releases", f"{branch.first_release} to {branch.last_release}"),
        ("safe from", branch.security_floor or ""),
        ("CUDA", branch.cuda),
        ("modules", ", ".join(flavour.value for flavour in branch.flavours)),
    )


def _any(entry: Any) -> None:
    heading = short(entry)
    show(paint(heading, "bold"))
    for field in dataclasses.fields(entry):
        value = getattr(entry, field.name)
        text = "" if field.name in _APART else _words(value, field.name)
        if text and text != heading:
            show(wrap(f"{field.name.replace('_', ' '):<15} {text}", 2))


def short(entry: Any) -> str:
    """An entry in a line."""
    for name in ("title", "name", "said", "symptom"):
        text = getattr(entry, name, "")
        if text:
            return str(text)
    values = [getattr(entry, field.name) for field in dataclasses.fields(entry)[:4]]
    return ", ".join(str(getattr(value, "value", value)) for value in values if value is not None)


def _words(value: Any, name: str = "") -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, tuple):
        between = " to " if value and isinstance(value[0], int) else ", "
        hexadecimal = name == "pci_ranges"
        words = [
            f"{item:04x}" if hexadecimal and isinstance(item, int) else _words(item, name)
            for item in value
        ]
        return between.join(word for word in words if word)
    if dataclasses.is_dataclass(value):
        return short(value) if not hasattr(value, "id") else str(value.id)
    return str(value)


def _rows(*rows: tuple[str, str]) -> None:
    for label, text in rows:
        if text:
            show(f"  {label:<16}{text}")


def plain(value: Any) -> Any:
    """An entry as JSON has it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, date) else value
