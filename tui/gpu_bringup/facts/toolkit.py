"""The CUDA toolkit, where there is one (serving models needs none: frameworks bring their own)."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names, output
from gpu_bringup.model.facts import PackageFacts, ToolkitFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_FOLDER = "/usr/local/cuda"


def parse_version_json(text: str) -> str:
    """ "13.0" from a toolkit's version.json; empty where it doesn't say."""
    try:
        value = json.loads(text)["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        return ""
    match = re.match(r"\d+\.\d+", str(value))
    return match[0] if match else ""


def parse_nvcc(text: str) -> str:
    """ "13.0" from ``nvcc --version``; empty where it doesn't say."""
    match = re.search(r"release (\d+\.\d+)", text)
    return match[1] if match else ""


def from_packages(packages: PackageFacts) -> str:
    """Newest toolkit among installed packages ("cuda-nvcc-13-0"); empty: none."""
    installed = packages.installed if isinstance(packages.installed, tuple) else ()
    found: list[tuple[int, int]] = []
    for package in installed:
        match = re.fullmatch(r"cuda-(?:toolkit|nvcc|compiler)-(\d+)-(\d+)", package.name)
        if match and package.installed:
            found.append((int(match[1]), int(match[2])))
        elif package.name == "nvidia-cuda-toolkit" and package.installed:
            own = re.match(r"(\d+)\.(\d+)", package.version)
            if own:
                found.append((int(own[1]), int(own[2])))
    return "{}.{}".format(*max(found)) if found else ""


def observe(host: Host, packages: PackageFacts) -> ToolkitFacts:
    description = host.read_text(f"{_FOLDER}/version.json", limit=65_536)
    version = parse_version_json(description) if isinstance(description, str) else ""
    if version:
        return ToolkitFacts(version, _FOLDER)
    packaged = from_packages(packages)
    folder = _FOLDER if names(host, _FOLDER) else ""
    if packaged:
        return ToolkitFacts(packaged, folder or "/usr")
    if host.kind == "recorded":
        answer = output(host, "nvcc", "--version")
        if isinstance(answer, str) and parse_nvcc(answer):
            return ToolkitFacts(parse_nvcc(answer), folder)
    if folder:
        return ToolkitFacts(Unknown(f"{folder} is there but doesn't say its version"), folder)
    unknown: Fact[str | None] = None
    if isinstance(description, Unknown):
        unknown = description
    return ToolkitFacts(unknown)
