"""while_loop: solvers that stop on a condition, their bound, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f64
from dlc.derive.control import COND, SCAN
from dlc.errors import DlcError
from dlc.ir.graph import Node
from tests.ops.loop_programs import run


def root(a: Any, bound: int = 40) -> Any:
    """sqrt(a) by Newton's iteration, and how many steps it took."""
    return dlc.while_loop(lambda x: dlc.abs(x * x - a) > 1e-12 * a,
                          lambda x: x - (x * x - a) / (2.0 * x), a, bound=bound)


def test_while_stops_when_the_predicate_fails() -> None:
    graph = dlc.trace(lambda a: root(a), f64[()])
    for a in (1.0, 2.0, 1e6):
        x, count = a, 0
        while abs(x * x - a) > 1e-12 * a:
            x, count = x - (x * x - a) / (2 * x), count + 1
        out = run(graph, np.float64(a))
        assert (out["out0"], out["out1"], out["fault"]) == (x, count, 0)


def test_while_fails_at_its_bound() -> None:
    graph = dlc.trace(lambda a: root(a, 3), f64[()])
    assert dlc.evaluate(graph, np.float64(1e6))["fault"] == 1
    assert "still holds after 3 iterations" in graph.notes["checks"][0].text
    assert dlc.evaluate(graph, np.float64(1.0))["fault"] == 0
    with dlc.compile(graph).load() as running, pytest.raises(DlcError, match="still holds"):
        running(np.float64(1e6))


def test_newton_differentiates_to_the_implicit_derivative() -> None:
    """d sqrt(a) / da = 1 / (2 x) and -1 / (4 a x), in every mode, at the root that was found."""
    def x(a: Node) -> Node:
        return root(a)[0]

    def f(a: Node) -> Any:
        one = dlc.ones_like(a)
        return (x(a), dlc.grad(x)(a), dlc.jvp(x, (a,), (one,))[1], dlc.grad(dlc.grad(x))(a),
                dlc.jvp(dlc.grad(x), (a,), (one,))[1])

    out = run(dlc.trace(f, f64[()]), np.float64(7.0))
    r = np.sqrt(7.0)
    want = [r, 0.5 / r, 0.5 / r, -0.25 / (7 * r), -0.25 / (7 * r)]
    np.testing.assert_allclose([out[f"out{i}"] for i in range(5)], want, rtol=1e-10)


def test_conjugate_gradients_solve_and_differentiate() -> None:
    """d(b . A^-1 b) / dA = -x x^T for symmetric A, through the solver's iterations."""
    def solve(a: Node, b: Node) -> Node:
        def step(carry: Any) -> Any:
            x, r, p = carry
            ap = a @ p
            alpha = (r * r).sum() / (p * ap).sum()
            x, new = x + alpha * p, r - alpha * ap
            return x, new, new + ((new * new).sum() / (r * r).sum()) * p

        (x, _, _), _ = dlc.while_loop(lambda c: (c[1] * c[1]).sum() > 1e-20, step,
                                      (b * 0.0, b, b), bound=20)
        return x

    def energy(a: Node, b: Node) -> Node:
        return (solve(a, b) * b).sum()

    rng = np.random.default_rng(3)
    m = rng.normal(size=(4, 4))
    a, b = m @ m.T + np.eye(4), rng.normal(size=4)
    graph = dlc.trace(lambda a, b: (solve(a, b), dlc.grad(energy)(a, b)), f64[4, 4], f64[4])
    out = run(graph, a, b)
    x = np.linalg.solve(a, b)
    np.testing.assert_allclose(out["out0"], x, rtol=1e-8)
    np.testing.assert_allclose((out["out1"] + out["out1"].T) / 2, -np.outer(x, x), rtol=1e-5,
                               atol=1e-8)


def test_what_a_while_does_not_change_is_computed_once() -> None:
    def f(a: f64[3, 3], b: f64[3]) -> Any:
        return dlc.while_loop(lambda x: (x * x).sum() < 1e3, lambda x: (a.T @ a) @ x + dlc.exp(b),
                              b, bound=9)[0]

    graph = dlc.trace(f)
    (loop,) = (n for n in graph.nodes() if n.op is SCAN)
    (branch,) = (n for n in loop.attrs["body"].nodes() if n.op is COND)
    assert not [n for n in branch.attrs["then"].nodes() if n.op.name == "exp"]
    assert [n.op.name for n in branch.attrs["then"].nodes()].count("matmul") == 1


def test_vmap_over_a_while_runs_each_example_to_its_own_end() -> None:
    def f(a: f64[3]) -> Any:
        return (*dlc.vmap(root)(a), dlc.vmap(dlc.grad(lambda v: root(v)[0]))(a))

    a = np.array([1.0, 2.0, 1e6])
    out = run(dlc.trace(f), a)
    np.testing.assert_allclose(out["out0"], np.sqrt(a), rtol=1e-10)
    single = dlc.trace(lambda a: root(a), f64[()])
    assert out["out1"].tolist() == [dlc.evaluate(single, v)["out1"] for v in a]
    # at a = 1 no iteration runs, and x is a itself
    np.testing.assert_allclose(out["out2"], [1.0, *(0.5 / np.sqrt(a[1:]))], rtol=1e-10)
