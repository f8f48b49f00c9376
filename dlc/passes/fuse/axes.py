"""Axis classes: which axes of which nodes are walked by one loop.

Two axes are in one class when an elementwise operator, a broadcast, a transpose or a reduction
carries one over to the other. The classes of a group are the loops it can be written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dlc.ir.access import Piece
from dlc.ir.graph import Kind, Node
from dlc.ops.reduce import kept_axes

Axis = tuple[int, int]  # (id of node, axis)


class AxisClasses:
    """Union-find over the axes of nodes; axes of size 1 belong to no class.

    Two axes of one node are never in one class, or its loop would walk a diagonal: with
    x / sum(x, axis=1)[None] a row's index would be that of a column.
    """

    def __init__(self) -> None:
        self.parent: dict[Axis, Axis] = {}
        self.holders: dict[Axis, set[int]] = {}  # root -> ids of the nodes that have an axis in it
        self.nodes: list[Node] = []

    def find(self, axis: Axis) -> Axis:
        root = axis
        while (above := self.parent.get(root)) is not None:
            root = above
        while (above := self.parent.get(axis)) is not None:
            self.parent[axis], axis = root, above
        return root

    def join(self, a: Node, i: int, b: Node, j: int) -> None:
        if int(a.type.shape[i]) != int(b.type.shape[j]) or int(a.type.shape[i]) == 1:
            return
        first, second = self.find((id(a), i)), self.find((id(b), j))
        mine = self.holders.get(first, {first[0]})
        other = self.holders.get(second, {second[0]})
        if first != second and mine.isdisjoint(other):
            self.parent[first] = second
            few, many = sorted((mine, other), key=len)
            many |= few  # not a third set: classes of a whole program hold many nodes
            self.holders[second] = many

    def add(self, node: Node) -> None:
        """Join the axes that `node` carries over from its operands."""
        self.nodes.append(node)  # keeps ids alive
        for arg in node.args:
            for i, j in carried(node, arg):
                self.join(node, i, arg, j)

    def of(self, node: Node) -> tuple[Axis | None, ...]:
        """The class of each axis of `node`; None for an axis of size 1."""
        return tuple(None if int(d) == 1 else self.find((id(node), i))
                     for i, d in enumerate(node.type.shape))


def carried(node: Node, arg: Node) -> Sequence[tuple[int, int]]:
    """Pairs (axis of node, axis of arg) with the same index in both: what the record says, or what
    its index maps do with the indices of the node's axes."""
    if node.op.axes is not None:
        return node.op.axes(node, arg)
    if node.op.kind is Kind.ELEMENTWISE:
        return [(i, i) for i in range(node.ndim)]
    if node.op.kind is Kind.REDUCE:
        return list(enumerate(kept_axes(arg.ndim, node.attrs["axes"])))
    if node.op.kind is Kind.VIEW:
        return _probed(node, arg, node.op.emit(_marks(node.ndim), node).pieces)
    if node.op.kind is Kind.CONTRACT:
        c = node.op.emit(node)
        out, inner = _marks(node.ndim), tuple(_Mark() for _ in c.extents)
        reads = [c.read_a(out, inner).pieces[0], c.read_b(out, inner).pieces[0]]
        return [pair for piece in reads for pair in _probed(node, arg, [piece])]
    return []


class _Mark:
    """An index that only remembers which output axis it is; arithmetic makes it no axis at all."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def _lost(self, _other: Any) -> _Mark:
        return _Mark()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __mod__ = _lost


def _marks(count: int) -> tuple[_Mark, ...]:
    """The index of a node with `count` axes."""
    return tuple(map(_Mark, range(count)))


def _probed(node: Node, arg: Node, pieces: Sequence[Piece]) -> list[tuple[int, int]]:
    """The axes of `arg` at which every piece that reads it has the index of an axis of `node`."""
    found: list[tuple[int, int]] | None = None
    for piece in pieces:
        if node.args[piece.operand] is arg:
            pairs = [(at.axis, j) for j, at in enumerate(piece.index)
                     if isinstance(at, _Mark) and at.axis >= 0]
            found = pairs if found is None else [p for p in found if p in pairs]
    return found or []


def classes_of(nodes: Iterable[Node]) -> AxisClasses:
    """The axis classes of a set of nodes."""
    classes = AxisClasses()
    for node in nodes:
        classes.add(node)
    return classes
