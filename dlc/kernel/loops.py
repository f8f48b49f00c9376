"""Loop groups: fused groups of elementwise operators, reductions and views as one loop nest.

The loops over the parallel classes (axes common to everything the group stores, none of them
reduced) are cut into chunks; inside, items (stores and reductions) of one dependency layer share
loops. `column` mode keeps the innermost parallel axis as a vector inside the reduction loops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dlc.graph import Graph, Kind, Node
from dlc.ops.axes import AxisClasses, carried, classes_of
from dlc.kernel.emit import Emitter
from dlc.kernel.index import Sum, Var, sum_of
from dlc.kernel.ir import Line, Load, Number, Ref, computing
from dlc.ops import leaf
from dlc.ops.reduce import kept_axes
from dlc.ops.window import FOLD

CHUNK_WORK = 16384  # elements a chunk should hold: about 10 us of streaming, 20 barriers' worth
COLUMN = 128  # width of a column block: 8 AVX-512 vectors of f32

Class = Any


@dataclass
class Item:
    """A store of an output or a D-level reduction, with the loop classes it still needs."""

    node: Node
    space: tuple[Class, ...]
    layer: int
    reduces: bool
    states: list[Any] = field(default_factory=list)


@dataclass
class Nest:
    """What the analysis of a group finds: parallel classes, sizes, items."""

    body: Graph
    classes: AxisClasses
    parallel: tuple[Class, ...]
    column: Class | None
    sizes: dict[Class, int]
    items: list[Item]
    order: dict[Class, int]


def is_plain_reduce(node: Node) -> bool:
    """A reduction over whole axes (fold reads windows, so it is emitted where it is needed)."""
    return node.op.kind is Kind.REDUCE and node.op is not FOLD


def analyse(body: Graph) -> Nest:
    """Classes, parallel axes and items of a group."""
    nodes = body.nodes()
    base = classes_of(nodes)
    classes = merge_adjacent(nodes, base, broken_classes(nodes, base))
    sizes: dict[Class, int] = {}
    order: dict[Class, int] = {}
    for node in sorted(nodes, key=lambda n: -n.type.size if hasattr(n.type, "size") else 0):
        for c, d in classes.sized(node):
            sizes.setdefault(c, d)
            order.setdefault(c, len(order))
    reduced = {c for n in nodes if is_plain_reduce(n) for c in reduced_classes(n, classes)}
    common: set[Class] | None = None
    for out in body.outputs:
        mine = {c for c, _ in classes.sized(out)}
        common = mine if common is None else common & mine
    parallel = [c for c in sorted(common or (), key=lambda c: order[c]) if c not in reduced]
    column = column_class(nodes, classes, parallel, reduced)
    items = find_items(body, nodes, classes, set(parallel), order)
    return Nest(body, classes, tuple(parallel), column, sizes, items, order)


def reduced_classes(node: Node, classes: MergedClasses) -> list[Class]:
    """The classes that a reduction folds away."""
    kept = {c for c, _ in classes.sized(node)}
    return [c for c, _ in classes.sized(node.args[0]) if c not in kept]


def column_class(nodes: Sequence[Node], classes: MergedClasses, parallel: Sequence[Class],
                 reduced: set[Class]) -> Class | None:
    """The contiguous parallel class that becomes a vector, if reductions run outside of it."""
    if not reduced or not parallel:
        return None
    largest = max((n for n in nodes if is_plain_reduce(n)), key=lambda n: n.args[0].type.size)
    inside = classes.sized(largest.args[0])
    return inside[-1][0] if inside and inside[-1][0] in parallel else None


class MergedClasses(AxisClasses):
    """Axis classes in which runs of axes that always stand together count as one."""

    def __init__(self, base: AxisClasses, runs: dict[Class, tuple[Class, ...]]) -> None:
        super().__init__()
        self.parent, self.nodes = base.parent, base.nodes
        self.runs = runs  # first class of a run -> all its classes, outermost first
        self.first = {c: head for head, run in runs.items() for c in run}

    def sized(self, node: Node) -> list[tuple[Class, int]]:
        """(merged class, size) of the node's axes, outermost first."""
        found: list[tuple[Class, int]] = []
        for c, d in zip(self.of(node), node.type.shape, strict=True):
            if c is None:
                continue
            head = self.first.get(c, c)
            if found and found[-1][0] == head and c != head:
                found[-1] = (head, found[-1][1] * int(d))
            else:
                found.append((head, int(d)))
        return found

    def index(self, node: Node, at: dict[Class, Sum]) -> tuple[Sum, ...]:
        """The node's index when each merged class stands at `at[class]`."""
        result: list[Sum] = []
        shape = [int(d) for d in node.type.shape]
        parts = self.of(node)
        for i, c in enumerate(parts):
            if c is None:
                result.append(Sum())
                continue
            head = self.first.get(c, c)
            run = self.runs.get(head, (head,))
            later = [shape[parts.index(x)] for x in run[run.index(c) + 1:]]
            value = at[head] // math.prod(later)
            result.append(value if run.index(c) == 0 else value % shape[i])
        return tuple(result)


