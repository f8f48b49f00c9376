"""A graph whose loops are written out, round after round: what is defined for each operator is then
defined for all that a loop computes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dlc
from dlc.derive.autodiff import inline
from dlc.derive.control import SCAN
from dlc.ir.graph import Build, Graph, Node, building, toposort
from dlc.ops import leaf, tuples


def unrolled(graph: Graph) -> Graph:
    """`graph` without scans; loops in the bodies of loops are written out, too."""
    if not any(n.op is SCAN for n in graph.nodes()):
        return graph
    found: dict[Node, Any] = {x: x for x in graph.inputs}
    with building(Build()):
        for node in toposort(graph.outputs):
            if node not in found:
                found[node] = written(node, [found[a] for a in node.args])
    outputs = tuple(found[o] for o in graph.outputs)
    return Graph(graph.name, graph.inputs, outputs, graph.output_names)


def written(node: Node, args: Sequence[Any]) -> Any:
    """A node over new operands: a list of results for a scan."""
    if node.op is SCAN:
        return rounds(node, args)
    if node.op is tuples.ITEM and isinstance(args[0], list):
        return args[0][node.attrs["index"]]
    if all(a is b for a, b in zip(args, node.args, strict=True)):
        return node
    return Node(node.op, tuple(args), dict(node.attrs), node.type, node.locs, node.name)


def rounds(node: Node, args: Sequence[Node]) -> list[Node]:
    """What a scan gives: the last carries, and the rows that its rounds give, stacked."""
    body, length = unrolled(node.attrs["body"]), int(node.attrs["length"])
    carries, sequences = node.attrs["carries"], node.attrs["sequences"]
    carry, held = list(args[:carries]), list(args[carries + sequences:])
    order = range(length - 1, -1, -1) if node.attrs["reverse"] else range(length)
    rows: list[list[Node]] = [[] for _ in body.outputs[carries:]]
    for at in order:
        read = [x[at] for x in args[carries:carries + sequences]]
        results = inline(body, [*carry, *read, *held])
        carry = results[:carries]
        for row, value in zip(rows, results[carries:], strict=True):
            row.append(value)
    turned = [row[::-1] if node.attrs["reverse"] else row for row in rows]
    types = node.type.items[carries:]
    return [*carry, *(dlc.stack(row) if row else leaf.constant(0, t)
                      for row, t in zip(turned, types, strict=True))]
