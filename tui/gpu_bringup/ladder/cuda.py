"""Rung 15: CUDA starts, computes right results on every GPU, and the toolkit fits the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpu_bringup.ladder.base import Context, Rung
from gpu_bringup.ladder.causes import cause
from gpu_bringup.ladder.cuda_errors import explain
from gpu_bringup.ladder.devices import needed_nodes
from gpu_bringup.ladder.fabric import ON_HOST, runs_on_host
from gpu_bringup.ladder.figures import Figure, judge
from gpu_bringup.ladder.nouveau import competing
from gpu_bringup.ladder.view import board, gpus, later, link_widths, loaded_names, loaded_version
from gpu_bringup.ladder.words import Say, ev, listed, plural
from gpu_bringup.model.gpu_facts import CudaDevice, CudaFacts, NvmlFacts
from gpu_bringup.model.plan import Command, Step, Write
from gpu_bringup.model.unknown import Unknown
from gpu_bringup.model.versions import driver_key

if TYPE_CHECKING:
    from gpu_bringup.model.ladder import Cause, Evidence, RungResult
    from gpu_bringup.model.unknown import Fact

say = Say("cuda")
FULL_WIDTH = 16
"""Lanes of a server board's link, where neither NVML nor sysfs says."""
HMM_FILE = "/etc/modprobe.d/gpu-bringup-uvm.conf"


def _init(ctx: Context, facts: CudaFacts) -> RungResult:
    error = explain(facts.init)
    told = [ev("cuInit", f"{error.number} ({error.name})")]
    if facts.library:
        told.append(ev("libcuda", facts.library))
    found = error.cause
    sure = 0.9
    nvml = ctx.facts.nvml
    if (
        error.number == 100
        and isinstance(nvml, NvmlFacts)
        and any(g.mig is True for g in nvml.gpus)
    ):
        found = "mig-state"
    elif error.number == 999 and "nvidia_uvm" in loaded_names(ctx.facts):
        sure = 0.6
    elif error.number == 3 and "nvidia_uvm" not in loaded_names(ctx.facts):
        found, sure = "uvm-not-loaded", 0.7
    words = error.words
    if error.number == 802 and runs_on_host(ctx):
        words = f"the NVSwitch fabric is not set up yet. {ON_HOST}"
    return say.broken(
        f"CUDA does not start, error {error.number}: {words}", [cause(found, sure, *told)]
    )


def _figures(ctx: Context, device: CudaDevice) -> tuple[Figure, ...]:
    """The device's figures; CUDA is asked in the order of the bus, as NVML counts."""
    on_bus = sorted(gpus(ctx), key=lambda item: item.bus_id)
    known = board(ctx, on_bus[device.index]) if device.index < len(on_bus) else None
    nvml = ctx.facts.nvml
    seen = nvml.gpus if isinstance(nvml, NvmlFacts) else ()
    gpu = next((item for item in seen if item.index == device.index), None)
    entry = known.gpu if known else None
    unknown = Unknown("neither NVML nor sysfs nor the catalogue says")
    generation: Fact[int] = gpu.pcie_generation_max if gpu else unknown
    width: Fact[int] = (link_widths(ctx, gpu)[1] if gpu else 0) or unknown
    if entry is not None and entry.pcie_generation:
        generation = generation if isinstance(generation, int) else entry.pcie_generation
        width = width if isinstance(width, int) else FULL_WIDTH
    return judge(
        device,
        memory_bandwidth_gbs=entry.memory_bandwidth_gbs if entry else None,
        generation=generation,
        width=width,
    )


def _device(device: CudaDevice, figures: tuple[Figure, ...] = ()) -> Evidence:
    words = [device.name or "GPU"]
    if device.kernel_correct is True:
        words.append("a test kernel gives right results")
    words += [figure.words for figure in figures]
    if device.error:
        words.append(device.error)
    return ev(f"CUDA, device {device.index}", "; ".join(words))