def broken_classes(nodes: Sequence[Node], classes: AxisClasses) -> set[Class]:
    """Classes whose index some operator takes apart: merged, they would need divisions inside."""
    broken: set[Class] = set()
    for node in nodes:
        if node.op is leaf.IOTA:
            broken.add(classes.of(node)[node.attrs["axis"]])
        for arg in node.args:
            pairs = carried(node, arg)
            if node.op.kind in (Kind.ELEMENTWISE, Kind.LEAF):
                continue
            broken |= set(classes.of(node)) - {classes.of(node)[i] for i, _ in pairs}
            if node.op.kind is Kind.VIEW or node.op is FOLD:
                broken |= set(classes.of(arg)) - {classes.of(arg)[j] for _, j in pairs}
    return broken


def merge_adjacent(nodes: Sequence[Node], classes: AxisClasses,
                   broken: set[Class]) -> MergedClasses:
    """Merge classes that stand next to each other, in one order, wherever they stand at all."""
    follows: dict[Class, set[Class | None]] = {}
    before: dict[Class, set[Class | None]] = {}
    for node in nodes:
        present = [c for c in classes.of(node) if c is not None]
        for a, b in zip([*present, None], [None, *present], strict=True):
            if b is not None:
                follows.setdefault(b, set()).add(a)
            if a is not None:
                before.setdefault(a, set()).add(b)
    joined = {a: next(iter(bs)) for a, bs in follows.items()
              if len(bs) == 1 and None not in bs and before[next(iter(bs))] == {a} and
              next(iter(bs)) != a and a not in broken and next(iter(bs)) not in broken}
    starts = [a for a in joined if a not in joined.values()]
    runs: dict[Class, tuple[Class, ...]] = {}
    for head in starts:
        run = [head]
        while run[-1] in joined:
            run.append(joined[run[-1]])
        runs[head] = tuple(run)
    return MergedClasses(classes, runs)


def find_items(body: Graph, nodes: Sequence[Node], classes: MergedClasses, parallel: set[Class],
               order: dict[Class, int]) -> list[Item]:
    """Stores, and reductions whose kept axes are all parallel, each in its dependency layer."""
    layers: dict[Node, int] = {}
    items: list[Item] = []
    for node in nodes:
        below = max((layers[a] for a in node.args), default=0)
        mine = {c for c, _ in classes.sized(node)} if is_plain_reduce(node) else set()
        if is_plain_reduce(node) and mine <= parallel:
            space = reduced_classes(node, classes)
            items.append(Item(node, tuple(sorted(space, key=lambda c: order[c])), below, True))
            below += 1
        layers[node] = below
    for out in dict.fromkeys(body.outputs):
        space = [c for c, _ in classes.sized(out) if c not in parallel]
        items.append(Item(out, tuple(sorted(space, key=lambda c: order[c])), layers[out], False))
    return items


# --- writing the nest -------------------------------------------------------------------------------


