"""The bounds hold for the evaluator at every operator, and are not so wide that nothing shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import bf16, f16, f32, f64
from dlc.ir.graph import Build, Graph, Kind, Node, building
from dlc.ir.registry import REGISTRY
from dlc.ir.types import DType, TupleType, Type, dtype
from dlc.ops import leaf
from dlc.reference.evaluate import run as run_natively
from tests.backend.cpu.test_prelude_accuracy import BOUNDS_DIGITS, BOUNDS_F64
from tests.backend.cpu.ulp import BOUNDS
from tests.fuzzing.bounds import Ball, balls_of, difference, exactly, run
from tests.fuzzing.bounds_rules import FUNCTION, FUNCTIONS, RULES

SAMPLED = sorted(n for n, op in REGISTRY.items() if n != "barrier"
                 and op.kind not in (Kind.LEAF, Kind.ITEM, Kind.HIGHER))


def sampled(name: str) -> list[tuple[Graph, list[Any]]]:
    """Graphs of the operator's own samples, with their arrays."""
    op, found = REGISTRY[name], []
    for arrays, attrs in op.samples():  # type: ignore[misc]
        types = [Type(dtype(np.asarray(a).dtype), np.asarray(a).shape) for a in arrays]
        inputs = tuple(leaf.input_(f"x{i}", t) for i, t in enumerate(types))
        result = op.infer(*types, **attrs)
        node = Node(op, inputs, attrs, result)
        outputs = (node,) if not isinstance(result, TupleType) else tuple(
            Node(REGISTRY["item"], (node,), {"index": i}, t) for i, t in enumerate(result.items))
        found.append((Graph(name, inputs, outputs), [np.asarray(a) for a in arrays]))
    return found


@pytest.mark.parametrize("name", SAMPLED)
def test_the_evaluator_lies_within_the_bounds(name: str) -> None:
    for graph, arrays in sampled(name):
        balls = run(graph, [exactly(a, n.dtype) for a, n in zip(arrays, graph.inputs,
                                                                strict=True)])
        for got, ball, node in zip(run_natively(graph, arrays), balls, graph.outputs, strict=True):
            assert difference(np.asarray(got), ball, node.type) == "", name
            assert ball.known or not np.isfinite(ball.value).all(), name


def test_bounds_of_functions_are_those_of_the_prelude() -> None:
    """Half units: twice the ulp that the tests of the prelude allow, and the reference's own."""
    stated = {**BOUNDS_F64, **BOUNDS, **BOUNDS_DIGITS}
    assert 2 * max(stated.values()) + 2 <= FUNCTION
    # softplus is what logaddexp is beside 0, of which a few roundings are allowed
    assert set(stated) - {"sinpi", "cospi", "softplus"} <= set(FUNCTIONS)


def test_every_rule_is_of_an_operator() -> None:
    assert set(RULES) <= set(REGISTRY)


@pytest.mark.parametrize(("kind", "loosest"), [(f64, 1e-13), (f32, 1e-4), (f16, 0.03),
                                               (bf16, 0.2)])
def test_bounds_are_tight_enough(kind: DType, loosest: float) -> None:
    """A network's layer: the bound is some hundred roundings, far below a wrong element."""
    def f(x: Any, w: Any) -> Any:
        h = dlc.tanh(x @ w)
        return h / (1.0 + dlc.sum(h * h, 1, True))

    rng = np.random.default_rng(0)
    arrays = {n: rng.normal(size=s).astype(kind.numpy) for n, s in (("x", (7, 33)),
                                                                    ("w", (33, 5)))}
    with building(Build()):
        inputs = [leaf.input_(n, Type(kind, a.shape)) for n, a in arrays.items()]
        graph = Graph("f", tuple(inputs), (f(*inputs),), ("out",))
    (ball,) = balls_of(graph, arrays)
    assert 0 < ball.error.max() < loosest
    wrong = ball.value.astype(kind.numpy)
    assert difference(wrong, ball, graph.outputs[0].type) == ""
    wrong[0, 0] += 4 * loosest
    assert "1 of 35 wrong" in difference(wrong, ball, graph.outputs[0].type)


def test_decisions_near_a_tie_are_unknown() -> None:
    """sin(x) against itself is equal; against a value that rounding may pass it is not known."""
    x = np.array([0.5, 1.0], np.float32)
    with building(Build()):
        node = leaf.input_("x", f32[2])
        same = dlc.asarray(dlc.sin(node) == dlc.sin(node) * 1.0)
        near = dlc.sin(node) < dlc.asarray(np.sin(x.astype(np.float64)).astype(np.float32))
        graph = Graph("f", (node,), (same, near, dlc.argmax(dlc.sin(node))))
    found: list[Ball] = balls_of(graph, {"x": x})
    assert [b.known and b.exact for b in found] == [True, False, True]


def test_small_whole_numbers_are_exact() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[2, 3])
        y = dlc.sum(x @ dlc.transpose(x, (1, 0)) * 0.5)
        graph = Graph("f", (x,), (y, dlc.sum(dlc.exp(x))))
    exact, rounded = balls_of(graph, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert exact.exact and not rounded.exact


def test_the_bits_of_a_computed_zero_are_unknown_and_those_of_a_given_one_known() -> None:
    def f(x: f32[2, 3]) -> Any:
        return dlc.bitcast(x.sum(1), dlc.i32), dlc.bitcast(x.T, dlc.i32)

    graph = dlc.trace(f)
    summed, given = balls_of(graph, {"x": np.zeros((2, 3), np.float32)})
    assert np.isinf(summed.error).all() and given.exact


def test_the_sign_of_a_computed_zero_is_unknown() -> None:
    """-1 * 0 at a border, which a kernel skips, and its 0 are equal: only bits tell them apart."""
    with building(Build()):
        x = leaf.input_("x", f32[3])
        made = x * 0.5
        graph = Graph("f", (x,), (dlc.bitcast(x, dlc.i32), dlc.bitcast(made, dlc.i32),
                                  dlc.copysign(x + 1.0, made), dlc.atan2(made, x - 3.0), made))
    found = balls_of(graph, {"x": np.array([1.0, 0.0, -2.0], np.float32)})
    assert [np.isfinite(b.error).tolist() for b in found] == [
        [True] * 3, [True, False, True], [True, False, True], [True, False, True], [True] * 3]


def test_two_sums_that_are_equal_are_no_tie() -> None:
    """x + y and y + x + 0 in f16 may round apart: which is the larger is not known."""
    def f(x: f16[1, 4]) -> Any:
        y = dlc.concat([x * 1.1, x * 0.7 + x * 0.4])
        return dlc.argmax(y, 0), dlc.argsort(y, 0), dlc.argmax(dlc.concat([x, x]), 0)

    graph = dlc.trace(f)
    best, order, exact = balls_of(graph, {"x": np.full((1, 4), 1.5, np.float16)})
    assert np.isinf(best.error).all() and np.isinf(order.error).all() and exact.exact


def test_equal_eigenvalues_share_their_bound() -> None:
    """A matrix of rank one and twice the identity: three of its eigenvalues are 2, and rounding
    moves any of them."""
    def f(x: f64[4, 1]) -> Any:
        a = x @ x.T + 2.0 * dlc.eye(4, dtype=f64)
        return dlc.linalg.eigvalsh(a), dlc.linalg.svdvals(a)

    for ball in balls_of(dlc.trace(f), {"x": np.full((4, 1), 0.99999, np.float64)}):
        assert (ball.error > 1e-13).all() and (ball.error < 1e-11).all()
