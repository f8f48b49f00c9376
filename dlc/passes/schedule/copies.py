"""Values of their own: a body for each loop, and copies of what may not be overwritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dlc.derive import higher
from dlc.ir.graph import Build, Graph, Node, building, make, rebuild, replace, serving
from dlc.ops import view
from dlc.ops.leaf import input_
from dlc.passes.loops.bodies import is_control
from dlc.passes.schedule.asked import Asked


def private_bodies(graph: Graph) -> Graph:
    """The graph with bodies that no two loops share: every node of it has one place in memory."""
    def change(node: Node, args: tuple[Node, ...]) -> Node:
        return twin_of(node, args) if is_control(node) else rebuild(node, args)

    return graph.with_outputs(replace(graph.outputs, change))


def twin_of(node: Node, args: Sequence[Node]) -> Node:
    """A new node like `node`; the bodies of a loop or a branch are new, too."""
    attrs = {k: twin_graph(v) if is_control(node) and isinstance(v, Graph) else v
             for k, v in node.attrs.items()}
    return Node(node.op, tuple(args), attrs, node.type, node.locs, node.name)


def twin_graph(graph: Graph) -> Graph:
    """The same graph, made of new nodes."""
    twins: dict[Node, Node] = {}
    for node in (*graph.inputs, *graph.nodes()):
        if node not in twins:
            twins[node] = twin_of(node, [twins[a] for a in node.args])
    return Graph(graph.name, tuple(twins[i] for i in graph.inputs),
                 tuple(twins[o] for o in graph.outputs), graph.output_names, graph.updates,
                 graph.notes)


def copy_of(value: Node) -> Node:
    """A launch that copies `value`."""
    return copies_of((value,))


def copies_of(values: Sequence[Node]) -> Node:
    """A launch that copies each of `values`."""
    locs = tuple(dict.fromkeys(loc for v in values for loc in v.locs))
    with building(Build()), serving(locs):
        twins = [input_(v.name or "value", v.type) for v in values]
        for twin, value in zip(twins, values, strict=True):
            twin.locs = value.locs  # not the line that asked for the compilation
        same = [make(view.RESHAPE, (t,), shape=tuple(t.type.shape)) for t in twins]
        body = Graph("fused_copy", tuple(twins), tuple(same))
        return make(higher.FUSED, values, values[0].name if len(values) == 1 else "", body=body)


def copy_late(graph: Graph, late: Iterable[int]) -> Graph:
    """Replace the outputs `late`, which cannot be written in place, by copies at the end."""
    outputs = list(graph.outputs)
    for at in late:
        outputs[at] = copy_of(outputs[at])
    return graph.with_outputs(outputs)


def copy_starts(graph: Graph, starts: set[tuple[Node, int]], asked: Asked | None) -> Graph:
    """The graph in which the carries `starts` begin with copies; `asked` learns of new nodes."""
    def change(node: Node, args: tuple[Node, ...]) -> Node:
        new = rebuild(node, [copy_of(a) if (node, i) in starts else a for i, a in enumerate(args)])
        if asked:
            asked.stands_for(new, node)
        return new

    return graph.with_outputs(replace(graph.outputs, change))
