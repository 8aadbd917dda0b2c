"""One trial build: dkms itself, from the very package's sources, in a scratch tree.

Nothing of the host is written: dkms gets a tree, a source tree and kernel sources by option. Where
headers or compiler aren't installed, unpacked copies serve, found through PATH and LD_LIBRARY_PATH.
A failure that comes from this set-up, not from the driver, is told apart (``Outcome.UNDECIDED``):
a build without pahole, conftest or C library headers proves nothing about a driver.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from gpu_bringup.facts.make_log import first_error
from gpu_bringup.hosts.base import Exited, Host, Session
from gpu_bringup.model.plan import Command

if TYPE_CHECKING:
    from collections.abc import Callable


class Outcome(str, Enum):
    PASSED = "passed"
    FAILED = "failed"
    EXCLUDED = "excluded"
    """dkms.conf says that it isn't for this kernel (a real-time kernel)."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class TrialResult:
    outcome: Outcome
    detail: str
    """First error line, or what kept it from being decided."""
    log: Path | None


@dataclass(frozen=True, slots=True)
class DkmsSource:
    """A module source tree with its dkms.conf."""

    name: str
    version: str
    tree: Path
    """The source tree's parent, as ``dkms --sourcetree`` wants it."""

    @property
    def folder(self) -> Path:
        return self.tree / f"{self.name}-{self.version}"


_SET_UP_FAULT = re.compile(
    r"#error \S+ conftest failed|stdarg\.h: No such file|pahole|BTF|resolve_btfids"
    r"|Failed CC sanity check|command not found|No space left on device|cannot find -l"
    r"|error while loading shared libraries|Permission denied"
    r"|linux-(?:headers|kbuild)\S*: No such file|/scripts/\S*: (?:No such file|not found)"
    # 127: a program that make called isn't there; which driver is built has no part in it.
    r"|Error 127\b|(?:gcc|clang|ld|make)[\w.-]*: not found"
)


def find_source(trees: tuple[Path, ...], version: str) -> DkmsSource | None:
    """The NVIDIA source tree with a dkms.conf for this driver version, first tree wins."""
    for tree in trees:
        for conf in sorted(tree.glob("nvidia*/dkms.conf")):
            text = conf.read_text(encoding="utf-8", errors="replace")
            values = dict(re.findall(r'^(PACKAGE_NAME|PACKAGE_VERSION)="?([^"\n]+)"?', text, re.M))
            name, found = values.get("PACKAGE_NAME"), values.get("PACKAGE_VERSION")
            if name and found and (not version or found == version):
                return DkmsSource(name, found, tree)
    return None


def _headers_environment(root: Path, kernel: str) -> dict[str, str]:
    """Variables that lead NVIDIA's Makefile to unpacked headers; empty where there are none."""
    for headers in (
        root / "usr/src" / f"linux-headers-{kernel}",
        root / "usr/src/kernels" / kernel,
    ):
        makefile = headers / "Makefile"
        if not makefile.is_file():
            continue
        text = makefile.read_text(encoding="utf-8", errors="replace")
        source = headers
        # Debian's headers include the common part by its absolute path.
        common = re.search(r"^include (/usr/src/\S+)/Makefile", text, re.M)
        _lead_to_host(root, headers)
        if common:
            source = root / common[1].lstrip("/")
            if not source.is_dir():
                # It is installed already, so it wasn't fetched: the host's own serves.
                return {"SYSSRC": common[1], "SYSOUT": str(headers), "KERNELDIR": str(headers)}
            makefile.write_text(text.replace(common[1], str(source)), encoding="utf-8")
        elif str(root) in text:
            found = re.search(r"^include (\S+)/Makefile", text, re.M)
            source = Path(found[1]) if found else headers
        return {"SYSSRC": str(source), "SYSOUT": str(headers), "KERNELDIR": str(headers)}
    return {}


