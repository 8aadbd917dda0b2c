"""libcuda and libnvidia-ml as the dynamic linker finds them (ld.so(8), ldconfig(8))."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import names, output
from gpu_bringup.model.facts import Library, LibraryFacts
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

SONAMES = ("libcuda.so.1", "libnvidia-ml.so.1")
_ELSEWHERE = (
    "/usr/local/nvidia/lib64",
    "/opt/nvidia/lib64",
    "/usr/lib64/nvidia",
    "/usr/lib/nvidia",
    "/usr/lib/nvidia/current",
    "/usr/lib/x86_64-linux-gnu/nvidia/current",
    "/usr/local/lib",
    "/home/kubernetes/bin/nvidia/lib64",
    "/run/nvidia/driver/usr/lib/x86_64-linux-gnu",
    "/run/nvidia/driver/usr/lib64",
)
"""Where driver libraries are put that the linker's cache doesn't list by itself."""
_ENTRY = re.compile(r"^\s*(\S+) \(([^)]*)\) => (\S+)\s*$")
_64_BIT = re.compile(r"x86-64|AArch64")
_VERSION = re.compile(r"\.so\.(\d+\.\d+(?:\.\d+)?)$")
_DEFAULTS = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/lib64",
    "/usr/lib64",
)
"""Searched after the cache, so a library there is found even where ldconfig has not run."""


@lru_cache(maxsize=64)
def parse_ldconfig(text: str) -> tuple[tuple[str, str], ...]:
    """(soname, path) of 64-bit driver libraries in ``ldconfig -p``, in the linker's order."""
    found = []
    for raw in text.splitlines():
        # Of hundreds of lines two or four are asked for.
        match = _ENTRY.match(raw) if SONAMES[0] in raw or SONAMES[1] in raw else None
        if match and match[1] in SONAMES and _64_BIT.search(match[2]):
            found.append((match[1], match[3]))
    return tuple(found)


def version_in(path: str) -> str:
    """Driver version in a library's real file name; empty: it carries none."""
    match = _VERSION.search(path)
    return match[1] if match else ""


def _beside(host: Host, soname: str, path: str) -> str:
    """The one version of the library in the same folder; empty: none, or several."""
    stem = soname.removesuffix(".1") + "."
    versions = {
        version_in(name)
        for name in names(host, posixpath.dirname(path))
        if name.startswith(stem) and version_in(name)
    }
    return versions.pop() if len(versions) == 1 else ""


def _library(host: Host, soname: str, path: str) -> Library:
    stub = "/stubs/" in path
    real = host.resolve(path)
    if isinstance(real, str):
        version: Fact[str] = version_in(real) or Unknown(f"{real} carries no version in its name")
        return Library(soname, path, version, stub or "/stubs/" in real, real)
    if real is None:
        return Library(soname, path, Unknown(f"{path} points to nothing"), stub)
    return Library(soname, path, _beside(host, soname, path) or real, stub)


def unique(libraries: list[Library]) -> tuple[Library, ...]:
    """Entries that lead to one file are one library: the first in the order stays."""
    seen: set[tuple[str, str]] = set()
    found = []
    for item in libraries:
        key = (item.soname, item.real_path or item.path)
        if key not in seen:
            seen.add(key)
            found.append(item)
    return tuple(found)


def observe(host: Host) -> LibraryFacts:
    found: list[Library] = []
    variable = host.environment("LD_LIBRARY_PATH")
    folders = variable.split(":") if isinstance(variable, str) else []
    for folder in (item.rstrip("/") for item in folders if item.startswith("/")):
        for soname in SONAMES:
            if host.exists(f"{folder}/{soname}") is True:
                found.append(_library(host, soname, f"{folder}/{soname}"))
    answer = output(host, "ldconfig", "-p")
    if isinstance(answer, Unknown):
        return LibraryFacts(unique(found) if found else answer)
    found += [_library(host, soname, path) for soname, path in parse_ldconfig(answer)]
    for folder in _DEFAULTS:
        for soname in SONAMES:
            if host.exists(f"{folder}/{soname}") is True:
                found.append(_library(host, soname, f"{folder}/{soname}"))
    if any(item.soname == SONAMES[0] for item in found):
        return LibraryFacts(unique(found))
    paths = [f"{folder}/{SONAMES[0]}" for folder in _ELSEWHERE]
    return LibraryFacts(unique(found), tuple(path for path in paths if host.exists(path) is True))
