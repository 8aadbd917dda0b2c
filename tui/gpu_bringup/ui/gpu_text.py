"""What each GPU has shown: figures of NVML and of the program that ran on it. Pure."""

from __future__ import annotations

from textual.content import Content

from gpu_bringup.i18n import tr
from gpu_bringup.model.catalogue import Catalogue
from gpu_bringup.model.facts import Facts
from gpu_bringup.model.gpu_facts import CudaDevice, CudaFacts, NvmlFacts, NvmlGpu
from gpu_bringup.model.unknown import Fact, Unknown
from gpu_bringup.ui.details import Detail, Item
from gpu_bringup.ui.words import ASIDE, BAD, MUTED, OK, lines, paragraphs


def gpu_items(facts: Facts, catalogue: Catalogue) -> list[Item]:
    """A line a GPU; empty where NVML doesn't answer."""
    if facts.nvml is None or isinstance(facts.nvml, Unknown):
        return []
    driver = facts.nvml.driver_version
    heading = tr("GPUs (driver {driver})").format(driver=driver)
    items = [Item("h-gpus", Content(heading))]
    items += [_item(gpu, facts.nvml, facts.cuda) for gpu in facts.nvml.gpus]
    items.append(Item("h-ladder", Content(tr("Ladder"))))
    return items


def _cuda_device(gpu: NvmlGpu, found: Fact[CudaFacts | None]) -> CudaDevice | None:
    if found is None or isinstance(found, Unknown):
        return None
    return next((device for device in found.devices if device.index == gpu.index), None)


def _known(value: Fact[float] | Fact[int], words: str) -> str:
    """``words`` with the value filled in; empty where it isn't known."""
    return "" if isinstance(value, Unknown) else words.format(value=value)


def _rate(value: Fact[float]) -> str:
    if isinstance(value, Unknown):
        return tr("unknown ({reason})").format(reason=value.reason)
    return f"{value / 1e9:,.0f} GB/s"


def _proof(device: CudaDevice | None) -> tuple[str, str]:
    """(word, style): did it compute right?"""
    if device is None or isinstance(device.kernel_correct, Unknown):
        return tr("not computed on"), ASIDE
    if device.error:
        return tr("CUDA ERROR"), BAD
    return (tr("computes right"), OK) if device.kernel_correct else (tr("WRONG RESULT"), BAD)


def _item(gpu: NvmlGpu, nvml: NvmlFacts, found: Fact[CudaFacts | None]) -> Item:
    device = _cuda_device(gpu, found)
    word, style = _proof(device)
    figures = [
        _known(gpu.temperature, "{value} C"),
        _link(gpu),
        ""
        if device is None or isinstance(device.memory_bandwidth, Unknown)
        else tr("memory {rate}").format(rate=_rate(device.memory_bandwidth)),
    ]
    line = Content.assemble(
        f"{gpu.index}  ",
        (gpu.name, "bold"),
        ("  " + word, style),
        ("  " + ", ".join(figure for figure in figures if figure), MUTED),
    )
    return Item(f"gpu{gpu.index}", line, _detail(gpu, device, found))


def _link(gpu: NvmlGpu) -> str:
    if isinstance(gpu.pcie_width, Unknown) or isinstance(gpu.pcie_generation, Unknown):
        return ""
    return f"PCIe {gpu.pcie_generation}.0 x{gpu.pcie_width}"


def _yes(value: Fact[bool]) -> str:
    if isinstance(value, Unknown):
        return tr("unknown ({reason})").format(reason=value.reason)
    return tr("yes") if value else tr("no")


def _number(value: Fact[int] | Fact[float] | Fact[str]) -> str:
    if isinstance(value, Unknown):
        return tr("unknown ({reason})").format(reason=value.reason)
    return str(value)


def _detail(gpu: NvmlGpu, device: CudaDevice | None, found: Fact[CudaFacts | None]) -> Detail:
    rows = [
        (tr("Bus address"), gpu.bus_id),
        (tr("Memory"), _memory(gpu.memory_total)),
        (tr("Temperature, C"), _number(gpu.temperature)),
        (tr("PCIe link"), _link(gpu) or tr("unknown")),
        (tr("ECC on"), _yes(gpu.ecc_enabled)),
        (tr("Uncorrected errors"), _number(gpu.ecc_uncorrected)),
        (tr("Row remap failed"), _yes(gpu.remapped_failed)),
        (tr("Row remap pending"), _yes(gpu.remapped_pending)),
        (tr("Persistence mode"), _yes(gpu.persistence)),
        (tr("Fabric state"), _number(gpu.fabric_state)),
        (tr("Active NVLinks"), _number(gpu.nvlinks_active)),
    ]
    if device is not None:
        rows += [
            (tr("Computes right"), _yes(device.kernel_correct)),
            (tr("Memory bandwidth"), _rate(device.memory_bandwidth)),
            (tr("Host to GPU"), _rate(device.host_to_device)),
            (tr("GPU to host"), _rate(device.device_to_host)),
        ]
    table = lines(Content.assemble((f"{name}: ", MUTED), value) for name, value in rows)
    return Detail(
        f"GPU {gpu.index}: {gpu.name}",
        paragraphs([table, device.error if device else "", _peers(gpu, found)]),
    )


def _memory(value: Fact[int]) -> str:
    return _number(value) if isinstance(value, Unknown) else f"{value / 2**30:,.0f} GiB"


def _peers(gpu: NvmlGpu, found: Fact[CudaFacts | None]) -> Content:
    if found is None or isinstance(found, Unknown):
        return Content("")
    return lines(
        tr("To GPU {target}: {possible}, data right: {correct}, {rate}").format(
            target=peer.target,
            possible=tr("direct access") if peer.possible else tr("no direct access"),
            correct=_yes(peer.correct),
            rate=_rate(peer.bandwidth),
        )
        for peer in found.peers
        if peer.source == gpu.index
    )
