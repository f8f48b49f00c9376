"""From a graph and arrays to the intervals of all its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from dlc.derive import higher
from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.ir.types import TupleType
from dlc.ops import tuples
from dlc.reference.evaluate import apply
from dlc.reference.rounding.elementwise import elementwise
from dlc.reference.rounding.folds import by_kind
from dlc.reference.rounding.interval import Interval
from dlc.reference.rounding.routines import perturbed

Found = Any  # an Interval, a tuple of them for a node with several results


def enclose(graph: Graph, arrays: Mapping[str, Any]) -> list[Interval]:
    """The interval of every output of `graph`, for arrays by input name.

    Nodes that stand for a transformation (grad, vmap) must have been expanded: `differentiate`.
    """
    return results(graph, [Interval.exact(arrays[n.attrs["label"]]) for n in graph.inputs])


def results(graph: Graph, given: Sequence[Interval]) -> list[Interval]:
    """The intervals of the outputs for those of the inputs, in order."""
    found: dict[Node, Found] = dict(zip(graph.inputs, given, strict=True))
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in found:
                found[node] = of_node(node, [found[a] for a in node.args])
    return [found[o] for o in graph.outputs]


def of_node(node: Node, operands: Sequence[Found]) -> Found:
    """The interval of a node's result (a tuple of them for several) for those of its operands."""
    if node.op is tuples.ITEM:
        return operands[0][node.attrs["index"]]
    if node.op.kind is Kind.LEAF:
        return Interval.exact(apply(node, [x.mid for x in operands]))
    if node.op.kind is Kind.HIGHER:
        return _higher(node, operands)
    if node.op.kind is Kind.ELEMENTWISE and not node.op.functions:
        return elementwise(node, operands)
    rule = by_kind(node)
    if rule is not None:
        return rule(node, operands)
    made = perturbed(node, operands)
    return tuple(made) if isinstance(node.type, TupleType) else made[0]


def _higher(node: Node, operands: Sequence[Interval]) -> Found:
    if node.op is SCAN:
        return _loop(node, operands)
    if node.op is COND:
        return _branch(node, operands)
    body = node.attrs.get("body")
    if node.op is not higher.FUSED or body is None:
        raise ValueError(f"{node.op.name} has no intervals: expand it first (differentiate)")
    made = results(body, operands)
    return tuple(made) if isinstance(node.type, TupleType) else made[0]


def _loop(node: Node, operands: Sequence[Interval]) -> tuple[Interval, ...]:
    """Iteration after iteration."""
    carries, sequences = node.attrs["carries"], node.attrs["sequences"]
    body, length = node.attrs["body"], int(node.attrs["length"])
    state = list(operands[:carries])
    rows: list[list[Interval]] = [[] for _ in body.outputs[carries:]]
    for step in range(length):
        at = length - 1 - step if node.attrs["reverse"] else step
        read = [x.map(itemgetter(at)) for x in operands[carries:carries + sequences]]
        made = results(body, [*state, *read, *operands[carries + sequences:]])
        state = made[:carries]
        for kept, row in zip(rows, made[carries:], strict=True):
            kept.append(row)
    turned = [kept[::-1] if node.attrs["reverse"] else kept for kept in rows]
    return (*state, *map(_stacked, turned, node.type.items[carries:]))


def _stacked(rows: Sequence[Interval], type_: Any) -> Interval:
    if not rows:
        return Interval.exact(np.zeros(tuple(map(int, type_.shape)), type_.dtype.numpy))
    return Interval(np.stack([r.mid for r in rows]), np.stack([r.low for r in rows]),
                    np.stack([r.high for r in rows]))


def _branch(node: Node, operands: Sequence[Interval]) -> tuple[Interval, ...]:
    """The branch that is taken; both where rounding decides."""
    chosen, *rest = operands
    sides = [results(node.attrs[key], rest) for key in ("then", "otherwise")]
    if chosen.certain:
        return tuple(sides[0 if bool(chosen.mid) else 1])
    return tuple(Interval((a if bool(chosen.mid) else b).mid, np.fmin(a.low, b.low),
                          np.fmax(a.high, b.high)).freed(a.free | b.free)
                 for a, b in zip(*sides, strict=True))
