"""Separation: every result of a loop's body gets a value of its own, for it has a place of its own.

    return (h, h)   ->   same = reshape(h); return (h, same)      the next carry, and a row of ys
    return (y, x)   ->   same = reshape(x); return (y, same)      x is an element: it lies elsewhere

The copies are views of the same shape, which fusion puts into the kernel that makes the value.
"""

from __future__ import annotations

from dlc.graph import Build, Graph, Kind, Node, adopt, building, rebuild, replace
from dlc.ops import view
from dlc.ops.control import SCAN
from dlc.passes.bodies import with_bodies


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
    seen: set[Node] = set()
    outputs = []
    for out in body.outputs:
        if out.op.kind is Kind.LEAF or out in seen:
            # not interned: the same value may be given out more than twice
            out = Node(view.RESHAPE, (out,), {"shape": tuple(out.type.shape)},
                       out.type.with_(layout=None), out.locs, out.name)
        seen.add(out)
        outputs.append(out)
    return body.with_outputs(outputs)
