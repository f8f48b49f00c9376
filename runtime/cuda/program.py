"""A Program on a CUDA device: one allocation, kernels as modules, each entry as one CUDA graph.

An entry without branches is captured once, its loops unrolled, and then launched as a whole; one
with branches is launched kernel by kernel, since the host reads their flags. All launches are in
one stream, so each waits for those before it. The arena of the host is where values enter and
leave; what is written or read is copied between the two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from dlc.ir.types import Type
from dlc.program import Branch, Launch, Loop, Port, Program, Slot, Step, place
from dlc.runtime.cpu.arena import Array
from dlc.runtime.cpu.stepped import SteppedProgram
from dlc.runtime.cpu.table import address_of
from dlc.runtime.cuda.driver import CudaError, Driver
from dlc.runtime.cuda.ptx import ARCHITECTURES, PtxCompiler, shape_of

CONTEXT_BYTES = 64 << 20  # that are left to the driver's own needs


class CudaProgram(SteppedProgram):
    """A Program loaded on a device. Raises CudaError, MemoryError, PtxError, ProgramError."""

    def __init__(self, program: Program, driver: Driver | None = None) -> None:
        self._modules: list[ctypes.c_void_p] = []
        self._graphs: dict[str, ctypes.c_void_p] = {}
        self._address = 0
        super().__init__(program)
        self.driver = driver or Driver()
        try:
            self._address = self._allocate()
            self._functions = self._load_kernels()
            self._put_constants()
        except BaseException:
            self.close()
            raise

    def _allocate(self) -> int:
        """One allocation for the arena; too little free memory is said before it is asked for."""
        size = max(self.program.arena_bytes, 1)
        free, total = self.driver.free_bytes()
        if size + CONTEXT_BYTES > free:
            largest = sorted(self.program.buffers, key=lambda b: -b.bytes)[:3]
            told = "; ".join(f"{b.name} {b.bytes:,} B {b.line}".rstrip() for b in largest)
            raise MemoryError(f"{self.program.name} takes {size:,} bytes of the device's memory, "
                              f"of which {free:,} of {total:,} are free; its largest values: "
                              f"{told}; a smaller batch takes less")
        return self.driver.allocate(size)

    def _load_kernels(self) -> list[ctypes.c_void_p]:
        """Each kernel as a module of its own, from PTX, which the driver assembles."""
        own = self.driver.architecture()
        older = [a for a in ARCHITECTURES if int(a[3:]) <= int(own[3:])]
        if not older:
            raise CudaError("cuDeviceGetAttribute", 209, f"{own} is older than {ARCHITECTURES[0]}")
        compiler = PtxCompiler(self.program, older[-1])
        functions = []
        for kernel in self.program.kernels:
            module = self.driver.load(compiler.ptx(kernel).encode())
            self._modules.append(module)
            functions.append(self.driver.function(module, kernel.name))
        return functions

    @property
    def threads(self) -> int:
        """Threads of the CPU that run launches: the caller's."""
        return 1

    # ---- running ---------------------------------------------------------------------------

    def run(self, entry: str) -> None:
        """Run the launches of `entry` once; it returns before they are done."""
        self._begin(entry)
        steps = self.entry(entry).launches
        if not is_captured(steps):
            self._run(steps, ())
            return
        if entry not in self._graphs:
            self._graphs[entry] = self._captured(steps)
        self.driver.launch_graph(self._graphs[entry])

    def _captured(self, steps: Sequence[Step]) -> ctypes.c_void_p:
        """The graph of steps; after a failure nothing is left capturing."""
        self.driver.begin_capture()
        try:
            self._run(steps, ())
        except BaseException:
            with suppress(CudaError):
                self.driver.drop_graph(self.driver.end_capture())
            raise
        return self.driver.end_capture()

    def run_launch(self, entry: str, index: int, iterations: Sequence[int] = ()) -> None:
        """Run launch `index` of `entry.flat` alone, in these iterations of the loops around it."""
        self._alive()
        self._launch(self.entry(entry).flat[index], iterations)

    def _run(self, steps: Sequence[Step], at: tuple[int, ...]) -> None:
        for step in steps:
            if isinstance(step, Launch):
                self._launch(step, at)
            elif isinstance(step, Loop):
                for iteration in range(step.count):
                    self._run(step.launches, (*at, iteration))
            else:
                self._run(step.then if self._flag(place(step.flag, at)) else step.otherwise, at)

    def _flag(self, offset: int) -> bool:
        self.driver.copy_out(address_of(self._arena) + offset, self._address + offset, 1)
        return bool(self._arena[offset])

    def _launch(self, launch: Launch, at: Sequence[int]) -> None:
        """The segments of a launch, stage by stage, in the order of the stream."""
        for segment in (s for stage in launch.stages for s in stage if s.chunks):
            kernel = self.program.kernels[segment.kernel]
            arguments: list[Any] = []
            for parameter, value in zip(kernel.params, segment.args, strict=True):
                if isinstance(value, Slot):
                    arguments.append(ctypes.c_uint64(self._address + place(value, at)))
                elif parameter.dtype == "f64":
                    arguments.append(ctypes.c_double(value))
                else:
                    arguments.append(ctypes.c_int64(int(value)))
            shape = shape_of(kernel, segment.chunks)
            self.driver.launch(self._functions[segment.kernel], shape.blocks, shape.threads,
                               [*arguments, ctypes.c_int64(segment.chunks)])

    # ---- values ----------------------------------------------------------------------------

    def _put_constants(self) -> None:
        super()._put_constants()
        for constant in self.program.constants if self._address else ():
            self._send(constant.offset, len(constant.data))

    def _store(self, port: Port, value: Any) -> None:
        super()._store(port, value)
        self._send(port.offset, port.type.bytes)

    def _load(self, port: Port) -> Array:
        self._fetch(port.offset, port.type.bytes)
        return super()._load(port)

    def value_at(self, offset: int, kind: Type) -> Array:
        """A copy of the value of type `kind` at `offset`, in logical order."""
        self._fetch(offset, kind.bytes)
        return super().value_at(offset, kind)

    def save(self) -> Array:
        """A copy of all bytes of the arena, for `restore`."""
        self._fetch(0, self.program.arena_bytes)
        return super().save()

    def restore(self, saved: Array) -> None:
        """Make every byte of the arena what it was at `save`."""
        super().restore(saved)
        self._send(0, self.program.arena_bytes)

    def spoil(self, start: int = 0, end: int | None = None) -> None:
        """Fill bytes of the arena, but for the constants, with bytes that are NaN in every float.
        """
        self._fetch(0, self.program.arena_bytes)
        super().spoil(start, end)
        self._send(0, self.program.arena_bytes)

    def _send(self, offset: int, count: int) -> None:
        self._alive()
        if count:
            self.driver.copy_in(self._address + offset, address_of(self._arena) + offset, count)

    def _fetch(self, offset: int, count: int) -> None:
        self._alive()
        if count:
            self.driver.copy_out(address_of(self._arena) + offset, self._address + offset, count)

    # ---- end of life -----------------------------------------------------------------------

    def close(self) -> None:
        """Wait for what runs, and give all back. After a failed kernel the driver takes nothing
        back by itself; the context goes with the process."""
        if getattr(self, "_memory", None) is None:
            return
        with suppress(CudaError):
            self.driver.wait()
        for graph in self._graphs.values():
            with suppress(CudaError):
                self.driver.drop_graph(graph)
        for module in self._modules:
            with suppress(CudaError):
                self.driver.unload(module)
        with suppress(CudaError):
            if self._address:
                self.driver.free(self._address)
        with suppress(CudaError):
            self.driver.close()
        self._graphs, self._modules, self._address = {}, [], 0
        super().close()


def is_captured(steps: Sequence[Step]) -> bool:
    """Whether steps have no branch, so that their launches are always the same."""
    return not any(isinstance(s, Branch) or (isinstance(s, Loop) and not is_captured(s.launches))
                   for s in steps)
