"""Where facts leave two causes: the one read-only command whose answer decides. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.loaded import module_stem
from gpu_bringup.ladder.signing import host_key
from gpu_bringup.ladder.view import gpus
from gpu_bringup.ladder.words import ev
from gpu_bringup.model.bars import unset_bars
from gpu_bringup.model.enums import HeadersState
from gpu_bringup.model.ladder import LadderReport, RungResult
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.ladder.base import Context

Judge = Callable[[int, str], "tuple[str, str]"]
"""Exit status and output of the command -> (cause, the line that says so); ("", ""): undecided."""


@dataclass(frozen=True, slots=True)
class Decider:
    """A question to the host that separates causes."""

    rung: str
    argv: tuple[str, ...]
    between: tuple[str, ...]
    """Ids of the causes that remain."""
    why: str
    """What its answer tells, in a sentence."""
    judge: Judge
    root: bool = False
    """Only root gets a whole answer."""


def _line(pattern: str, output: str) -> str:
    found = re.search(rf"(?m)^.*(?:{pattern}).*$", output)
    return found[0].strip() if found else ""


def _initramfs(ctx: Context, root: RungResult) -> Decider | None:
    names = {item.cause for item in root.causes}
    pair = ("driver-library-mismatch", "initramfs-stale-module")
    running = ctx.facts.kernels.running
    if not set(pair) <= names or not isinstance(running, str):
        return None
    apt = ctx.family is not None and ctx.family.manager.name == "apt"
    argv = (
        ("lsinitramfs", f"/boot/initrd.img-{running}")
        if apt
        else ("lsinitrd", f"/boot/initramfs-{running}.img")
    )

    def judge(status: int, output: str) -> tuple[str, str]:
        inside = _line(r"/nvidia[\w-]*\.ko(?:\.\w+)?\b", output)
        if inside:
            return pair[1], inside
        return (pair[0], "no nvidia module in it") if status == 0 and output.strip() else ("", "")

    why = "an old module in the initramfs is loaded before the file system is seen"
    return Decider(root.id, argv, pair, why, judge)


def _bar(ctx: Context, root: RungResult) -> Decider | None:
    names = [item.cause for item in root.causes]
    found = gpus(ctx)
    if "rminit-failed-hardware" not in names or len(found) != 1:
        return None
    if isinstance(found[0].bars_unset, tuple):
        return None
    pair = ("bar-not-assigned", "rminit-failed-hardware")
    argv = ("cat", f"/sys/bus/pci/devices/{found[0].bus_id}/resource")

    def judge(status: int, output: str) -> tuple[str, str]:
        if status != 0 or not output.strip():
            return "", ""
        bars = unset_bars(output)
        return (pair[0], f"BAR {bars[0]} has no address") if bars else (pair[1], "all BARs are set")

    return Decider(root.id, argv, pair, "the firmware may have given the GPU no window", judge)


def _not_loaded(ctx: Context, root: RungResult) -> Decider | None:
    if root.id != "loaded" or not root.causes or root.causes[0].cause != "module-not-loaded":
        return None
    pair = ("module-not-loaded", "module-blacklisted", "kernel-upgraded-module-not-built")
    argv = ("modprobe", "--dry-run", "--verbose", module_stem(ctx, "nvidia"))

    def judge(status: int, output: str) -> tuple[str, str]:
        kept = _line(r"^install .*/?bin/(?:false|true)", output)
        if kept:
            return pair[1], kept
        absent = _line(r"not found in directory", output)
        if absent:
            return pair[2], absent
        would = _line(r"^insmod ", output)
        return (pair[0], would) if status == 0 and would else ("", "")

    why = "it says what loading would do, and what is in its way, without doing it"
    return Decider(root.id, argv, pair, why, judge)


def _enrolled(ctx: Context, root: RungResult) -> Decider | None:
    key = host_key(ctx)
    if root.id != "signature" or key is None or key.exists is False or key.enrolled is True:
        return None
    if root.causes and root.causes[0].cause != "sb-mok-not-enrolled":
        return None
    pair = ("sb-mok-not-enrolled", "sb-key-not-trusted-by-kernel")

    def judge(status: int, output: str) -> tuple[str, str]:
        there = _line(r"is already enrolled", output)
        if there:
            return pair[1], there
        waiting = _line(r"is not enrolled|already in the enrollment request", output)
        return (pair[0], waiting) if waiting else ("", "")

    why = "mokutil asks the firmware whether it knows this very key"
    return Decider(
        root.id, ("mokutil", "--test-key", key.certificate_path), pair, why, judge, root=True
    )


def _headers(ctx: Context, root: RungResult) -> Decider | None:
    """Are the headers only missing, or does no repository have them any more?"""
    if root.id != "headers" or not root.causes or root.causes[0].cause != "headers-missing":
        return None
    lacking = next(
        (
            release
            for release, kernel in ctx.kernels()
            if kernel is not None and kernel.headers.state is HeadersState.MISSING
        ),
        "",
    )
    if not lacking or ctx.family is None:
        return None
    name = next(iter(ctx.family.header_packages(lacking)), "").partition("=")[0]
    pair = ("headers-missing", "kernel-devel-unavailable")
    why = "a repository keeps the headers of recent kernels only"
    if ctx.family.manager.name == "apt":
        argv: tuple[str, ...] = ("apt-cache", "policy", name)
    elif ctx.family.manager.name == "dnf":
        argv = ("dnf", "-q", "-C", "repoquery", "--showduplicates", name)
    else:
        return None

    def judge(status: int, output: str) -> tuple[str, str]:
        if status != 0:
            return "", ""
        offered = _line(r"Candidate: (?!\(none\))\S", output) or _line(r"-devel", output)
        if offered:
            return pair[0], offered
        gone = _line(r"Candidate: \(none\)|Unable to locate", output)
        return (pair[1], gone or f"{name}: no repository has it")

    return Decider(root.id, argv, pair, why, judge)


_PROBE_FAILED = (
    r"conftest\d*\.c:\d+:\d+: error:|cannot use keyword .false. as enumeration constant"
    r"|.bool. cannot be defined via .typedef."
)
_STRICT_GCC = 14
"""From this gcc on, what used to be warnings in the driver's probes are errors."""


