"""cse: equal nodes become one, also those that hold equal bodies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dlc.ir.attributes import comparable
from dlc.ir.graph import (
    Build,
    Graph,
    Kind,
    Node,
    adopt,
    building,
    intern,
    rebuild,
    replace,
    serving,
)
from dlc.ops import leaf
from dlc.reference.rewrite import Grade, keeps


@keeps(Grade.EXACT)
def cse(graph: Graph) -> Graph:
    """Merge nodes with equal operator, operands and attributes; the one left serves all lines.

    Operands of commutative operators are compared in either order, bodies by their structure.

    before:  a: f32[3] = mul(x, w);  b: f32[3] = mul(w, x);  y: f32[3] = add(a, b)
    after:   a: f32[3] = mul(x, w);  y: f32[3] = add(a, a)
    """
    known: dict[Any, Graph] = {}
    swapped: dict[Any, Node] = {}

    def merge(node: Node, args: tuple[Node, ...]) -> Node:
        if node.op.kind is Kind.HIGHER:
            return adopt(_with_known_body(node, args, known))
        made = adopt(rebuild(node, args))
        if not node.op.commutative:
            return made
        a, b = sorted(map(id, made.args))
        first = swapped.setdefault((node.op.name, a, b, comparable(made.attrs), made.type), made)
        if first is not made:
            first.locs = tuple(dict.fromkeys((*first.locs, *made.locs)))
        return first

    with building(Build()):
        return graph.with_outputs(replace(graph.outputs, merge))


def _with_known_body(node: Node, args: tuple[Node, ...], known: dict[Any, Graph]) -> Node:
    """`node` over `args`, with the first body seen of those equal to its own."""
    attrs = {k: known.setdefault(fingerprint(v), v) if isinstance(v, Graph) else v
             for k, v in node.attrs.items()}
    if all(attrs[k] is v for k, v in node.attrs.items()):
        return rebuild(node, args)
    with serving(node.locs):
        return intern(node.op, args, attrs, node.type, node.name)


def fingerprint(graph: Graph) -> Any:
    """A key that two graphs share when they compute the same in the same way, under any names."""
    place: dict[Node, int] = {node: i for i, node in enumerate(graph.inputs)}
    rows: list[Any] = [node.type for node in graph.inputs]
    for node in graph.nodes():
        if node.op is leaf.INPUT:
            continue
        place[node] = len(rows)
        rows.append((node.op.name, tuple(place[a] for a in node.args), _values(node), node.type))
    return tuple(rows), tuple(place[o] for o in graph.outputs), graph.output_names


def _values(node: Node) -> Sequence[Any]:
    return tuple((k, fingerprint(v) if isinstance(v, Graph) else
                  v.hex() if isinstance(v, float) else v) for k, v in sorted(node.attrs.items()))
