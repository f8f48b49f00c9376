"""Loop groups: fused groups of elementwise operators, reductions and views as one loop nest.

The parallel classes (axes common to everything the group stores, none of them reduced) are parallel
axes of the kernel; inside, items (stores and reductions) of one dependency layer share loops.
`column` mode keeps the innermost parallel class as a vector inside the reduction loops, and has an
axis of blocks of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts, rows_per_chunk
from dlc.backend.emit import lanes
from dlc.backend.emit.emitter import Emitter, flat
from dlc.backend.emit.runs import Runs, runs_over, walk, whole
from dlc.backend.ir import Expression, For, Load, Ref, computing
from dlc.backend.ir.index import Sum, Var, least, sum_of
from dlc.backend.nest.analysis import Class, Item, Nest
from dlc.backend.nest.segments import segments
from dlc.ir.access import Access, Combine, Piece
from dlc.ir.graph import Node
from dlc.ir.types import Type, i64
from dlc.ops.reduce import kept_axes


def combine_of(item: Item) -> Combine:
    """How a reduction folds elements."""
    found: Combine = item.node.op.emit(item.node).combine
    return found


class LoopWriter:
    """Writes a Nest through an Emitter; `at` says where each class stands."""

    def __init__(self, nest: Nest, emitter: Emitter, limits: Limits) -> None:
        self.nest, self.emitter, self.limits = nest, emitter, limits
        self.at: dict[Class, Sum] = {}
        self.bounds: dict[Class, tuple[Sum, Sum]] = {}  # of loops that do not run over all
        self.column_low = Sum()
        self.column_bounds = Sum(), Sum()  # of a block, where there are several

    def write(self) -> Cuts:
        """Write the whole kernel body; returns how its parallel axes are to be cut."""
        for item in self.nest.items:
            if item.reduces:
                item.runs = self.runs_of(item)
        outer, rows, per_chunk = self._rows()
        if self.nest.column is not None:
            self._write_columns(outer, rows)
            return dict.fromkeys(self.emitter.axes, 1)
        inner = tuple(c for c in self.flat_parallel() if c not in outer)
        if rows == 1:
            self._place(outer, Sum())
            self._layers(inner)
            return {}
        var = self.emitter.open_axis("i", rows)
        self._place(outer, sum_of(var))
        self._layers(inner)
        self.emitter.close_axis(var, rows)
        return {var.name: per_chunk} if per_chunk < rows else {}

    def chunks(self) -> int:
        """How many chunks the nest is cut into."""
        _, rows, per_chunk = self._rows()
        if self.nest.column is not None:
            return self.blocks() * rows
        return max(1, -(-rows // per_chunk))

    def _rows(self) -> tuple[list[Class], int, int]:
        """The classes that chunks are cut from, their positions, and how many a chunk takes."""
        flat, nest = self.flat_parallel(), self.nest
        walks = self.limits.vectors and not any(i.reduces for i in nest.items)
        inner = flat[-1] if walks and len(flat) > 1 else None
        last = inner if nest.column is None else nest.column
        outer = [c for c in flat if c != last]
        rows = math.prod(nest.sizes[c] for c in outer)
        work = self._work() // max(rows, 1)
        return outer, rows, rows_per_chunk(rows, max(work, 1), self.limits)

    def width(self) -> int:
        """Elements of a block of the column. What is long is folded in parts, which are chunks
        enough: its blocks may be as wide as memory is best read."""
        limits = self.limits
        width = limits.long_column if self._work() >= limits.in_parts else limits.column
        return min(width, self.nest.sizes[self.nest.column])

    def blocks(self) -> int:
        """Blocks of the column; 1 without one."""
        return 1 if self.nest.column is None else -(-self.nest.sizes[self.nest.column]
                                                    // self.width())

    def flat_parallel(self) -> list[Class]:
        """Parallel classes, the contiguous one of the largest store last."""
        largest = max(self.nest.body.outputs, key=lambda n: n.type.size)
        place = {c: i for i, (c, _) in enumerate(self.nest.classes.sized(largest))}
        return sorted(self.nest.parallel, key=lambda c: place.get(c, -1))

    def runs_of(self, item: Item) -> Runs | None:
        """How a reduction is cut into runs, where one is not enough."""
        extents = [self.nest.sizes[c] for c in item.space]
        return runs_over(extents, combine_of(item), self.emitter.reduction_dtype(item.node),
                         self.nest.column is not None, self.limits)

    def combine(self, item: Item) -> Combine:
        """How the states fold from which the result is finished."""
        return whole(combine_of(item), item.runs)

    def first(self, item: Item) -> Combine:
        """How the states fold that elements go into."""
        return combine_of(item) if item.runs else self.combine(item)

    def states(self, item: Item) -> list[Ref]:
        """The states from which the result is finished."""
        if item.fold is not None:
            return item.fold.result
        return item.totals if item.runs else item.states

    def walked(self, items: Sequence[Item]) -> list[Item]:
        """The items of a layer that are folded or stored in its loops."""
        return list(items)

    def _work(self) -> int:
        """Elements walked by the widest item."""
        nest = self.nest
        return max(math.prod(nest.sizes[c] for c in {*i.space, *nest.parallel})
                   for i in nest.items)

    def _place(self, outer: Sequence[Class], position: Sum) -> None:
        """Each class of `outer` at its part of the flat `position`."""
        for k, c in enumerate(reversed(outer)):
            size = self.nest.sizes[c]
            self.at[c] = position if k == len(outer) - 1 else position % size
            position = position // size

    def _layers(self, last: tuple[Class, ...] = ()) -> None:
        """All items, layer by layer; a reduction is started before its layer's loops."""
        for layer in sorted({i.layer for i in self.nest.items}):
            items = [i for i in self.nest.items if i.layer == layer]
            for item in items:
                if item.reduces:
                    self._start(item)
            self._tree([(i, i.space + last) for i in self.walked(items)])
            for item in items:
                if item.fold is not None:
                    item.fold.settle()
                if item.reduces:
                    self._finish(item)

    def _tree(self, items: Sequence[tuple[Item, tuple[Class, ...]]]) -> None:
        """Loops shared by items with a common first class; items that need none come last."""
        groups: dict[Class, list[tuple[Item, tuple[Class, ...]]]] = {}
        for item, space in items:
            if space:
                groups.setdefault(space[0], []).append((item, space[1:]))
        for c, members in groups.items():
            if not self.nest.sizes[c]:
                continue
            for _ in self._walk(c, "j" if c == self.nest.column else "r", members):
                self._tree(members)
        self._visit_all([item for item, space in items if not space])

    def _walk(self, c: Class, hint: str,
              members: Sequence[tuple[Item, tuple[Class, ...]]]) -> Iterator[None]:
        """The loops over class `c`, cut where items have runs over it; once for each body."""
        cut = [item for item, _ in members if item.runs and item.space[item.runs.depth] == c]
        runs = min((item.runs for item in cut if item.runs), default=None,
                   key=lambda r: (not r.lanes, r.step))

        def begin() -> None:
            for item in cut:
                self._begin(item, combine_of(item))

        def end() -> None:
            for item in cut:
                self._merge(item)

        folds = any(item.reduces for item, _ in members)
        for at, lane in walk(self.emitter, hint, self.nest.sizes[c], runs, begin, end,
                             self.bounds.get(c), "reduce" if folds else "serial"):
            self.at[c] = at
            for item in cut:
                if item.fold is not None and item.runs and item.runs.lanes:
                    item.fold.lane = lane
            yield
        if not cut and not folds:
            yield from self._in_pieces(c, hint)
        del self.at[c]

    def _in_pieces(self, c: Class, hint: str) -> Iterator[None]:
        """The loop just written once more, in pieces, if there is one that is better cut."""
        e = self.emitter
        loop = e.stack[-1].statements[-1] if e.stack[-1].statements else None
        if not self.limits.vectors or c in self.bounds or not isinstance(loop, For) or (
                self.at[c] != sum_of(Var(loop.var, 0, self.nest.sizes[c] - 1))):
            return
        pieces = segments(loop, self.limits.unrolled)
        if pieces:
            e.stack[-1].statements.pop()
        for low, high in pieces:
            var = e.open(hint, low, high)
            self.at[c] = sum_of(var)
            yield
            e.close(var)

    def _visit_all(self, items: Sequence[Item]) -> None:
        """One element of each item. All values are known before the first is stored: a store may
        overwrite what another value is made of."""
        for item in items:
            if item.reduces:
                self._visit(item)
        stores = [i.node for i in items if not i.reduces]
        places = [self.nest.classes.index(n, self.at) for n in stores]
        values = [self.emitter.value(n, p) for n, p in zip(stores, places, strict=True)]
        for node, place, value in zip(stores, places, values, strict=True):
            self.emitter.store(node, place, value)

    def _visit(self, item: Item) -> None:
        """One element of a reduction, where all its classes stand."""
        e, node = self.emitter, item.node
        source = node.args[0]
        index = self.nest.classes.index(source, self.at)
        kept = kept_axes(source.ndim, node.attrs["axes"])
        inner = tuple(index[a] for a in range(source.ndim) if a not in kept)
        self._fold(item, e.term(node, Access((Piece(0, index),))), inner)

    # --- states: scalars and lanes, or an array over the column -----------------------------------

    def _fold(self, item: Item, x: Expression, inner: tuple[Sum, ...]) -> None:
        e = self.emitter
        axes = item.node.attrs["axes"]
        extents = tuple(item.node.args[0].type.shape[a] for a in axes)
        position = e.integer(flat(inner, Type(i64, extents)), i64)
        if item.fold is not None:
            item.fold.step(x, position)
            return
        combine, at = combine_of(item), self.at[self.nest.column] - self.column_low
        x = e.k.cast(x, item.states[0].dtype)
        old = lanes.loaded(e, item.states, at)
        lanes.put(e, item.states, at, combine.step(e.k, old, x, position))

    def _start(self, item: Item) -> None:
        """Before its layer's loops: the states, or the totals of what its runs will give."""
        if self.nest.column is None:
            item.fold = lanes.Fold(self.emitter, item.node, item.runs, self.first(item))
            item.fold.start()
        else:
            self._clear(item, self.states(item), self.combine(item))

    def _begin(self, item: Item, combine: Combine) -> None:
        """A run: the states are the identity."""
        if item.fold is not None:
            item.fold.begin()
        else:
            self._clear(item, item.states, combine)

    def _clear(self, item: Item, states: Sequence[Ref], combine: Combine) -> None:
        """The column's states are the identity."""
        e = self.emitter
        var = e.open("j", 0, self.nest.sizes[self.nest.column])
        lanes.clear(e, states, sum_of(var) - self.column_low, combine,
                    e.reduction_dtype(item.node))
        self._close_column(var)

    def _merge(self, item: Item) -> None:
        """The end of a run: its states go into the totals."""
        if item.fold is not None:
            item.fold.end()
            return
        e, total = self.emitter, self.combine(item)
        var = e.open("j", 0, self.nest.sizes[self.nest.column])
        at = sum_of(var) - self.column_low
        totals, states = lanes.loaded(e, item.totals, at), lanes.loaded(e, item.states, at)
        lanes.put(e, item.totals, at, total.merge(e.k, totals, states))
        self._close_column(var)

    def _close_column(self, var: Var) -> None:
        if self.column_blocks > 1:
            self.emitter.close(var, *self.column_bounds)
        else:
            self.emitter.close(var)

    def _finish(self, item: Item) -> None:
        """Register the reduction's value for its readers at this place."""
        e, node, combine, last = self.emitter, item.node, self.combine(item), self.states(item)
        here = dict(self.at)
        if self.nest.column is None:
            value = e.let(node.name or node.op.name, e.finish(node, combine, last))
            home = self.nest.classes.index(node, here)
            e.results[node] = lambda index: value if index == home else None
            return

        def load(index: tuple[Sum, ...]) -> Expression | None:
            position = self._column_position(node, index, here)
            if position is None:
                return None
            level = max(e.level_of((position,)), 0)
            states = [Load(s.name, position - self.column_low, s.dtype, level) for s in last]
            return e.k.cast(combine.finish(e.k, states), computing(node.type.dtype))

        e.results[node] = load

    def _column_position(self, node: Node, index: tuple[Sum, ...],
                         here: dict[Class, Sum]) -> Sum | None:
        """Where the column has what `node` is at `index`: where its loop stands, or elsewhere when
        one block holds the whole column. None where no state holds it."""
        column, classes = self.nest.column, self.nest.classes
        if all(c != column for c, _ in classes.sized(node)):
            return None
        sized = [i for i, d in zip(index, node.type.shape, strict=True) if int(d) != 1]
        last = sized[-1] if sized else Sum()
        held = self.column_blocks == 1 and last.low >= 0 and last.high < self.nest.sizes[column]
        for position in (self.at.get(column), last if held else None):
            if position is not None and classes.index(node, {**here, column: position}) == index:
                return position
        return None

    def _write_columns(self, outer: Sequence[Class], rows: int) -> None:
        """Column mode: blocks of the column class within each position of `outer`."""
        self._place(outer, self.emitter.axis("i", rows))
        self._open_block(self.emitter.axis("block", self.blocks()))
        for item in self.nest.items:
            if item.reduces:
                self._declare(item)
        self._column_layers(self.nest.column)

    def _open_block(self, block: Sum) -> None:
        """Name where a block of the column begins and ends."""
        e, size, width = self.emitter, self.nest.sizes[self.nest.column], self.width()
        self.column_blocks, self.column_low = self.blocks(), Sum()
        if self.column_blocks > 1:
            self.column_low = low = e.named("j0", block * width, 0, size - 1)
            end = least(low + width, size) if size % width else low + width
            self.column_bounds = low, e.named("j1", end, 1, size)

    def _declare(self, item: Item) -> None:
        """The column's states, and the totals of runs."""
        hint = item.node.name or item.node.op.name
        e, dtype = self.emitter, self.emitter.reduction_dtype(item.node)
        item.states = lanes.allocate(e, hint, self.first(item), dtype, self.width())
        if item.runs is not None:
            item.totals = lanes.allocate(e, "total", self.combine(item), dtype, self.width())

    def _column_layers(self, column: Class) -> None:
        """Like _layers, with the column's loop innermost for every item."""
        for layer in sorted({i.layer for i in self.nest.items}):
            items = [i for i in self.nest.items if i.layer == layer]
            for item in items:
                if item.reduces:
                    self._start(item)
            self._column_tree([(i, i.space) for i in self.walked(items)], column)
            for item in items:
                if item.reduces:
                    self._finish(item)

    def _column_tree(self, items: Sequence[tuple[Item, tuple[Class, ...]]], column: Class) -> None:
        groups: dict[Class, list[tuple[Item, tuple[Class, ...]]]] = {}
        for item, space in items:
            if space:
                groups.setdefault(space[0], []).append((item, space[1:]))
        for c, members in groups.items():
            if not self.nest.sizes[c]:
                continue
            for _ in self._walk(c, "r", members):
                self._column_tree(members, column)
        here = [item for item, space in items if not space]
        if here:
            var = self.emitter.open("j", 0, self.nest.sizes[column])
            self.at[column] = sum_of(var)
            self._visit_all(here)
            self._close_column(var)
            del self.at[column]
