"""Layout: a value that is only read in one transposed order is stored in that order.

    h: f32[2, 4, 3] = tanh(x)                  h: f32[2, 4, 3].layout(0, 2, 1) = tanh(x)
    t = transpose(h, axes=(0, 2, 1))     ->    t = transpose(h, axes=(0, 2, 1))

The transpose stays in the graph, where shapes are logical; in memory it becomes the identity, so
its readers access memory contiguously. Inputs, outputs and values with another reader stay
row-major.
"""

from __future__ import annotations

from collections.abc import Sequence

from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    building,
    intern,
    rebuild,
    replace,
    serving,
    users,
)
from dlc.ir.types import Type
from dlc.ops import view
from dlc.reference.rewrite import Grade, keeps


@keeps(Grade.EXACT)
def layout(graph: Graph) -> Graph:
    """Write a value in the order in which all its readers transpose it."""
    readers = users(graph.outputs)
    roots = set(graph.outputs)

    def change(node: Node, args: tuple[Node, ...]) -> Node:
        order = wanted_order(node, readers[node]) if node not in roots else None
        if order is None:
            return rebuild(node, args)
        with serving(node.locs):
            return intern(node.op, args, node.attrs, node.type.with_(layout=order), node.name)

    with building(Build()):
        return graph.with_outputs(replace(graph.outputs, change))


def wanted_order(node: Node, readers: Sequence[Node]) -> tuple[int, ...] | None:
    """The axis order in which every reader takes `node`, if it is one and not row-major."""
    if not isinstance(node.type, Type) or node.op.kind in (
            Kind.LEAF, Kind.VIEW, Kind.ITEM, Kind.HIGHER, Kind.ROUTINE):
        return None
    orders = {r.attrs["axes"] if r.op is view.TRANSPOSE else None for r in readers}
    return orders.pop() if len(orders) == 1 else None
