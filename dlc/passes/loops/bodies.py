"""Bodies of loops and branches: every pass runs on them as on the enclosing graph.

    c, ys = scan(c0, xs, body=step)   ->   c, ys = scan(c0, xs, body=simplify(step))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Build, Graph, Node, adopt, building, intern, rebuild, replace, serving

CONTROL = (SCAN, COND)


def is_control(node: Node) -> bool:
    """Whether the node is a loop or a branch: it holds the graphs that it runs."""
    return any(node.op is op for op in CONTROL)


def bodies_of(node: Node) -> tuple[Graph, ...]:
    """A loop's body; a branch's two."""
    return tuple(v for v in node.attrs.values() if isinstance(v, Graph))


def with_bodies(node: Node, args: Sequence[Node], change: Callable[[Graph], Graph]) -> Node:
    """`node` over `args` with changed bodies, whose inputs and outputs keep their types."""
    attrs: Mapping[str, Any] = {k: change(v) if isinstance(v, Graph) else v
                                for k, v in node.attrs.items()}
    if all(attrs[k] is v for k, v in node.attrs.items()):
        return adopt(rebuild(node, tuple(args)))
    with serving(node.locs):
        return intern(node.op, tuple(args), attrs, node.type, node.name)


def through_bodies(step: Callable[[Graph], Graph], graph: Graph,
                   twins: dict[Node, Node] | None = None) -> Graph:
    """`step` on every body, innermost first, then on the graph itself, which is built anew around
    changed bodies: `twins` gets the node of `graph` for each that `step` then sees in its place."""
    return _through(step, graph, {}, {} if twins is None else twins)


def _through(step: Callable[[Graph], Graph], graph: Graph, done: dict[int, Graph],
             twins: dict[Node, Node]) -> Graph:
    if any(is_control(n) for n in graph.nodes()):
        def inside(body: Graph) -> Graph:
            if id(body) not in done:
                done[id(body)] = _through(step, body, done, twins)
            return done[id(body)]

        def change(node: Node, args: tuple[Node, ...]) -> Node:
            made = with_bodies(node, args, inside) if is_control(node) else adopt(
                rebuild(node, args))
            twins[made] = node
            return made

        with building(Build()):
            graph = graph.with_outputs(replace(graph.outputs, change))
    return step(graph)
