"""Packing: operands of a contraction are copied into the layout that the gemm tile reads.

A packed block holds its lanes (rows of a panel of A, columns of a box of B) side by side, one k
after the other. Operands come through the contraction's index maps, so any
transposition, window, stride, dilation, group or fused elementwise prologue only changes what the
packing loops read; the multiplication never knows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from dlc.backend.contract.plan import Blocking, Box, Shape
from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import is_plain
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Let, Load, Pointer, Store
from dlc.backend.ir.index import Sum, Term, Var, least, sum_of
from dlc.backend.ir.substitute import put_in
from dlc.ir.access import Access, Contraction, unravel
from dlc.ir.graph import Node
from dlc.ir.types import DType

Index = tuple[Sum, ...]
ZERO = Sum()
Opened = tuple[Sum, Callable[[], None]]  # a loop variable, and what closes its loop


@dataclass(frozen=True)
class Job:
    """One contraction being lowered: its node, extents, cuts and the dtype it accumulates in."""

    y: Node
    c: Contraction
    shape: Shape
    kind: DType
    cuts: Blocking
    limits: Limits
    loads: Mapping[Node, str]
    stores: Mapping[Node, str]

    def emitter(self) -> Emitter:
        """A fresh emitter over the group's buffers."""
        return Emitter(self.loads, self.stores, self.limits)

    def out_index(self, batch: Sequence[Term], rows: Sequence[Term], cols: Sequence[Term]) -> Index:
        """The index of y whose batch, row and column axes have these values."""
        index = [Sum()] * (len(batch) + len(rows) + len(cols))
        for axes, values in ((self.c.batch, batch), (self.c.rows, rows), (self.c.cols, cols)):
            for axis, value in zip(axes, values, strict=True):
                index[axis] = sum_of(value)
        return tuple(index)

    def read(self, side: str, batch: Sequence[Term], lanes: Sequence[Term],
             inner: Sequence[Term]) -> Access:
        """How operand "a" at row `lanes`, or "b" at column `lanes`, is read at `inner`."""
        zeros_r, zeros_c = [0] * len(self.c.rows), [0] * len(self.c.cols)
        if side == "a":
            return self.c.read_a(self.out_index(batch, lanes, zeros_c), tuple(map(sum_of, inner)))
        return self.c.read_b(self.out_index(batch, zeros_r, lanes), tuple(map(sum_of, inner)))


def bind(e: Emitter, hint: str, value: Sum) -> Sum:
    """Name an index expression in the current block, unless it is a number or a variable."""
    return value if is_plain(value) else e.named(hint, value, value.low, value.high)


def grid(e: Emitter, batch: tuple[int, ...], **others: int) -> Sequence[Sum]:
    """Where the parallel axes stand: those of the batch, then `others` by name. The first one may
    be longer when the text is used again."""
    extents = {**{f"b{i}": extent for i, extent in enumerate(batch)}, **others}
    return [e.axis(hint, extent, leads=not at) for at, (hint, extent) in
            enumerate(extents.items())]


def within(e: Emitter, hint: str, value: Sum, count: int) -> Sum:
    """`value`, which is below `count` wherever it is read: named where its terms' ranges do not
    tell, as in a last panel of fewer rows, so that views of it need no division."""
    return value if value.high < count else e.named(hint, value, value.low, count - 1)


def loop(e: Emitter, hint: str, extent: int, count: Sum | None = None) -> Opened:
    """Open a loop of `extent` rounds, or of `count` in 1 .. extent where that varies."""
    if extent == 1 and (count is None or not count.terms):
        return ZERO, nothing
    var = e.open(hint, 0, max(extent, 2))
    high = sum_of(extent) if count is None else count
    return sum_of(var), lambda: e.close(var, None, high)


def nothing() -> None:
    """What closes a loop of one round, which is not written."""


@dataclass(frozen=True)
class Run:
    """One box of a Box: where it starts, and how long it is."""

    box: Box
    outer: tuple[Sum, ...]
    start: Sum
    size: Sum  # steps of the cut axis: box.size, or fewer in the last box

    @property
    def flat(self) -> Sum:
        """Row-major position of the first element among all."""
        position = Sum()
        for i, extent in zip(self.outer, self.box.extents, strict=False):
            position = position * extent + i
        return (position * self.box.extents[self.box.axis] + self.start) * self.box.inner

    @property
    def length(self) -> Sum:
        return self.size * self.box.inner


