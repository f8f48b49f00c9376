"""The analysis of a loop group: parallel axes, merged axis classes, items and their layers.

Items are what a group makes: stores of outputs, and reductions that are finished within one
position of the parallel loops. Items of one dependency layer share loops.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from dlc.backend.cpu.limits import Limits
from dlc.backend.emit.lanes import Fold
from dlc.backend.emit.runs import Runs
from dlc.backend.ir import Ref
from dlc.backend.ir.index import Sum
from dlc.ir.graph import Graph, Kind, Node
from dlc.ops import leaf, view
from dlc.passes.fuse.axes import AxisClasses, carried, classes_of

Class: TypeAlias = Hashable  # of axes that are the same loop


@dataclass
class Item:
    """A store of an output or a D-level reduction, with the loop classes it still needs."""

    node: Node
    space: tuple[Class, ...]
    layer: int
    reduces: bool
    runs: Runs | None = None
    fold: Fold | None = None  # without a column; with one, its states are arrays
    states: list[Ref] = field(default_factory=list)
    totals: list[Ref] = field(default_factory=list)  # of what runs over a long space give


@dataclass
class Nest:
    """What the analysis of a group finds: parallel classes, sizes, items."""

    body: Graph
    classes: MergedClasses
    parallel: tuple[Class, ...]
    column: Class | None
    sizes: dict[Class, int]
    items: list[Item]
    order: dict[Class, int]


def is_plain_reduce(node: Node) -> bool:
    """A reduction over whole axes (a fold is emitted where its elements are needed)."""
    return node.op.kind is Kind.REDUCE


def analyse(body: Graph, limits: Limits) -> Nest:
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
    parallel = without_repeats(nodes, classes, parallel, sizes, limits)
    column = column_class(nodes, classes, parallel, reduced, limits)
    items = find_items(body, nodes, classes, set(parallel), order, limits)
    return Nest(body, classes, tuple(parallel), column, sizes, items, order)


def without_repeats(nodes: Sequence[Node], classes: MergedClasses, parallel: list[Class],
                    sizes: dict[Class, int], limits: Limits) -> list[Class]:
    """The parallel classes without those along which each position would reduce the same elements
    once more: a sum of a row that all of the row's elements are made of is taken once a row.

    Where too few rows would be left to share, or positions are threads, they reduce again.
    """
    kept = [{c for c, _ in classes.sized(n)} for n in nodes if is_item(n, limits)]
    if not kept or not limits.vectors:
        return parallel
    rows = [c for c in parallel if any(c in mine for mine in kept)]
    return rows if math.prod(sizes[c] for c in rows) >= limits.loop_chunks else parallel


def reduced_classes(node: Node, classes: MergedClasses) -> list[Class]:
    """The classes that a reduction folds away."""
    kept = {c for c, _ in classes.sized(node)}
    return [c for c, _ in classes.sized(node.args[0]) if c not in kept]


def column_class(nodes: Sequence[Node], classes: MergedClasses, parallel: Sequence[Class],
                 reduced: set[Class], limits: Limits) -> Class | None:
    """The contiguous parallel class that becomes a vector, if reductions run outside of it."""
    reductions = [n for n in nodes if is_item(n, limits)]
    if not limits.vectors or not reduced or not parallel or not reductions:
        return None
    largest = max(reductions, key=lambda n: n.args[0].type.size)
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
            if node.op.kind in (Kind.ELEMENTWISE, Kind.LEAF) or node.op is view.BROADCAST:
                continue  # a broadcast drops an index or passes it on whole
            broken |= set(classes.of(node)) - {classes.of(node)[i] for i, _ in pairs}
            if node.op.kind in (Kind.VIEW, Kind.FOLD):
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


def is_item(node: Node, limits: Limits) -> bool:
    """Whether a reduction gets loops and states of its own; a short one is unrolled in place."""
    if not is_plain_reduce(node):
        return False
    reads, gives = int(node.args[0].type.size), int(node.type.size)
    return reads > limits.unrolled * max(gives, 1) or gives == 1


def find_items(body: Graph, nodes: Sequence[Node], classes: MergedClasses, parallel: set[Class],
               order: dict[Class, int], limits: Limits) -> list[Item]:
    """Stores, and reductions whose kept axes are all parallel, each in its dependency layer."""
    layers: dict[Node, int] = {}
    items: list[Item] = []
    for node in nodes:
        below = max((layers[a] for a in node.args), default=0)
        mine = {c for c, _ in classes.sized(node)} if is_item(node, limits) else set()
        if is_item(node, limits) and mine <= parallel:
            space = reduced_classes(node, classes)
            items.append(Item(node, tuple(sorted(space, key=lambda c: order[c])), below, True))
            below += 1
        layers[node] = below
    for out in dict.fromkeys(body.outputs):
        space = [c for c, _ in classes.sized(out) if c not in parallel]
        items.append(Item(out, tuple(sorted(space, key=lambda c: order[c])), layers[out], False))
    return items
