"""The error budget of bf16 and f16 on every bundled network, against f64 (5 s)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc.cli.source import load_task
from dlc.derive.autodiff import reverse
from dlc.ir.graph import Build, Graph, Kind, building
from dlc.ir.types import Type, bf16, f32, f64
from dlc.models import GOALS
from dlc.ops import leaf
from dlc.reference.evaluate import run
from dlc.reference.rounding import Interval, outside
from dlc.reference.rounding.enclose import of_node
from dlc.reference.rounding.interval import UNIT
from dlc.runtime.data import load_dataset
from tests.fuzzing.retyped import retyped, retyped_arrays
from tests.precision.budget import along, budget, gradients_of, loss_of, values_of

# In every run a few that show each kind; long loops take seconds each.
KINDS = pytest.mark.swept(500, keep=[f"{name}-{precision}" for name in (
    "ridge", "logistic_regression", "xor_1986", "lenet", "vae", "rbm") for precision in (
    "bf16", "f16")])
# How often a loop that ends by its data runs is no function of the graph, so it is not written out.
BUDGETED = [name for name in GOALS if name != "equilibrium"]
ROWS = 8
# below the scale that a run begins with: no gradient overflows, whatever the first weights are
SCALE = {"loss_scaling.scale": np.float32(128)}


def begun(name: str, precision: str) -> tuple[dlc.Task, int, dict[str, Any]]:
    """(a bundled network, how many rows, first values and the first rows of its data)."""
    task = load_task(name).with_options(precision=precision)
    data = load_dataset(task.data)
    rows = min(ROWS, int(data.samples or ROWS))
    graphs = task.graphs(rows)
    types = {n.attrs["label"]: n.type.shape for g in graphs.values() for n in g.inputs}
    first = {k: v[:rows].reshape(types[k]) for k, v in data.train.items() if k in types}
    return task, rows, {**task.initial_values(graphs, 0), **first, **SCALE}


def in_f64(graph: Graph, arrays: dict[str, Any]) -> list[Any]:
    wider = retyped_arrays(arrays, f64)
    return run(retyped(graph, f64), [wider[n.attrs["label"]] for n in graph.inputs])


def longest(graph: Graph) -> int:
    """The terms of the longest reduction in f32: each may round, in any order, a few times."""
    return max((int(n.args[0].type.size // max(int(n.type.size), 1)) for n in graph.nodes()
                if n.op.kind is Kind.REDUCE and n.dtype is f32), default=1)


@KINDS
@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("name", BUDGETED)
def test_loss_and_gradient_are_within_their_budgets(name: str, precision: str) -> None:
    """The gradient along its own signs: the sum of its magnitudes. What is computed in f32 adds no
    more than rounding in f32 does; where data and weights need no rounding, nothing else is."""
    task, rows, arrays = begun(name, precision)
    measured = [budget(loss_of(task, rows), arrays)]
    gradients = gradients_of(task, rows)
    if gradients is not None:
        signs = [np.sign(g) for g in in_f64(gradients, arrays)]
        measured.append(budget(along(gradients, signs), arrays))
    for found in measured:
        assert found.error <= found.bound < np.inf, found
    loss = measured[0]
    full = sum(share for what, share in loss.shares.items() if what.endswith(" f32"))
    rounds = 64 + 6 * longest(loss_of(task, rows))
    assert full <= rounds * UNIT["f32"] * abs(loss.exact), loss


@KINDS
@pytest.mark.parametrize("precision", ["bf16", "f16"])
@pytest.mark.parametrize("name", BUDGETED)
def test_every_operator_is_within_its_own(name: str, precision: str) -> None:
    """Each value of a training step, gradients and all, on the operands that it has: the units of
    its record in its dtype, gamma(n) for sums, and nothing is free."""
    task, rows, arrays = begun(name, precision)
    graph = gradients_of(task, rows) or loss_of(task, rows)
    values = values_of(graph, arrays)
    for node in graph.nodes():
        if node.op.kind is not Kind.LEAF and isinstance(node.type, Type):
            found = of_node(node, [Interval.exact(values[a]) for a in node.args])
            assert not np.any(outside(found, values[node])), node
            assert not np.any(found.free), node


def test_the_budget_is_what_the_worst_roundings_cost() -> None:
    """Inputs and weights that are off by the roundoff of their casts, in the direction that hurts,
    cost what the budget says of casts, but for the second order; digits of 1/16 round nothing."""
    task, rows, arrays = begun("logistic_regression", "bf16")
    graph = loss_of(task, rows)
    planned = budget(graph, arrays)
    exact = retyped(graph, f64)
    with building(Build()):
        slopes = reverse({exact.outputs[0]: leaf.constant(1.0, exact.outputs[0].type)},
                         exact.inputs)
    given = retyped_arrays(arrays, f64)
    moved = {}
    for x, slope in zip(exact.inputs, run(Graph("slopes", exact.inputs, tuple(slopes)), [
            given[n.attrs["label"]] for n in exact.inputs]), strict=True):
        value = given[x.attrs["label"]]
        rounds = value.astype(bf16.numpy) != value
        moved[x.attrs["label"]] = value + rounds * UNIT["bf16"] * abs(value) * np.sign(slope)
    (worst,) = run(exact, [moved[n.attrs["label"]] for n in exact.inputs])
    share = planned.shares["cast in bf16"]
    assert 0.95 * share < worst - planned.exact < 1.05 * share
