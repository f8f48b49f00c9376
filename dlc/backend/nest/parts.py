"""Split reductions: threads reduce parts of a long sum, and a later stage merges them in order.

    def sum_parts(x, partial):                      a position folds one part of the reduced axis
        for part in parallel(62):
            first = part * 16384
            end = min(first + 16384, 1000000)
            for r in range(first, end): ...
            partial[part] = total
    def sum(out, partial):                          what the group makes of the merged parts
        for p in range(62): total = total + partial[p]

How many parts there are depends on shapes, never on the number of threads: the same bits on any.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dlc.backend.cpu.limits import Limits
from dlc.backend.cpu.mapping import Cuts
from dlc.backend.emit import lanes
from dlc.backend.emit.emitter import Emitter, flat
from dlc.backend.emit.runs import Runs
from dlc.backend.ir import Expression, Load, Store, computing
from dlc.backend.ir.index import Sum, least, sum_of
from dlc.backend.nest.analysis import Class, Item, Nest, analyse
from dlc.backend.nest.loops import LoopWriter
from dlc.ir.access import Combine
from dlc.ir.graph import Graph, Node, toposort
from dlc.ir.types import Type, i64
from dlc.passes.schedule.lives import Scratch

SpaceNames: TypeAlias = Mapping[Node, Sequence[str]]  # of the workspaces of each reduction


@dataclass(frozen=True)
class Parts:
    """Reductions that are folded together: `body` computes them alone, `step` positions of the
    outermost loop a part. `combines`: how the states of parts fold; `spaces` holds these, a
    workspace [part, element] each."""

    body: Graph
    nest: Nest
    count: int
    step: int
    combines: Mapping[Node, Combine]
    spaces: Mapping[Node, Sequence[Scratch]]


def find_parts(nest: Nest, emitter: Emitter, limits: Limits) -> Parts | None:
    """The reductions of the first layer, when they are long and the nest has too few chunks for
    threads to share; None for any other nest."""
    chunks = LoopWriter(nest, emitter, limits).chunks()
    first = [i for i in nest.items if i.reduces and i.layer == 0 and i.space]
    if not first:
        return None
    longest = max(first, key=lambda i: i.node.args[0].type.size)
    along = nest.classes.sized(longest.node.args[0])[-1][0] in longest.space
    if chunks * (limits.row if along else 1) >= limits.loop_chunks:
        return None
    work = math.prod(nest.sizes[c] for c in {*longest.space, *nest.parallel})
    if work < limits.in_parts:
        return None
    nodes = [i.node for i in first if i.space == longest.space
             and kept(nest, i) == kept(nest, longest)]
    alone = part_of_group(nest.body, nodes)
    wanted = max(2, work // limits.chunk_elements)
    return cut_parts(alone, emitter, limits, min(limits.parts, limits.merged * chunks, wanted))


def cut_parts(body: Graph, emitter: Emitter, limits: Limits, wanted: int) -> Parts | None:
    """`wanted` parts, or fewer, of the reductions that `body` computes; None where there is one."""
    nest = analyse(body, limits)
    writer = LoopWriter(nest, emitter, limits)
    items = [i for i in nest.items if i.reduces]
    if {i.node for i in items} != set(body.outputs) or len({i.space for i in items}) > 1:
        return None
    size = nest.sizes[items[0].space[0]]
    step = -(-size // min(max(2, -(-wanted // writer.chunks())), size))
    for item in items:
        item.runs = writer.runs_of(item)
        if item.runs and item.runs.depth == 0:
            step = -(-step // item.runs.step) * item.runs.step
    count = -(-size // step)
    combines = {i.node: writer.combine(i) for i in items}
    spaces = {n: [Scratch("partial", computing(kind), count * n.type.size)
                  for kind in combine.state_dtypes(emitter.reduction_dtype(n))]
              for n, combine in combines.items()}
    return Parts(body, nest, count, step, combines, spaces) if count > 1 else None


def kept(nest: Nest, item: Item) -> set[Class]:
    """The classes of a reduction's result."""
    return {c for c, _ in nest.classes.sized(item.node)}


def part_of_group(body: Graph, nodes: Sequence[Node]) -> Graph:
    """The graph of some nodes alone."""
    needed = set(toposort(nodes))
    return Graph(body.name, tuple(i for i in body.inputs if i in needed), tuple(nodes))


def is_short(nest: Nest, parts: Parts, limits: Limits) -> bool:
    """Whether all that the group does beside the parts is less than what a chunk should hold."""
    rest = (i for i in nest.items if not (i.reduces and i.node in parts.combines))
    return all(math.prod(nest.sizes[c] for c in {*i.space, *nest.parallel})
               <= limits.chunk_elements for i in rest)


