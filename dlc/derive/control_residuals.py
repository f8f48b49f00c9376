"""Residuals of a loop or branch for its derivative: a minimum cut of its body.

What the backward body reads of the forward one is either kept, or computed again from something
that is. The cut finds the fewest bytes; only cheap operators may be computed again, and what lies
in memory anyway (sequences, operands of a branch, results that are there already) costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import networkx

from dlc.derive.control import Loop
from dlc.derive.gradient_rules import BARRIER
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Kind, Node, toposort
from dlc.ir.types import Type


def kept_values(loop: Loop, read: Sequence[Node], stacked: Sequence[Node]) -> list[Node]:
    """The values of the body to keep of every step, so that all of `read` can be had from them.

    `stacked` must be kept themselves. Inputs that are elements of a sequence are kept as they are.
    """
    elements = {x for x, _ in loop.sequences}
    inside = depends_on([*read, *stacked], [*(x for x, _ in loop.carries), *elements])
    return _cut(inside, elements, elements | set(loop.ys), read, stacked)


def kept_of_branch(branch: Graph, read: Sequence[Node]) -> list[Node]:
    """The values of a branch to keep, so that all of `read` can be had from them and operands."""
    operands = set(branch.inputs)
    inside = depends_on(read, branch.inputs)
    return _cut(inside, operands, operands | set(branch.outputs), read, ())


def _cut(inside: set[Node], sources: set[Node], free: set[Node], read: Sequence[Node],
         stacked: Sequence[Node]) -> list[Node]:
    """The cheapest values `inside`, none of `sources`, that what is read follows from."""
    wanted = [v for v in dict.fromkeys((*read, *stacked)) if v in inside]
    if not wanted:
        return []
    order = [v for v in toposort(wanted) if v in inside and isinstance(v.type, Type)]
    flow, number = _network(order, sources, free)
    for value in wanted:
        flow.add_edge(("out", number[value]), "end")
    for value in stacked:
        flow.add_edge("start", ("in", number[value]))
    _, (_, end_side) = networkx.minimum_cut(flow, "start", "end")
    return [v for v in order if v not in sources and ("out", number[v]) in end_side
            and ("in", number[v]) not in end_side]


def _network(order: Sequence[Node], elements: set[Node],
             free: set[Node]) -> tuple[Any, dict[Node, int]]:
    """Values as edges that cost their bytes; operands lead into what may be computed again."""
    flow = networkx.DiGraph()
    flow.add_nodes_from(["start", "end"])
    # nodes have no truth value, which networkx asks for
    number = {node: i for i, node in enumerate(order)}
    for node, i in number.items():
        flow.add_edge(("in", i), ("out", i), capacity=_cost(node, elements, free))
        if node in elements:
            continue
        if not _again(node):
            flow.add_edge("start", ("in", i))
            continue
        for arg in node.args:
            if arg in number:
                flow.add_edge(("out", number[arg]), ("in", i))
    return flow, number


def _cost(node: Node, elements: set[Node], free: set[Node]) -> int:
    """Bytes a step writes to keep `node`, in units in which one more value is a little too."""
    return 0 if node in elements else 1 if node in free else 2 + int(node.type.bytes)


def _again(node: Node) -> bool:
    """Whether computing `node` once more costs less than keeping it."""
    return node.op.cheap or (node.op.kind is Kind.VIEW and node.op is not BARRIER)


def read_by(later: Sequence[Node], sources: Sequence[Node]) -> list[Node]:
    """The values not made from `sources` that something below `later` made from them reads."""
    after = depends_on(later, sources)
    edges = (a for node in toposort(later) if node in after for a in node.args)
    return list(dict.fromkeys(v for v in (*edges, *later) if v not in after))
