"""``gpu-bringup profiles``: list, show or validate scenarios and data."""

from __future__ import annotations

import dataclasses
import difflib
from datetime import date
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.loader import check_folder
from gpu_bringup.catalogue.lookup import find_gpu, suggest_gpus
from gpu_bringup.commands.output import paint, print_json, show, wrap
from gpu_bringup.commands.wish import catalogue_from
from gpu_bringup.errors import ExitCode, InputError
from gpu_bringup.model.catalogue import Branch, Catalogue, Gpu, Scenario

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """List, show or validate; exit status 2 for data that is wrong."""
    as_json = bool(getattr(arguments, "json", False))
    name: str | None = getattr(arguments, "name", None)
    if arguments.action == "validate":
        return _validate(arguments, name, as_json)
    catalogue = catalogue_from(arguments)
    if arguments.action == "list":
        return _list(catalogue, as_json)
    return _show(catalogue, name, as_json)


def _validate(arguments: argparse.Namespace, name: str | None, as_json: bool) -> int:
    catalogue = check_folder(Path(name)) if name else catalogue_from(arguments)
    counts = {
        "scenarios": len(catalogue.scenarios),
        "gpus": len(catalogue.gpus),
        "branches": len(catalogue.branches),
        "releases": len(catalogue.releases),
        "toolkits": len(catalogue.toolkits),
        "distributions": len(catalogue.distributions),
        "sources": len(catalogue.sources),
    }
    if as_json:
        print_json({"schema": 1, "valid": True, "as_of": str(catalogue.as_of), "entries": counts})
    else:
        words = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        show(f"Valid, as of {catalogue.as_of}: {words}.")
    return ExitCode.OK


def _list(catalogue: Catalogue, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "schema": 1,
                "profiles": [
                    {"id": item.id, "title": item.title, "summary": item.summary}
                    for item in catalogue.scenarios.values()
                ],
            }
        )
        return ExitCode.OK
    for item in catalogue.scenarios.values():
        show(f"{paint(item.id, 'bold')}  {item.title}")
        show(wrap(item.summary, 4))
    return ExitCode.OK


def _show(catalogue: Catalogue, name: str | None, as_json: bool) -> int:
    if name is None:
        raise InputError(
            "say which profile, GPU or driver branch to show",
            file="profiles show",
            hint="For example: long-term-stable, H100 or 580. gpu-bringup profiles list has the profiles.",
        )
    kind, entry = _find(catalogue, name)
    if as_json:
        print_json({"schema": 1, kind: _plain(entry)})
        return ExitCode.OK
    if isinstance(entry, Scenario):
        _show_scenario(entry)
    elif isinstance(entry, Gpu):
        _show_gpu(entry, catalogue)
    else:
        _show_branch(entry)
    for source in entry.sources:
        known = catalogue.sources[source]
        show(f"  {known.title}{': ' if known.url else ''}{known.url}")
    return ExitCode.OK


def _find(catalogue: Catalogue, name: str) -> tuple[str, Scenario | Gpu | Branch]:
    """("profile", "gpu" or "branch", the entry of that name)."""
    if name in catalogue.scenarios:
        return "profile", catalogue.scenarios[name]
    branch = catalogue.branches.get(name.upper().removeprefix("R"))
    if branch is not None:
        return "branch", branch
    gpu = find_gpu(catalogue, name)
    if gpu is not None:
        return "gpu", gpu
    near = difflib.get_close_matches(name, catalogue.scenarios, 1) or suggest_gpus(catalogue, name)
    hint = f"Did you mean {' or '.join(near)}?" if near else "gpu-bringup profiles list"
    raise InputError(
        f"there is no profile, GPU or driver branch {name!r}", file="profiles show", hint=hint
    )


def _show_scenario(scenario: Scenario) -> None:
    show(paint(f"{scenario.id}: {scenario.title}", "bold"))
    show(wrap(scenario.summary, 2))
    _rows(
        ("branches", ", ".join(scenario.branch_types)),
        ("support left", f"{scenario.min_support_months} months or more"),
        ("containers", "yes" if scenario.containers else "no"),
        ("holds", "kernel and driver" if scenario.hold else "nothing"),
    )
    if scenario.guide:
        show(wrap(f"the guide of 2024-25 named: {scenario.guide}", 2))
        show(wrap(f"what holds now: {scenario.guide_difference}", 2))


def _show_gpu(gpu: Gpu, catalogue: Catalogue) -> None:
    architecture = catalogue.architectures[gpu.architecture]
    first = gpu.first_driver or f"not known; {architecture.name} from R{architecture.first_branch}"
    show(paint(gpu.name, "bold"))
    _rows(
        ("architecture", f"{architecture.name}, compute capability {gpu.compute_capability}"),
        ("PCI id", ", ".join(gpu.pci_ids)),
        ("first driver", first),
        ("last branch", f"R{architecture.last_branch}" if architecture.last_branch else ""),
        ("open modules", gpu.open_modules),
        ("fabric", gpu.fabric),
        ("memory", f"{gpu.memory_gb:g} GB" if gpu.memory_gb else ""),
        ("also called", ", ".join(gpu.aliases)),
    )
    if gpu.note:
        show(wrap(gpu.note, 2))


def _show_branch(branch: Branch) -> None:
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
    if branch.note:
        show(wrap(branch.note, 2))


def _rows(*rows: tuple[str, str]) -> None:
    for label, text in rows:
        if text:
            show(f"  {label:<16}{text}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return str(value) if isinstance(value, date) else value
