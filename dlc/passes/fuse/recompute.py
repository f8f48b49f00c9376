"""Recomputation in fusion: cheap functions of a stored value are recomputed by each reader.

    y = tanh(h); s = sub(1, mul(y, y))      s is never stored: its readers read y
"""

from __future__ import annotations

from dlc.ir.graph import Graph, Kind, Node, users
from dlc.ops import leaf
from dlc.ops.tuples import ITEM
from dlc.passes.fuse.axes import carried


def recomputed_nodes(graph: Graph, roots: set[Node], free: set[Node], most: int) -> set[Node]:
    """The cheap nodes that read one value in memory and need no place of their own there; `most`
    operators at most are computed again for one of them."""
    readers = users(graph.outputs)
    recomputed: set[Node] = set()
    anchored: dict[Node, bool] = {}
    cost: dict[Node, int] = {}
    for node in graph.nodes():
        base_anchored = _anchored(node, readers, roots)
        if node.op.cheap and node not in roots and node not in free:
            bases = {b for a in node.args for b in _bases(a)}
            whole = [b for b in bases if b.type.size >= node.type.size and
                     (b.op.kind is not Kind.LEAF or b.op is leaf.INPUT)]
            known = all(anchored.get(b) or b.op.kind is Kind.LEAF or b in free for b in bases)
            again = 1 + sum(cost.get(b, 0) for b in bases)
            if known and len(whole) <= 1 and again <= most:
                recomputed.add(node)
                cost[node] = again
                base_anchored = True
        anchored[node] = base_anchored
    return recomputed


def _anchored(node: Node, readers: dict[Node, list[Node]], roots: set[Node]) -> bool:
    """Whether the node lies in memory whatever the groups: some reader needs it whole."""
    if node in roots or node.op in (leaf.INPUT, leaf.ARRAY, ITEM):
        return True
    stack = [(node, r) for r in readers[node]]
    while stack:
        value, reader = stack.pop()
        if reader.op.kind in (Kind.CONTRACT, Kind.SCATTER, Kind.GATHER, Kind.ROUTINE):
            return True
        if reader.op.kind is Kind.VIEW:
            if len(carried(reader, value)) < sum(int(d) != 1 for d in value.type.shape):
                return True
            stack.extend((reader, r) for r in readers[reader])
    return False


def _bases(node: Node) -> list[Node]:
    """What a node reads from, beneath views."""
    while node.op.kind is Kind.VIEW and len(node.args) == 1:
        node = node.args[0]
    return [node]
