"""scan and cond: values and derivatives of every order and mode against the unrolled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f64
from dlc.derive.control import COND, Loop
from dlc.ir.graph import Graph, Node
from dlc.passes.differentiate import differentiate
from dlc.reference.evaluate import run as evaluate_graph
from tests.ops.loop_programs import PROGRAMS, Array, Program, loops, traced, unrolled, values


def _along(arrays: Any) -> list[Node]:
    """A direction for each array: fixed, different numbers."""
    return [dlc.asarray(np.cos(np.arange(a.type.size) + i).reshape(tuple(map(int, a.shape))))
            for i, a in enumerate(arrays)]


def _every(arrays: Any) -> tuple[int, ...]:
    return tuple(range(len(arrays)))


def _grad_norm(f: Callable[..., Any], *arrays: Node) -> Node:
    total = dlc.asarray(np.zeros(()))
    for g in dlc.grad(f, _every(arrays))(*arrays):
        total = total + (g * g).sum()
    return total


DERIVATIVES: dict[str, Callable[..., Any]] = {
    "value": lambda f, *a: f(*a),
    "grad": lambda f, *a: dlc.grad(f, _every(a))(*a),
    "value and grad": lambda f, *a: (f(*a), *dlc.value_and_grad(f, _every(a))(*a)[1]),
    "jvp": lambda f, *a: dlc.jvp(f, a, _along(a)),
    "jvp of grad": lambda f, *a: dlc.jvp(dlc.grad(f, _every(a)), a, _along(a))[1],
    "grad of jvp": lambda f, *a: dlc.grad(lambda *b: dlc.jvp(f, b, _along(b))[1], _every(a))(*a),
    "grad of grad": lambda f, *a: dlc.grad(lambda *b: _grad_norm(f, *b), _every(a))(*a),
    "jvp of jvp": lambda f, *a: dlc.jvp(lambda *b: dlc.jvp(f, b, _along(b))[1], a, _along(a))[1],
}


@pytest.mark.swept(5)
@pytest.mark.parametrize("derive", DERIVATIVES.values(), ids=DERIVATIVES.keys())
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_equals_the_unrolled_program(program: Program, derive: Callable[..., Any]) -> None:
    looped = values(traced(program, derive, dlc.scan), program.arrays)
    plain = values(traced(program, derive, unrolled), program.arrays)
    for a, b in zip(looped, plain, strict=False):  # the unrolled one may note other checks
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def _program(name: str) -> Program:
    return next(p for p in PROGRAMS if str(p) == name)


# --- what the derivative keeps and computes -------------------------------------------------------


def _gradient(name: str, *wrt: int) -> Graph:
    program = _program(name)
    return differentiate(traced(program, lambda f, *a: dlc.grad(f, wrt)(*a), dlc.scan))


def test_an_rnn_keeps_its_states_only() -> None:
    """Residuals: h before the step, and h after it, which is a result anyway; no invariant."""
    forward, backward = loops(_gradient("elman", 1, 2, 3))
    assert [str(t) for t in forward.type.items] == ["f64[2, 4]", "f64[5, 2, 4]", "f64[5, 2, 4]"]
    loop = Loop.of(backward)
    assert [tuple(x.shape) for x, _ in loop.invariants] == [(4, 4)]  # u alone
    assert len(loop.carries) == 1


def test_an_lstm_keeps_its_gates_and_states() -> None:
    """Per step: four gates, tanh(c), c, h: seven arrays of [2, 2], no gates before activation."""
    forward, _ = loops(_gradient("lstm", 0, 1, 2))
    kept = [t for t in forward.type.items[2:] if tuple(t.shape) == (4, 2, 2)]
    assert len(kept) == 8  # and the result h of every step
    assert not [t for t in forward.type.items if 8 in t.shape]


def test_weight_gradients_are_one_contraction_after_the_loop() -> None:
    graph = _gradient("elman", 1, 2, 3)
    _, backward = loops(graph)
    body = backward.attrs["body"]
    # in the loop only the cotangent of the state: g @ u^T
    assert [n.op.name for n in body.nodes()].count("matmul") == 1
    inner = [n.args[0].shape[1] for n in graph.nodes() if n.op.name == "matmul"]
    assert inner == [10, 10]  # 5 steps of 2 rows each


def test_gathered_rows_gradients_are_scattered_once() -> None:
    graph = _gradient("gathering", 0)
    scatters = [n for n in graph.nodes() if n.op.name == "scatter_add"]
    assert [tuple(n.args[0].shape) for n in scatters] == [(2, 3, 2)]
    assert not [n for node in loops(graph) for n in node.attrs["body"].nodes()
                if n.op.name == "scatter_add"]


def test_what_does_not_change_is_computed_once() -> None:
    graph = _gradient("invariant", 0, 1)
    inside = {n.op.name for node in loops(graph) for n in node.attrs["body"].nodes()}
    assert not inside & {"exp", "sin", "cos"}


def test_a_checkpoint_in_a_body_keeps_the_carry_alone() -> None:
    def loss(keep: bool, xs: Node, w: Node) -> Node:
        def block(h: Node, x: Node) -> Node:
            for _ in range(3):
                h = dlc.tanh(h @ w + x)
            return h

        step = block if keep else dlc.checkpoint(block)
        return dlc.scan(lambda h, x: (step(h, x), None), xs[0], xs)[0].sum()

    slopes, stacks = [], []
    for keep in (True, False):
        graph = differentiate(dlc.trace(
            lambda xs, w, k=keep: dlc.grad(lambda w: loss(k, xs, w))(w), f64[5, 3], f64[3, 3]))
        forward = min(loops(graph), key=lambda n: bool(n.attrs["reverse"]))
        stacks.append(len(forward.type.items) - 1)
        slopes.append(dlc.evaluate(graph, np.full((5, 3), 0.3), np.eye(3)))
    np.testing.assert_allclose(*slopes)
    assert stacks == [4, 1]  # the carry and three tanh, or the carry


def test_data_gets_no_gradient() -> None:
    """x @ w: the cotangent of x is not computed where only w's is asked for."""
    backward = loops(_gradient("last_only", 1))[-1]
    assert not [n for n in backward.attrs["body"].nodes() if n.op.name == "matmul"]