def _lead_to_host(root: Path, headers: Path) -> None:
    """Let links of unpacked headers lead to what is installed already and so wasn't fetched."""
    for link in headers.iterdir():
        if not link.is_symlink() or link.exists():
            continue
        target = os.path.normpath(headers / link.readlink())
        installed = Path("/") / os.path.relpath(target, root)
        if target.startswith(f"{root}/") and installed.exists():
            link.unlink()
            link.symlink_to(installed)


def build_environment(root: Path, kernel: str, triplet: str) -> dict[str, str]:
    """Environment in which unpacked tools come first and the host's own serve for the rest."""
    usr = root / "usr"
    environment = {
        "PATH": f"{usr}/sbin:{usr}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        **_headers_environment(root, kernel),
    }
    libraries = usr / "lib" / triplet
    if libraries.is_dir():
        environment["LD_LIBRARY_PATH"] = str(libraries)
    perl = [str(path) for path in (usr / "share").glob("perl/*") if path.is_dir()]
    perl += [str(path) for path in libraries.glob("perl/*") if path.is_dir()]
    if perl:
        environment["PERL5LIB"] = ":".join([*perl, str(usr / "share/perl5")])
    return environment


def run_trial(
    host: Host,
    source: DkmsSource,
    kernel: str,
    root: Path,
    *,
    work: Path,
    log: Path,
    triplet: str,
    arch: str,
    root_user: bool,
    opened: Callable[[Session], None],
) -> TrialResult:
    """Compile one driver for one kernel.

    Args:
        root: folder with unpacked headers and tools (may be empty).
        work: scratch folder for dkms's tree; emptied first.
        log: where make's whole log is kept.
        opened: given the session, so that somebody else can interrupt it.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    environment = build_environment(root, kernel, triplet)
    places = ["--dkmstree", str(work), "--sourcetree", str(source.tree)]
    if "SYSOUT" in environment:
        places += ["--kernelsourcedir", environment["SYSOUT"]]
    argv = ["dkms", "build", *places, "-m", source.name, "-v", source.version]
    argv += ["-k", kernel, "-a", arch]
    # dkms wants to be root even for a tree of one's own; a user namespace is enough for that.
    prefix = [] if root_user else ["unshare", "--map-root-user"]
    command = Command(
        argv=(*prefix, *argv), root=False, environment=tuple(sorted(environment.items()))
    )
    session = host.open(command)
    opened(session)
    lines: list[str] = []
    status = 127
    for event in session:
        if isinstance(event, Exited):
            status = event.status
        elif hasattr(event, "lines"):
            lines += event.lines
    tree = work / source.name / source.version
    written = [tree / "build/make.log", *tree.glob(f"{kernel}/*/log/make.log")]
    made = next((path for path in written if path.is_file()), None)
    text = made.read_text(encoding="utf-8", errors="replace") if made else ""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\n".join(lines) + "\n\n" + text, encoding="utf-8")
    modules = sorted(tree.glob(f"{kernel}/*/module/*.ko*"))
    if status == 0 and modules:
        return TrialResult(Outcome.PASSED, f"{len(modules)} modules compiled", log)
    if status == 77:
        return TrialResult(Outcome.EXCLUDED, "its dkms.conf excludes this kernel", log)
    error = first_error(text) or first_error("\n".join(lines)) or (lines[-1] if lines else "")
    # The place inside the driver's sources is what counts, not where this scratch tree was.
    error = error.replace(f"{tree}/build/", "")
    if status != 10 or not text or _SET_UP_FAULT.search(error):
        detail = error or f"dkms ended with status {status}"
        return TrialResult(Outcome.UNDECIDED, detail, log)
    return TrialResult(Outcome.FAILED, error, log)


def objects_done(work: Path, source: DkmsSource) -> float | None:
    """How far a build is, by the objects that exist against the C files there are; None: unknown."""
    build = work / source.name / source.version / "build"
    total = sum(1 for _ in source.folder.rglob("*.c"))
    if not total or not build.is_dir():
        return None
    return min(0.99, sum(1 for _ in build.rglob("*.o")) / total)
