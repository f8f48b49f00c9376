"""Tests made from the operators' records: types, values, gradients of both modes and orders."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.derive.autodiff import forward, reverse
from dlc.errors import DlcError
from dlc.ir.graph import Build, Graph, Kind, Node, building
from dlc.ir.registry import REGISTRY
from dlc.ir.types import Type, dtype, f64
from dlc.ops import leaf
from dlc.ops.elementwise import add, mul
from dlc.ops.reduce import sum_
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.verify import verify
from tests.ops.sampled import SAMPLES, SMOOTH, Sample, graph_of, read, results_of

# Leaves take no operands, nodes that hold a graph have tests of their own.
WITHOUT_SAMPLES = {"input", "constant", "array", "iota", "item", "fused", "grad", "jvp", "vmap",
                   "custom_gradient", "checkpoint", "scan", "cond"}
STEP = 1e-5
Numbers = Sequence[np.ndarray]


def every(samples: list[Sample]) -> Any:
    """Parametrise over `samples`."""
    return pytest.mark.parametrize("sample", samples, ids=str)


def directions(rng: np.random.Generator, arrays: Numbers, at: Sequence[int]) -> list[np.ndarray]:
    """Random f64 arrays of the shapes of `arrays` at positions `at`."""
    return [rng.uniform(-1, 1, arrays[i].shape) for i in at]


def moved(arrays: Numbers, at: Sequence[int], by: Numbers, step: float) -> list[np.ndarray]:
    """`arrays` with `step * by` added at positions `at`."""
    result = list(arrays)
    for i, d in zip(at, by, strict=True):
        result[i] = arrays[i] + step * d
    return result


def difference(f: Callable[[Numbers], Any], arrays: Numbers, at: Sequence[int],
               by: Numbers) -> np.ndarray:
    """Central difference of `f` along `by`, extrapolated once (Richardson): error O(STEP ** 4)."""
    def central(step: float) -> np.ndarray:
        high, low = f(moved(arrays, at, by, step)), f(moved(arrays, at, by, -step))
        return (np.asarray(high) - np.asarray(low)) / (2 * step)

    return (4 * central(STEP) - central(2 * STEP)) / 3


def close(a: Any, b: Any) -> None:
    np.testing.assert_allclose(a, b, rtol=2e-6, atol=2e-7)


def input_like(name: str, type_: Type) -> Node:
    return leaf.input_(name, type_)


def inner(nodes: Sequence[Node], others: Sequence[Node]) -> Node:
    """The sum of all products: one number."""
    total: Node | None = None
    for a, b in zip(nodes, others, strict=True):
        part = sum_(mul(a, b))
        total = part if total is None else add(total, part)
    assert total is not None
    return total


def test_every_operator_with_operands_has_samples() -> None:
    assert {n for n, op in REGISTRY.items() if not read(op)} == WITHOUT_SAMPLES


@every(SAMPLES)
def test_value_has_the_inferred_type(sample: Sample) -> None:
    """eval's own result, before the evaluator converts it, has the inferred shape."""
    nodes = graph_of(sample).outputs
    found = sample.op.eval(*sample.arrays, **sample.attrs)
    for node, value in zip(nodes, found if isinstance(found, tuple) else (found,), strict=True):
        raw = np.asarray(value)
        assert raw.shape == tuple(node.shape)
        # a reference may compute wider, never in another kind
        assert raw.dtype.kind == node.dtype.numpy.kind
    verify(graph_of(sample))


@pytest.mark.swept(3)
@every(SAMPLES)
def test_text_round_trip(sample: Sample) -> None:
    graph = graph_of(sample)
    text = print_graph(graph)
    again = parse_graph(text)
    verify(again)
    assert print_graph(again) == text
    assert dict(again.outputs[0].attrs) == dict(graph.outputs[0].attrs)
    found = results_of(again, evaluate(again, *sample.arrays))
    for got, want in zip(found, results_of(graph, evaluate(graph, *sample.arrays)), strict=True):
        np.testing.assert_array_equal(got, want)


@every([s for s in SAMPLES if s.op.gradient == "zero" and s.floats()])
def test_zero_gradient_is_zero(sample: Sample) -> None:
    sample = sample.in_f64()
    with building(Build()):
        graph = graph_of(sample)
        y = graph.outputs[0]
        if not y.dtype.is_float:
            return
        x = graph.inputs[sample.floats()[0]]
        g = reverse({y: leaf.constant(1.0, y.type)}, [x])[0]
    assert not np.any(evaluate(Graph("g", graph.inputs, (g,)), *sample.arrays))


@pytest.mark.parametrize("name", [n for n, op in REGISTRY.items()
                                  if op.gradient == "none" and op.kind is Kind.REDUCE])
def test_operator_without_gradient_says_so(name: str) -> None:
    graph = graph_of(read(REGISTRY[name])[0])
    with building(Build()):
        y = graph.outputs[0]
        if not y.dtype.is_float:
            assert all(not np.any(evaluate(Graph("g", (), (g,)))) for g in reverse(
                {y: leaf.constant(1, y.type)}, graph.inputs))
            return
        with pytest.raises(DlcError, match=f"{name}.*has no gradient"):
            reverse({y: leaf.constant(1.0, y.type)}, graph.inputs)


