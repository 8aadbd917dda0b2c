"""Rung 13: NVML sees every GPU on the bus, and each of them is healthy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.log_causes import log_causes
from gpu_bringup.ladder.view import board, gpus, later, link_widths, log_lines, short_bus
from gpu_bringup.ladder.words import Say, counted, ev, listed, plural
from gpu_bringup.ladder.xid import faults, not_read
from gpu_bringup.model.gpu_facts import NvmlFacts, NvmlGpu
from gpu_bringup.model.unknown import Unknown

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.plan import Step

say = Say("nvml")
HOT = 90
"""Degrees Celsius from which heat is worth a word (data-centre boards slow down near 90)."""


def _number(value: object, otherwise: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _health(ctx: Context, gpu: NvmlGpu) -> tuple[list[Cause], list[str]]:
    causes: list[Cause] = []
    words: list[str] = []
    where = f"NVML, GPU {gpu.index} ({gpu.bus_id})"
    if gpu.remapped_failed is True:
        words.append(f"GPU {gpu.index}: memory rows could not be remapped, replace the board")
        causes.append(cause("xid-ecc-row-remap", 0.97, ev(where, "row remapping failed")))
    elif gpu.remapped_pending is True:
        words.append(f"GPU {gpu.index}: a memory row waits to be remapped, reset the GPU")
        causes.append(cause("xid-ecc-row-remap", 0.92, ev(where, "a row remap is pending")))
    if _number(gpu.ecc_uncorrected) > 0:
        words.append(
            f"GPU {gpu.index}: {gpu.ecc_uncorrected} uncorrected memory errors since the boot"
        )
        text = f"{gpu.ecc_uncorrected} uncorrected ECC errors"
        causes.append(cause("xid-ecc-row-remap", 0.8, ev(where, text)))
    width, most, source = link_widths(ctx, gpu)
    if 0 < width < most:
        words.append(f"GPU {gpu.index}: PCIe link x{width} instead of x{most}")
        text = f"PCIe link x{width}, x{most} is possible ({source})"
        causes.append(cause("pcie-link-degraded", 0.75, ev(where, text)))
    return causes, words


def _failed(nvml: NvmlFacts) -> tuple[list[Cause], list[str], list[str]]:
    """(causes, words, what only this user may not read) of GPUs that NVML counts but can't read."""
    causes: list[Cause] = []
    words: list[str] = []
    closed: list[str] = []
    for text in nvml.failed:
        if re.search(r"permission", text, re.IGNORECASE):
            closed.append(text)
            continue
        lost = re.search(r"is lost|fallen off", text, re.IGNORECASE)
        name = "xid-79-fallen-off-bus" if lost else "gpu-missing-in-nvml"
        words.append(f"NVML cannot read {text}")
        causes.append(cause(name, 0.85, ev("NVML", text)))
    return causes, words, closed


def _describe(gpu: NvmlGpu) -> Evidence:
    words = [gpu.name]
    if isinstance(gpu.memory_total, int):
        words.append(f"{gpu.memory_total / 2**30:.0f} GiB")
    if isinstance(gpu.ecc_enabled, bool):
        words.append(f"ECC {'on' if gpu.ecc_enabled else 'off'}")
    if isinstance(gpu.remapped_rows, int):
        words.append(plural(gpu.remapped_rows, "remapped row"))
    if isinstance(gpu.pcie_generation, int) and isinstance(gpu.pcie_width, int):
        words.append(f"PCIe gen {gpu.pcie_generation} x{gpu.pcie_width}")
    if isinstance(gpu.temperature, int):
        hot = ", hot" if gpu.temperature >= HOT else ""
        words.append(f"{gpu.temperature} °C{hot}")
    if isinstance(gpu.persistence, bool):
        words.append(f"persistence {'on' if gpu.persistence else 'off'}")
    if gpu.mig is True:
        words.append("MIG on")
    return ev(f"NVML, GPU {gpu.index} ({gpu.bus_id})", ", ".join(words))


def _unseen(ctx: Context, nvml: NvmlFacts) -> tuple[str, ...]:
    seen = {short_bus(gpu.bus_id) for gpu in nvml.gpus}
    if any(not gpu.bus_id for gpu in nvml.gpus) and len(nvml.gpus) >= len(gpus(ctx)):
        # It didn't say which they are.
        return ()
    return tuple(d.bus_id for d in gpus(ctx) if short_bus(d.bus_id) not in seen)


