"""Components of a fused body: the parts that run side by side in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from dlc.ir.graph import Graph, Kind, Node, toposort
from dlc.ops import leaf, view

_KNOWN: WeakKeyDictionary[Graph, list[Graph]] = WeakKeyDictionary()


def components(body: Graph) -> list[Graph]:
    """Parts of a body that share no work but loads and what is made of scalars, which each part
    does for itself: the updates of parameters of one size share broadcasts of the learning rate.
    Each keeps the inputs it reads."""
    if body not in _KNOWN:
        _KNOWN[body] = _components(body)
    return _KNOWN[body]


def _components(body: Graph) -> list[Graph]:
    parent: dict[Node, Node] = {}

    def find(x: Node) -> Node:
        while parent.setdefault(x, x) is not x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    free = _made_of_scalars(body) | _loads(body)
    for node in body.nodes():
        if (node.op.kind is Kind.LEAF and node.op is not leaf.RANDOM_BITS) or node in free:
            continue
        for arg in node.args:
            if arg.op is not leaf.INPUT and arg not in free and arg.op.kind is not Kind.LEAF:
                parent[find(arg)] = find(node)
    parts: dict[Node, list[Node]] = {}
    for out in body.outputs:
        parts.setdefault(find(out), []).append(out)
    return [_part(body, outs) for outs in parts.values()]


def _made_of_scalars(body: Graph) -> set[Node]:
    """Elementwise work on scalars and constants, and what repeats them: one element, computed once
    before the loops."""
    free: set[Node] = set()
    for node in body.nodes():
        if node.op.kind is Kind.LEAF:
            scalar = node.op is leaf.CONSTANT or node.type.size == 1
        else:
            repeats = node.op.kind is Kind.ELEMENTWISE or node.op is view.BROADCAST
            scalar = repeats and all(a in free for a in node.args)
        if scalar:
            free.add(node)
    return free


def _loads(body: Graph) -> set[Node]:
    """Views of inputs: a part that reads one reads the input at other places."""
    loads: set[Node] = set()
    for node in body.nodes():
        if node.op is leaf.INPUT or (node.op.kind is Kind.VIEW and all(
                a in loads for a in node.args)):
            loads.add(node)
    return loads


def _part(body: Graph, outs: Sequence[Node]) -> Graph:
    """The part that makes `outs`. Inputs stand as it reads them: equal parts are equal in that,
    too, whoever read a shared scalar first."""
    return Graph(body.name, tuple(n for n in toposort(outs) if n.op is leaf.INPUT), tuple(outs))
