"""cuInit's error numbers in plain words (CUresult, CUDA driver API; research: order of questions)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CudaError:
    """One error of the CUDA driver API."""

    number: int
    name: str
    words: str
    """What it means for an operator, and where to look."""
    cause: str


ERRORS = {
    error.number: error
    for error in (
        CudaError(
            3,
            "CUDA_ERROR_NOT_INITIALIZED",
            "CUDA could not set up its memory manager, although nvidia-smi works: most often the "
            "kernel's memory layout leaves nvidia_uvm no room for HMM. It can change from boot to boot.",
            "uvm-hmm-init-failure",
        ),
        CudaError(
            34,
            "CUDA_ERROR_STUB_LIBRARY",
            "a stub of libcuda was loaded, a file that is only for linking programs: a 'stubs' folder "
            "stands in the library path.",
            "libcuda-stub",
        ),
        CudaError(
            35,
            "CUDA_ERROR_INSUFFICIENT_DRIVER",
            "the program's CUDA is newer than the driver serves, or no driver library was found.",
            "cuda-driver-too-old",
        ),
        CudaError(
            100,
            "CUDA_ERROR_NO_DEVICE",
            "CUDA sees no GPU: device nodes are missing, MIG is on without instances, or "
            "CUDA_VISIBLE_DEVICES hides them all.",
            "device-nodes-missing",
        ),
        CudaError(
            802,
            "CUDA_ERROR_SYSTEM_NOT_READY",
            "the NVSwitch fabric is not set up yet: the fabric manager does not run, or has not "
            "finished.",
            "fabricmanager-not-running",
        ),
        CudaError(
            803,
            "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
            "libcuda and the loaded kernel module are of different versions: another libcuda is found "
            "first, or the driver was updated under the running one.",
            "libcuda-mismatch-803",
        ),
        CudaError(
            804,
            "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
            "a forward-compatibility libcuda was chosen on a GPU or driver that does not allow it: "
            "update the driver, or take the 'compat' folder out of the library path.",
            "cuda-compat-unsupported-804",
        ),
        CudaError(
            999,
            "CUDA_ERROR_UNKNOWN",
            "CUDA could not reach its memory manager: nvidia_uvm is not loaded, or its device node "
            "is missing or broken.",
            "uvm-not-loaded",
        ),
    )
}


def explain(number: int) -> CudaError:
    """The error of a number; one that isn't listed is said to be so."""
    known = ERRORS.get(number)
    if known is not None:
        return known
    words = "this number has no entry here; the CUDA driver API lists it under CUresult."
    return CudaError(number, f"error {number}", words, "cuda-init-failed")
