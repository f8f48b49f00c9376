"""Contractions with the gemm tile: pack A once, then multiply and run the epilogue per block.

Two schemes. `write_multiply`: boxes of columns of C and panels of its rows are parallel axes, each
block summed whole. `write_partial` and `write_sum`: few outputs and a long sum, so parts of the sum
of all of C are the parallel axis, and a later stage adds them up in their order. Each gives how its
axes are to be cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from dlc.backend.contract.pack import (
    ZERO,
    Index,
    Job,
    Lanes,
    Run,
    grid,
    loop,
    nest,
    nothing,
    pack,
    run_of,
    within,
    without,
)
from dlc.backend.contract.plan import Box
from dlc.backend.contract.ready import Form, ready_buffer
from dlc.backend.cpu.mapping import Cuts, panels_per_packing
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Expression, For, Let, Load, Pointer, Ref, Space, Statement, Store
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.substitute import put_in
from dlc.backend.ir.walks import expressions, indices
from dlc.ir.access import unravel
from dlc.ir.types import DType

Finish: TypeAlias = Callable[[Emitter, Index, Expression], None]
"""Stores what the group makes of one element of C."""


class GemmWriter:
    """Writes the kernels of one contraction through the gemm tile."""

    def __init__(self, job: Job, finish: Finish) -> None:
        self.job, self.cuts, self.shape, self.finish = job, job.cuts, job.shape, finish
        self.panels = -(-self.shape.m // self.cuts.height)
        self.panel = self.cuts.height * self.shape.k  # elements of a packed panel of A
        self.tile = f"gemm_{job.kind}_{self.cuts.height}x{self.cuts.width}"
        forms = {side: self.form(side) for side in ("a", "b")}
        self.ready = {side: None if form is None else ready_buffer(job, form)
                      for side, form in forms.items()}

    def form(self, side: str) -> Form | None:
        """How an operand lies that need not be packed; None where each chunk packs its part."""
        shape, cuts = self.shape, self.cuts
        if cuts.splits or (side == "b" and len(shape.cols) > 1):
            return None
        if side == "a":
            return Form("a", shape.b, self.panels, shape.k, cuts.height, shape.m)
        return Form("b", shape.b, cuts.cols.count, shape.k, cuts.stride, shape.n)

    @property
    def packs_first(self) -> bool:
        """Whether a stage packs A: B is not ready, or chunks would pack much of it again."""
        again = self.shape.b * self.shape.m * self.shape.k * (self.cuts.cols.count - 1)
        return self.ready["a"] is None and (
            self.ready["b"] is None or again > self.job.limits.apart)

    def times(self, side: str) -> int:
        """How often an operand that has a form, and does not lie in it, is packed whole."""
        if side == "a":
            return 1 if self.packs_first else self.cuts.cols.count
        return -(-self.panels // self.cuts.panels)

    @property
    def packed(self) -> int:
        """Elements of A packed whole."""
        return self.shape.b * self.panels * self.panel

    @property
    def partial(self) -> int:
        """Elements of one part of C where sums are split."""
        return self.panels * self.cuts.height * self.cuts.stride

    @property
    def parts(self) -> int:
        """Parts that each sum is split into."""
        return -(-self.cuts.inner.count // max(1, self.cuts.splits))

    # ---- A ---------------------------------------------------------------------------------------

    def write_pack(self, e: Emitter, space: str) -> Cuts:
        """Pack A into `space`: [batch, panel, k, row]."""
        each = panels_per_packing(self.panels, self.shape.b, self.packed, self.job.limits)
        batch, lead = grid(e, self.shape.batch), dict.fromkeys(e.axes, 1)
        var = e.open_axis("p", self.panels)
        whole = Run(Box(self.shape.inner, 0, self.shape.inner[0]), (), ZERO,
                    sum_of(self.shape.inner[0]))
        p = sum_of(var)
        self.pack_panel(e, batch, p, self.rows(e, p), whole, self.packed_panel(space, batch, p))
        e.close_axis(var, self.panels)
        return {**lead, var.name: each}

    def panel_loop(self, e: Emitter, group: Sum, each: int) -> tuple[Sum, Callable[[], None]]:
        """Loop over panels group * each, ... of A."""
        var = e.open("p", 0, max(self.panels, 2))
        low = group * each
        high = least(low + each, self.panels)
        return sum_of(var), lambda: e.close(var, low, high)

    def packed_panel(self, ap: str, batch: Sequence[Sum], p: Sum) -> Pointer:
        """Where panel p of A lies packed."""
        return Pointer(ap, (self.position(batch) * self.panels + p) * self.panel)

    def position(self, batch: Sequence[Sum]) -> Sum:
        """The number of a matrix among all of the batch."""
        position = Sum()
        for i, extent in zip(batch, self.shape.batch, strict=True):
            position = position * extent + i
        return position

    def rows(self, e: Emitter, p: Sum) -> Sum:
        """How many rows panel p has."""
        height, m = self.cuts.height, self.shape.m
        if not p.terms:
            return sum_of(min(height, m - height * p.const))
        return e.named("rows", least(height, m - p * height), 1, height)

    def pack_panel(self, e: Emitter, batch: Sequence[Sum], p: Sum, rows: Sum, inner: Run,
                   to: Pointer) -> None:
        """Pack columns `inner` of panel p, which has so many `rows`."""
        height = self.cuts.height
        lanes = Lanes("a", tuple(batch), self.shape.rows, p * height, rows, height, height)
        pack(e, self.job, lanes, inner, to)

    # ---- B ---------------------------------------------------------------------------------------

    def pack_box(self, e: Emitter, batch: Sequence[Sum], cols: Run, inner: Run,
                 to: Pointer) -> None:
        lanes = Lanes("b", tuple(batch), cols.box.extents, cols.flat, cols.length, cols.box.width,
                      self.cuts.stride, cols)
        pack(e, self.job, lanes, inner, to)

    # ---- a block of C in one go ------------------------------------------------------------------

    def write_multiply(self, e: Emitter, space: str) -> Cuts:
        """C = A @ B and what the group makes of it: all products of a block at a time."""
        if self.cuts.inner.count > 1:
            return self.write_boxes(e, space)
        batch, lead = grid(e, self.shape.batch), dict.fromkeys(e.axes, 1)
        number = e.axis("box", self.cuts.cols.count)
        cols = run_of(e, self.cuts.cols, number, "n")
        bp = self.box_place(e, batch, number, "shared")
        inner = run_of(e, self.cuts.inner, ZERO, "k")
        box = self.box_of(e, batch, cols, inner, bp)
        var = e.open_axis("p", self.panels)
        ap, acc = self.room(e, 1)
        rows = self.rows(e, sum_of(var))
        panel = self.panel_of(e, space, batch, sum_of(var), rows, inner, ap)
        self.multiply(e, panel, box, cols, inner, acc, rows, ZERO)
        self.finish_panel(e, batch, sum_of(var), rows, cols, acc)
        e.close_axis(var, self.panels)
        return {**lead, var.name: self.cuts.panels, **dict.fromkeys(e.axes, 1)}

    def room(self, e: Emitter, blocks: int) -> tuple[Pointer | None, Pointer]:
        """Buffers for a panel of A, where it is packed when it is needed, and for blocks of C."""
        cuts, kind = self.cuts, self.job.kind
        ap = None if self.packs_first or self.ready["a"] else Pointer(
            e.allocate("ap", kind, cuts.height * cuts.inner.width))
        return ap, Pointer(e.allocate("acc", kind, blocks * cuts.height * cuts.stride))

    def write_boxes(self, e: Emitter, space: str) -> Cuts:
        """The same where the summed axis is walked box by box, and several panels wait for it."""
        cuts, groups = self.cuts, -(-self.panels // self.cuts.panels)
        *batch, group, number = grid(e, self.shape.batch, g=groups, box=cuts.cols.count)
        cols = run_of(e, cuts.cols, number, "n")
        bp = self.box_place(e, batch, number)
        ap, acc = self.room(e, cuts.highest)
        kb, done = loop(e, "kb", cuts.inner.count)
        inner = run_of(e, cuts.inner, kb, "k")
        box = self.box_of(e, batch, cols, inner, bp)
        p, close = self.panel_loop(e, group, cuts.panels)
        rows, mine = self.rows(e, p), self.own_block(acc, p, group)
        panel = self.panel_of(e, space, batch, p, rows, inner, ap)
        self.multiply(e, panel, box, cols, inner, mine, rows, kb)
        close()
        done()
        p, close = self.panel_loop(e, group, cuts.panels)
        self.finish_panel(e, batch, p, self.rows(e, p), cols, self.own_block(acc, p, group))
        close()
        return dict.fromkeys(e.axes, 1)

    def box_place(self, e: Emitter, batch: Sequence[Sum], number: Sum,
                  of: Space = "stack") -> Pointer:
        """Where box `number` of B lies packed, or is packed for those who share it."""
        cuts, job = self.cuts, self.job
        if self.ready["b"] is not None:
            first = self.position(batch) * cuts.cols.count + number
            return Pointer(self.ready["b"], first * (self.shape.k * cuts.stride))
        # of one size whatever the extents, so that texts are shared
        room = max(job.limits.local_bytes // job.kind.bytes, cuts.inner.width * cuts.stride)
        return Pointer(e.allocate("bp", job.kind, room, of))

    def box_of(self, e: Emitter, batch: Sequence[Sum], cols: Run, inner: Run,
               bp: Pointer) -> Pointer:
        """Rows `inner` of a box of B, packed."""
        if self.ready["b"] is not None:
            return bp + inner.flat * self.cuts.stride
        self.pack_box(e, batch, cols, inner, bp)
        return bp

    def panel_of(self, e: Emitter, space: str, batch: Sequence[Sum], p: Sum, rows: Sum, inner: Run,
                 ap: Pointer | None) -> Pointer:
        """Columns `inner` of panel p of A, packed; `ap` is the room of a chunk that packs it."""
        if ap is None:
            return self.packed_panel(self.ready["a"] or space, batch, p) + (
                inner.flat * self.cuts.height)
        self.pack_panel(e, batch, p, rows, inner, ap)
        return ap

    def own_block(self, acc: Pointer, p: Sum, group: Sum) -> Pointer:
        """Panel p's rows in the chunk's block of C."""
        return acc + (p - group * self.cuts.panels) * (self.cuts.height * self.cuts.stride)

    def multiply(self, e: Emitter, panel: Pointer, bp: Pointer, cols: Run, inner: Run, acc: Pointer,
                 rows: Sum, add: Sum) -> None:
        """acc[rows, cols] (+)= panel @ bp, tile by tile."""
        cuts = self.cuts
        many = cuts.stride > cuts.width
        s = sum_of(e.open("s", 0, cuts.stride)) if many else ZERO
        k, length, close = self.open_products(e, cuts.inner.width, inner.length)
        e.tile(self.tile, panel + k * cuts.height, bp + s + k * cuts.stride, cuts.stride, length,
               acc + s, cuts.stride, rows, add + k)
        close()
        if many:
            self.close_strips(e, s, cols.length)

    def open_products(self, e: Emitter, most: int,
                      length: Sum) -> tuple[Sum, Sum, Callable[[], None]]:
        """(where, how many, close): the products that a tile adds up before they go into C, so that
        no accumulator adds up thousands one after the other; one run where they are few."""
        step = self.job.limits.products
        if most <= step:
            return ZERO, length, nothing
        k = e.open("k", 0, most)
        many = least(step, length - sum_of(k))
        return sum_of(k), many, lambda: e.close(k, None, length, step)

    def close_strips(self, e: Emitter, s: Sum, high: Sum) -> None:
        """End a loop over tiles side by side."""
        body = e.stack.pop().statements
        e.write(For(s.text(), ZERO, high, body, self.cuts.width))

    # ---- what the group makes of C ---------------------------------------------------------------

    def finish_panel(self, e: Emitter, batch: Sequence[Sum], p: Sum, rows: Sum, cols: Run,
                     acc: Pointer) -> None:
        self.finish_rows(e, batch, (p * self.cuts.height, rows, self.cuts.height), cols, acc)

    def finish_rows(self, e: Emitter, batch: Sequence[Sum], rows: tuple[Sum, Sum, int], cols: Run,
                    acc: Pointer) -> None:
        """Store what the group makes of rows (first, count, count at most) of a block of C."""
        first, count, most = rows
        if self.copy_out(e, batch, rows, cols, acc):
            return
        i, close = loop(e, "i", most, count)
        row = unravel(within(e, "row", first + i, self.shape.m), self.shape.rows)
        self.finish_row(e, batch, row, cols, acc + i * self.cuts.stride)
        close()

    def copy_out(self, e: Emitter, batch: Sequence[Sum], rows: tuple[Sum, Sum, int], cols: Run,
                 acc: Pointer) -> bool:
        """Store a block by one tile call where the group makes nothing of it; else False."""
        probe, (first, count, most) = self.job.emitter(), rows
        i, j = sum_of(Var("i_probe", 0, most - 1)), sum_of(Var("j_probe", 0, cols.box.width - 1))
        at = first + i
        known = at if at.high < self.shape.m else sum_of(Var("row_probe", at.low, self.shape.m - 1))
        row = unravel(known, self.shape.rows)
        col = unravel(cols.flat + j, cols.box.extents)
        probe.levels = dict.fromkeys((*e.levels, "i_probe", "j_probe", "row_probe"), 0)
        self.finish_element(probe, batch, row, col, acc + j)
        to = stored_whole(probe.stack[0].statements, self.job.kind)
        place = put_in(to.index, {"row_probe": at}) if to else ZERO
        by_i, by_j = (place.coefficient(v) for v in ("i_probe", "j_probe"))
        if to is None or by_i is None or by_j is None or 1 not in (by_i, by_j):
            return False
        target = Pointer(to.buffer, without(place, ("i_probe", "j_probe")))
        tile, step = ("copy", by_i) if by_j == 1 else ("transpose", by_j)
        e.tile(f"{tile}_{self.job.kind}", target, step, acc, self.cuts.stride, count, cols.length)
        return True

    def finish_row(self, e: Emitter, batch: Sequence[Sum], row: Sequence[Sum], cols: Run,
                   acc: Pointer) -> None:
        """Store one row of a block: as one long loop where no index needs the axes apart."""
        if len(cols.box.extents) - cols.box.axis > 1 and self.joins(batch, row, cols, acc):
            position, close = loop(e, "n", cols.box.width, cols.length)
            index: Sequence[Sum] = unravel(cols.flat + position, cols.box.extents)
        else:
            index, position, close = nest(e, cols, "n")
        self.finish_element(e, batch, row, index, acc + position)
        close()

    def joins(self, batch: Sequence[Sum], row: Sequence[Sum], cols: Run, acc: Pointer) -> bool:
        """Whether the column axes can be walked as one without divisions."""
        e = self.job.emitter()
        j = sum_of(e.open("j_probe", 0, cols.box.width))
        index = unravel(cols.flat + j, cols.box.extents)
        for i in (*batch, *row, *index, acc.offset):
            e.levels.update({name: 0 for name in i.variables() if name != "j_probe"})
        self.finish_element(e, batch, row, index, acc + j)
        return all(linear(s, "j_probe") for s in e.stack[-1].statements)

    def finish_element(self, e: Emitter, batch: Sequence[Sum], row: Sequence[Sum],
                       col: Sequence[Sum], acc: Pointer) -> None:
        value = Load(acc.buffer, acc.offset, self.job.kind, len(e.stack) - 1)
        self.finish(e, self.job.out_index(batch, row, col), value)

    # ---- sums in parts ---------------------------------------------------------------------------

    def write_partial(self, e: Emitter, space: str) -> Cuts:
        """Each part sums its boxes of the inner axes into a block of `space` of its own."""
        cuts, shape, job = self.cuts, self.shape, self.job
        *batch, number = grid(e, shape.batch, part=self.parts)
        cols = run_of(e, cuts.cols, ZERO, "n")
        high = self.panels * cuts.height
        ap = Pointer(e.allocate("ap", job.kind, high * cuts.inner.width))
        bp = Pointer(e.allocate("bp", job.kind, cuts.stride * cuts.inner.width))
        kb, done = self.part_loop(e, number)
        inner = run_of(e, cuts.inner, kb, "k")
        self.pack_box(e, batch, cols, inner, bp)
        p, close = loop(e, "p", self.panels)
        panel = ap + p * (cuts.height * cuts.inner.width)
        rows = self.rows(e, p)
        self.pack_panel(e, batch, p, rows, inner, panel)
        mine = self.part_place(space, batch, number) + p * (cuts.height * cuts.stride)
        self.multiply(e, panel, bp, cols, inner, mine, rows, kb - number * cuts.splits)
        close()
        done()
        return dict.fromkeys(e.axes, 1)

    def part_place(self, space: str, batch: Sequence[Sum], number: Sum) -> Pointer:
        """The block of a part of the sums."""
        return Pointer(space, (self.position(batch) * self.parts + number) * self.partial)

    def part_loop(self, e: Emitter, number: Sum) -> tuple[Sum, Callable[[], None]]:
        """Loop over the boxes of the inner axes that part `number` sums."""
        splits, count = self.cuts.splits, self.cuts.inner.count
        var = e.open("kb", 0, max(count, 2))
        low = number * splits
        high = least(low + splits, count)
        return sum_of(var), lambda: e.close(var, low, high)

    def write_sum(self, e: Emitter, space: str) -> Cuts:
        """Add the parts of each row up, in their order, and store what the group makes of it."""
        cuts, shape, kind = self.cuts, self.shape, self.job.kind
        *batch, i = grid(e, shape.batch, i=shape.m)
        cols = run_of(e, cuts.cols, ZERO, "n")
        total = e.allocate("total", kind, cuts.stride)
        first = self.position(batch) * (self.parts * self.partial) + i * cuts.stride
        j, close = loop(e, "n", cols.box.width, cols.length)
        place = Store(total, j, Load(space, first + j, kind, len(e.stack) - 1), kind)
        e.stack[-1].statements.append(place)
        close()
        s = e.open("s", 1, max(self.parts, 3))
        j, close = loop(e, "n", cols.box.width, cols.length)
        level = len(e.stack) - 1
        more = Load(space, first + sum_of(s) * self.partial + j, kind, level)
        value = e.k.binary("+", Load(total, j, kind, level), more)
        e.stack[-1].statements.append(Store(total, j, value, kind))
        close()
        e.close(s, None, sum_of(self.parts))
        self.finish_rows(e, batch, (i, sum_of(1), 1), cols, Pointer(total))
        return dict.fromkeys(e.axes, 1)


def stored_whole(statements: list[Statement], kind: DType) -> Store | None:
    """The store, when statements only put a loaded element of `kind` somewhere unchanged."""
    match statements:
        case [Let(name=name, value=Load()), Store(value=Ref(name=stored)) as store]:
            return store if name == stored and store.dtype is kind else None
    return None


def linear(statement: Statement, var: str) -> bool:
    """Whether every place in a statement is linear in `var`, which stands nowhere else."""
    if isinstance(statement, Store) and statement.index.coefficient(var) is None:
        return False
    return all(_linear(value, var) for value in expressions(statement))


def _linear(value: Expression, var: str) -> bool:
    if not isinstance(value, Load):
        return all(var not in index.variables() for index in indices(value))
    guards = (c.value for c in value.guard)
    return value.index.coefficient(var) is not None and all(
        var not in index.variables() for index in guards)
