"""Components of a fused body: the parts that run side by side in one launch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from dlc.graph import Graph, Kind, Node, toposort
from dlc.ops import leaf


@lru_cache(maxsize=512)
def components(body: Graph) -> list[Graph]:
    """Parts of a body that share no work but loads and scalars; each keeps the inputs it reads."""
    parent: dict[Node, Node] = {}

    def find(x: Node) -> Node:
        while parent.setdefault(x, x) is not x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        return x

    free = _free_scalars(body)
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


def _free_scalars(body: Graph) -> set[Node]:
    free: set[Node] = set()
    for node in body.nodes():
        scalar = node.op.kind in (Kind.LEAF, Kind.ELEMENTWISE) and node.type.size == 1
        if scalar and all(a in free for a in node.args):
            free.add(node)
    return free


def _part(body: Graph, outs: Sequence[Node]) -> Graph:
    reached = set(toposort(outs))
    return Graph(body.name, tuple(i for i in body.inputs if i in reached), tuple(outs))
