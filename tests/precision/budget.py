"""The error budget of a graph in a low precision: what each operator may add to the error of one
number that the graph gives, to first order. Loops are written out.

The records say how far an operator's result may be from its meaning on the same operands (units in
the dtype's roundoff, `dlc/ir/rounding.py`; gamma(n) for sums of n terms). A rounding e of a value v
changes the result by (d result / d v) e, so the budget is the sum over all values of
|d result / d v| times the bound of its rounding (Linnainmaa 1976; Higham 2002, section 3.3). The
derivatives are taken in f64 of the same graph with all floats in f64, which is also the exact
result that errors are measured against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import dlc
from dlc.derive import higher
from dlc.derive.autodiff import reverse
from dlc.ir.graph import Build, Graph, Kind, Node, building
from dlc.ir.types import Type, f64
from dlc.ops import leaf, tuples
from dlc.ops.reduce import sum_
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import apply, run
from dlc.reference.rounding.enclose import of_node
from dlc.reference.rounding.interval import UNIT, Interval, wide
from tests.fuzzing.retyped import retyped, retyped_arrays
from tests.precision.unrolled import unrolled

Values = Mapping[str, Any]
EXACT = (Kind.LEAF, Kind.VIEW, Kind.GATHER)  # they round nothing


@dataclass(frozen=True)
class Budget:
    """`exact` in f64 and `found` in the low precision; what each operator may add, absolute."""

    exact: float
    found: float
    shares: Counter[str]

    @property
    def bound(self) -> float:
        return sum(self.shares.values())

    @property
    def error(self) -> float:
        return abs(self.found - self.exact)


def values_of(graph: Graph, arrays: Values) -> dict[Node, Any]:
    """Every node's value."""
    found: dict[Node, Any] = {n: arrays[n.attrs["label"]] for n in graph.inputs}
    with np.errstate(all="ignore"):
        for node in graph.nodes():
            if node not in found:
                found[node] = apply(node, [found[a] for a in node.args])
    return found


def local(node: Node, values: Mapping[Node, Any]) -> Any:
    """The largest rounding error of a node's result on the operands that it has."""
    if node.op.kind in EXACT or node.op.rounding.exact:
        return 0.0
    operands = [Interval.exact(values[a]) for a in node.args]
    with np.errstate(all="ignore"):
        found = of_node(node, operands)
    rounds = UNIT[node.dtype.name] * abs(found.mid)
    return np.where(found.mid == wide(values[node]), found.radius, np.maximum(
        found.radius, rounds))


def budget(graph: Graph, arrays: Values) -> Budget:
    """The budget of the first output of `graph`, a scalar; bodies count as one operator each."""
    exact = retyped(graph, f64)
    pairs = [(low, high) for low, high in zip(graph.nodes(), exact.nodes(), strict=True)
             if isinstance(low.type, Type) and low.dtype.is_float and low.op.kind is not Kind.LEAF]
    with building(Build()):
        one = leaf.constant(1.0, exact.outputs[0].type)
        slopes = reverse({exact.outputs[0]: one}, [high for _, high in pairs])
    wanted = Graph("slopes", exact.inputs, (exact.outputs[0], *slopes))
    wider = retyped_arrays(arrays, f64)
    result, *derivatives = run(wanted, [wider[n.attrs["label"]] for n in exact.inputs])
    values = values_of(graph, arrays)
    shares: Counter[str] = Counter()
    for (low, _), slope in zip(pairs, derivatives, strict=True):
        share = np.sum(abs(np.asarray(slope, np.float64)) * local(low, values))
        shares[f"{low.op.name} in {low.dtype}"] += float(share)
    return Budget(float(result), float(wide(values[graph.outputs[0]])), +shares)


# --- what of a task is measured -------------------------------------------------------------------


def loss_of(task: dlc.Task, batch: int) -> Graph:
    """The loss of an evaluation."""
    graph = task.graphs(batch)["eval"]
    at = graph.output_names.index("loss")
    return unrolled(differentiate(Graph("loss", graph.inputs, (graph.outputs[at],))))


def gradients_of(task: dlc.Task, batch: int) -> Graph | None:
    """The gradients of the (scaled) loss, as a training step of the first phase takes them; None
    where it takes none."""
    graph = next(g for name, g in task.graphs(batch).items() if name.startswith("train"))
    node = next((n for n in graph.nodes() if n.op is higher.GRAD), None)
    if node is None:
        return None
    first = len(node.attrs["body"].outputs)
    with building(Build()):
        grads = [tuples.item(node, first + i) for i in range(node.attrs["count"])]
    return unrolled(differentiate(Graph("gradients", graph.inputs, tuple(grads))))


def along(graph: Graph, directions: Sequence[Any]) -> Graph:
    """The sum of the products of the outputs with `directions`."""
    with building(Build()):
        total: Any = 0.0
        for output, direction in zip(graph.outputs, directions, strict=True):
            total = total + sum_(output * leaf.array(direction, output.type))
    return Graph("along", graph.inputs, (total,))
