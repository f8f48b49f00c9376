"""Grouping: which operators become one launch. `refusal` is the table of docs/fusion.md."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import Type
from dlc.ops import leaf, view
from dlc.ops.routine import result_types
from dlc.ops.tuples import ITEM
from dlc.passes.fuse.axes import Axis, AxisClasses, carried, classes_of
from dlc.passes.fuse.copies import Paths, operators_of, wide_concats
from dlc.passes.fuse.group_order import GroupOrder
from dlc.passes.fuse.limits import DEFAULT, FusionLimits
from dlc.passes.fuse.recompute import recomputed_nodes

REDUCING = frozenset({Kind.REDUCE, Kind.FOLD})
ALONE = frozenset({Kind.SCATTER, Kind.ROUTINE, Kind.HIGHER})  # launches of their own
WITHOUT_LOOPS = ALONE | {Kind.CONTRACT}
ALONE_ROWS = ((Kind.HIGHER, "control"), (Kind.ROUTINE, "routine"), (Kind.SCATTER, "scatter"))


@dataclass(eq=False)
class Group:
    """Operators that will be one launch. `position` is that of its last member in the order, in
    which members stand once the merging is over; `inside` is what the body computes once it is
    built: members, and what they compute again."""

    members: list[Node]
    position: int
    work: int = 0
    kinds: frozenset[Kind] = frozenset()
    inside: tuple[Node, ...] = ()

    @property
    def contraction(self) -> Node | None:
        if Kind.CONTRACT not in self.kinds:
            return None
        return next(n for n in self.members if n.op.kind is Kind.CONTRACT)

    @property
    def has_reduction(self) -> bool:
        return not self.kinds.isdisjoint(REDUCING)


@dataclass(frozen=True)
class Edge:
    """`consumer` reads `producer` through views.

    `aligned`: each element reads the one at its own index; `one_to_one`: each reads one of its own,
    rearranged by reshapes and transposes at most.
    """

    producer: Node
    consumer: Node
    aligned: bool
    one_to_one: bool
    reads: int  # elements read


def is_scalar_work(node: Node) -> bool:
    """A rank-0 elementwise operator: recomputed wherever it is needed."""
    return node.op.kind is Kind.ELEMENTWISE and node.type.size == 1


def control_operands(graph: Graph) -> set[Node]:
    """What loops and branches read: values that have to lie in memory before they begin."""
    return {a for n in graph.nodes() if n.op.kind is Kind.HIGHER
            for a in n.args if a.op not in (leaf.INPUT, leaf.ARRAY, ITEM)}


def reads_own(reader: Node, node: Node) -> bool:
    """Whether each element of `reader` reads `node` at its own index; a reduction or contraction
    may read more axes than it has."""
    if reader.op.kind in (Kind.REDUCE, Kind.CONTRACT):
        return True
    whole = {j for _, j in carried(reader, node)}
    return all(int(d) == 1 or j in whole for j, d in enumerate(node.type.shape))


def work_of(node: Node) -> int:
    """Elements that a node walks."""
    operand = max((a.type.size for a in node.args if isinstance(a.type, Type)), default=1)
    own = sum(int(t.size) for t in result_types(node))
    return max(own, operand) if node.op.kind in REDUCING else own


class Fuser:
    """Groups the operators of one graph."""

    def __init__(self, graph: Graph, limits: FusionLimits = DEFAULT) -> None:
        self.graph, self.limits = graph, limits
        self.order = graph.nodes()
        self.classes: AxisClasses = classes_of(self.order)
        self.roots = {n for n in graph.outputs if n.op not in (leaf.INPUT, leaf.ARRAY)}
        self.roots |= control_operands(graph)
        self.free = self._free_scalars()
        self.wide: set[Node] = set()
        self.recomputed = recomputed_nodes(graph, self.roots, self.free, limits.again)
        self.wide = wide_concats(self.order, self.computes)
        self.group: dict[Node, Group] = {}
        self.groups: list[Group] = []  # in order, once all merging is over
        self.edges: dict[Node, list[Edge]] = {}
        self.readers: dict[Node, set[Node]] = {}
        self.turned: dict[Node, set[Node]] = {}  # what a node reads at other indices than its own
        self.paths = Paths(self.stands)
        for position, node in enumerate(self.order):
            if node.op is ITEM:
                self._add_result(node, position)
            elif self.computes(node):
                self.group[node] = Group([node], position, work_of(node), frozenset([node.op.kind]))
                self.edges[node] = self._edges(node)
                for edge in self.edges[node]:
                    self.readers.setdefault(edge.producer, set()).add(node)
                    if not edge.aligned:
                        self.turned.setdefault(node, set()).add(edge.producer)
        self.standing = GroupOrder(list(dict.fromkeys(self.group.values())), self._sources)

    def _sources(self, group: Group) -> set[Group]:
        """The groups that `group` reads."""
        return {self.group[e.producer] for n in group.members for e in self.edges[n]}

    def _add_result(self, item: Node, position: int) -> None:
        """A result of a routine, a loop or a branch belongs to its group, whatever becomes of the
        others."""
        group = self.group[item.args[0]]
        group.members.append(item)
        group.position = position
        self.group[item], self.edges[item] = group, []

    def _free_scalars(self) -> set[Node]:
        """Scalars that a few operators make of scalar inputs: they cost nothing to recompute."""
        cost: dict[Node, int] = {}
        for node in self.order:
            if node.op.kind is Kind.LEAF:
                if node.op is not leaf.RANDOM_BITS and node.type.size == 1:
                    cost[node] = 0
            elif is_scalar_work(node) and all(a in cost for a in node.args):
                again = 1 + sum(cost[a] for a in node.args)
                if again <= self.limits.again:
                    cost[node] = again
        return set(cost)

    def computes(self, node: Node) -> bool:
        """Whether the node needs a place in a group: views, free scalars and what is recomputed
        join their readers."""
        if node in self.free or node in self.recomputed:
            return node in self.roots
        if node.op.kind is Kind.LEAF:
            return node.op is leaf.RANDOM_BITS or node in self.roots
        return node.op.kind is not Kind.VIEW or node in self.roots or node in self.wide

    def stands(self, node: Node) -> bool:
        """Whether a reader finds the node in memory or in a group, instead of computing it."""
        return node.op.kind is Kind.LEAF or self.computes(node)

    def _edges(self, consumer: Node) -> list[Edge]:
        """The computing producers that `consumer` reads, through any views between."""
        found: list[Edge] = []
        stack = [(consumer, a, True, True, a.type.size) for a in consumer.args]
        seen: set[tuple[Node, Node]] = set()
        while stack:
            reader, node, aligned, one_to_one, reads = stack.pop()
            if (reader, node) in seen:
                continue
            seen.add((reader, node))
            aligned = aligned and reads_own(reader, node) and self._same_loops(reader, node)
            one_to_one = one_to_one and (reader.op.kind is Kind.ELEMENTWISE or
                                         reader.op in (view.RESHAPE, view.TRANSPOSE))
            if self.computes(node):
                found.append(Edge(node, consumer, aligned, one_to_one, reads))
            elif node.op.kind in (Kind.VIEW, Kind.ELEMENTWISE):
                reads = max(reads, node.type.size)
                stack.extend((node, a, aligned, one_to_one, reads) for a in node.args)
        return found

    def _same_loops(self, reader: Node, node: Node) -> bool:
        """Whether one loop walks each axis that `reader` takes over: not x / sum(x, 1)[None]."""
        return all(int(node.type.shape[j]) == 1 or
                   self.classes.find((id(reader), i)) == self.classes.find((id(node), j))
                   for i, j in carried(reader, node)
                   if int(reader.type.shape[i]) == int(node.type.shape[j]))

    # --- merging ----------------------------------------------------------------------------------

    def run(self) -> list[Group]:
        """Merge greedily along edges, consumers in topological order, then siblings that read one
        value; returns groups in order."""
        for node in self.order:
            for edge in sorted(self.edges.get(node, ()), key=lambda e: -e.producer.type.size):
                self._try(edge)
        for producer, readers in self.readers.items():
            if len(readers) < 2 or producer.type.size == 1:
                continue
            self._siblings(producer, sorted(readers, key=self._index().__getitem__))
        groups = list(dict.fromkeys(self.group.values()))
        self.put_in_order(groups)
        return sorted(groups, key=lambda g: g.position)

    def put_in_order(self, groups: Sequence[Group]) -> None:
        """The members of `groups` as they stand in the graph."""
        for group in groups:
            group.members.sort(key=self._index().__getitem__)

    def _siblings(self, producer: Node, readers: Sequence[Node]) -> None:
        """Groups that read `producer` in the same loops read it once.

            m = argmax(z); s = logsumexp(z)   ->   m, s = fused(z)
        """
        aligned = [n for n in readers if any(e.producer is producer and e.aligned
                                             for e in self.edges[n])]
        for first, second in itertools.combinations(aligned, 2):
            a, b = self.group[first], self.group[second]
            loops = WITHOUT_LOOPS.isdisjoint(a.kinds | b.kinds)
            if a is b or not loops or producer.type.size < max(a.work, b.work) or (
                    not self.fits(a, b)):
                continue
            if self._parallel_enough(a, b) and self.independent(a, b):
                self.join(a, b)

    def independent(self, a: Group, b: Group) -> bool:
        """Whether neither group depends on the other, through any path."""
        lower, upper = self.standing.sorted(a, b)
        return lower not in self._sources(upper) and (
            self.standing.between(lower, upper) is not None)

    def join(self, first: Group, second: Group) -> bool:
        """Merge `second` into `first` unless a path leads from one to the other through a third
        group, which would then both read and be read by the merged one; whether it did."""
        lower, upper = self.standing.sorted(first, second)
        between = self.standing.between(lower, upper)
        if between is None:
            return False
        self.standing.merge(lower, upper, between, first)
        first.members += second.members
        first.position = max(first.position, second.position)
        first.work, first.kinds = max(first.work, second.work), first.kinds | second.kinds
        for node in second.members:
            self.group[node] = first
        return True

    def _try(self, edge: Edge) -> None:
        first, second = self.group[edge.producer], self.group[edge.consumer]
        if first is not second and not self.refusal(first, second, edge):
            self.join(first, second)

    def refusal(self, first: Group, second: Group, edge: Edge) -> str:
        """The row of the fusion table (docs/fusion.md) by which these two don't merge along `edge`;
        "" where they may. What each says in words is in reasons.py."""
        alone = ALONE & (first.kinds | second.kinds)
        if alone:
            return next(row for kind, row in ALONE_ROWS if kind in alone)
        if not self.fits(first, second):
            return "too_long"
        if second.contraction is not None:
            return self._no_prologue(first, second, edge)
        if first.contraction is not None:
            return self._no_epilogue(first, second, edge)
        if not edge.aligned and not self._may_inline(first, edge):
            return "other_indices"
        if first.has_reduction and all(self._folded(n) for n in second.members):
            return "kept_for_fold"
        return "" if self._parallel_enough(first, second) else (
            "reduction_again" if first.has_reduction else "few_loops")

    def _folded(self, node: Node) -> bool:
        """Cheap work that only a fold reads, overlapping: it is made there, or it would be stored
        as often as windows overlap (the gradient of a max pool)."""
        if not node.op.cheap or node in self.roots:
            return False
        readers, size = self.readers.get(node, ()), node.type.size
        return bool(readers) and all(
            r.args[0].type.size == size if r.op.kind is Kind.FOLD else
            self._folded(r) and r.type.size == size for r in readers)

    def _no_epilogue(self, first: Group, second: Group, edge: Edge) -> str:
        """Elementwise work on a contraction's result, of its shape, runs on the finished tile; the
        row of the table for anything else."""
        anchor = first.contraction
        assert anchor is not None
        if second.has_reduction:
            return "contraction_to_reduction"
        between = [e for n in second.members for e in self.edges.get(n, ())
                   if self.group[e.producer] is first]
        if not all(e.aligned or e.one_to_one for e in (edge, *between)) or any(
                n.op.kind not in (Kind.ELEMENTWISE, Kind.LEAF) and
                n.op not in (view.RESHAPE, view.TRANSPOSE) for n in second.members):
            return "rearranged"
        if self._better_later(first, second):
            return "read_by_reductions"
        same = all(n.type.size == anchor.type.size for n in (*first.members, *second.members))
        return "" if same else "other_size"

    def _better_later(self, first: Group, second: Group) -> bool:
        """Cheap work whose operand is stored anyway and that only reductions read: it costs a store
        here and nothing there."""
        members = {*first.members, *second.members}
        stored = any(self.readers.get(n, set()) - members for n in first.members)
        readers = {r for n in second.members for r in self.readers.get(n, set()) - members}
        loops = all(r.op.kind in REDUCING for r in readers)
        cheap = all(n.op.cheap and n not in self.roots for n in second.members)
        return stored and cheap and loops and bool(readers)

    def _no_prologue(self, first: Group, second: Group, edge: Edge) -> str:
        """Cheap elementwise work that only this contraction reads is done while packing; the row of
        the table for anything else."""
        if first.contraction is not None:
            return "two_contractions"
        if first.has_reduction:
            return "reduction_to_contraction"
        alone = all(self.readers.get(n, set()) <= {*first.members, *second.members} and
                    n not in self.roots for n in first.members)
        if not alone:
            return "shared_prologue"
        if edge.consumer is not second.contraction:
            return "beside_contraction"
        return "" if all(n.op.cheap for n in first.members) else "costly_prologue"

    def _may_inline(self, first: Group, edge: Edge) -> bool:
        """Recompute the producer at other indices: only if nobody else reads it and it is cheap."""
        alone = self.readers.get(edge.producer, set()) <= {edge.consumer}
        if not alone or edge.producer in self.roots or len(first.members) > self.limits.inlined:
            return False
        if any(n.op.kind not in (Kind.ELEMENTWISE, Kind.GATHER) for n in first.members):
            return False
        cheap = all(n.op.cheap or n.op.kind is Kind.GATHER for n in first.members)
        factor = edge.reads / max(edge.producer.type.size, 1)
        return factor <= self.limits.same_reads or (
            cheap and factor <= self.limits.cheap_reads)

    def _parallel_enough(self, first: Group, second: Group) -> bool:
        """The merged group still has loops to share among threads, or is too small to need them."""
        members = {*first.members, *second.members}
        work = max(first.work, second.work)
        reduced: set[Axis] = set()
        kept: set[Axis] = set()
        common: set[Axis] | None = None
        for node in members:
            mine = {c for c in self.classes.of(node) if c is not None}
            if node.op.kind is Kind.REDUCE:
                reduced |= {c for c in self.classes.of(node.args[0]) if c and c not in mine}
                kept |= mine
            if node in self.roots or self.readers.get(node, set()) - members:
                common = mine if common is None else common & mine
        sizes = {self.classes.find((id(n), i)): int(d) for n in members
                 for i, d in enumerate(n.type.shape)}
        parallel = (common or set()) - reduced
        if not kept <= parallel:
            return False  # a reduction inside a loop of the group would be computed again and again
        rows = math.prod(sizes.get(c, 1) for c in parallel)
        small, few = self.limits.small, self.limits.long_rows
        long_rows = rows >= few and work // rows >= small // few and bool(reduced)
        return work <= small or rows >= self.limits.rows or long_rows

    def fits(self, a: Group, b: Group) -> bool:
        """Whether one kernel may hold both groups: a long one takes LLVM too long."""
        members, most = (*a.members, *b.members), self.limits.operators
        if len(members) > most or not self.wide.isdisjoint(members):
            return False
        if all(self.group.get(p) not in (a, b) for n in members for p in self.turned.get(n, ())):
            return True
        members = tuple(sorted(members, key=self._index().__getitem__))
        return operators_of(members, self.roots, self.readers, self.turned, self.paths) <= most

    def _index(self) -> dict[Node, int]:
        if not hasattr(self, "_positions"):
            self._positions = {n: i for i, n in enumerate(self.order)}
        return self._positions