def float_results(graph: Graph) -> list[Node]:
    """The outputs that can have a cotangent."""
    return [o for o in graph.outputs if o.dtype.is_float]


def derivative_graph(sample: Sample) -> tuple[Graph, list[int]]:
    """Inputs x.., u.., t.., v..; outputs J^T u, J t, and the derivative of <J^T u, v> twice over.

    The last two are reverse over reverse and forward over reverse: d<J^T u, v>/dx, and along t.
    There is a u for each result that is a float.
    """
    at = sample.floats()
    with building(Build()):
        graph = graph_of(sample)
        ys, xs = float_results(graph), [graph.inputs[i] for i in at]
        us = [input_like(f"u{i}", y.type) for i, y in enumerate(ys)]
        ts = [input_like(f"t{i}", x.type) for i, x in enumerate(xs)]
        vs = [input_like(f"v{i}", x.type) for i, x in enumerate(xs)]
        pulled = reverse(dict(zip(ys, us, strict=True)), xs)
        pushed = forward(ys, dict(zip(xs, ts, strict=True)))
        slope = inner(pulled, vs)
        twice = reverse({slope: leaf.constant(1.0, slope.type)}, xs)
        along = forward([slope], dict(zip(xs, ts, strict=True)))
        outputs = (*pulled, *pushed, slope, *twice, *along)
    made = Graph("derivatives", (*graph.inputs, *us, *ts, *vs), outputs)
    verify(made)
    return made, at


@pytest.mark.swept(3)
@every(SMOOTH)
def test_derivatives(sample: Sample, rng: np.random.Generator) -> None:
    """Reverse and forward mode against differences and each other, in both orders."""
    sample = sample.in_f64()
    graph, at = derivative_graph(sample)
    single = graph_of(sample)
    ys = float_results(single)
    n, m = len(at), len(ys)
    us = [rng.uniform(-1, 1, tuple(y.shape)).astype(y.dtype.numpy) for y in ys]
    ts, vs = directions(rng, sample.arrays, at), directions(rng, sample.arrays, at)
    names = tuple(f"o{i}" for i in range(len(graph.outputs)))
    graph = Graph(graph.name, graph.inputs, graph.outputs, names)

    def run(arrays: Numbers) -> list[Any]:
        return list(evaluate(graph, *arrays, *us, *ts, *vs).values())

    def value(arrays: Numbers) -> np.ndarray:
        found = results_of(single, evaluate(single, *arrays))
        return np.concatenate([np.ravel(v) for v, o in zip(found, single.outputs, strict=True)
                               if o.dtype.is_float])

    values = run(sample.arrays)
    pulled, pushed, slope = values[:n], values[n:n + m], values[n + m]
    twice, along = values[n + m + 1:-1], values[-1]
    flat = np.concatenate([np.ravel(p) for p in pushed])
    close(flat, difference(value, sample.arrays, at, ts))
    close(sum(np.vdot(p, t) for p, t in zip(pulled, ts, strict=True)),
          sum(np.vdot(u, p) for u, p in zip(us, pushed, strict=True)))
    expected = difference(lambda a: run(a)[n + m], sample.arrays, at, ts)
    close(sum(np.vdot(p, t) for p, t in zip(twice, ts, strict=True)), expected)
    close(along, expected)
    close(slope, sum(np.vdot(p, v) for p, v in zip(pulled, vs, strict=True)))


def test_f64_is_what_the_gradient_tests_run_in() -> None:
    sample = next(s for s in SAMPLES if s.op.name == "exp").in_f64()
    assert dtype(sample.arrays[0].dtype) is f64


@every([s for s in SAMPLES if s.op.commutative])
def test_commutative_operators_take_either_order(sample: Sample) -> None:
    given = [*sample.arrays, *map(np.flip, sample.arrays)]
    given += [np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0], np.float32)[
        np.arange(a.size).reshape(a.shape) % 6].astype(a.dtype) for a in sample.arrays
        if a.dtype.kind == "f"]
    for a in given:
        for b in given:
            if a.shape == b.shape and a.dtype == b.dtype:
                one, other = (np.asarray(sample.op.eval(*pair, **sample.attrs))
                              for pair in ((a, b), (b, a)))
                np.testing.assert_array_equal(one, other)


# where names are the point: graphs as text, and ONNX's operators
BY_NAME = ("dlc/onnx/", "dlc/reference/text/", "dlc/ir/registry.py")


def test_nobody_asks_an_operator_for_its_name() -> None:
    """What depends on an operator is a field of its record (docs/adding-an-op.md)."""
    root = Path(__file__).resolve().parents[2]
    asked = [f"{path.relative_to(root)}:{node.lineno}" for path in sorted(root.glob("dlc/**/*.py"))
             if not str(path.relative_to(root)).startswith(BY_NAME)
             for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Compare)
             and any(ast.unparse(part).endswith("op.name") for part in (
                 node.left, *node.comparators))
             and not all(ast.unparse(part).endswith("op.name") for part in (
                 node.left, *node.comparators))]
    assert asked == []