def test_results_nobody_reads_are_not_computed() -> None:
    program = _program("last_only")
    (loop,) = loops(differentiate(traced(program, lambda f, *a: f(*a), dlc.scan)))
    assert len(loop.type.items) == 1


@pytest.mark.parametrize(("derive", "count"), [("value", 1), ("value and grad", 2), ("jvp", 1),
                                               ("grad of grad", 4), ("jvp of grad", 2)])
def test_how_many_loops_a_derivative_takes(derive: str, count: int) -> None:
    graph = differentiate(traced(_program("elman"), DERIVATIVES[derive], dlc.scan))
    assert len(loops(graph)) == count


def test_only_the_taken_branch_runs() -> None:
    """Forwards and backwards."""
    ran: list[str] = []

    def run(graph: Graph, args: Any) -> list[Any]:
        ran.append(graph.name)
        return evaluate_graph(graph, args)

    def up(x: Node) -> Node:
        return x * x

    def down(x: Node) -> Node:
        return dlc.log(x)

    def f(x: Node) -> Node:
        return dlc.cond(x > 0.0, up, down, x)

    graph = differentiate(dlc.trace(lambda x: (f(x), dlc.grad(f)(x)), f64[()]))
    conds = [n for n in graph.nodes() if n.op is COND]
    for node in conds:
        node.op.eval(run, True, *(np.float64(3.0) for _ in node.args[1:]), **node.attrs)
    # one node gives the value and the gradient
    assert ran == ["up_backward"]
    assert [n.op.name for n in conds[0].attrs["then"].nodes()].count("log") == 0


# --- corners --------------------------------------------------------------------------------------


