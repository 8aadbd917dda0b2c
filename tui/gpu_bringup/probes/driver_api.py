"""The few calls of CUDA's driver API that verification needs, through ctypes.

libcuda is what every framework uses in the end; a toolkit or PyTorch isn't needed to prove it.
Signatures: CUDA Driver API reference (https://docs.nvidia.com/cuda/cuda-driver-api/).
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_void_p

Pointer = ctypes.c_uint64

ATTRIBUTE_CC_MAJOR = 75
ATTRIBUTE_CC_MINOR = 76


class CudaError(Exception):
    """A call of the driver API failed."""

    def __init__(self, call: str, code: int, name: str) -> None:
        super().__init__(f"{call}: error {code} ({name})")
        self.code = code


class DriverApi:
    """A loaded libcuda.

    Raises:
        OSError: there is no libcuda.so.1 that can be loaded.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def error_name(self, code: int) -> str:
        """CUDA's own name of an error number, such as "CUDA_ERROR_NO_DEVICE"."""
        name = c_char_p()
        if self._library.cuGetErrorName(code, byref(name)) == 0 and name.value:
            return name.value.decode()
        return "unknown error"

    def status(self, call: str, *arguments: object) -> int:
        """Call a function and give its result back as a number."""
        return int(getattr(self._library, call)(*arguments))

    def __call__(self, call: str, *arguments: object) -> None:
        """Call a function.

        Raises:
            CudaError: its result isn't 0.
        """
        code = self.status(call, *arguments)
        if code != 0:
            raise CudaError(call, code, self.error_name(code))

    def number(self, call: str, *arguments: object) -> int:
        """A function whose first argument receives an int."""
        value = c_int()
        self(call, byref(value), *arguments)
        return value.value

    def name(self, device: int) -> str:
        buffer = ctypes.create_string_buffer(128)
        self("cuDeviceGetName", buffer, 128, device)
        return buffer.value.decode(errors="replace")

    def memory_free(self) -> int:
        """Free bytes of the current context's GPU."""
        free, total = c_size_t(), c_size_t()
        self("cuMemGetInfo_v2", byref(free), byref(total))
        return free.value

    def allocate(self, size: int) -> Pointer:
        pointer = Pointer()
        self("cuMemAlloc_v2", byref(pointer), c_size_t(size))
        return pointer

    def allocate_host(self, size: int) -> c_void_p:
        pointer = c_void_p()
        self("cuMemAllocHost_v2", byref(pointer), c_size_t(size))
        return pointer

    def seconds(self, work: str, *arguments: object, repeat: int) -> float:
        """Seconds that one call takes on the GPU, by events around ``repeat`` of them."""
        begin, end = c_void_p(), c_void_p()
        self("cuEventCreate", byref(begin), c_uint(0))
        self("cuEventCreate", byref(end), c_uint(0))
        try:
            self("cuEventRecord", begin, c_void_p())
            for _ in range(repeat):
                self(work, *arguments)
            self("cuEventRecord", end, c_void_p())
            self("cuEventSynchronize", end)
            elapsed = c_float()
            self("cuEventElapsedTime", byref(elapsed), begin, end)
        finally:
            self.status("cuEventDestroy_v2", begin)
            self.status("cuEventDestroy_v2", end)
        return elapsed.value / 1000 / repeat