def run_of(e: Emitter, box: Box, number: Sum, hint: str) -> Run:
    """Box `number`, with its start and size named in the current block."""
    outer = tuple(bind(e, f"{hint}_at", o) for o in box.outer(number))
    start = bind(e, f"{hint}0", box.start(number))
    size = sum_of(box.size)
    if box.ragged:
        left = sum_of(box.extents[box.axis]) - start
        size = e.named(f"{hint}s", least(box.size, left), 1, box.size)
    return Run(box, outer, start, size)


def nest(e: Emitter, run: Run, hint: str) -> tuple[Sequence[Sum], Sum, Callable[[], None]]:
    """Loops over a run: the index of all its axes, the position within the run, and what closes."""
    box, closers = run.box, []
    step, done = loop(e, hint, box.size, run.size)
    closers.append(done)
    index, position = [*run.outer, run.start + step], step
    for n, extent in enumerate(box.extents[box.axis + 1:]):
        var, done = loop(e, f"{hint}{n + 1}", extent)
        closers.append(done)
        index.append(var)
        position = position * extent + var

    def close() -> None:
        for shut in reversed(closers):
            shut()
    return index, position, close


def part_of(e: Emitter, run: Run, most: int) -> tuple[Run, Sum, Callable[[], None]]:
    """A loop over parts of a run that have at most `most` elements: the part, where it starts
    within the run, and what closes the loop."""
    box = run.box
    if box.inner > most:  # one step of the cut axis is too much: its inner axes are cut
        step, shut = loop(e, "kb", box.size, run.size)
        extent = box.extents[box.axis + 1]
        whole = Run(Box(box.extents, box.axis + 1, extent), (*run.outer, run.start + step), ZERO,
                    sum_of(extent))
        if whole.box.width <= most:
            return whole, step * box.inner, shut
        part, position, close = part_of(e, whole, most)

        def close_both() -> None:
            close()
            shut()
        return part, step * box.inner + position, close_both
    steps = max(1, most // box.inner)
    count = -(-box.size // steps)
    kb, shut = loop(e, "kb", count, count_of(e, "parts", run.size, steps, count))
    size = sum_of(steps)
    if run.size.terms or box.size % steps:
        left = run.size - kb * steps
        size = e.named("ks", least(steps, left), 1, steps)
    part = Run(Box(box.extents, box.axis, steps), run.outer, run.start + kb * steps, size)
    return part, kb * (steps * box.inner), shut


def count_of(e: Emitter, hint: str, size: Sum, steps: int, most: int) -> Sum | None:
    """How often `steps` go into `size`, rounded up, where that varies; at most `most`."""
    if not size.terms or most == 1:
        return None
    return e.named(hint, (size + (steps - 1)) // steps, 1, most)


# ---- packing -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lanes:
    """What a packed block has side by side: rows of A in a panel, or columns of B in a box."""

    side: str
    batch: tuple[Sum, ...]
    extents: tuple[int, ...]
    flat: Sum  # of the first lane
    count: Sum
    most: int  # lanes at most
    stride: int  # elements from one k to the next in the packed block
    run: Run | None = None  # the box, where lanes are looped over axis by axis


def pack(e: Emitter, job: Job, lanes: Lanes, inner: Run, to: Pointer) -> None:
    """to[k * stride + lane] = operand at (lane, k), for the lanes and the run of k given."""
    loads, only = probe(job, lanes, inner)
    if only is not None and copy_block(e, job, lanes, inner, to, only):
        return
    along_k = sum(x.index.coefficient("k_probe") == 1 for x in loads)
    along_lanes = sum(x.index.coefficient("lane_probe") == 1 for x in loads)
    if along_k > along_lanes:
        pack_turned(e, job, lanes, inner, to)
    else:
        pack_straight(e, job, lanes, inner, to)


def row_of(e: Emitter, lanes: Lanes, lane: Sum) -> Sum:
    """Which row or column of the operand stands in `lane`."""
    return within(e, "row", lanes.flat + lane, math.prod(lanes.extents))


def probe(job: Job, lanes: Lanes, inner: Run) -> tuple[list[Load], Load | None]:
    """The loads behind an operand at lane `lane_probe`, k `k_probe`; the load that is all of it."""
    e = job.emitter()
    lane, k = Var("lane_probe", 0, lanes.most - 1), Var("k_probe", 0, inner.box.width - 1)
    flat, many = lanes.flat + lane, math.prod(lanes.extents)
    known = flat if flat.high < many else sum_of(Var("row_probe", flat.low, many - 1))
    row = unravel(known, lanes.extents)
    column = unravel(inner.flat + k, inner.box.extents)
    index = [*row, *column, *lanes.batch]
    e.levels.update({name: 0 for i in index for name in i.variables()})
    e.access(job.read(lanes.side, lanes.batch, row, column), job.y, ())
    lets = [s for s in e.stack[0].statements if isinstance(s, Let)]
    loads = [replace(s.value, index=put_in(s.value.index, {"row_probe": flat}))
             for s in lets if isinstance(s.value, Load)]
    plain = len(e.stack[0].statements) == 1 and len(loads) == 1 and not loads[0].guard
    return loads, loads[0] if plain and stored(job, loads[0].buffer) is job.kind else None


def without(index: Sum, names: Sequence[str]) -> Sum:
    """The part of an index that does not depend on variables, in which it is linear."""
    return Sum(index.const, tuple((a, c) for a, c in index.terms
                                  if not (isinstance(a, Var) and a.name in names)))


def stored(job: Job, buffer: str) -> DType:
    """The dtype in which a buffer lies in memory."""
    found: DType = next(n.type.dtype for n, name in job.loads.items() if name == buffer)
    return found


def copy_block(e: Emitter, job: Job, lanes: Lanes, inner: Run, to: Pointer, source: Load) -> bool:
    """Pack by one tile call when the operand is a matrix in memory; False when it is none."""
    by_lane, by_k = (source.index.coefficient(v) for v in ("lane_probe", "k_probe"))
    if by_lane is None or by_k is None or 1 not in (by_lane, by_k):
        return False
    first = without(source.index, ("lane_probe", "k_probe"))
    start, count, length = Pointer(source.buffer, first), lanes.count, inner.length
    if by_lane == 1:
        e.tile(f"copy_{job.kind}", to, lanes.stride, start, by_k, length, count)
    else:
        e.tile(f"transpose_{job.kind}", to, lanes.stride, start, by_lane, count, length)
    return True


def pack_straight(e: Emitter, job: Job, lanes: Lanes, inner: Run, to: Pointer) -> None:
    """Evaluate element by element, lanes innermost."""
    if lanes.run is not None:
        column, k, close = nest(e, inner, "k")
        row, lane, shut = nest(e, lanes.run, "n")
    else:
        # one loop over k: nested short ones would be unrolled, which takes long to compile
        k, close = loop(e, "k", inner.box.width, inner.length)
        column = unravel(inner.flat + k, inner.box.extents)
        lane, shut = loop(e, "i", lanes.most, lanes.count)
        row = unravel(row_of(e, lanes, lane), lanes.extents)
    value = e.access(job.read(lanes.side, lanes.batch, row, column), job.y, ())
    place = to + (k * lanes.stride + lane)
    e.stack[-1].statements.append(
        Store(place.buffer, place.offset, e.k.cast(value, job.kind), job.kind))
    shut()
    close()


def pack_turned(e: Emitter, job: Job, lanes: Lanes, inner: Run, to: Pointer) -> None:
    """Evaluate some lanes into rows that are contiguous along k, then transpose them."""
    if inner.box.width > job.limits.turned:
        part, position, shut = part_of(e, inner, job.limits.turned)
        pack_turned(e, job, lanes, part, to + position * lanes.stride)
        shut()
        return
    group = min(job.limits.turned_rows, lanes.most)
    width = inner.box.width
    rows = e.allocate("turn", job.kind, group * width)
    groups = -(-(lanes.most if lanes.count.terms else lanes.count.const) // group)
    g, shut = loop(e, "g", groups, count_of(e, "groups", lanes.count, group, groups))
    left = lanes.count - g * group
    live: Sum = left
    if groups > 1:
        live = e.named("live", least(group, left), 1, group)
    lane, done = loop(e, "i", group, live)
    row = unravel(row_of(e, lanes, g * group + lane), lanes.extents)
    column, k, close = nest(e, inner, "k")
    value = e.access(job.read(lanes.side, lanes.batch, row, column), job.y, ())
    e.stack[-1].statements.append(
        Store(rows, lane * width + k, e.k.cast(value, job.kind), job.kind))
    close()
    done()
    e.tile(f"transpose_{job.kind}", to + g * group, lanes.stride, Pointer(rows), width, live,
           inner.length)
    shut()