def _no_answer(ctx: Context) -> RungResult:
    if ctx.facts.nvml is None:
        told = ev("libnvidia-ml.so.1", "not found by the linker")
        return say.broken(
            "NVML can't be asked: its library is missing",
            [cause("driver-libraries-missing", 0.8, told)],
        )
    reason = ctx.facts.nvml.reason if isinstance(ctx.facts.nvml, Unknown) else "no answer"
    told = ev("NVML", reason)
    if re.search(r"[Vv]ersion mismatch", reason):
        return say.broken(f"NVML refuses: {reason}", [cause("driver-library-mismatch", 0.9, told)])
    causes = [*faults(ctx)[0], *log_causes(ctx)]
    if causes:
        return say.broken(f"NVML does not answer: {reason}", causes, (told,))
    return say.unknown(f"NVML does not answer: {reason}", told)


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason:
        return say.skipped(reason)
    nvml = ctx.facts.nvml
    if not isinstance(nvml, NvmlFacts):
        return _no_answer(ctx)
    evidence = [_describe(gpu) for gpu in nvml.gpus]
    on_bus = gpus(ctx)
    causes: list[Cause] = []
    words: list[str] = []
    xids, xid_words = faults(ctx)
    failed, failed_words, closed = _failed(nvml)
    unseen = _unseen(ctx, nvml)
    if unseen:
        names = [f"{d.bus_id} ({board(ctx, d).name})" for d in on_bus if d.bus_id in unseen]
        words.append(f"NVML sees {len(nvml.gpus)} of {len(on_bus)} GPUs: {listed(names)} missing")
        causes += log_causes(ctx, 0.8)
        if not causes and not xids and not failed and not closed:
            text = f"NVML does not list {listed(unseen)}"
            causes.append(cause("gpu-missing-in-nvml", 0.8, ev("NVML", text)))
    causes += failed
    words += failed_words
    for gpu in nvml.gpus:
        found, told = _health(ctx, gpu)
        causes += found
        words += told
    if xids:
        causes += xids
        words.append(f"the kernel's log tells a hardware fault: {listed(xid_words[-3:])}")
    if causes:
        return say.broken("; ".join(words), _unique(causes), evidence)
    if unseen or closed:
        reason = f"; NVML cannot read {listed(closed)}" if closed else ""
        return say.unknown(f"{'; '.join(words) or 'NVML leaves GPUs out'}{reason}", *evidence)
    apps = log_lines(ctx, r"NVRM: Xid", limit=2)
    total = len(on_bus) or len(nvml.gpus)
    return say.ok(
        f"NVML sees {len(nvml.gpus)} of {total}: {counted(gpu.name for gpu in nvml.gpus)}, driver "
        f"{nvml.driver_version}, {_condition(ctx)}",
        *evidence,
        *apps,
    )


def _unique(causes: list[Cause]) -> list[Cause]:
    """One of each kind, with the evidence of all: several GPUs may have the same trouble."""
    kinds: dict[str, list[Cause]] = {}
    for item in causes:
        kinds.setdefault(item.cause, []).append(item)
    return [
        cause(
            name,
            max(item.confidence for item in items),
            *dict.fromkeys(told for item in items for told in item.evidence),
        )
        for name, items in kinds.items()
    ]


def _condition(ctx: Context) -> str:
    """ "healthy" only where the log could be looked at as well."""
    reason = not_read(ctx)
    if not reason:
        return "healthy"
    return (
        "and it reports no fault; the kernel's log could not be looked at for Xid lines "
        f"({reason}): look as root"
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    """What NVML finds wrong is hardware, or mended on a rung below: no steps."""
    return ()


RUNG = Rung(
    id="nvml",
    title="GPUs seen and healthy",
    holds_when="NVML sees every GPU on the bus, and each is healthy.",
    teaches="NVML is what nvidia-smi asks. It must list as many GPUs as the bus has; memory errors, "
    "row remapping, Xid messages and a narrow PCIe link point at hardware.",
    check=check,
    repair=repair,
)
