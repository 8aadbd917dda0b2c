"""Ask libcuda, and let every GPU prove itself; prints one JSON object (a record's "cuda" object).

``python -m gpu_bringup.probes.cuda`` only initialises. With ``--deep`` each GPU runs a kernel that
the driver compiles from PTX, its results are compared, memory bandwidth and host link are measured,
and peer access is proven by writing through one GPU and reading back through the other.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
from ctypes import byref, c_size_t, c_uint, c_void_p
from pathlib import Path
from typing import Any

from gpu_bringup.probes.driver_api import (
    ATTRIBUTE_CC_MAJOR,
    ATTRIBUTE_CC_MINOR,
    CudaError,
    DriverApi,
    Pointer,
)

# out[i] = in[i] * 3 + i: every thread's result is known, so a wrong lane shows.
# PTX ISA 6.0 for sm_50 is the oldest that the drivers of today still take, so one text serves all.
PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry prove(.param .u64 source, .param .u64 result, .param .u32 count)
{
  .reg .pred %p<2>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [source];
  ld.param.u64 %rd2, [result];
  ld.param.u32 %r1, [count];
  mov.u32 %r2, %ctaid.x;
  mov.u32 %r3, %ntid.x;
  mov.u32 %r4, %tid.x;
  mad.lo.s32 %r5, %r2, %r3, %r4;
  setp.ge.u32 %p1, %r5, %r1;
  @%p1 bra DONE;
  cvta.to.global.u64 %rd3, %rd1;
  cvta.to.global.u64 %rd4, %rd2;
  mul.wide.u32 %rd5, %r5, 4;
  add.s64 %rd6, %rd3, %rd5;
  add.s64 %rd7, %rd4, %rd5;
  ld.global.u32 %r6, [%rd6];
  mad.lo.s32 %r7, %r6, 3, %r5;
  st.global.u32 [%rd7], %r7;
DONE:
  ret;
}
"""

COUNT = 1 << 20
MIB = 1 << 20
LARGEST_BUFFER = 1024 * MIB
LINK_BUFFER = 256 * MIB


def _kernel(api: DriverApi) -> dict[str, Any]:
    """Compile and run the kernel in the current context and compare every result."""
    module, function = c_void_p(), c_void_p()
    begin = time.monotonic()
    api("cuModuleLoadData", byref(module), PTX)
    jit_seconds = time.monotonic() - begin
    api("cuModuleGetFunction", byref(function), module, b"prove")
    numbers = (ctypes.c_uint32 * COUNT)(*((i * 2654435761) & 0xFFFFFFFF for i in range(COUNT)))
    results = (ctypes.c_uint32 * COUNT)()
    size = ctypes.sizeof(numbers)
    source, result = api.allocate(size), api.allocate(size)
    try:
        api("cuMemcpyHtoD_v2", source, numbers, c_size_t(size))
        count = c_uint(COUNT)
        parameters = (c_void_p * 3)(
            *(ctypes.cast(byref(item), c_void_p) for item in (source, result, count))
        )
        block = 256
        grid = (COUNT + block - 1) // block
        api(
            "cuLaunchKernel",
            function,
            *(c_uint(value) for value in (grid, 1, 1, block, 1, 1, 0)),
            c_void_p(),
            parameters,
            c_void_p(),
        )
        api("cuCtxSynchronize")
        api("cuMemcpyDtoH_v2", results, result, c_size_t(size))
    finally:
        api.status("cuMemFree_v2", source)
        api.status("cuMemFree_v2", result)
        api.status("cuModuleUnload", module)
    wrong = sum(
        1
        for index, (given, got) in enumerate(zip(numbers, results, strict=True))
        if got != (given * 3 + index) & 0xFFFFFFFF
    )
    return {"kernel_correct": wrong == 0, "jit_seconds": round(jit_seconds, 3)}


def _bandwidth(api: DriverApi) -> dict[str, Any]:
    """Bytes a second: device memory (read plus write), and both directions of the host link."""
    size = min(LARGEST_BUFFER, api.memory_free() // 4 // MIB * MIB)
    if size < MIB:
        return {"bandwidth_note": "less than 4 MiB of device memory is free; not measured"}
    result: dict[str, Any] = {}
    source, target = api.allocate(size), api.allocate(size)
    try:
        copy = ("cuMemcpyDtoDAsync_v2", target, source, c_size_t(size), c_void_p())
        api.seconds(*copy, repeat=2)
        result["memory_bandwidth"] = 2 * size / api.seconds(*copy, repeat=10)
        link = min(LINK_BUFFER, size)
        host = api.allocate_host(link)
        try:
            down = ("cuMemcpyHtoDAsync_v2", source, host, c_size_t(link), c_void_p())
            up = ("cuMemcpyDtoHAsync_v2", host, source, c_size_t(link), c_void_p())
            api.seconds(*down, repeat=1)
            result["host_to_device"] = link / api.seconds(*down, repeat=4)
            result["device_to_host"] = link / api.seconds(*up, repeat=4)
        finally:
            api.status("cuMemFreeHost", host)
    finally:
        api.status("cuMemFree_v2", source)
        api.status("cuMemFree_v2", target)
    return result


def _device(api: DriverApi, device: int, context: c_void_p) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "index": device,
        "name": api.name(device),
        "compute_capability": [
            api.number("cuDeviceGetAttribute", ATTRIBUTE_CC_MAJOR, device),
            api.number("cuDeviceGetAttribute", ATTRIBUTE_CC_MINOR, device),
        ],
    }
    try:
        api("cuCtxSetCurrent", context)
        answer.update(_kernel(api))
        answer.update(_bandwidth(api))
    except CudaError as error:
        answer["error"] = str(error)
    return answer