def _peers(facts: CudaFacts) -> list[Evidence]:
    told = []
    for peer in facts.peers:
        where = f"peer access {peer.source} to {peer.target}"
        if not peer.possible:
            told.append(ev(where, "not possible between these GPUs"))
        elif peer.error:
            told.append(ev(where, f"possible, but {peer.error}"))
        elif peer.correct is True:
            speed = (
                f", {peer.bandwidth / 1e9:.0f} GB/s" if isinstance(peer.bandwidth, float) else ""
            )
            told.append(ev(where, f"written and read-back data agree{speed}"))
    return told


def _results(ctx: Context, facts: CudaFacts) -> tuple[list[Cause], list[str]]:
    causes: list[Cause] = []
    words: list[str] = []
    wrong = [d for d in facts.devices if d.kernel_correct is False or d.error]
    for device in wrong:
        words.append(f"GPU {device.index}: {device.error or 'a test kernel gives wrong results'}")
        causes.append(cause("gpu-wrong-results", 0.9, _device(device)))
    for device in facts.devices:
        for figure in _figures(ctx, device):
            if figure.enough is False:
                words.append(f"GPU {device.index}: {figure.words}")
                told = ev(f"CUDA, device {device.index}", figure.words)
                causes.append(cause(figure.cause, 0.7, told))
    for peer in facts.peers:
        where = f"peer access {peer.source} to {peer.target}"
        if peer.possible and peer.correct is False:
            words.append(f"data from GPU {peer.source} to GPU {peer.target} arrives wrong")
            text = "written and read-back data differ"
            causes.append(cause("iommu-acs-p2p", 0.85, ev(where, text)))
        elif peer.possible and peer.error:
            words.append(f"{where} is possible, but fails: {peer.error}")
            causes.append(cause("iommu-acs-p2p", 0.6, ev(where, peer.error)))
    return causes, words


def _unproven(facts: CudaFacts) -> list[str]:
    """What a deep look should have tried and didn't; empty for a plain look, which tries nothing."""
    if not facts.devices:
        return []
    proven = {device.index for device in facts.devices if device.kernel_correct is True}
    words = []
    untried = [str(index) for index in range(facts.device_count) if index not in proven]
    if untried:
        word = "GPU" if len(untried) == 1 else "GPUs"
        words.append(f"{word} {listed(untried)} of {facts.device_count} not tested")
    pairs = [p for p in facts.peers if p.possible and isinstance(p.correct, Unknown)]
    words += [f"peer access {p.source} to {p.target} not proven" for p in pairs]
    return words


def _count(ctx: Context, facts: CudaFacts) -> tuple[list[Cause], list[str]]:
    nvml = ctx.facts.nvml
    expected = len(nvml.gpus) if isinstance(nvml, NvmlFacts) else len(gpus(ctx))
    if facts.device_count >= expected:
        return [], []
    mig = isinstance(nvml, NvmlFacts) and any(gpu.mig is True for gpu in nvml.gpus)
    text = f"{facts.device_count} of {expected}"
    words = f"CUDA sees {text} GPUs"
    told = ev("cuDeviceGetCount", text)
    if mig:
        return [cause("mig-state", 0.85, told)], [f"{words}: MIG is on"]
    nodes = ctx.facts.devices.nodes
    gone = [] if isinstance(nodes, Unknown) else [n for n in needed_nodes(ctx) if n not in nodes]
    if gone:
        lacking = ev("/dev", f"no {listed(gone)}")
        return [cause("device-nodes-missing", 0.8, told, lacking)], [
            f"{words}: /dev/{listed(gone)} missing"
        ]
    hint = "look at CUDA_VISIBLE_DEVICES, and at the device rules of a container or service"
    return [cause("cuda-sees-fewer", 0.6, told)], [f"{words}: {hint}"]


def _toolkit(ctx: Context, served: str) -> tuple[list[Cause], list[str], list[Evidence]]:
    """A toolkit of a newer major version than the driver serves can't run; a newer minor can."""
    toolkit = ctx.facts.toolkit
    if not isinstance(toolkit.cuda, str) or not toolkit.cuda or not served:
        return [], [], []
    told = ev(toolkit.path or "CUDA toolkit", toolkit.cuda)
    if driver_key(toolkit.cuda)[0] > driver_key(served)[0]:
        words = f"the toolkit is CUDA {toolkit.cuda}, the driver serves up to {served}"
        return (
            [cause("cuda-driver-too-old", 0.9, told, ev("driver", f"CUDA {served}"))],
            [words],
            [],
        )
    return [], [], [told]


