"""A CUDA driver in host memory: it runs kernels on the CPU and refuses what the driver API forbids.

The misuses, listed before the checker was written. "Driver API" is NVIDIA's "CUDA Driver API",
"Guide" the "CUDA C++ Programming Guide"; the section follows.

     1  a call before cuInit                                  Driver API, Initialization
     2  a call without a current context                      Driver API, Context Management
     3  a copy past the end of an allocation                  Driver API, Memory Management
     4  a copy to or from memory that was freed               Driver API, Memory Management
     5  a kernel's argument that points to freed memory       Driver API, Memory Management
     6  an argument outside of every allocation               Driver API, Memory Management
     7  memory that is freed twice                            Driver API, Memory Management
     8  a synchronization while its stream captures           Guide, CUDA Graphs, Prohibited
     9  a capture that begins within another                  Driver API, Stream Management
    10  the end of a capture that has not begun               Driver API, Stream Management
    11  a grid of no blocks, or more than 2^31 - 1            Guide, Compute Capabilities
    12  a block of no threads, or more than 1,024             Guide, Compute Capabilities
    13  threads of a block other than the kernel was made for (dlc's own contract)
    14  a grid with fewer threads than positions, or more than a block too many  (dlc's own)
    15  a kernel of a module that was unloaded                Driver API, Module Management
    16  a graph that was destroyed                            Driver API, Graph Management
    17  a graph over memory that has been freed since: a workspace that moved   Guide, CUDA Graphs
    18  a graph over a module that was unloaded since         Guide, CUDA Graphs
    19  a stream that was destroyed                           Driver API, Stream Management
    20  host memory that is read before the copy to it is done    Driver API, API synchronization
    21  an argument that is not aligned to its elements       Guide, Device Memory Accesses
    22  two arguments of a kernel that overlap, one of them written     (dlc's own: noalias)
    23  memory, modules, graphs or streams that are never given back    Driver API, Primary Context
    24  a context that is released with work still in its stream    Driver API, Primary Context
    25  a stream that is destroyed while it captures          Driver API, Stream Management
    26  another number of arguments than the kernel takes     Driver API, Execution Control
    27  a kernel that its module does not hold                Driver API, Module Management
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dlc.program import Kernel, Program
from dlc.runtime.compile import workers
from dlc.runtime.compile.cache import Cache
from dlc.runtime.compile.link import Linked
from dlc.runtime.cpu.check import ELEMENT_BYTES
from dlc.runtime.cpu.table import address_of
from dlc.runtime.cpu.threads import NATIVE

BEFORE_CONTEXT = ("cuInit", "cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuCtxSetCurrent")
MOST_BLOCKS, MOST_THREADS = 2**31 - 1, 1024


class Misuse(AssertionError):
    """A call that the driver API does not allow."""


@dataclass
class Module:
    """A loaded kernel."""

    number: int
    kernel: Kernel
    parameters: int
    there: bool = True


@dataclass
class Graph:
    """Captured launches."""

    launches: list[Launched]
    there: bool = True


@dataclass(frozen=True)
class Launched:
    """A launch as it came: words of its arguments, the count last."""

    module: Module
    blocks: int
    threads: int
    words: tuple[int, ...]


@dataclass
class FakeLibrary:
    """The functions of libcuda that dlc calls. `fails` maps a function to the error that it gives;
    `calls` are the names of all calls in order."""

    program: Program
    fails: dict[str, int] = field(default_factory=dict)
    memory_bytes: int = 1 << 30
    calls: list[str] = field(default_factory=list)
    launches: list[Launched] = field(default_factory=list)
    seed: int = 0

    def __post_init__(self) -> None:
        jobs = workers.program_jobs(replace(self.program, isa=""))
        self.linked = Linked(workers.objects(jobs, Cache()))
        self.natives = [NATIVE(self.linked.addresses[job.symbol]) for job in jobs]
        self.memory: dict[int, tuple[int, Any]] = {}
        self.freed: list[tuple[int, int, Any]] = []
        self.modules: list[Module] = []
        self.graphs: dict[int, Graph] = {}
        self.pending: list[Callable[[], None]] = []
        self.capture: list[Launched] | None = None
        self.began = self.context = self.current = self.stream = False
        self.streams_gone = False
        self.random = np.random.default_rng(self.seed)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        function = getattr(type(self), f"do_{name}")

        def called(*arguments: Any) -> int:
            self.calls.append(name)
            self.expect(self.began or name == "cuInit", "1: a call before cuInit")
            self.expect(self.current or name in BEFORE_CONTEXT, f"2: {name} without a context")
            if name in self.fails:
                if name == "cuStreamEndCapture":
                    self.capture = None  # a capture that fails is over (Stream Management)
                return self.fails[name]
            return int(function(self, *arguments) or 0)
        return called

    def expect(self, holds: object, what: str) -> None:
        if not holds:
            raise Misuse(what)

    # ---- contexts and streams ----

    def do_cuInit(self, flags: Any) -> None:
        self.began = True

    def do_cuDeviceGet(self, out: Any, number: Any) -> int:
        out._obj.value = number.value
        return 0 if number.value == 0 else 101

    def do_cuDevicePrimaryCtxRetain(self, out: Any, device: Any) -> None:
        out._obj.value = 1
        self.context = True

    def do_cuCtxSetCurrent(self, context: Any) -> None:
        self.current = bool(context.value)

    def do_cuDeviceGetAttribute(self, out: Any, attribute: Any, device: Any) -> None:
        out._obj.value = {75: 9, 76: 0}[attribute.value]

    def do_cuDevicePrimaryCtxRelease_v2(self, device: Any) -> None:
        self.expect(not self.pending, "24: a context released with work in its stream")
        left = [f"{len(self.memory)} allocations" if self.memory else "",
                "modules" if any(m.there for m in self.modules) else "",
                "graphs" if any(g.there for g in self.graphs.values()) else "",
                "a stream" if self.stream else ""]
        self.expect(not any(left), f"23: {', '.join(filter(None, left))} never given back")
        self.context = self.current = False

    def do_cuStreamCreate(self, out: Any, flags: Any) -> None:
        out._obj.value = 7
        self.stream = True

    def of_stream(self, stream: Any) -> None:
        self.expect(self.stream and stream.value == 7, "19: a stream that was destroyed")

    def do_cuStreamDestroy_v2(self, stream: Any) -> None:
        self.of_stream(stream)
        self.expect(self.capture is None, "25: a stream destroyed while it captures")
        self.stream = False

    def do_cuStreamSynchronize(self, stream: Any) -> None:
        self.of_stream(stream)
        self.expect(self.capture is None, "8: a synchronization while its stream captures")
        pending, self.pending = self.pending, []
        for work in pending:
            work()

    # ---- memory ----

    def do_cuMemGetInfo_v2(self, free: Any, total: Any) -> None:
        total._obj.value = self.memory_bytes
        free._obj.value = self.memory_bytes - sum(size for size, _ in self.memory.values())

    def do_cuMemAlloc_v2(self, out: Any, size: Any) -> int:
        if size.value > self.memory_bytes:
            return 2
        room = np.full(size.value + 256, 0xA5, np.uint8)
        address = -(-address_of(room) // 256) * 256
        self.memory[address] = size.value, room
        out._obj.value = address
        return 0

    def do_cuMemFree_v2(self, address: Any) -> None:
        self.expect(address.value in self.memory, "7: memory freed twice, or never allocated")
        self.freed.append((address.value, *self.memory.pop(address.value)))

    def inside(self, address: int, size: int, freed: str, outside: str) -> None:
        """Refuse bytes that are not of one allocation."""
        for start, count, _ in self.freed:
            if start <= address < start + count and not self.owner(address):
                raise Misuse(freed)
        owner = self.owner(address)
        self.expect(owner and address + size <= owner[0] + owner[1], outside)

    def owner(self, address: int) -> tuple[int, int] | None:
        return next(((a, s) for a, (s, _) in self.memory.items() if a <= address < a + s), None)

    def later(self, work: Callable[[], None]) -> None:
        """In the stream's order, when somebody waits for it: as late as the API allows."""
        self.expect(self.capture is None, "8: a copy of pageable memory while its stream captures")
        self.pending.append(work)

    def do_cuMemsetD8Async(self, address: Any, value: Any, size: Any, stream: Any) -> None:
        self.of_stream(stream)
        self.inside(address.value, size.value, "4: freed memory", "3: past an allocation")
        self.later(lambda: ctypes.memset(address.value, value.value, size.value) and None)

    def do_cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> None:
        self.of_stream(stream)
        self.inside(to.value, size.value, "4: a copy to freed memory", "3: a copy past an end")
        self.later(lambda: ctypes.memmove(to.value, source.value, size.value) and None)

    def do_cuMemcpyDtoHAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> None:
        self.of_stream(stream)
        self.inside(source.value, size.value, "4: a copy of freed memory", "3: a copy past an end")
        ctypes.memset(to.value, 0x5A, size.value)  # 20: what is read too early is not the result
        self.later(lambda: ctypes.memmove(to.value, source.value, size.value) and None)

    # ---- kernels ----

    def do_cuModuleLoadData(self, out: Any, image: Any) -> int:
        found = re.search(r"\.visible \.entry (\w+)\(([^)]*)\)", image.value.decode())
        if found is None:
            return 218
        kernel = self.program.kernels[len(self.modules) % len(self.program.kernels)]
        self.expect(kernel.name == found[1], "27: a module of another kernel")
        self.modules.append(Module(len(self.modules) % len(self.program.kernels), kernel,
                                   found[2].count(".param")))
        out._obj.value = len(self.modules)
        return 0

    def do_cuModuleGetFunction(self, out: Any, module: Any, name: Any) -> int:
        own = self.modules[module.value - 1]
        self.expect(own.there, "15: a module that was unloaded")
        out._obj.value = module.value
        return 0 if own.kernel.name == name.value.decode() else 500

    def do_cuModuleUnload(self, module: Any) -> None:
        self.expect(self.modules[module.value - 1].there, "15: a module unloaded twice")
        self.modules[module.value - 1].there = False

    def do_cuLaunchKernel(self, function: Any, gx: Any, gy: Any, gz: Any, bx: Any, by: Any,
                          bz: Any, shared: Any, stream: Any, arguments: Any, extra: Any) -> None:
        self.of_stream(stream)
        module = self.modules[function.value - 1]
        self.expect(0 < gx.value <= MOST_BLOCKS and gy.value == gz.value == 1,
                    f"11: a grid of {gx.value} blocks")
        self.expect(0 < bx.value <= MOST_THREADS and by.value == bz.value == 1,
                    f"12: a block of {bx.value} threads")
        self.expect(len(arguments) == module.parameters,
                    f"26: {len(arguments)} arguments for {module.parameters}")
        words = tuple(ctypes.cast(p, ctypes.POINTER(ctypes.c_int64)).contents.value
                      for p in arguments)
        launched = Launched(module, gx.value, bx.value, words)
        self.check(launched, "")
        if self.capture is not None:
            self.capture.append(launched)
        else:
            self.pending.append(lambda: self.execute(launched))

    def check(self, launched: Launched, again: str) -> None:
        """What holds when a kernel is launched, alone or in a graph."""
        module, kernel, words = launched.module, launched.module.kernel, launched.words
        self.expect(module.there, f"{'18' if again else '15'}: a module that was unloaded{again}")
        count = words[-1]
        if kernel.block:
            self.expect(launched.threads == kernel.block, "13: another block than the kernel's")
            self.expect(launched.blocks == count, "14: another grid than the kernel's")
        else:
            spare = launched.blocks * launched.threads - count
            self.expect(0 <= spare < launched.threads, "14: a grid that does not fit")
        starts = []
        for parameter, word in zip(kernel.params, words, strict=False):
            if parameter.kind != "pointer":
                continue
            number = "17" if again else "5"
            self.inside(word, 1, f"{number}: freed memory as an argument{again}",
                        f"6: an argument outside of memory{again}")
            size = ELEMENT_BYTES[parameter.dtype]
            self.expect(word % size == 0, f"21: {parameter.name} is not aligned to {size} bytes")
            starts.append((word, parameter.written))
        for at, (word, written) in enumerate(starts):
            for other, other_written in starts[at + 1:]:
                self.expect(word != other or not (written or other_written),
                            "22: two arguments that overlap, one written")

    def execute(self, launched: Launched) -> None:
        """Run all positions, in random order."""
        self.launches.append(launched)
        words = np.array(launched.words[:-1], np.int64)
        native = self.natives[launched.module.number]
        for position in self.random.permutation(launched.words[-1]):
            native(address_of(words), int(position))

    # ---- graphs ----

    def do_cuStreamBeginCapture_v2(self, stream: Any, mode: Any) -> None:
        self.of_stream(stream)
        self.expect(self.capture is None, "9: a capture within another")
        self.capture = []

    def do_cuStreamEndCapture(self, stream: Any, out: Any) -> None:
        self.of_stream(stream)
        self.expect(self.capture is not None, "10: the end of a capture that has not begun")
        self.graphs[len(self.graphs) + 1] = Graph(self.capture or [])
        self.capture = None
        out._obj.value = len(self.graphs)

    def do_cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: Any) -> None:
        self.graphs[len(self.graphs) + 1] = Graph(self.graphs[graph.value].launches)
        out._obj.value = len(self.graphs)

    def destroy(self, graph: Any) -> None:
        self.expect(self.graphs[graph.value].there, "16: a graph that was destroyed")
        self.graphs[graph.value].there = False

    do_cuGraphDestroy = do_cuGraphExecDestroy = destroy

    def do_cuGraphLaunch(self, graph: Any, stream: Any) -> None:
        self.of_stream(stream)
        self.expect(self.graphs[graph.value].there, "16: a graph that was destroyed")
        for launched in self.graphs[graph.value].launches:
            self.check(launched, " of a graph")
            self.pending.append(lambda launched=launched: self.execute(launched))
