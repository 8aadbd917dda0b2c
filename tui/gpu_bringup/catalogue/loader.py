"""Reads ``profiles/`` and an operator's additions into one ``Catalogue``.

Later folders replace entries of earlier ones by id: the project's, then ``/etc/gpu-bringup/profiles``,
then the one named by ``--profiles``. Source: one TOML file a subject, closed schemas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_bringup.catalogue.entries import build, fail, guess
from gpu_bringup.catalogue.reader import read_files, toml_files
from gpu_bringup.catalogue.references import References, check_ranges
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import (
    Architecture,
    Branch,
    Build,
    Catalogue,
    DistributionRelease,
    DriverRelease,
    Framework,
    Gpu,
    KernelLimit,
    KernelSeries,
    NvSwitch,
    PackageRepository,
    Scenario,
    Source,
    StableBreak,
    Toolkit,
)
from gpu_bringup.paths import OPERATOR_PROFILES
from gpu_bringup.resources import data_folder

if TYPE_CHECKING:
    from importlib.abc import Traversable

# Table name in a file -> (dataclass, what makes an entry the same one).
KINDS: dict[str, tuple[type, tuple[str, ...]]] = {
    "source": (Source, ("id",)),
    "architecture": (Architecture, ("id",)),
    "gpu": (Gpu, ("id",)),
    "nvswitch": (NvSwitch, ("pci_id",)),
    "branch": (Branch, ("id",)),
    "release": (DriverRelease, ("version",)),
    "toolkit": (Toolkit, ("version",)),
    "kernel_limit": (KernelLimit, ("driver", "flavour")),
    "kernel_series": (KernelSeries, ("series",)),
    "stable_break": (StableBreak, ("id",)),
    "build": (Build, ("driver", "package", "flavour", "kernel")),
    "distribution": (DistributionRelease, ("os_id", "version")),
    "repository": (PackageRepository, ("id",)),
    "framework": (Framework, ("id", "version")),
    "scenario": (Scenario, ("id",)),
}


@dataclass
class _Found:
    """Entries of all layers, by kind and by what makes them the same one."""

    entries: dict[str, dict[tuple[Any, ...], Any]] = field(
        default_factory=lambda: {kind: {} for kind in KINDS}
    )
    places: dict[tuple[Any, ...], tuple[int, str, str]] = field(default_factory=dict)
    """(kind, identity) -> (layer, file, key path)."""
    as_of: date = date.min

    def of(self, kind: str) -> list[Any]:
        return list(self.entries[kind].values())


def _as_of(value: Any, name: str) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise fail(f"{value!r} isn't a date such as 2026-11-22 (without quotes)", name, "as_of")
    return value


def read_table(data: dict[str, Any], name: str, found: _Found, layer: int) -> None:
    """Take every entry of one parsed file.

    Args:
        layer: number of the folder it comes from; within one, each entry may stand once.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    for kind, tables in data.items():
        if kind == "as_of":
            found.as_of = max(found.as_of, _as_of(tables, name))
            continue
        if kind not in KINDS:
            near = guess(kind, KINDS)
            known = "" if near else f"; there are {', '.join(KINDS)}"
            raise fail(f"unknown kind of entry {kind!r}{near}{known}", name, kind)
        if not isinstance(tables, list):
            raise fail(f"write [[{kind}]], not [{kind}]: there may be several", name, kind)
        cls, identity = KINDS[kind]
        for number, table in enumerate(tables, 1):
            label = table.get(identity[0]) if isinstance(table, dict) else None
            place = f"{kind} {label!r}" if isinstance(label, str) else f"{kind} number {number}"
            entry: Any = build(cls, table, name, place)
            key = (kind, *(getattr(entry, item) for item in identity))
            other = found.places.get(key)
            if other is not None and other[0] == layer:
                raise fail(f"this entry stands in {other[1]} already", name, place)
            found.entries[kind][key] = entry
            found.places[key] = (layer, name, place)


def _check_together(found: _Found) -> None:
    references = References(
        sources={item.id for item in found.of("source")},
        architectures={item.id for item in found.of("architecture")},
        branches={item.id for item in found.of("branch")},
        repositories={item.id for item in found.of("repository")},
    )
    for entries in found.entries.values():
        for key, entry in entries.items():
            references.check(entry, found.places[key][1:])
    check_ranges(
        (entry, found.places[key][1:]) for key, entry in found.entries["architecture"].items()
    )


def collect(layers: Iterable[Iterable[tuple[str, Traversable]]]) -> Catalogue:
    """One catalogue of all layers, later ones replacing entries of earlier ones.

    Args:
        layers: the files of each folder, as (name for errors, file).

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    found = _Found()
    for layer, files in enumerate(layers):
        for name, content in read_files(files):
            read_table(content, name, found, layer)
    _check_together(found)
    return Catalogue(
        sources={item.id: item for item in found.of("source")},
        architectures={item.id: item for item in found.of("architecture")},
        gpus=tuple(found.of("gpu")),
        nvswitch_ids=tuple(item.pci_id for item in found.of("nvswitch")),
        branches={item.id: item for item in found.of("branch")},
        releases={item.version: item for item in found.of("release")},
        toolkits=tuple(found.of("toolkit")),
        kernel_limits=tuple(found.of("kernel_limit")),
        stable_breaks=tuple(found.of("stable_break")),
        builds=tuple(found.of("build")),
        distributions=tuple(found.of("distribution")),
        repositories={item.id: item for item in found.of("repository")},
        frameworks=tuple(found.of("framework")),
        scenarios={item.id: item for item in found.of("scenario")},
        kernel_series_end={
            item.series: item.end_of_life for item in found.of("kernel_series") if item.end_of_life
        },
        as_of=found.as_of,
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        # Names that are too long, or a folder above it that this user may not enter.
        raise InputError(f"it can't be read: {error.strerror}", file=str(path)) from error


def _own_layers() -> list[Iterable[tuple[str, Traversable]]]:
    layers: list[Iterable[tuple[str, Traversable]]] = [
        toml_files(data_folder("profiles"), "profiles")
    ]
    if _is_folder(OPERATOR_PROFILES):
        layers.append(toml_files(OPERATOR_PROFILES, str(OPERATOR_PROFILES)))
    return layers


def load(extra: Path | None = None) -> Catalogue:
    """The project's data, the host's own additions, and those in ``extra``.

    Raises:
        InputError: an entry is wrong, or ``extra`` is no folder.
    """
    layers = _own_layers()
    if extra is not None:
        if not _is_folder(extra):
            raise InputError(
                "there is no such folder", file=f"--profiles {extra}", hint="Name a folder."
            )
        layers.append(toml_files(extra, str(extra)))
    return collect(layers)


def check_folder(path: Path) -> Catalogue:
    """The project's data with one file or folder on top, to see whether that is right.

    Raises:
        InputError: an entry is wrong, or there is nothing there.
    """
    if _is_folder(path):
        return load(path)
    if not path.exists():
        raise InputError("there is no such file or folder", file=str(path))
    return collect([*_own_layers(), [(str(path), path)]])
