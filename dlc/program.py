"""Program: what the compiler hands to the runtime. Plain data, no behaviour beyond sums."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from dlc.types import Type


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: a flat buffer (`pointer`) or a number (`scalar`: i64 or f64)."""

    name: str
    dtype: str
    kind: Literal["pointer", "scalar"]
    written: bool = False


@dataclass(frozen=True)
class Kernel:
    """A kernel's Python text and signature; equal texts are compiled once.

    `text` defines one function called `name` taking `params` in order, then `chunk`.
    `tiles` names the LLVM IR tiles it calls.
    """

    name: str
    params: tuple[Parameter, ...]
    text: str
    tiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class TileText:
    """LLVM IR that defines `@name`, its signature, and a plain Python body.

    `params` and `result` are dtype names, a pointer to one with a star ("f32*"); `result` may be
    "void". `plain` is Python text defining a function `name` over flat NumPy buffers.
    """

    name: str
    ir: str
    params: tuple[str, ...]
    result: str = "void"
    plain: str = ""


@dataclass(frozen=True)
class Slot:
    """A pointer argument: a byte offset into the arena."""

    offset: int


@dataclass(frozen=True)
class Segment:
    """`chunks` calls of one kernel with the same arguments; they may run in any order."""

    kernel: int
    args: tuple[Slot | int | float, ...]
    chunks: int


@dataclass(frozen=True)
class Launch:
    """One fused group made executable.

    Segments of one stage are independent; a barrier stands between stages. `barrier` says whether
    the launch must wait for the launches before it. `lines` are the user's lines it serves.
    """

    name: str
    stages: tuple[tuple[Segment, ...], ...]
    lines: tuple[str, ...] = ()
    flops: int = 0
    bytes: int = 0
    barrier: bool = True


@dataclass(frozen=True)
class Buffer:
    """One value in the arena. `category`: parameter, state, input, activation, workspace, output.

    `first` and `last` are launch indices within `entry` (-1, len(launches)) for persistent values.
    """

    name: str
    type: Type
    offset: int
    bytes: int
    category: str
    entry: str
    first: int
    last: int
    line: str = ""


@dataclass(frozen=True)
class Port:
    """A named input or output of an entry: where it lies in the arena.

    Roles the runtime knows: an input of role "step" (i32, u32 or i64) receives the step's number,
    an output of role "fault" (i32) stops the run after the step that sets it to nonzero.
    """

    name: str
    type: Type
    offset: int
    role: str = "data"


@dataclass(frozen=True)
class Constant:
    """Bytes that lie in the arena from load on and that no launch writes."""

    offset: int
    data: bytes


@dataclass(frozen=True)
class Entry:
    """One graph made executable. Updated parameters and state are written in place in the arena."""

    name: str
    launches: tuple[Launch, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    graph: str = ""


@dataclass(frozen=True)
class Program:
    """Everything the runtime needs, and what the user inspects.

    `arena_bytes` is what the allocator takes. `persistent` are the parameters and state, which all
    entries share at the same offsets. `prelude` is the Python text of the functions that kernels
    call, `tiles` the LLVM IR ones by name, `isa` the instruction set they were written for
    ("avx512", "avx2", "neon", "scalar"; "" is the machine's own).
    """

    name: str
    target: str
    entries: dict[str, Entry]
    kernels: tuple[Kernel, ...]
    arena_bytes: int
    persistent: tuple[Port, ...] = ()
    buffers: tuple[Buffer, ...] = ()
    prelude: str = ""
    tiles: dict[str, TileText] = field(default_factory=dict)
    constants: tuple[Constant, ...] = ()
    isa: str = ""
    format: int = 1
    meta: dict[str, object] = field(default_factory=dict)

    @property
    def peak_bytes(self) -> int:
        """Bytes that the allocator takes for the arena: known before the first step."""
        return self.arena_bytes