def _judge_probe(status: int, output: str) -> tuple[str, str]:
    probe = _line(_PROBE_FAILED, output)
    if probe:
        return "compiler-too-new-for-driver", probe
    none = "no probe of the driver failed to compile"
    return ("dkms-build-api-break", none) if status == 1 else ("", "")


def _build_log(ctx: Context, root: RungResult) -> Decider | None:
    """Is the driver's source too old for the kernel, or are its probes too old for the compiler?

    Sources: NVIDIA/open-gpu-kernel-modules issue 597, NixOS/nixpkgs issue 370208.
    """
    if root.id != "module" or not root.causes or root.causes[0].cause != "dkms-build-api-break":
        return None
    builds = ctx.facts.modules.dkms
    for build in () if isinstance(builds, Unknown) else builds:
        kernel = ctx.facts.kernel(build.kernel) if build.kernel else None
        if build.state != "failed" or not build.log_path or kernel is None:
            continue
        if build.probes_hold is True:
            # The log was read whole already: no probe is at fault.
            continue
        text = kernel.compiler_text if isinstance(kernel.compiler_text, str) else ""
        version = re.search(r"\b(\d+)\.\d+(?:\.\d+)?\b", text)
        if "gcc" not in text or version is None or int(version[1]) < _STRICT_GCC:
            continue
        pair = ("dkms-build-api-break", "compiler-too-new-for-driver")
        argv = ("grep", "-m", "3", "-E", _GREP, build.log_path)

        why = f"{build.kernel} was built by gcc {version[1]}, at which older drivers' probes fail"
        return Decider(root.id, argv, pair, why, _judge_probe)
    return None


_GREP = (
    "conftest[0-9]*\\.c:[0-9]+:[0-9]+: error:|cannot use keyword .false. as enumeration constant"
    "|.bool. cannot be defined via .typedef."
)
"""The same for grep -E, which has no \\d."""
_ALL = (_initramfs, _bar, _not_loaded, _enrolled, _headers, _build_log)


def decider(ctx: Context, report: LadderReport) -> Decider | None:
    """The command that decides between the causes that remain; None: nothing is open, or none does."""
    root = report.root_cause
    if root is None:
        # A rung that couldn't be judged may be decided all the same.
        root = next(
            (r for r in report.rungs if r.id == "signature" and r.state.value == "unknown"), None
        )
    if root is None:
        return None
    return next((found for make in _ALL if (found := make(ctx, root)) is not None), None)


def decided(report: LadderReport, asked: Decider, cause_id: str, line: str) -> LadderReport:
    """The report with the cause that the answer named first; the others lose their weight."""
    told = ev(shlex.join(asked.argv), line)

    def again(result: RungResult) -> RungResult:
        if result.id != asked.rung:
            return result
        old = next((item for item in result.causes if item.cause == cause_id), None)
        first = cause(cause_id, 0.97, told, *(old.evidence if old is not None else ()))
        rest = tuple(
            replace(item, confidence=min(item.confidence, 0.1))
            for item in result.causes
            if item.cause != cause_id
        )
        return replace(result, causes=(first, *rest))

    return replace(report, rungs=tuple(again(result) for result in report.rungs))
