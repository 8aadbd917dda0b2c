"""What libcuda says and what its tests on the GPUs showed: the record's "cuda" object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpu_bringup.facts.nvml import capability, cuda_version
from gpu_bringup.model.gpu_facts import CudaDevice, CudaFacts, CudaPeer
from gpu_bringup.model.unknown import Fact, Unknown

if TYPE_CHECKING:
    from gpu_bringup.hosts.base import Host

_NOT_TESTED = Unknown("not tested")


def _number(value: Any) -> Fact[float]:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number else _NOT_TESTED


def _truth(value: Any) -> Fact[bool]:
    return value if isinstance(value, bool) else _NOT_TESTED


def _index(value: Any) -> int | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return int(value) if whole else None


def _peers(value: Any) -> tuple[tuple[CudaPeer, ...], tuple[str, ...]]:
    """(peers, notes): an entry that does not name two GPUs and whether they can is left out."""
    peers: list[CudaPeer] = []
    left_out = 0
    for item in value if isinstance(value, list) else ():
        raw = item if isinstance(item, dict) else {}
        source, target = _index(raw.get("source")), _index(raw.get("target"))
        if source is None or target is None or not isinstance(raw.get("possible"), bool):
            left_out += 1
            continue
        peers.append(
            CudaPeer(
                source=source,
                target=target,
                possible=raw["possible"],
                correct=_truth(raw.get("correct")),
                bandwidth=_number(raw.get("bandwidth")),
                error=str(raw.get("error", "")),
            )
        )
    notes = (f"results of peer access that could not be read: {left_out}",) if left_out else ()
    return tuple(peers), notes


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _position(item: dict[str, Any], position: int) -> int:
    index = _index(item.get("index"))
    return position if index is None else index


def parse_cuda(raw: dict[str, Any]) -> Fact[CudaFacts]:
    """The record's "cuda" object; Unknown where it reports an error instead of cuInit's result."""
    init = raw.get("cuInit")
    if not isinstance(init, int):
        return Unknown(str(raw.get("error", "libcuda's answer has no result of cuInit")))
    paths = raw.get("loaded_from")
    peers, notes = _peers(raw.get("peers"))
    version, count = raw.get("driver_version"), raw.get("device_count")
    counted = isinstance(count, int) and not isinstance(count, bool) and count >= 0
    told = "error" in raw or raw.get("device_count_result") not in (None, 0)
    if init == 0 and "device_count" in raw and not counted and not told:
        return Unknown("libcuda's answer has no number of GPUs")
    return CudaFacts(
        init=init,
        driver_version=cuda_version(version) if isinstance(version, int) else "",
        device_count=count if isinstance(count, int) else 0,
        library=str(paths[0]) if isinstance(paths, list) and paths else "",
        devices=tuple(
            CudaDevice(
                index=_position(item, position),
                name=str(item.get("name", "")),
                compute_capability=capability(item.get("compute_capability")),
                kernel_correct=_truth(item.get("kernel_correct")),
                jit_seconds=_number(item.get("jit_seconds")),
                memory_bandwidth=_number(item.get("memory_bandwidth")),
                host_to_device=_number(item.get("host_to_device")),
                device_to_host=_number(item.get("device_to_host")),
                error=str(item.get("error", "")),
            )
            for position, item in enumerate(_dicts(raw.get("devices")))
        ),
        peers=peers,
        error=str(raw.get("error_later", "")),
        notes=notes,
    )


def observe(host: Host, *, deep: bool) -> Fact[CudaFacts | None]:
    raw = host.cuda(deep=deep, timeout=120.0) if deep else host.cuda()
    if raw is None or isinstance(raw, Unknown):
        return raw
    return parse_cuda(raw)
