"""simplify: structure, values on random graphs, a fixed point, and linear time."""

from __future__ import annotations

import sys
from types import FrameType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlc.ir.graph import Build, Graph, building
from dlc.ir.types import f32
from dlc.ops import leaf
from dlc.ops.elementwise import tanh
from dlc.passes.rules.simplify import simplify
from dlc.reference.evaluate import evaluate
from dlc.reference.text import parse_graph, print_graph
from dlc.reference.verify import verify
from tests.random_graphs import random_arrays, random_graph


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_random_graphs_keep_their_values(seed: int, size: int) -> None:
    """Values agree to rounding (sums regroup); the result is valid, and a fixed point."""
    graph = random_graph(seed, size)
    after = simplify(graph)
    verify(after)
    assert [n.op.name for n in simplify(after).nodes()] == [n.op.name for n in after.nodes()]
    arrays = random_arrays(graph, seed)
    with np.errstate(all="ignore"):
        old, new = evaluate(graph, *arrays), evaluate(after, *arrays)
    for key, value in old.items():
        assert value.dtype == new[key].dtype
        close = 5e-3 if value.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(value, new[key], rtol=close, atol=close, err_msg=key)


def simplified(body: str, *results: str) -> list[str]:
    """The lines of a function of x, w [2, 3], n: i32[3] and p: bool[2, 3] after simplify."""
    text = f"def f(x: f32[2, 3], w: f32[2, 3], n: i32[3], p: bool[2, 3]):\n{body}\n"
    text = "\n".join(line if line.startswith("def") else f"    {line.strip()}"
                     for line in text.splitlines())
    graph = parse_graph(f"{text}\n    return ({', '.join(results or ('y',))},)")
    return [line.strip() for line in print_graph(simplify(graph)).splitlines()[1:]]


@pytest.mark.parametrize(("before", "after"), [
    ("a: f32[2, 3] = neg(x)\nb: f32[2, 3] = neg(w)\ny: f32[2, 3] = mul(a, b)",
     ["y: f32[2, 3] = mul(x, w)", "return y"]),
    ("a: f32[2, 3] = mul(x, 1.0)\ny: f32[2, 3] = add(0.0, a)", ["return x"]),
    ("a: f32[2, 3] = mul(2.0, 3.0)\ny: f32[2, 3] = add(a, x)",
     ["y: f32[2, 3] = add(x, 6.0)", "return y"]),
    ("a: f32[2, 1, 3] = reshape(x)\nb: f32[6] = reshape(a)\ny: f32[2, 3] = reshape(b)",
     ["return x"]),
    ("a: f32[3, 2] = transpose(x, axes=(1, 0))\ny: f32[2, 3] = transpose(a, axes=(1, 0))",
     ["return x"]),
    ("a: f32[()] = sum(x, axes=(0, 1))\nb: f32[1, 1] = reshape(a)\nc: f32[1, 3] = broadcast(b)\n"
     "y: f32[2, 3] = broadcast(c)",
     ["a: f32[()] = sum(x, axes=(0, 1))", "y: f32[2, 3] = broadcast(a)", "return y"]),
    ("a: f32[4, 2, 3] = broadcast(x)\nb: f32[4, 2, 3] = exp(a)\ny: f32[2, 3] = sum(b, axes=(0,))",
     ["exp_1: f32[2, 3] = exp(x)", "y: f32[2, 3] = mul(exp_1, 4.0)", "return y"]),
    ("a: bool[2, 3] = not_(p)\ny: f32[2, 3] = where(a, x, w)",
     ["y: f32[2, 3] = where(p, w, x)", "return y"]),
    ("a: f32[2, 3] = cast(p)\nb: i32[2, 3] = cast(a)\ny: bool[2, 3] = cast(b)", ["return p"]),
    ("a: f32[2, 6] = concat(x, w, axis=1)\ny: f32[2, 3] = slice(a, start=(0, 3), stop=(2, 6))",
     ["return w"]),
    ("a: f32[2, 3] = stop_gradient(x)\ny: f32[2, 3] = sub(a, a)",
     ["y: f32[2, 3] = sub(x, x)", "return y"]),
    ("y: i32[3] = sub(n, n)", ["y: i32[3] = constant(0)", "return y"]),
    ("y: f32[2, 3] = div(x, 4.0)", ["y: f32[2, 3] = mul(x, 0.25)", "return y"]),
    ("y: f32[2, 3] = div(x, 3.0)", ["y: f32[2, 3] = div(x, 3.0)", "return y"]),
    ("a: f32[2, 3] = mul(x, 0.1)\ny: f32[2, 3] = mul(a, 0.3)",
     ["a: f32[2, 3] = mul(x, 0.1)", "y: f32[2, 3] = mul(a, 0.3)", "return y"]),
])
def test_before_and_after(before: str, after: list[str]) -> None:
    found = simplified(before)
    assert [line.replace("mul_1", "y").replace("constant_1", "y") for line in found] == after


def test_sums_and_products_of_constants_are_not_regrouped() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3])
        graph = Graph("f", (x,), (x * 0.1 * 0.3, x + 0.1 + 0.3))
    assert len(simplify(graph).nodes()) == len(graph.nodes())


def test_inputs_outputs_and_updates_stay() -> None:
    graph = random_graph(5, 30)
    after = simplify(graph)
    assert (after.inputs, after.output_names, after.updates) == (
        graph.inputs, graph.output_names, graph.updates)


def chain(length: int) -> Graph:
    """x * 2 + 0, tanh, - of it, again and again."""
    with building(Build()):
        x = y = leaf.input_("x", f32[64])
        for _ in range(length):
            y = -tanh(-(y * 1.5 + 0.0))
        return Graph("chain", (x,), (y,))


def calls(graph: Graph) -> int:
    """Function calls that simplifying takes: the work, whatever else the machine does."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        simplify(graph)
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_the_number_of_nodes() -> None:
    """Ten times the nodes, at most eleven times the work: nothing quadratic, no deep recursion."""
    short, long = chain(100), chain(1000)
    assert len(long.nodes()) > 4500
    calls(short)  # fills what is kept between runs
    assert calls(long) < 11 * calls(short)
