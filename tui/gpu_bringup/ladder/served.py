"""Versions that the driver's libraries tell by their work, where their files name none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpu_bringup.model.gpu_facts import CudaFacts, NvmlFacts

if TYPE_CHECKING:
    from gpu_bringup.model.facts import Facts

_VERSION = re.compile(r"\.so\.(\d+\.\d+(?:\.\d+)?)$")


def served(facts: Facts) -> dict[str, tuple[str, str]]:
    """Library -> (version, who says so), from what answered rather than from a file that was found.

    The libcuda that CUDA has mapped carries its version in its name; NVML tells its own version
    (nvmlSystemGetNVMLVersion: CUDA's major version, then the driver's).
    """
    told = {}
    cuda = facts.cuda
    match = _VERSION.search(cuda.library) if isinstance(cuda, CudaFacts) else None
    if isinstance(cuda, CudaFacts) and match:
        told["libcuda.so.1"] = (match[1], cuda.library)
    if isinstance(facts.nvml, NvmlFacts) and facts.nvml.library_version:
        told["libnvidia-ml.so.1"] = (facts.nvml.library_version, "NVML")
    return told


def gsp_firmware(facts: Facts) -> str:
    """Version of the GSP firmware that every GPU says it runs; empty: not told, or several."""
    if not isinstance(facts.nvml, NvmlFacts):
        return ""
    told = {gpu.gsp_firmware for gpu in facts.nvml.gpus if isinstance(gpu.gsp_firmware, str)}
    return told.pop() if len(told) == 1 else ""
