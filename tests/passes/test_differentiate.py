"""differentiate: any nesting of grad and jvp is only an order of expansion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.derive import higher
from dlc.derive.autodiff import forward, reverse
from dlc.errors import DlcError, Loc
from dlc.ir.graph import Build, Graph, Node, building, make, serving
from dlc.ir.types import Type, f64
from dlc.ops import contract, elementwise, gather, leaf, reduce, tuples
from dlc.passes.differentiate import differentiate
from dlc.passes.rules.simplify import simplify
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.verify import verify
from tests.random_graphs import random_arrays, random_graph

VECTOR = f64[4]
Function = Callable[..., Node]


def body_of(name: str, f: Function, *types: Type) -> Graph:
    inputs = tuple(leaf.input_(f"{name}{i}", t) for i, t in enumerate(types))
    return Graph(name, inputs, (f(*inputs),))


def grad(name: str, f: Function, args: Sequence[Node], count: int = 1) -> list[Node]:
    """[f(args), df/darg0, ...] through a grad node."""
    body = body_of(name, f, *(a.type for a in args))
    one = leaf.constant(1.0, body.outputs[0].type)
    node = make(higher.GRAD, (*args, one), body=body, count=count)
    return [tuples.item(node, i) for i in range(count + 1)]


def jvp(name: str, f: Function, args: Sequence[Node], tangents: Sequence[Node]) -> list[Node]:
    """[f(args), its tangent] through a jvp node."""
    body = body_of(name, f, *(a.type for a in args))
    node = make(higher.JVP, (*args, *tangents), body=body, tangents=len(tangents))
    return [tuples.item(node, i) for i in range(2)]


def wave(x: Node, *more: Node) -> Node:
    """A function with every order of derivative: sum(sin(x) * exp(0.3 x) + x ** 3)."""
    return reduce.sum_(elementwise.sin(x) * elementwise.exp(x * 0.3) + x * x * x)


def expanded(name: str, outputs: Sequence[Node], *inputs: Node) -> Graph:
    """The graph after the pass, checked to hold no grad or jvp and to mean the same as before."""
    before = Graph(name, inputs, tuple(outputs), tuple(f"out{i}" for i in range(len(outputs))))
    verify(before)
    assert print_graph(parse_graph(str(before))) == str(before)
    after = differentiate(before)
    verify(after)
    assert not [n for n in after.nodes() if n.op in (higher.GRAD, higher.JVP)]
    arrays = [np.linspace(-1, 2, x.type.size).reshape(x.shape) for x in inputs]
    old, new = values(before, *arrays), values(after, *arrays)
    for a, b in zip(old, new, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)
    return after


def values(graph: Graph, *arrays: Any) -> list[Any]:
    result = evaluate(graph, *arrays)
    return list(result.values()) if isinstance(result, dict) else [result]


def slope(f: Callable[[Any], Any], x: Any, step: float = 1e-4) -> Any:
    """Derivative of a scalar function of a vector by central differences."""
    return np.array([(f(x + step * e) - f(x - step * e)) / (2 * step) for e in np.eye(len(x))])


def numpy_wave(x: Any) -> Any:
    return np.sum(np.sin(x) * np.exp(x * 0.3) + x**3)


X = np.array([-0.7, 0.2, 1.1, 1.9])


def test_gradient() -> None:
    with building(Build()):
        x = leaf.input_("x", VECTOR)
        graph = expanded("f", grad("wave", wave, [x]), x)
    value, g = values(graph, X)
    np.testing.assert_allclose(value, numpy_wave(X))
    np.testing.assert_allclose(g, slope(numpy_wave, X), rtol=1e-6)


def test_grad_of_grad_of_grad() -> None:
    """d/dx sum(d/dx sum(d/dx wave)): the Hessian is diagonal, so these are plain derivatives."""
    def first(x: Node) -> Node:
        return reduce.sum_(grad("wave", wave, [x])[1])

    def second(x: Node) -> Node:
        return reduce.sum_(grad("first", first, [x])[1])

    with building(Build()):
        x = leaf.input_("x", VECTOR)
        graph = expanded("f", [grad("second", second, [x])[1]], x)

    def exact(x: Any) -> Any:
        # exp(0.3 x) sin x has third derivative Im((0.3 + i) ** 3 exp((0.3 + i) x))
        c = 0.3 + 1j
        return np.imag(c**3 * np.exp(c * x)) + 6

    np.testing.assert_allclose(values(graph, X)[0], exact(X), rtol=1e-12)


@pytest.mark.parametrize("order", ["jvp of grad", "grad of jvp", "jvp of jvp", "grad of grad"])
def test_four_ways_to_a_hessian_vector_product(order: str) -> None:
    """All nestings of two derivatives agree with differences of the gradient."""
    def quadratic(x: Node) -> Node:
        """Couples the elements, so that the Hessian is full."""
        return reduce.sum_(elementwise.tanh(contract.matmul(x.reshape(1, 4), matrix()))) + wave(x)

    def matrix() -> Node:
        return leaf.array(np.arange(12.0).reshape(4, 3) / 10, f64[4, 3])

    with building(Build()):
        x, v = leaf.input_("x", VECTOR), leaf.input_("v", VECTOR)

        def along(x: Node, v: Node) -> Node:
            return jvp("q", quadratic, [x], [v])[1]

        def inner(x: Node, v: Node) -> Node:
            return reduce.sum_(grad("q", quadratic, [x])[1] * v)

        result = {
            "jvp of grad": lambda: jvp("g", lambda x: grad("q", quadratic, [x])[1], [x], [v])[1],
            "grad of jvp": lambda: grad("a", along, [x, v])[1],
            "grad of grad": lambda: grad("i", inner, [x, v])[1],
            "jvp of jvp": lambda: jvp("a", lambda x: jvp("q", quadratic, [x], [
                leaf.constant(0.5, VECTOR)])[1], [x], [v])[1],
        }[order]()
        graph = expanded("f", [result], x, v)
        reference = differentiate(Graph("r", (x,), (grad("q", quadratic, [x])[1],)))
    direction = np.array([0.3, -1.0, 0.5, 2.0])
    step = 1e-5
    change = (evaluate(reference, X + step * direction) - evaluate(
        reference, X - step * direction)) / (2 * step)
    if order == "jvp of jvp":
        change = np.vdot(change, np.full(4, 0.5))
    np.testing.assert_allclose(values(graph, X, direction)[0], change, rtol=1e-7)


def test_queries_against_one_forward_share_it() -> None:
    """Value, gradient and tangent of one function: its exp is computed once."""
    with building(Build()):
        x, t = leaf.input_("x", VECTOR), leaf.input_("t", VECTOR)
        outputs = [*grad("wave", wave, [x]), *jvp("wave", wave, [x], [t]), wave(x)]
        graph = expanded("f", outputs, x, t)
    assert sum(n.op.name == "exp" for n in graph.nodes()) == 1


def test_gradient_through_a_fused_group() -> None:
    body = body_of("group", lambda x: elementwise.tanh(x) * x, VECTOR)
    with building(Build()):
        x = leaf.input_("x", VECTOR)

        def f(x: Node) -> Node:
            return reduce.sum_(make(higher.FUSED, (x,), body=body))

        graph = expanded("f", grad("f", f, [x]), x)
    np.testing.assert_allclose(values(graph, X)[1], np.tanh(X) + X * (1 - np.tanh(X) ** 2))


def test_stop_gradient_cuts() -> None:
    """x * stop(x) has the gradient stop(x), also once simplify has removed the operator."""
    def f(x: Node) -> Node:
        return reduce.sum_(x * elementwise.stop_gradient(x))

    with building(Build()):
        x = leaf.input_("x", VECTOR)
        graph = expanded("f", grad("f", f, [x]), x)
    for made in (graph, simplify(graph)):
        np.testing.assert_array_equal(values(made, X)[1], X)


def test_an_input_that_does_not_matter_has_gradient_zero() -> None:
    with building(Build()):
        x, y = leaf.input_("x", VECTOR), leaf.input_("y", VECTOR)
        graph = expanded("f", grad("f", lambda x, y: reduce.sum_(x), [x, y], 2), x, y)
    np.testing.assert_array_equal(values(graph, X, X)[2], np.zeros(4))


def test_cotangents_serve_the_line_of_the_forward_node() -> None:
    lines = [(Loc("models/mine.py", n),) for n in (1, 2)]

    def f(x: Node) -> Node:
        with serving(lines[0]):
            h = elementwise.tanh(x)
        with serving(lines[1]):
            return reduce.sum_(h * h)

    with building(Build()):
        x = leaf.input_("x", VECTOR)
        graph = expanded("f", grad("f", f, [x])[1:], x)
    served = {n.op.name: n.locs for n in graph.nodes() if n.op.name in ("sub", "add", "tanh")}
    assert served["sub"] == served["tanh"] == lines[0]
    assert served["add"] == lines[1]


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_a_gradient_that_does_not_exist_is_an_error_at_its_line(mode: str) -> None:
    """An argmax as a number; as an index or in a comparison it selects, which is legal."""
    line = (Loc("models/mine.py", 3),)

    def chosen(x: Node) -> Node:
        with serving(line):
            place = reduce.argmax(x)
        return reduce.sum_(x) * place.reshape(1).cast(f64).reshape(())

    def selected(x: Node) -> Node:
        return gather.take(x, reduce.argmax(x)) + reduce.sum_(reduce.max_(x, 0, ties="first"))

    def derivative(f: Function) -> Graph:
        x = leaf.input_("x", VECTOR)
        nodes = grad("f", f, [x]) if mode == "reverse" else jvp("f", f, [x], [x])
        return Graph("f", (x,), (nodes[1],))

    message = r"models/mine.py:3: argmax\(f0: f64\[4\]\) has no gradient"
    with building(Build()), pytest.raises(DlcError, match=message):
        differentiate(derivative(chosen))
    with building(Build()):
        graph = differentiate(derivative(selected))
    expected = [0, 0, 0, 2] if mode == "reverse" else 2 * X[3]
    np.testing.assert_allclose(values(graph, X)[0], expected)


@given(st.integers(0, 10**6), st.integers(2, 25))
def test_both_modes_agree_on_random_graphs(seed: int, size: int) -> None:
    """<u, J t> = <J^T u, t> for random u and t; J^T u is what one reverse sweep gives."""
    graph = random_graph(seed, size, f64)
    with building(Build()):
        xs = [x for x in graph.inputs if x.dtype is f64]
        ys = [y for y in dict.fromkeys(graph.outputs) if y.dtype is f64]
        us = [leaf.input_(f"u{i}", y.type) for i, y in enumerate(ys)]
        ts = [leaf.input_(f"t{i}", x.type) for i, x in enumerate(xs)]
        try:
            pulled = reverse(dict(zip(ys, us, strict=True)), xs)
            pushed = forward(ys, dict(zip(xs, ts, strict=True)))
        except DlcError as problem:
            assert "argmax" in problem.message  # cast to a number: refused above
            return
        outputs = (*pulled, *pushed)
        made = simplify(Graph("f", (*graph.inputs, *us, *ts), outputs,
                              tuple(f"o{i}" for i in range(len(outputs)))))
    verify(made)
    rng = np.random.default_rng(seed)
    draws = [np.asarray(rng.normal(size=tuple(n.shape))) for n in (*us, *ts)]
    with np.errstate(all="ignore"):
        found = values(made, *random_arrays(graph, seed), *draws)
    right = [np.vdot(p, t) for p, t in zip(found, draws[len(us):], strict=False)]
    left = [np.vdot(u, p) for u, p in zip(draws, found[len(xs):], strict=False)]
    if np.isfinite([*left, *right]).all():
        size_ = 1 + sum(map(abs, left)) + sum(map(abs, right))
        assert abs(sum(left) - sum(right)) <= 1e-9 * size_
