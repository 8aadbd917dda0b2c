"""Reads ``profiles/`` and an operator's additions into one ``Catalogue``.

Later folders replace entries of earlier ones by id: the project's, then ``/etc/gpu-bringup/profiles``,
then the one named by ``--profiles``. Source: one TOML file a subject, closed schemas.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_bringup.catalogue.found import Found, Layer
from gpu_bringup.catalogue.kinds import KINDS
from gpu_bringup.catalogue.reader import Failed, toml_files
from gpu_bringup.errors import InputError
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.stack import Stack
from gpu_bringup.model.versions import driver_key
from gpu_bringup.paths import OPERATOR_PROFILES
from gpu_bringup.resources import data_folder

__all__ = ["KINDS", "Survey", "check_folder", "collect", "examine", "id_of", "load", "survey"]


@dataclass(frozen=True)
class Survey:
    """Everything that could be read, and what is wrong with the rest."""

    catalogue: Catalogue
    problems: tuple[InputError, ...]
    """One for each file or entry that was left out; names file, place and what is expected."""
    entries: dict[str, dict[str, Any]]
    """Kind -> id -> entry, of every kind."""
    files: dict[tuple[str, str], str]
    """(kind, id) -> the file that the entry stands in."""


def collect(layers: Iterable[Layer]) -> Catalogue:
    """One catalogue of all layers, later ones replacing entries of earlier ones.

    Raises:
        InputError: an entry is wrong; names the file and the key.
    """
    found = Found()
    found.read(layers)
    found.check()
    return _catalogue(found)


def _survey(layers: Iterable[Layer], problems: list[InputError]) -> Survey:
    found = Found(problems.append)
    found.read(layers)
    found.check()
    names = {
        kind: {id_of(kind, entry): entry for entry in entries.values()}
        for kind, entries in found.entries.items()
    }
    files = {
        (kind, id_of(kind, entry)): found.file_of(key)
        for kind, entries in found.entries.items()
        for key, entry in entries.items()
    }
    return Survey(_catalogue(found), tuple(problems), names, files)


def id_of(kind: str, entry: Any) -> str:
    """What makes an entry of a kind the same one, in a word: "h200", "debian:13"."""
    parts = (getattr(entry, name) for name in KINDS[kind][1])
    return ":".join(str(getattr(part, "value", part)) for part in parts if part)


def _catalogue(found: Found) -> Catalogue:
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
        kernel_abis=tuple(found.of("kernel_abi")),
        package_limits=tuple(found.of("package_limit")),
        vendor_kernels=tuple(found.of("vendor_kernel")),
        distributions=tuple(found.of("distribution")),
        repositories={item.id: item for item in found.of("repository")},
        frameworks=tuple(found.of("framework")),
        scenarios={item.id: item for item in found.of("scenario")},
        kernel_series_end={
            item.series: item.end_of_life for item in found.of("kernel_series") if item.end_of_life
        },
        as_of=found.as_of,
        claims=tuple(found.of("claim")),
        origins=found.origins(),
        stack=Stack(
            bulletins=tuple(
                sorted(found.of("bulletin"), key=lambda b: driver_key(b.id), reverse=True)
            ),
            known_bad=tuple(found.of("known_bad")),
            components=tuple(found.of("component")),
            component_releases=tuple(found.of("component_release")),
            forward=tuple(found.of("forward_compatibility")),
            images=tuple(found.of("base_image")),
        ),
        chips=tuple(found.of("chip")),
        systems=tuple(found.of("system")),
        archives=tuple(found.of("archive_fabric")),
        advice=tuple(found.of("advice")),
        void_settings=tuple(found.of("void_setting")),
    )


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        # Names that are too long, or a folder above it that this user may not enter.
        raise InputError(f"it can't be read: {error.strerror}", file=str(path)) from error


def _own_layers(failed: Failed | None) -> list[Layer]:
    layers = [Layer("project", toml_files(data_folder("profiles"), "profiles", failed))]
    if _is_folder(OPERATOR_PROFILES):
        files = toml_files(OPERATOR_PROFILES, str(OPERATOR_PROFILES), failed)
        layers.append(Layer("host", files))
    return layers


def _layers(extra: Path | None, failed: Failed | None = None) -> list[Layer]:
    layers = _own_layers(failed)
    if extra is not None:
        if not _is_folder(extra):
            raise InputError(
                "there is no such folder", file=f"--profiles {extra}", hint="Name a folder."
            )
        layers.append(Layer("folder", toml_files(extra, str(extra), failed)))
    return layers


def load(extra: Path | None = None) -> Catalogue:
    """The project's data, the host's own additions, and those in ``extra``.

    Raises:
        InputError: an entry is wrong, or ``extra`` is no folder.
    """
    return collect(_layers(extra))


def survey(extra: Path | None = None) -> Survey:
    """The same, but what is wrong is told and left out.

    Raises:
        InputError: ``extra`` is no folder.
    """
    problems: list[InputError] = []
    return _survey(_layers(extra, problems.append), problems)


def examine(path: Path) -> Survey:
    """The project's data with one file or folder on top, and everything that is wrong with it.

    Raises:
        InputError: there is nothing there.
    """
    if _is_folder(path):
        return survey(path)
    try:
        there = path.exists() or path.is_symlink()
    except OSError as error:
        raise InputError(f"it can't be read: {error.strerror}", file=str(path)) from error
    if not there:
        raise InputError("there is no such file or folder", file=str(path))
    problems: list[InputError] = []
    layers = [*_own_layers(problems.append), Layer("folder", [(str(path), path)])]
    return _survey(layers, problems)


def check_folder(path: Path) -> Catalogue:
    """The project's data with one file or folder on top, to see whether that is right.

    Raises:
        InputError: an entry is wrong, or there is nothing there.
    """
    examined = examine(path)
    if examined.problems:
        raise examined.problems[0]
    return examined.catalogue
