"""Program: the compiler's output and the runtime's input. Plain data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from dlc.ir.types import Type

UPDATE = "update"  # train_update takes the sums over micro-batches that runs of train give
FORMAT = 2  # 2 brought loops, branches and moving slots; 1 is read as well


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
    `tiles` names the LLVM IR tiles it calls. A kernel that `raises` calls a user's function on
    array views: when it fails, the chunk's place in the last buffer (i32) takes the line of the
    text, counted from its end and from 1, else 0. `block`: on CUDA a chunk is a block of so many
    threads; 0 where it is a thread.
    """

    name: str
    params: tuple[Parameter, ...]
    text: str
    tiles: tuple[str, ...] = ()
    raises: bool = False
    block: int = 0


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
    """A pointer argument: a byte offset into the arena.

    Inside loops it may move: by `strides[d]` bytes with each iteration of the d-th loop around it
    (the outermost is 0), and `swaps[d]` bytes away in every second iteration. Zeros at the end of
    both are left out, so a slot that stands still has neither.
    """

    offset: int
    strides: tuple[int, ...] = ()
    swaps: tuple[int, ...] = ()

    @property
    def moves(self) -> bool:
        return bool(self.strides or self.swaps)


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
    `again`: it computes what an earlier launch computed, to hold fewer bytes between.
    """

    name: str
    stages: tuple[tuple[Segment, ...], ...]
    lines: tuple[str, ...] = ()
    flops: int = 0
    bytes: int = 0
    barrier: bool = True
    again: bool = False

    @property
    def title(self) -> str:
        """Its name, and whether it computes again."""
        return f"{self.name} again" if self.again else self.name


@dataclass(frozen=True)
class Loop:
    """`launches` again and again, `count` times; all is done before an iteration begins."""

    name: str
    count: int
    launches: tuple[Launch | Loop | Branch, ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Branch:
    """`then` if the byte at `flag` is not zero, else `otherwise`."""

    name: str
    flag: Slot
    then: tuple[Launch | Loop | Branch, ...]
    otherwise: tuple[Launch | Loop | Branch, ...]
    lines: tuple[str, ...] = ()


Step = Launch | Loop | Branch


def update_entry(entry: str) -> str:
    """The entry that ends a step whose micro-batches `entry` runs: train_update of train and of
    train_tail, train_update.PHASE of train.PHASE. It is there where a step has several."""
    head, dot, phase = entry.partition(".")
    return f"{head.partition('_')[0]}_{UPDATE}{dot}{phase}"


def walk(steps: Sequence[Step], counts: tuple[int, ...] = ()) -> Iterator[
        tuple[Launch, tuple[int, ...]]]:
    """Every launch in order, with the counts of the loops around it, outermost first."""
    for step in steps:
        if isinstance(step, Loop):
            yield from walk(step.launches, (*counts, step.count))
        elif isinstance(step, Branch):
            yield from walk((*step.then, *step.otherwise), counts)
        else:
            yield step, counts


def place(slot: Slot, iterations: Sequence[int]) -> int:
    """The offset of `slot` in these iterations of the loops around it."""
    strides = sum(s * t for s, t in zip(slot.strides, iterations, strict=False))
    return slot.offset + strides + sum(
        s * (t % 2) for s, t in zip(slot.swaps, iterations, strict=False))


def standing(launch: Launch, iterations: Sequence[int]) -> Launch:
    """The launch as it is in these iterations of the loops around it: no slot moves."""
    def still(segment: Segment) -> Segment:
        args = tuple(Slot(place(a, iterations)) if isinstance(a, Slot) else a for a in segment.args)
        return replace(segment, args=args)

    return replace(launch, stages=tuple(tuple(map(still, stage)) for stage in launch.stages))


def sweep(slot: Slot, counts: Sequence[int]) -> tuple[int, int]:
    """The lowest and the highest offset of `slot` in loops that run `counts` times."""
    low = high = slot.offset
    for stride, count in zip(slot.strides, counts, strict=False):
        low, high = low + min(0, stride * (count - 1)), high + max(0, stride * (count - 1))
    for swap, count in zip(slot.swaps, counts, strict=False):
        low, high = low + min(0, swap if count > 1 else 0), high + max(0, swap if count > 1 else 0)
    return low, high


def stands(slot: Slot, counts: Sequence[int]) -> Iterator[Slot]:
    """`slot` without its swaps: once for every combination of even and odd iterations."""
    swaps = [swap for swap, count in zip(slot.swaps, counts, strict=False) if swap and count > 1]
    for odd in itertools.product((0, 1), repeat=len(swaps)):
        yield Slot(slot.offset + sum(o * s for o, s in zip(odd, swaps, strict=True)), slot.strides)


def may_meet(a: Slot, a_bytes: int, b: Slot, b_bytes: int, counts: Sequence[int]) -> bool:
    """Whether two buffers share a byte in some iteration of the loops around both.

    Exact where both move by the same strides; else what they sweep over all iterations counts.
    """
    for odd in itertools.product(*_parities(a, b, counts)):
        first, second = _at(a, odd), _at(b, odd)
        lows = (first.offset,) * 2, (second.offset,) * 2
        if a.strides != b.strides:
            lows = sweep(first, counts), sweep(second, counts)
        if lows[0][0] < lows[1][1] + b_bytes and lows[1][0] < lows[0][1] + a_bytes:
            return True
    return False


def _parities(a: Slot, b: Slot, counts: Sequence[int]) -> list[tuple[bool, ...]]:
    """Of each loop, whether its iterations are even (False) or odd, where a or b tells them apart.
    """
    swapping = {d for slot in (a, b) for d, swap in enumerate(slot.swaps) if swap}
    return [(False, True) if d in swapping and count > 1 else (False,)
            for d, count in enumerate(counts)]


def _at(slot: Slot, odd: Sequence[bool]) -> Slot:
    """The slot in the iterations that are odd as `odd` says, loop by loop."""
    away = sum(swap for swap, is_odd in zip(slot.swaps, odd, strict=False) if is_odd)
    return Slot(slot.offset + away, slot.strides)


@dataclass(frozen=True)
class Buffer:
    """One value in the arena. `category`: parameter, state, input, activation, workspace, output.

    `first` and `last` count the launches of `entry` in the order of its text, each once however
    often a loop runs it (-1 and their number for persistent values). `strides` and `swaps` are
    those of the slots that point to it: an element of a sequence moves along it.
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
    strides: tuple[int, ...] = ()
    swaps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Port:
    """A named input or output of an entry: where it lies in the arena.

    Roles the runtime knows: an input of role "step" (i32, u32 or i64) receives the step's number,
    an output of role "fault" (i32) stops the run after the step that sets it to nonzero. Where a
    step has micro-batches, "micro_batch" (i32) receives the number of one, "share" (f64) its part
    of the step's rows, and "summed" the sum over them of the first half's output of that name.
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
    launches: tuple[Step, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    graph: str = ""

    @cached_property
    def flat(self) -> tuple[Launch, ...]:
        """Every launch in order, those inside loops and branches once."""
        return tuple(launch for launch, _ in walk(self.launches))

    @cached_property
    def runs(self) -> tuple[int, ...]:
        """How often each of `flat` runs in a step: the product of the counts of its loops."""
        return tuple(math.prod(counts) for _, counts in walk(self.launches))


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
    format: int = FORMAT
    meta: dict[str, object] = field(default_factory=dict)

    @cached_property
    def lives(self) -> Mapping[str, Sequence[tuple[Slot, Buffer]]]:
        """The buffers of each entry with the slots that point to them; under "" those of all."""
        found: dict[str, list[tuple[Slot, Buffer]]] = {}
        for buffer in self.buffers:
            slot = Slot(buffer.offset, buffer.strides, buffer.swaps)
            found.setdefault(buffer.entry, []).append((slot, buffer))
        return found

    def alive(self, entry: str, index: int) -> Iterator[tuple[Slot, Buffer]]:
        """The buffers that hold something while launch `index` of an entry's `flat` runs."""
        for name in (entry, ""):
            for slot, buffer in self.lives.get(name, ()):
                if buffer.first <= index <= buffer.last:
                    yield slot, buffer

    @property
    def peak_bytes(self) -> int:
        """Bytes that the allocator takes for the arena: known before the first step."""
        return self.arena_bytes
