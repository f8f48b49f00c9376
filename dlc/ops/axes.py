"""Axis classes: which axes of which nodes are walked by one loop.

Two axes are in one class when an elementwise operator, a broadcast, a transpose or a reduction
carries one over to the other. The classes of a group are the loops it can be written with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dlc.graph import Kind, Node
from dlc.ops import view, window
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


def carried(node: Node, arg: Node) -> list[tuple[int, int]]:
    """Pairs (axis of node, axis of arg) with the same index in both."""
    if node.op.kind is Kind.ELEMENTWISE:
        return [(i, i) for i in range(node.ndim)]
    if node.op is window.FOLD or node.op is window.WINDOW:
        return [(i, i) for i in range(min(node.ndim, arg.ndim) - len(node.attrs["size"])
                                      if node.op is window.WINDOW
                                      else arg.ndim - 2 * len(node.attrs["size"]))]
    if node.op.kind is Kind.REDUCE:
        return list(enumerate(kept_axes(arg.ndim, node.attrs["axes"])))
    if node.op.kind is Kind.VIEW:
        return _carried_by_view(node, arg)
    if node.op.kind is Kind.CONTRACT:
        return _carried_by_contraction(node, arg)
    return []


def _carried_by_view(node: Node, arg: Node) -> list[tuple[int, int]]:
    if node.op is view.TRANSPOSE:
        return list(enumerate(node.attrs["axes"]))
    if node.op is view.BROADCAST:
        skip = node.ndim - arg.ndim
        return [(skip + j, j) for j in range(arg.ndim)]
    if node.op is view.RESHAPE:
        return reshape_pairs(node.type.shape, arg.type.shape)
    if node.op is view.PAD:
        gaps = zip(node.attrs["low"], node.attrs["high"], node.attrs["interior"], strict=True)
        return [(i, i) for i, gap in enumerate(gaps) if not any(gap)]
    if node.op is view.SLICE:
        return [(i, i) for i in range(node.ndim) if node.shape[i] == arg.shape[i]]
    if node.op is view.FLIP:
        return [(i, i) for i in range(node.ndim) if i not in node.attrs["axes"]]
    if node.op is view.CONCAT:
        return [(i, i) for i in range(node.ndim) if i != node.attrs["axis"]]
    return []


def reshape_pairs(new: Sequence[Any], old: Sequence[Any]) -> list[tuple[int, int]]:
    """Axes that a reshape leaves whole: those with equal sizes and equal products before them."""
    def placed(shape: Sequence[Any]) -> dict[tuple[int, int], int]:
        before, found = 1, {}
        for i, d in enumerate(shape):
            if int(d) != 1:
                found[(before, int(d))] = i
            before *= int(d)
        return found

    a, b = placed(new), placed(old)
    return [(a[k], b[k]) for k in a if k in b]


class _Mark:
    """An index that only remembers which output axis it is; arithmetic makes it no axis at all."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def _lost(self, _other: Any) -> _Mark:
        return _Mark()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __floordiv__ = __mod__ = _lost


def _carried_by_contraction(node: Node, arg: Node) -> list[tuple[int, int]]:
    """Batch, row and column axes, found by asking the record's own index maps."""
    c = node.op.emit(node)
    out = tuple(_Mark(i) for i in range(node.ndim))
    inner = tuple(_Mark() for _ in c.extents)
    pairs = []
    for read in (c.read_a, c.read_b):
        piece = read(out, inner).pieces[0]
        if node.args[piece.operand] is arg:
            pairs += [(at.axis, j) for j, at in enumerate(piece.index)
                      if isinstance(at, _Mark) and at.axis >= 0]
    return pairs


def classes_of(nodes: Iterable[Node]) -> AxisClasses:
    """The axis classes of a set of nodes."""
    classes = AxisClasses()
    for node in nodes:
        classes.add(node)
    return classes
