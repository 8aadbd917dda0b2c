"""A kernel's configuration file and its build tree (headers)."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpu_bringup.facts.ask import any_exists, line
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.facts import Headers
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host


@dataclass(frozen=True, slots=True)
class KernelConfig:
    """What a kernel's configuration says that matters for building modules."""

    compiler_text: str
    """CONFIG_CC_VERSION_TEXT; empty: not named."""
    signature_forced: bool
    signature_hash: str
    realtime: bool
    modules: bool

    @property
    def compiler(self) -> str:
        return compiler_command(self.compiler_text)


def _value(text: str, key: str) -> str:
    match = re.search(rf'(?m)^{key}="?([^"\n]*)"?$', text)
    return match[1] if match else ""


def parse_config(text: str) -> KernelConfig | None:
    """The options that matter; None where the text is no kernel configuration."""
    if "CONFIG_" not in text:
        return None
    return KernelConfig(
        compiler_text=_value(text, "CONFIG_CC_VERSION_TEXT"),
        signature_forced=_value(text, "CONFIG_MODULE_SIG_FORCE") == "y",
        signature_hash=_value(text, "CONFIG_MODULE_SIG_HASH"),
        realtime=_value(text, "CONFIG_PREEMPT_RT") == "y",
        modules=_value(text, "CONFIG_MODULES") == "y",
    )


def compiler_command(version_text: str) -> str:
    """The compiler's command in CONFIG_CC_VERSION_TEXT; empty where it can't be told.

    "gcc-12 (Debian 12.2.0-14) 12.2.0" -> "gcc-12"; "x86_64-linux-gnu-gcc-14 (…)" -> "gcc-14";
    "Ubuntu clang version 18.1.3" -> "clang".
    """
    match = re.search(r"(?:^|[\s-])((?:gcc|clang)(?:-\d+(?:\.\d+)*)?)(?=$|\s)", version_text)
    return match[1] if match else ""


def tree_release(utsrelease: str, kernel_release: str) -> str:
    """The release that a build tree is for; empty where neither file says it.

    utsrelease.h is asked first: Debian's include/config/kernel.release holds the upstream version
    ("6.1.176") while the release is "6.1.0-50-amd64".
    """
    match = re.search(r'#define\s+UTS_RELEASE\s+"([^"]+)"', utsrelease)
    return match[1] if match else kernel_release.strip()


def makefile_include(makefile: str, tree: str) -> str:
    """Path of the Makefile that a build tree's own one includes (Debian, SUSE); empty: none."""
    match = re.search(r"(?m)^-?include\s+(/\S+|\.\.?/\S+)", makefile)
    return posixpath.normpath(posixpath.join(tree, match[1])) if match else ""


def read_config(host: Host, release: str) -> Fact[KernelConfig]:
    """The configuration of a kernel, from /boot, its build tree or its modules folder."""
    unknown: Unknown | None = None
    for path in (
        f"/boot/config-{release}",
        f"/lib/modules/{release}/config",
        f"/lib/modules/{release}/build/.config",
    ):
        answer = host.read_text(path)
        if isinstance(answer, Unknown):
            unknown = answer if unknown is None else unknown
        elif answer is not None:
            config = parse_config(answer)
            if config is not None:
                return config
            unknown = Unknown(f"{path} is no kernel configuration")
    if unknown is not None:
        return unknown
    return Unknown(f"the configuration of kernel {release} is not on this host")


def _missing_parts(host: Host, tree: str) -> Fact[tuple[str, ...]]:
    """Parts of a build tree that are known to be absent, as words."""
    parts: list[tuple[str, Fact[bool]]] = [
        ("Makefile", host.exists(f"{tree}/Makefile")),
        ("Module.symvers", host.exists(f"{tree}/Module.symvers")),
        ("scripts", host.exists(f"{tree}/scripts")),
        (
            ".config",
            any_exists(host, f"{tree}/.config", f"{tree}/include/generated/autoconf.h"),
        ),
    ]
    makefile = host.read_text(f"{tree}/Makefile", limit=4096)
    if isinstance(makefile, str):
        included = makefile_include(makefile, host_path(host, tree))
        if included:
            parts.append((included, host.exists(included)))
    missing = tuple(name for name, present in parts if present is False)
    if missing:
        return missing
    return next((present for _, present in parts if isinstance(present, Unknown)), ())


def host_path(host: Host, path: str) -> str:
    """The path behind all links, or the path itself where that isn't known."""
    answer = host.resolve(path)
    return answer if isinstance(answer, str) else path


def observe_headers(host: Host, release: str) -> Headers:
    """The build tree behind /lib/modules/RELEASE/build."""
    tree = f"/lib/modules/{release}/build"
    link = host.read_link(tree)
    target = (
        posixpath.normpath(posixpath.join(posixpath.dirname(tree), link))
        if isinstance(link, str)
        else tree
    )
    present = host.exists(tree)
    if isinstance(present, Unknown):
        return Headers(present, path=target)
    if not present:
        detail = (
            f"{tree} points to {target}, which does not exist"
            if isinstance(link, str)
            else f"{tree} does not exist"
        )
        return Headers(HeadersState.MISSING, path=target, detail=detail)
    missing = _missing_parts(host, tree)
    if isinstance(missing, Unknown):
        return Headers(missing, path=target)
    utsrelease = line(host, f"{tree}/include/generated/utsrelease.h")
    kernel_release = line(host, f"{tree}/include/config/kernel.release")
    found = tree_release(
        utsrelease if isinstance(utsrelease, str) else "",
        kernel_release if isinstance(kernel_release, str) else "",
    )
    if missing:
        return Headers(
            HeadersState.INCOMPLETE, target, found, f"missing in {target}: {', '.join(missing)}"
        )
    if not found:
        for answer in (utsrelease, kernel_release):
            if isinstance(answer, Unknown):
                return Headers(answer, path=target)
        return Headers(
            HeadersState.INCOMPLETE, target, "", f"{target} doesn't say which kernel it is for"
        )
    if found != release:
        return Headers(
            HeadersState.MISMATCH, target, found, f"{target} is the build tree of {found}"
        )
    return Headers(HeadersState.COMPLETE, target, found)