def _peer(
    api: DriverApi, source: int, target: int, contexts: dict[int, c_void_p]
) -> dict[str, Any]:
    """Write a pattern on ``source``, copy it to ``target``'s memory, read it back from there."""
    answer: dict[str, Any] = {"source": source, "target": target}
    answer["possible"] = bool(api.number("cuDeviceCanAccessPeer", source, target))
    if not answer["possible"]:
        return answer
    size = 64 * MIB
    try:
        api("cuCtxSetCurrent", contexts[target])
        there = api.allocate(size)
        api("cuMemsetD8_v2", there, ctypes.c_ubyte(0), c_size_t(size))
        api("cuCtxSynchronize")
        api("cuCtxSetCurrent", contexts[source])
        code = api.status("cuCtxEnablePeerAccess", contexts[target], c_uint(0))
        already_enabled = 704
        if code not in (0, already_enabled):
            raise CudaError("cuCtxEnablePeerAccess", code, api.error_name(code))
        here = api.allocate(size)
        try:
            answer["correct"] = _peer_pattern(api, here, there, size, contexts, (source, target))
            api("cuCtxSetCurrent", contexts[source])
            copy = (
                "cuMemcpyPeerAsync",
                there,
                contexts[target],
                here,
                contexts[source],
                c_size_t(size),
                c_void_p(),
            )
            api.seconds(*copy, repeat=2)
            answer["bandwidth"] = size / api.seconds(*copy, repeat=10)
        finally:
            api.status("cuCtxSetCurrent", contexts[source])
            api.status("cuMemFree_v2", here)
            api.status("cuCtxSetCurrent", contexts[target])
            api.status("cuMemFree_v2", there)
    except CudaError as error:
        answer["error"] = str(error)
    return answer


def _peer_pattern(
    api: DriverApi,
    here: Pointer,
    there: Pointer,
    size: int,
    contexts: dict[int, c_void_p],
    pair: tuple[int, int],
) -> bool:
    pattern = bytes((7 * i + 13 * pair[0] + 29 * pair[1]) & 0xFF for i in range(4096)) * (
        size // 4096
    )
    back = ctypes.create_string_buffer(size)
    api("cuMemcpyHtoD_v2", here, pattern, c_size_t(size))
    api("cuMemcpyPeer", there, contexts[pair[1]], here, contexts[pair[0]], c_size_t(size))
    api("cuCtxSynchronize")
    api("cuCtxSetCurrent", contexts[pair[1]])
    api("cuMemcpyDtoH_v2", back, there, c_size_t(size))
    return back.raw == pattern


def _loaded_library() -> list[str]:
    maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    paths = {line.split()[-1] for line in maps.splitlines() if "libcuda.so" in line}
    return sorted(path for path in paths if path.startswith("/"))


def _deep(api: DriverApi, count: int) -> dict[str, Any]:
    contexts: dict[int, c_void_p] = {}
    devices: list[dict[str, Any]] = []
    try:
        for device in range(count):
            context = c_void_p()
            code = api.status("cuDevicePrimaryCtxRetain", byref(context), device)
            if code == 0:
                contexts[device] = context
                devices.append(_device(api, device, context))
            else:
                error = CudaError("cuDevicePrimaryCtxRetain", code, api.error_name(code))
                devices.append({"index": device, "name": api.name(device), "error": str(error)})
        peers = [
            _peer(api, source, target, contexts)
            for source in contexts
            for target in contexts
            if source != target
        ]
    finally:
        for device in contexts:
            api.status("cuDevicePrimaryCtxRelease_v2", device)
    return {"devices": devices, "peers": peers}


def ask(*, deep: bool) -> dict[str, Any]:
    """What libcuda says; ``{"error": …}`` where it can't be loaded."""
    # The cache would hide a compiler that is broken now, and write into somebody's home.
    os.environ["CUDA_CACHE_DISABLE"] = "1"
    # In the order of the bus, as NVML and the operator count them.
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    try:
        api = DriverApi()
    except OSError as error:
        return {"error": str(error)}
    result: dict[str, Any] = {"cuInit": api.status("cuInit", c_uint(0))}
    result["loaded_from"] = _loaded_library()
    if result["cuInit"] != 0:
        result["error_name"] = api.error_name(result["cuInit"])
        return result
    try:
        result["driver_version"] = api.number("cuDriverGetVersion")
        result["device_count"] = api.number("cuDeviceGetCount")
        if deep:
            result.update(_deep(api, result["device_count"]))
    except CudaError as error:
        result["error_later"] = str(error)
    return result


if __name__ == "__main__":
    json.dump(ask(deep="--deep" in sys.argv[1:]), sys.stdout)
