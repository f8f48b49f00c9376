"""Writes products of matrices as blocks of threads, each with a tile of the result.

    for k0 in range(0, 300, 32):
        for t in threads(256):              both operands of 32 products, into shared memory
            ...
        for t2 in threads(256):             their sum, in registers
            ...
            c = fma(a, b, c)
            ...
            acc[t2 * 32] = acc[t2 * 32] + c
    for t3 in threads(256):                 the tile, into shared memory
        ...
    for t4 in threads(256):                 what the group makes of it, along the output
        ...

Rows and columns past the end repeat the last one, and are not stored; products past the end are
products of zeros. A thread's part of `acc` is indexed by numbers alone, so it becomes registers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dlc.backend.contract.gemm import Finish
from dlc.backend.contract.pack import ZERO, Job, bind
from dlc.backend.cuda.tile_plan import DEPTH, SIDE, THREADS, Cut
from dlc.backend.emit.emitter import Emitter
from dlc.backend.ir import Call, Compare, Expression, Let, Load, Number, Ref, Store, Truth
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.ir.walks import expressions
from dlc.ir.access import unravel
from dlc.ir.types import bool_

APART = 4
"""Elements by which a packed row of A is longer than its tile: rows of the same column then lie in
other banks, and every fourth element is aligned to 16 bytes."""


class TileWriter:
    """Writes the kernels of one contraction, or of one residue of it."""

    def __init__(self, job: Job, finish: Finish, cut: Cut) -> None:
        self.job, self.finish, self.cut, self.shape = job, finish, cut, job.shape
        self.stride = {"a": cut.rows + APART, "b": cut.cols}
        self.lanes = {"a": cut.rows, "b": cut.cols}
        self.extent = {"a": self.shape.m, "b": self.shape.n}
        self.first = {"a": 0, "b": DEPTH * self.stride["a"]}
        self.each = cut.height * cut.width

    # ---- the kernels ----

    def write_tiles(self, e: Emitter, space: str) -> None:
        """A tile of C by each block and what the group makes of it, or a part of its sums into
        `space`, where there is one."""
        batch, part, rows, cols = self._place(e)
        room = max(DEPTH * sum(self.stride.values()), self.cut.rows * self.cut.cols)
        tile = e.allocate("tile", self.job.kind, room, "shared")
        acc = e.allocate("acc", self.job.kind, THREADS * self.each, "thread")
        self._clear(e, acc)
        k0 = e.open("k0", 0, self.shape.k)
        t = self._threads(e)
        for side, first in (("a", rows), ("b", cols)):
            self._fetch(e, side, t, batch, first, sum_of(k0), tile)
        self._met(e, t)
        self._multiply(e, tile, acc)
        low = part * self.cut.part
        high = least(low + self.cut.part, self.shape.k) if part.terms else sum_of(self.shape.k)
        e.close(k0, low, high, DEPTH)
        self._spread(e, tile, acc)
        self._store(e, tile, batch, part, rows, cols, space)

    def write_sums(self, e: Emitter, space: str) -> None:
        """The parts of each element added up in their order, and what the group makes of it."""
        shape, kind = self.shape, self.job.kind
        count = shape.b * shape.m * shape.n
        i = e.open_axis("i", count)
        batch, row, col = self._digits(sum_of(i))
        total = Ref(e.names.new("total"), kind, len(e.stack) - 1)
        e.write(Let(total.name, Number(0, kind)))
        part = e.open("part", 0, self.cut.parts)
        place = sum_of(part) * count + sum_of(i)
        e.write(Let(total.name, e.k.binary("+", total, Load(space, place, kind))))
        e.close(part)
        self._finish(e, batch, row, col, total)
        e.close_axis(i, count)

    def _digits(self, i: Sum) -> tuple[Sequence[Sum], Sum, Sum]:
        """The batch, row and column of element `i` of C."""
        *batch, row, col = unravel(i, (*self.shape.batch, self.shape.m, self.shape.n))
        return batch, row, col

    def _place(self, e: Emitter) -> tuple[Sequence[Sum], Sum, Sum, Sum]:
        """Where a block stands: its batch, part of the sum, first row and first column."""
        shape, cut = self.shape, self.cut
        counts = (*shape.batch, cut.parts, -(-shape.m // cut.rows), -(-shape.n // cut.cols))
        e.levels["chunk"] = 0
        chunk = sum_of(Var("chunk", 0, max(cut.blocks(shape), 2) - 1))
        *batch, part, row, col = (d if n > 1 else ZERO
                                  for d, n in zip(unravel(chunk, counts), counts, strict=True))
        return ([bind(e, "batch", b) for b in batch], bind(e, "part", part),
                bind(e, "m0", row * cut.rows), bind(e, "n0", col * cut.cols))

    # ---- regions ----

    def _threads(self, e: Emitter) -> Var:
        return e.open("t", 0, THREADS)

    def _met(self, e: Emitter, t: Var) -> None:
        e.close(t, None, Sum(THREADS), kind="threads")

    def _clear(self, e: Emitter, acc: str) -> None:
        t = self._threads(e)
        for at in self._own(t):
            e.write(Store(acc, at, Number(0, self.job.kind), self.job.kind))
        self._met(e, t)

    def _own(self, t: Var) -> list[Sum]:
        """A thread's part of the sums, row by row."""
        return [sum_of(t) * self.each + n for n in range(self.each)]

    # ---- operands ----

    def _fetch(self, e: Emitter, side: str, t: Var, batch: Sequence[Sum], first: Sum, k0: Sum,
               tile: str) -> None:
        """DEPTH products' elements of an operand, from lane `first` on; neighbouring threads take
        what lies side by side."""
        lanes, thread = self.lanes[side], sum_of(t)
        by_sum = self._lies_along_sum(side)
        along, across = (DEPTH, lanes) if by_sum else (lanes, DEPTH)
        step = THREADS // along
        u = e.open("u", 0, across // step)
        near, far = thread % along, thread // along + sum_of(u) * step
        k, lane = (near, far) if by_sum else (far, near)
        value = self._element(e, side, batch, first + lane, k0 + k)
        at = k * self.stride[side] + lane + self.first[side]
        e.write(Store(tile, at, value, self.job.kind))
        e.close(u, None, sum_of(across // step))

    def _element(self, e: Emitter, side: str, batch: Sequence[Sum], lane: Sum,
                 k: Sum) -> Expression:
        """An element of an operand, in the dtype of the sums; of no product, zero."""
        extents = self.shape.rows if side == "a" else self.shape.cols
        place = within(e, "m" if side == "a" else "n", lane, self.extent[side],
                       self.extent[side] % self.lanes[side] > 0)
        ragged = self.shape.k % DEPTH > 0
        at = within(e, "k", k, self.shape.k, ragged)
        access = self.job.read(side, batch, unravel(place, extents),
                               unravel(at, self.shape.inner))
        value = e.k.cast(e.access(access, self.job.y, ()), self.job.kind)
        if not ragged:
            return value
        level = len(e.stack) - 1
        there = Truth((Compare(k, "<", self.shape.k),), bool_, level)
        return e.k.select(there, value, Number(0, self.job.kind))

    def _lies_along_sum(self, side: str) -> bool:
        """Whether neighbouring products read neighbouring elements of an operand."""
        e = self.job.emitter()
        e.levels.update(dict.fromkeys(("b_probe", "lane_probe", "k_probe"), 0))
        batch = unravel(sum_of(Var("b_probe", 0, max(self.shape.b - 1, 0))), self.shape.batch)
        lane = Var("lane_probe", 0, max(self.extent[side] - 1, 0))
        k = Var("k_probe", 0, max(self.shape.k - 1, 0))
        extents = self.shape.rows if side == "a" else self.shape.cols
        e.access(self.job.read(side, batch if self.shape.batch else [], unravel(
            sum_of(lane), extents), unravel(sum_of(k), self.shape.inner)), self.job.y, ())
        loads = [x for s in e.stack[0].statements for x in expressions(s) if isinstance(x, Load)]
        return any(x.index.coefficient("k_probe") == 1 and x.index.coefficient("lane_probe") != 1
                   for x in loads)

    # ---- products ----

    def _multiply(self, e: Emitter, tile: str, acc: str) -> None:
        """A thread's sums of DEPTH products, one after the other, and then into its totals."""
        cut, kind, t = self.cut, self.job.kind, self._threads(e)
        # in the index they stand as multiples: four elements that begin at one are one load
        row, col = sum_of(t) // SIDE * cut.height, sum_of(t) % SIDE * cut.width
        sums = [Ref(e.names.new("c"), kind) for _ in range(self.each)]
        for c in sums:
            e.write(Let(c.name, Number(0, kind)))
        k = e.open("k", 0, DEPTH)
        a = [self._loaded(e, "a", tile, k, row + i) for i in range(cut.height)]
        b = [self._loaded(e, "b", tile, k, col + j) for j in range(cut.width)]
        for n, c in enumerate(sums):
            product = (a[n // cut.width], b[n % cut.width], c)
            e.write(Let(c.name, Call("fma", product, kind)))
        e.close(k, None, sum_of(DEPTH))
        for at, c in zip(self._own(t), sums, strict=True):
            e.write(Store(acc, at, e.k.binary("+", Load(acc, at, kind), c), kind))
        self._met(e, t)

    def _loaded(self, e: Emitter, side: str, tile: str, k: Var, lane: Sum) -> Ref:
        """An element of a packed operand, under a name."""
        place = sum_of(k) * self.stride[side] + lane + self.first[side]
        name = e.names.new(side)
        e.write(Let(name, Load(tile, place, self.job.kind)))
        return Ref(name, self.job.kind)

    # ---- results ----

    def _spread(self, e: Emitter, tile: str, acc: str) -> None:
        """The totals of all threads, as the tile of C lies."""
        cut, t = self.cut, self._threads(e)
        first = sum_of(t) // SIDE * (cut.height * cut.cols) + sum_of(t) % SIDE * cut.width
        for n, at in enumerate(self._own(t)):
            place = first + n // cut.width * cut.cols + n % cut.width
            e.write(Store(tile, place, Load(acc, at, self.job.kind), self.job.kind))
        self._met(e, t)

    def _store(self, e: Emitter, tile: str, batch: Sequence[Sum], part: Sum, rows: Sum, cols: Sum,
               space: str) -> None:
        """What the group makes of each element of the tile, or its place in `space`."""
        cut, shape, t = self.cut, self.shape, self._threads(e)
        thread = sum_of(t)
        down = self._lies_along_rows() and not space
        near = cut.rows if down else cut.cols
        m, end_m = self._walk(e, "m", rows, thread % near if down else thread // near, cut.rows,
                              near if down else THREADS // near, shape.m)
        n, end_n = self._walk(e, "n", cols, thread // near if down else thread % near, cut.cols,
                              THREADS // near if down else near, shape.n)
        value = Load(tile, (m - rows) * cut.cols + n - cols, self.job.kind, len(e.stack) - 1)
        if space:
            flat = sum_of(part)
            for digit, extent in zip((*batch, m, n), (*shape.batch, shape.m, shape.n), strict=True):
                flat = flat * extent + digit
            e.write(Store(space, flat, value, self.job.kind))
        else:
            self._finish(e, batch, m, n, value)
        end_n()
        end_m()
        self._met(e, t)

    def _walk(self, e: Emitter, hint: str, first: Sum, own: Sum, count: int, step: int,
              extent: int) -> tuple[Sum, Callable[[], None]]:
        """Every `step`-th of `count` rows or columns from `first` on, those past the end left out.
        """
        var = e.open(hint, 0, max(extent, 2))
        high = least(first + count, extent) if first.terms or extent < count else sum_of(count)
        return sum_of(var), lambda: e.close(var, first + own, high, step)

    def _finish(self, e: Emitter, batch: Sequence[Sum], row: Sum, col: Sum,
                value: Expression) -> None:
        index = self.job.out_index(batch, unravel(row, self.shape.rows),
                                   unravel(col, self.shape.cols))
        self.finish(e, index, value)

    def _lies_along_rows(self) -> bool:
        """Whether neighbouring rows of C, and not its columns, are stored side by side."""
        e = self.job.emitter()
        e.levels.update(dict.fromkeys(("chunk", "m_probe", "n_probe"), 0))
        m, n = (sum_of(Var(f"{x}_probe", 0, c - 1)) for x, c in (("m", self.shape.m),
                                                               ("n", self.shape.n)))
        self._finish(e, [ZERO] * len(self.shape.batch), m, n, Number(0, self.job.kind))
        stores = [s for s in e.stack[0].statements if isinstance(s, Store)]
        return any(s.index.coefficient("m_probe") == 1 and s.index.coefficient("n_probe") != 1
                   for s in stores)


def within(e: Emitter, hint: str, place: Sum, extent: int, may_pass: bool) -> Sum:
    """A place among `extent` ones, under a name; the last one for those that pass it."""
    value = least(place, extent - 1) if may_pass else place
    return e.named(hint, value, 0, extent - 1)