def place_in(node: Node, part: Sum, index: Sequence[Sum]) -> Sum:
    """Where the state of a part lies for the element of `node` at `index`."""
    return part * int(node.type.size) + flat(index, Type(i64, tuple(map(int, node.type.shape))))


class PartWriter(LoopWriter):
    """Writes the kernel that folds each part; `spaces` names the workspaces of the states."""

    def __init__(self, parts: Parts, emitter: Emitter, limits: Limits, spaces: SpaceNames) -> None:
        super().__init__(parts.nest, emitter, limits)
        self.parts, self.spaces = parts, spaces
        self.items = [i for i in parts.nest.items if i.reduces]
        self.part = Sum()

    def write(self) -> Cuts:
        nest, e = self.nest, self.emitter
        outer = [c for c in self.flat_parallel() if c != nest.column]
        self._place(outer, e.axis("i", math.prod(nest.sizes[c] for c in outer)))
        block = e.axis("block", self.blocks())
        self.part = e.axis("part", self.parts.count)
        if nest.column is not None:
            self._open_block(block)
        self._open_part(self.items[0].space[0])
        if nest.column is None:
            self._fold_parts()
        else:
            self._fold_columns(nest.column)
        return dict.fromkeys(e.axes, 1)

    def _open_part(self, axis: Class) -> None:
        """Name where a part begins and ends."""
        size, step = self.nest.sizes[axis], self.parts.step
        first = self.emitter.named("first", self.part * step, 0, size - 1)
        end = self.emitter.named("end", least(first + step, size), 1, size)
        self.bounds[axis] = first, end

    def _fold_parts(self) -> None:
        for item in self.items:
            self._start(item)
        self._tree([(i, i.space) for i in self.items])
        for item in self.items:
            if item.fold is not None:
                item.fold.settle()
            self._keep(item, self.emitter.here(self.states(item)))

    def _fold_columns(self, column: Class) -> None:
        for item in self.items:
            self._declare(item)
            self._start(item)
        self._column_tree([(i, i.space) for i in self.items], column)
        for item in self.items:
            var = self.emitter.open("j", 0, self.nest.sizes[column])
            self.at[column] = sum_of(var)
            self._keep(item, lanes.loaded(
                self.emitter, self.states(item), sum_of(var) - self.column_low))
            del self.at[column]
            self._close_column(var)

    def _keep(self, item: Item, states: Sequence[Expression]) -> None:
        """Store what a part gave."""
        at = place_in(item.node, self.part, self.nest.classes.index(item.node, self.at))
        for name, state in zip(self.spaces[item.node], states, strict=True):
            self.emitter.write(Store(name, at, state, state.dtype))


class MergeWriter(LoopWriter):
    """Writes what is left of a nest: parts are merged where their reduction was folded."""

    def __init__(self, nest: Nest, emitter: Emitter, limits: Limits, parts: Parts,
                 spaces: SpaceNames) -> None:
        super().__init__(nest, emitter, limits)
        self.parts, self.spaces = parts, spaces

    def runs_of(self, item: Item) -> Runs | None:
        return None if item.node in self.spaces else super().runs_of(item)

    def combine(self, item: Item) -> Combine:
        return self.parts.combines.get(item.node) or super().combine(item)

    def walked(self, items: Sequence[Item]) -> list[Item]:
        return [i for i in items if not (i.reduces and i.node in self.spaces)]

    def _start(self, item: Item) -> None:
        super()._start(item)
        if item.node not in self.spaces:
            return
        column = self.nest.column
        var = self.emitter.open("p", 0, self.parts.count)
        if column is None:
            self._merge_part(item, sum_of(var))
        else:
            j = self.emitter.open("j", 0, self.nest.sizes[column])
            self.at[column] = sum_of(j)
            self._merge_part(item, sum_of(var))
            del self.at[column]
            self._close_column(j)
        self.emitter.close(var, kind="reduce")

    def _merge_part(self, item: Item, part: Sum) -> None:
        """Take a part's states into those of the whole."""
        e, combine = self.emitter, self.combine(item)
        at = place_in(item.node, part, self.nest.classes.index(item.node, self.at))
        states = self.states(item)
        found = [e.let("part", Load(name, at, s.dtype, len(e.stack) - 1))
                 for name, s in zip(self.spaces[item.node], states, strict=True)]
        if self.nest.column is None:
            e.assign(states, combine.merge(e.k, e.here(states), found))
            return
        here = self.at[self.nest.column] - self.column_low
        old = lanes.loaded(e, states, here)
        lanes.put(e, states, here, combine.merge(e.k, old, found))
