"""A proof that each row of a graph's outputs depends on that row of its data alone.

It follows the index maps of operators' records; what no record tells is taken to mix rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.ops.gather import GATHER
from dlc.ops.view import RESHAPE
from dlc.passes.fuse.axes import carried


@dataclass(frozen=True)
class Rows:
    """Where an array has the rows: element i of `axis` depends on row i // inner alone."""

    axis: int
    inner: int = 1


@dataclass(frozen=True)
class Fact:
    """What is known of a value: `rows`, where it has them; none where it depends on no row
    (`mixed` False), or on several."""

    rows: Rows | None = None
    mixed: bool = False


FREE, MIXED = Fact(), Fact(mixed=True)
Facts = tuple[Fact, ...]


def rows_are_apart(graph: Graph, names: Sequence[str]) -> bool:
    """Whether row i of every output in `names` depends on row i of the data inputs alone."""
    known = dict(zip(graph.output_names, graph.outputs, strict=True))
    first = [Fact(Rows(0)) if n.attrs["role"] == "data" and n.ndim else
             MIXED if n.attrs["role"] == "data" else FREE for n in graph.inputs]
    count = next((int(n.shape[0]) for n in graph.inputs if n.attrs["role"] == "data" and n.ndim), 1)
    facts = _facts(graph, first, count)
    return all(facts[known[name]][0] in (FREE, Fact(Rows(0))) for name in names)


def _facts(graph: Graph, given: Sequence[Fact], count: int) -> dict[Node, Facts]:
    """What is known of every value of a graph over inputs of which that is `given`."""
    found: dict[Node, Facts] = {n: (f,) for n, f in zip(graph.inputs, given, strict=True)}
    for node in graph.nodes():
        if node not in found:
            found[node] = _of_node(node, found, count)
    return found


def _of_node(node: Node, found: Mapping[Node, Facts], count: int) -> Facts:
    args = [found[a][0] if len(found[a]) == 1 else MIXED for a in node.args]
    if node.op.kind is Kind.ITEM:
        return (found[node.args[0]][node.attrs["index"]],)
    if node.op is SCAN:
        return _of_scan(node, args, count)
    if node.op is COND:
        return _of_cond(node, args, count)
    results = len(node.type.items) if hasattr(node.type, "items") else 1
    if all(a == FREE for a in args):
        return (FREE,) * results
    if MIXED in args or results > 1 or node.op.kind is Kind.HIGHER:
        return (MIXED,) * results
    return (_single(node, args, count),)


def _single(node: Node, args: Sequence[Fact], count: int) -> Fact:
    """An operator with one result: the axis that has the rows of all operands that have any."""
    possible: set[Rows] | None = None
    for arg, fact in zip(node.args, args, strict=True):
        if fact.rows is None:
            continue
        mine = {Rows(i, fact.rows.inner) for i, j in _pairs(node, arg) if j == fact.rows.axis}
        if node.op is RESHAPE:
            mine |= _reshaped(node, arg, fact.rows, count)
        possible = mine if possible is None else possible & mine
    return Fact(min(possible, key=lambda r: r.axis)) if possible else MIXED


def _pairs(node: Node, arg: Node) -> Sequence[tuple[int, int]]:
    """Axes of the result and of the operand with the same index in both, wherever it is read."""
    if node.op is GATHER:
        return _gathered(node, arg)
    twice = node.op.kind is Kind.CONTRACT and sum(a is arg for a in node.args) > 1
    return [] if twice else carried(node, arg)


def _gathered(node: Node, arg: Node) -> list[tuple[int, int]]:
    """Result [B..., P..., I..., Q...] of x [B..., P..., N, Q...] at index [B..., I...]."""
    x, index = node.args
    axis, batch = node.attrs["axis"], node.attrs["batch"]
    more = index.ndim - batch
    of_x = [(p if p < axis else p - 1 + more, p) for p in range(x.ndim) if p != axis]
    of_index = [(j if j < batch else axis + j - batch, j) for j in range(index.ndim)]
    if x is index:
        return [pair for pair in of_x if pair in of_index]
    return of_x if arg is x else of_index


def _reshaped(node: Node, arg: Node, rows: Rows, count: int) -> set[Rows]:
    """Rows that lie one after another in memory, as a merged or a split first axis has them."""
    def first(shape: Sequence[Any]) -> int:
        return next((a for a, d in enumerate(shape) if int(d) != 1), 0)

    whole = count * rows.inner == int(arg.shape[rows.axis])
    if not whole or rows.axis != first(arg.shape) or count == 1 or not node.ndim:
        return set()
    axis = first(node.shape)
    size = int(node.shape[axis])
    return {Rows(axis, size // count)} if size % count == 0 else set()


def _of_scan(node: Node, args: Sequence[Fact], count: int) -> Facts:
    """A loop: what its carries come to, when each iteration takes what the one before it gave."""
    body, carries, sequences = (node.attrs[k] for k in ("body", "carries", "sequences"))
    elements = [_moved(f, -1) for f in args[carries:carries + sequences]]
    state = list(args[:carries])
    while True:
        facts = _facts(body, [*state, *elements, *args[carries + sequences:]], count)
        outputs = [facts[o][0] for o in body.outputs]
        joined = [_join(old, new) for old, new in zip(state, outputs, strict=False)]
        if joined == state:
            return (*state, *(_moved(f, 1) for f in outputs[carries:]))
        state = joined


def _of_cond(node: Node, args: Sequence[Fact], count: int) -> Facts:
    """A branch: what both come to; one that rows choose between is taken to mix them."""
    branches = [node.attrs["then"], node.attrs["otherwise"]]
    if args[0] != FREE:
        return (MIXED,) * len(branches[0].outputs)
    found = []
    for body in branches:
        facts = _facts(body, args[1:], count)
        found.append([facts[o][0] for o in body.outputs])
    return tuple(_join(a, b) for a, b in zip(*found, strict=True))


def _moved(fact: Fact, by: int) -> Fact:
    """The same with one axis more (1) or less (-1) in front."""
    if fact.rows is None:
        return fact
    return Fact(Rows(fact.rows.axis + by, fact.rows.inner)) if fact.rows.axis + by >= 0 else MIXED


def _join(a: Fact, b: Fact) -> Fact:
    """What holds of a value that is one or the other."""
    if a == b or b == FREE:
        return a
    return b if a == FREE else MIXED


# --- what is not proved, tried -------------------------------------------------------------------


def small_rows(array: Any) -> Any:
    """Another block with the same first row: zeros behind it, or ones where it has zeros."""
    other = np.zeros_like(array)
    if not array[1:].any():
        other[:] = 1
    other[0] = array[0]
    return other


def large_rows(array: Any) -> Any:
    """Another block with the same first row: larger floats behind it, of integers the largest."""
    other = np.empty_like(array)
    top = array.max(initial=0)
    other[:] = top if array.dtype.kind in "iub" else 3 * abs(top) + 1
    other[0] = array[0]
    return other