def test_a_loop_of_no_iteration() -> None:
    def f(x: Node, w: Node) -> Any:
        c, ys = dlc.scan(lambda c, e: (c * w + e, c @ w), x, dlc.zeros((0, 2), f64))
        return (c * c).sum() + ys.sum()

    graph = dlc.trace(lambda x, w: (f(x, w), *dlc.grad(f, (0, 1))(x, w)), f64[2], f64[2])
    x = np.array([3.0, -1.0])
    for got, want in zip(values(graph, (x, x)), [10.0, 2 * x, np.zeros(2)], strict=True):
        np.testing.assert_array_equal(got, want)


def test_f16_sums_over_steps_do_not_stop_growing() -> None:
    """4000 steps of 1: f16 holds no 2049; the sum is kept in f32."""
    def f(w: Node, xs: Node) -> Node:
        return dlc.scan(lambda c, x: (c * 0.0 + w * x, w * x), w, xs)[1].sum()

    graph = differentiate(dlc.trace(dlc.grad(f), dlc.f16[()], dlc.f16[4000]))
    found = dlc.evaluate(graph, np.float16(1), np.ones(4000, np.float16))
    assert found == 4000


def test_a_gradient_inside_a_body() -> None:
    """Gradient descent on x^4 as a loop, differentiated by where it started."""
    def descend(x: Node) -> Node:
        step = dlc.grad(lambda v: (v ** 4.0).sum())
        return dlc.fori(3, lambda i, v: v - 0.05 * step(v), x).sum()

    def by_hand(x: Array) -> float:
        for _ in range(3):
            x = x - 0.2 * x ** 3
        return float(x.sum())

    x = np.array([0.5, 1.1])
    value, slope = values(dlc.trace(lambda x: (descend(x), dlc.grad(descend)(x)), f64[2]), (x,))
    np.testing.assert_allclose(value, by_hand(x))
    eps = 1e-6
    for i in range(2):
        d = np.eye(2)[i] * eps
        np.testing.assert_allclose(slope[i], (by_hand(x + d) - by_hand(x - d)) / (2 * eps),
                                   rtol=1e-8)


def test_gradient_penalty_through_an_rnn() -> None:
    """d/dw of |d loss / d inputs|^2, against differences of the first gradient."""
    program = _program("elman")
    xs, *rest = program.arrays

    def penalty(f: Callable[..., Any], *arrays: Node) -> Any:
        def squared(*a: Node) -> Node:
            g = dlc.grad(f)(*a)
            return (g * g).sum()

        return squared(*arrays), *dlc.grad(squared, (1, 2))(*arrays)

    graph = traced(program, penalty, dlc.scan)
    _, dw, _ = values(graph, program.arrays)
    eps, direction = 1e-5, np.cos(np.arange(12.0)).reshape(3, 4)

    def at(step: float) -> float:
        return float(dlc.evaluate(graph, xs, rest[0] + step * direction, *rest[1:])["out0"])

    np.testing.assert_allclose((dw * direction).sum(), (at(eps) - at(-eps)) / (2 * eps), rtol=1e-7)


def test_a_function_traced_twice_is_one_loop() -> None:
    program = _program("gathering")
    graph = differentiate(traced(program, lambda f, *a: (f(*a), f(*a) * 2.0), dlc.scan))
    assert len(loops(graph)) == 1


# --- on the CPU -----------------------------------------------------------------------------------


@pytest.mark.swept(3)
@pytest.mark.parametrize("derive", [
    "value and grad", *(pytest.param(d, marks=pytest.mark.conformance)
                        for d in ("grad of grad", "jvp"))])
@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_compiled(program: Program, derive: str) -> None:
    graph = traced(program, DERIVATIVES[derive], dlc.scan)
    with dlc.compile(graph).load(threads=2) as running:
        found = running(*program.arrays)
    expected = dlc.evaluate(graph, *program.arrays)
    if not isinstance(expected, dict):
        found, expected = {"out": found}, {"out": expected}
    for name, want in expected.items():
        if name != "fault":
            np.testing.assert_allclose(found[name], want, rtol=1e-9, atol=1e-11)
