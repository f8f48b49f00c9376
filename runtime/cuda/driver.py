"""The CUDA driver's C interface, as far as dlc calls it: one function for each call.

https://docs.nvidia.com/cuda/cuda-driver-api. Every failure is a CudaError that says in one line
what failed and why. `library` may be another object with the same functions: tests give one that
records and checks the calls.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

DRIVER = "libcuda.so.1"
RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED: other programs may free memory meanwhile
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: not ordered with the legacy default stream
WHY = {2: "out of memory", 100: "no device", 101: "no such device", 209: "no kernel image for this "
       "device", 218: "PTX that the driver does not take", 222: "PTX newer than the driver: it is "
       "too old", 700: "an access outside of memory", 719: "a kernel failed", 999: "unknown error"}


class CudaError(Exception):
    """What the driver could not do, and why."""

    def __init__(self, function: str, status: int, why: str) -> None:
        super().__init__(f"the CUDA driver fails in {function}: {why} (error {status})")
        self.function, self.status = function, status


class Driver:
    """One context on one device, a stream, and what lives there."""

    def __init__(self, library: Any = None, device: int = 0) -> None:
        self.library = library if library is not None else ctypes.CDLL(DRIVER)
        self.device = ctypes.c_int()
        self.call("cuInit", ctypes.c_uint(0))
        self.call("cuDeviceGet", ctypes.byref(self.device), ctypes.c_int(device))
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self.device)
        self.stream = ctypes.c_void_p()
        try:
            self.call("cuCtxSetCurrent", context)
            self.call("cuStreamCreate", ctypes.byref(self.stream), ctypes.c_uint(NON_BLOCKING))
        except CudaError:
            self.call("cuDevicePrimaryCtxRelease_v2", self.device)
            raise

    def call(self, function: str, *arguments: Any) -> None:
        """Call a function of the driver. Raises CudaError."""
        status = int(getattr(self.library, function)(*arguments))
        if status:
            raise CudaError(function, status, WHY.get(status, "see CUresult in cuda.h"))

    # ---- the device ----

    def architecture(self) -> str:
        """The device's architecture: sm_90."""
        parts = []
        for attribute in (75, 76):  # COMPUTE_CAPABILITY_MAJOR, MINOR
            part = ctypes.c_int()
            self.call("cuDeviceGetAttribute", ctypes.byref(part), ctypes.c_int(attribute),
                      self.device)
            parts.append(part.value)
        return f"sm_{parts[0]}{parts[1]}"

    def free_bytes(self) -> tuple[int, int]:
        """Bytes that are free, and all."""
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        self.call("cuMemGetInfo_v2", ctypes.byref(free), ctypes.byref(total))
        return free.value, total.value

    # ---- memory ----

    def allocate(self, size: int) -> int:
        """The address of `size` zeroed bytes, aligned to 256 (cuMemAlloc: to any variable)."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self.call("cuMemsetD8Async", address, ctypes.c_ubyte(0), ctypes.c_size_t(size), self.stream)
        return address.value

    def copy_in(self, address: int, source: int, size: int) -> None:
        """Host to device, in the stream's order; done with the source when it returns."""
        self.call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), ctypes.c_void_p(source),
                  ctypes.c_size_t(size), self.stream)
        self.wait()

    def copy_out(self, target: int, address: int, size: int) -> None:
        """Device to host, behind all that the stream runs; there when it returns."""
        self.call("cuMemcpyDtoHAsync_v2", ctypes.c_void_p(target), ctypes.c_uint64(address),
                  ctypes.c_size_t(size), self.stream)
        self.wait()

    def wait(self) -> None:
        """Until the stream has run all."""
        self.call("cuStreamSynchronize", self.stream)

    # ---- kernels and graphs ----

    def load(self, image: bytes) -> ctypes.c_void_p:
        """A module of PTX or machine code."""
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(image))
        return module

    def function(self, module: ctypes.c_void_p, name: str) -> ctypes.c_void_p:
        """A kernel of a module."""
        found = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(found), module, ctypes.c_char_p(
            name.encode()))
        return found

    def launch(self, function: ctypes.c_void_p, blocks: int, threads: int,
               arguments: Sequence[Any]) -> None:
        """A kernel into the stream; `arguments` are ctypes numbers, copied when it returns."""
        pointers = (ctypes.c_void_p * len(arguments))(*(
            ctypes.cast(ctypes.pointer(a), ctypes.c_void_p) for a in arguments))
        sizes = [ctypes.c_uint(n) for n in (blocks, 1, 1, threads, 1, 1, 0)]
        self.call("cuLaunchKernel", function, *sizes, self.stream, pointers, ctypes.c_void_p())

    def begin_capture(self) -> None:
        """What comes into the stream from here on is noted, not run."""
        self.call("cuStreamBeginCapture_v2", self.stream, ctypes.c_int(RELAXED))

    def end_capture(self) -> ctypes.c_void_p:
        """The noted launches, ready to be run as one."""
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self.call("cuStreamEndCapture", self.stream, ctypes.byref(graph))
        try:
            self.call("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph,
                      ctypes.c_ulonglong(0))
        finally:
            self.call("cuGraphDestroy", graph)
        return ready

    def launch_graph(self, graph: ctypes.c_void_p) -> None:
        """A captured graph into the stream."""
        self.call("cuGraphLaunch", graph, self.stream)

    # ---- the end ----

    def free(self, address: int) -> None:
        self.call("cuMemFree_v2", ctypes.c_uint64(address))

    def drop_graph(self, graph: ctypes.c_void_p) -> None:
        self.call("cuGraphExecDestroy", graph)

    def unload(self, module: ctypes.c_void_p) -> None:
        self.call("cuModuleUnload", module)

    def close(self) -> None:
        """Give the stream and the context back."""
        self.call("cuStreamDestroy_v2", self.stream)
        self.call("cuDevicePrimaryCtxRelease_v2", self.device)