def check(ctx: Context) -> RungResult:
    reason = later(ctx)
    if reason:
        return say.skipped(reason)
    facts = ctx.facts.cuda
    if facts is None:
        return say.broken(
            "CUDA can't be asked: libcuda is missing",
            [cause("driver-libraries-missing", 0.8, ev("libcuda.so.1", "not found by the linker"))],
        )
    if isinstance(facts, Unknown):
        return say.unknown(f"CUDA does not answer: {facts.reason}", ev("libcuda", facts.reason))
    if facts.init != 0:
        return _init(ctx, facts)
    nvml = ctx.facts.nvml
    served = facts.driver_version or (nvml.cuda_version if isinstance(nvml, NvmlFacts) else "")
    causes, words = _results(ctx, facts)
    more, told = _count(ctx, facts)
    too_old, old_words, notes = _toolkit(ctx, served)
    causes = [*causes, *more, *too_old]
    evidence = [
        ev("cuInit", "0 (success)"),
        *notes,
        *(_device(d, _figures(ctx, d)) for d in facts.devices),
        *_peers(facts),
        *(ev("CUDA's answer", note) for note in facts.notes),
    ]
    if causes:
        return say.broken("; ".join([*words, *told, *old_words]), causes, evidence)
    starts = f"CUDA {served} starts" if served else "CUDA starts"
    unproven = _unproven(facts)
    if facts.error:
        unproven.insert(0, f"the tests broke off: {facts.error}")
    if unproven:
        return say.unknown(f"{starts}, but {'; '.join(unproven)}", *evidence)
    kit = ctx.facts.toolkit.cuda
    fits = f", toolkit {kit} fits" if isinstance(kit, str) and kit else ""
    count = plural(facts.device_count, "GPU")
    if not facts.devices:
        return say.ok(
            f"{starts} and sees {count}{fits}; --deep lets each GPU prove itself", *evidence
        )
    right = listed(str(device.index) for device in facts.devices)
    note = f"; {'; '.join(facts.notes)}" if facts.notes else ""
    return say.ok(
        f"{starts}, {count} usable{fits}: a test kernel is right on {right}{note}", *evidence
    )


def repair(ctx: Context) -> tuple[Step, ...]:
    """HMM is the one CUDA fault that is mended here; the others are mended on lower rungs."""
    facts = ctx.facts.cuda
    hmm = isinstance(facts, CudaFacts) and facts.init == 3 and bool(loaded_version(ctx.facts))
    if not hmm or later(ctx) or ctx.outside_driver or ctx.family is None or competing(ctx):
        return ()
    text = (
        "# Written by gpu-bringup: cuInit failed with error 3, because the kernel's memory layout\n"
        "# (KASLR) leaves nvidia_uvm no room for HMM. Without HMM CUDA starts. Source: CUDA release notes.\n"
        "options nvidia_uvm uvm_disable_hmm=1\n"
    )
    return (
        Step(
            id="disable-hmm",
            rung="cuda",
            title="Start nvidia_uvm without HMM",
            why="HMM maps ordinary memory onto the GPU. Where the kernel's address layout leaves no room "
            "for that, CUDA fails with error 3; inference does not need it.",
            commands=(Command(("rmmod", "nvidia_uvm")), Command(("modprobe", "nvidia_uvm"))),
            writes=(Write(HMM_FILE, text),),
            stops_workloads=True,
            done_when=("cuda",),
            estimate_seconds=10,
            risk="CUDA programs must have ended, or the module can't be unloaded.",
        ),
    )


RUNG = Rung(
    id="cuda",
    title="CUDA works",
    holds_when="cuInit works, a kernel gives right results on every GPU, the toolkit fits the driver.",
    teaches="nvidia-smi can look fine while CUDA fails. cuInit is the first call of every CUDA program; "
    "its error number says which layer is at fault.",
    check=check,
    repair=repair,
)