class LoopWriter:
    """Writes a Nest through an Emitter; `at` says where each class stands."""

    def __init__(self, nest: Nest, emitter: Emitter) -> None:
        self.nest, self.emitter = nest, emitter
        self.at: dict[Class, Sum] = {}
        self.column_low = Sum()

    def write(self) -> int:
        """Write the whole kernel body; returns the number of chunks."""
        nest = self.nest
        flat = self.flat_parallel()
        if nest.column is not None:
            return self._write_columns([c for c in flat if c != nest.column])
        inner = flat[-1] if not any(i.reduces for i in nest.items) and len(flat) > 1 else None
        outer = [c for c in flat if c != inner]
        rows = math.prod(nest.sizes[c] for c in outer)
        work = self._work() // max(rows, 1)
        per_chunk = max(1, CHUNK_WORK // max(work, 1))
        var = self._open_chunk(outer, rows, per_chunk)
        self._layers((inner,) if inner is not None else ())
        self._close_chunk(var, per_chunk, rows)
        return max(1, -(-rows // per_chunk))

    def flat_parallel(self) -> list[Class]:
        """Parallel classes, the contiguous one of the largest store last."""
        largest = max(self.nest.body.outputs, key=lambda n: n.type.size)
        place = {c: i for i, (c, _) in enumerate(self.nest.classes.sized(largest))}
        return sorted(self.nest.parallel, key=lambda c: place.get(c, -1))

    def _work(self) -> int:
        """Elements walked by the widest item."""
        nest = self.nest
        return max(math.prod(nest.sizes[c] for c in {*i.space, *nest.parallel})
                   for i in nest.items)

    def _open_chunk(self, outer: Sequence[Class], rows: int, per_chunk: int) -> Var | None:
        if rows == 1:
            for c in outer:
                self.at[c] = Sum()
            return None
        if per_chunk == 1:
            position = sum_of(Var("chunk", 0, rows - 1))
            self.emitter.levels["chunk"] = 0
            var = None
        else:
            var = self.emitter.open("i", 0, rows)
            position = sum_of(var)
        self._place(outer, position)
        return var

    def _place(self, outer: Sequence[Class], position: Sum) -> None:
        """Each class of `outer` at its part of the flat `position`."""
        for k, c in enumerate(reversed(outer)):
            size = self.nest.sizes[c]
            self.at[c] = position if k == len(outer) - 1 else position % size
            position = position // size

    def _close_chunk(self, var: Var | None, per_chunk: int, rows: int) -> None:
        if var is None:
            return
        if per_chunk >= rows:
            self.emitter.close(var)
            return
        high = f"(chunk + 1) * {per_chunk}"
        if rows % per_chunk:
            high = f"min({high}, {rows})"
        self.emitter.close(var, f"chunk * {per_chunk}", high)

    def _layers(self, last: tuple[Class, ...] = ()) -> None:
        """All items, layer by layer; a reduction is started before its layer's loops."""
        for layer in sorted({i.layer for i in self.nest.items}):
            items = [i for i in self.nest.items if i.layer == layer]
            for item in items:
                if item.reduces:
                    self._start(item)
            self._tree([(i, i.space + last) for i in items])
            for item in items:
                if item.reduces:
                    self._finish(item)

    def _tree(self, items: Sequence[tuple[Item, tuple[Class, ...]]]) -> None:
        """Loops shared by items with a common first class; items that need none come last."""
        groups: dict[Class, list[tuple[Item, tuple[Class, ...]]]] = {}
        for item, space in items:
            if space:
                groups.setdefault(space[0], []).append((item, space[1:]))
        for c, members in groups.items():
            var = self.emitter.open("j" if c == self.nest.column else "r", 0, self.nest.sizes[c])
            self.at[c] = sum_of(var)
            self._tree(members)
            self.emitter.close(var)
            del self.at[c]
        self._visit_all([item for item, space in items if not space])

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
        reduction = node.op.emit(node)
        source = node.args[0]
        index = self.nest.classes.index(source, self.at)
        kept = kept_axes(source.ndim, node.attrs["axes"])
        inner = tuple(index[a] for a in range(source.ndim) if a not in kept)
        x = e.k.cast(e.value(source, index), e.reduction_dtype(node))
        self._fold(item, reduction, x, inner)

    # --- states: scalars, or an array over the column ---------------------------------------------------

    def _fold(self, item: Item, reduction: Any, x: Any, inner: tuple[Sum, ...]) -> None:
        from dlc.kernel.emit import flat
        from dlc.types import Type, i64

        e = self.emitter
        axes = item.node.attrs["axes"]
        extents = tuple(item.node.args[0].type.shape[a] for a in axes)
        position = e.integer(flat(inner, Type(i64, extents)), i64)
        if self.nest.column is None:
            e.step(reduction.combine, item.states, x, position)
            return
        at = self.at[self.nest.column] - self.column_low
        level = len(e.stack) - 1
        old = [e.let("s", Load(s.name, at, s.dtype, level)) if len(item.states) > 1
               else Load(s.name, at, s.dtype, level) for s in item.states]
        new = reduction.combine.step(e.k, old, x, position)
        if len(new) > 1:
            new = [e.let("t", n) for n in new]
        for s, n in zip(item.states, new, strict=True):
            e.line(f"{s.name}[{at.text()}] = {n.text()}")

    def _start(self, item: Item) -> None:
        e, node = self.emitter, item.node
        combine, dtype = node.op.emit(node).combine, e.reduction_dtype(node)
        if self.nest.column is None:
            item.states = e.start(node, combine, dtype)
            return
        var = self.emitter.open("j", 0, self.nest.sizes[self.nest.column])
        for s, value in zip(item.states, combine.identity(dtype), strict=True):
            at = sum_of(var) - self.column_low
            e.line(f"{s.name}[{at.text()}] = {Number(value, s.dtype).text()}")
        self._close_column(var)

    def _close_column(self, var: Var) -> None:
        self.emitter.close(var, "j0", "j1")

    def _finish(self, item: Item) -> None:
        """Make the reduction's value known to whoever asks for it at this place."""
        e, node = self.emitter, item.node
        combine = node.op.emit(node).combine
        here = dict(self.at)
        if self.nest.column is None:
            value = e.let(node.name or node.op.name, e.finish(node, combine, item.states))
            home = self.nest.classes.index(node, here)
            e.results[node] = lambda index: value if index == home else None
            return
        column = self.nest.column

        def load(index: tuple[Sum, ...]) -> Any:
            at = dict(here)
            place = [c for c, _ in self.nest.classes.sized(node)]
            position = self._column_position(node, index, place)
            if position is None:
                return None
            at[column] = position
            if self.nest.classes.index(node, at) != index:
                return None
            level = max(e.level_of((position,)), 0)
            states = [Load(s.name, position - self.column_low, s.dtype, level)
                      for s in item.states]
            return e.k.cast(combine.finish(e.k, states), computing(node.type.dtype))

        e.results[node] = load

    def _column_position(self, node: Node, index: Sequence[Sum], place: list[Class]) -> Sum | None:
        """Where the column stands in an index of `node`: its last axis that is not of size 1."""
        sized = [i for i, d in zip(index, node.type.shape, strict=True) if int(d) != 1]
        return sized[-1] if sized and self.nest.column in place else None

    def _write_columns(self, outer: Sequence[Class]) -> int:
        """Column mode: chunks are blocks of the column class within each position of `outer`."""
        nest, e = self.nest, self.emitter
        column = nest.column
        size = nest.sizes[column]
        width = min(COLUMN, size)
        blocks = -(-size // width)
        rows = math.prod(nest.sizes[c] for c in outer)
        chunk = sum_of(Var("chunk", 0, blocks * rows - 1))
        e.levels.update({"chunk": 0, "j0": 0, "j1": 0})
        low = (chunk % blocks) * width
        e.line(f"j0 = {low.text()}")
        e.line(f"j1 = min(j0 + {width}, {size})" if size % width else f"j1 = j0 + {width}")
        self.column_low = sum_of(Var("j0", 0, size)) if blocks > 1 else Sum()
        self._place(outer, chunk // blocks)
        for item in nest.items:
            if item.reduces:
                self._declare(item, width)
        self._column_layers(column)
        return blocks * rows

    def _declare(self, item: Item, width: int) -> None:
        e, node = self.emitter, item.node
        dtypes = node.op.emit(node).combine.state_dtypes(e.reduction_dtype(node))
        for kind in dtypes:
            dtype = computing(kind)
            name = e.names.new(node.name or node.op.name)
            e.stack[-1].statements.append(Line(f"{name} = local_{dtype}({width})"))
            item.states.append(Ref(name, dtype, 0))

    def _column_layers(self, column: Class) -> None:
        """Like _layers, with the column's loop innermost for every item."""
        for layer in sorted({i.layer for i in self.nest.items}):
            items = [i for i in self.nest.items if i.layer == layer]
            for item in items:
                if item.reduces:
                    self._start(item)
            self._column_tree([(i, i.space) for i in items], column)
            for item in items:
                if item.reduces:
                    self._finish(item)

    def _column_tree(self, items: Sequence[tuple[Item, tuple[Class, ...]]], column: Class) -> None:
        groups: dict[Class, list[tuple[Item, tuple[Class, ...]]]] = {}
        for item, space in items:
            if space:
                groups.setdefault(space[0], []).append((item, space[1:]))
        for c, members in groups.items():
            var = self.emitter.open("r", 0, self.nest.sizes[c])
            self.at[c] = sum_of(var)
            self._column_tree(members, column)
            self.emitter.close(var)
            del self.at[c]
        here = [item for item, space in items if not space]
        if here:
            var = self.emitter.open("j", 0, self.nest.sizes[column])
            self.at[column] = sum_of(var)
            self._visit_all(here)
            self._close_column(var)
            del self.at[column]
