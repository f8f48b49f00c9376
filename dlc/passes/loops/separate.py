"""Separation: every result of a loop's body becomes a value of its own, stored separately.

    return (h, h)   ->   same = reshape(h); return (h, same)      the next carry, and a row of ys
    return (y, x)   ->   same = reshape(x); return (y, same)      x is an element: it lies elsewhere

The copies are views of the same shape, which fusion puts into the kernel that makes the value.
"""

from __future__ import annotations

from dlc.derive.control import SCAN
from dlc.ir.graph import Build, Graph, Kind, Node, adopt, building, make, rebuild, replace
from dlc.ops import view
from dlc.passes.loops.bodies import with_bodies
from dlc.reference.rewrite import Grade, keeps


@keeps(Grade.EXACT)
def separate(graph: Graph) -> Graph:
    """Give the results of every loop's body values of their own (see the module)."""
    if not any(n.op is SCAN for n in graph.nodes()):
        return graph

    def change(node: Node, args: tuple[Node, ...]) -> Node:
        return with_bodies(node, args, apart) if node.op is SCAN else adopt(rebuild(node, args))

    with building(Build()):
        return graph.with_outputs(replace(graph.outputs, change))


def apart(body: Graph) -> Graph:
    """The body with outputs that are neither inputs nor one node twice."""
    last: dict[Node, Node] = {}  # the latest copy of each result: no two copies are one node
    outputs = []
    for out in body.outputs:
        if out in last or out.op.kind is Kind.LEAF:
            made = make(view.RESHAPE, (last.get(out, out),), shape=tuple(out.type.shape))
            made.locs, made.name = out.locs, out.name
        else:
            made = out
        last[out] = made
        outputs.append(made)
    return body.with_outputs(outputs)
