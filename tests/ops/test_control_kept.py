"""What a branch keeps for its derivative: no work twice, and nothing stacked in loops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.derive.control import COND, SCAN
from dlc.ir.graph import Graph, Node
from dlc.passes import differentiate, run_pipeline
from dlc.passes.check import same_meaning


def every_node(graph: Graph) -> list[Node]:
    """The nodes of a graph and of the bodies in it."""
    found = []
    for node in graph.nodes():
        found.append(node)
        for value in node.attrs.values():
            if isinstance(value, Graph):
                found += every_node(value)
    return found


def count(graph: Graph, operator: str) -> int:
    return sum(n.op.name == operator for n in every_node(graph))


def net(x: Any, weights: Sequence[Any]) -> Any:
    for w in weights:
        x = dlc.tanh(x @ w)
    return x


def branching(x: Any, a: Any, b: Any, flag: Any) -> Any:
    y = dlc.cond(flag > 0.0, lambda v: net(v, (a, b)), lambda v: dlc.exp(v) * 2.0, x)
    return (y ** 2.0).sum()


TYPES = (f32[4, 5], f32[5, 5], f32[5, 5], f32[()])


def gradients(x: Any, a: Any, b: Any, flag: Any) -> Any:
    return dlc.value_and_grad(branching, wrt=(0, 1, 2))(x, a, b, flag)


def test_the_forward_branch_runs_once() -> None:
    """There is one tanh a layer, and one exp. The second state is the result itself; the first has
    a place of its own, which exp(x) of the other branch shares."""
    graph = differentiate(dlc.trace(gradients, *TYPES))
    assert (count(graph, "tanh"), count(graph, "exp")) == (2, 1)
    forward, backward = (n for n in graph.nodes() if n.op is COND)
    assert len(forward.type.items) == 2
    assert sum(a.op.name == "item" and a.args[0] is forward for a in backward.args) == 2


@pytest.mark.parametrize("flag", [-1.0, 1.0])
def test_numbers(flag: float) -> None:
    """As without a branch: evaluated, after every pass, and from kernels."""
    rng = np.random.default_rng(3)
    arrays = [rng.normal(size=t.shape).astype(np.float32) for t in TYPES[:3]]
    graph = dlc.trace(gradients, *TYPES)
    run_pipeline(graph, same_meaning)

    def chosen(x: Any, a: Any, b: Any) -> Any:
        return dlc.value_and_grad(lambda x, a, b: ((
            net(x, (a, b)) if flag > 0 else dlc.exp(x) * 2.0 + 0.0 * (a + b).sum()) ** 2.0).sum(),
            wrt=(0, 1, 2))(x, a, b)

    expected = dlc.evaluate(dlc.trace(chosen, *TYPES[:3]), *arrays).values()
    given = (*arrays, np.float32(flag))
    with dlc.compile(graph).load(threads=1) as program:
        for found in (dlc.evaluate(graph, *given), program(*given)):
            for a, b in zip(found.values(), expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_second_order() -> None:
    def f(x: Any, a: Any, b: Any, flag: Any) -> Any:
        return dlc.hvp(lambda x: branching(x, a, b, flag), x, dlc.cos(x))

    def whole(x: Any, a: Any, b: Any, flag: Any) -> Any:
        return dlc.hvp(lambda x: (net(x, (a, b)) ** 2.0).sum(), x, dlc.cos(x))

    rng = np.random.default_rng(4)
    arrays = [*(rng.normal(size=t.shape).astype(np.float32) for t in TYPES[:3]), np.float32(1)]
    graph = dlc.trace(f, *TYPES)
    run_pipeline(graph, same_meaning)
    np.testing.assert_allclose(dlc.evaluate(graph, *arrays),
                               dlc.evaluate(dlc.trace(whole, *TYPES), *arrays), rtol=1e-4,
                               atol=1e-5)


def test_a_branch_in_a_branch() -> None:
    def f(x: Any, a: Any, b: Any, flag: Any) -> Any:
        def outer(v: Any) -> Any:
            return dlc.cond(flag > 2.0, lambda u: net(u, (a,)), lambda u: net(u, (b,)), v) * a.sum()

        return dlc.grad(lambda x: (dlc.cond(flag > 0.0, outer, dlc.sin, x) ** 2.0).sum())(x)

    graph = differentiate(dlc.trace(f, *TYPES))
    run_pipeline(dlc.trace(f, *TYPES), same_meaning)
    assert count(graph, "tanh") == 2


def test_loops_stack_no_residuals_of_branches() -> None:
    """A step of a while loop keeps its carry, and computes what its branch needs again."""
    def f(x: Any, a: Any, b: Any, flag: Any) -> Any:
        def loss(x: Any) -> Any:
            end, _ = dlc.while_loop(lambda v: (v ** 2.0).sum() > flag, lambda v: net(v, (a, b)), x,
                                    bound=30)
            return (end ** 2.0).sum()

        return dlc.grad(loss)(x)

    graph = differentiate(dlc.trace(f, *TYPES))
    forward = next(n for n in graph.nodes() if n.op is SCAN)
    stacks = [t for t in forward.type.items[forward.attrs["carries"]:] if t.ndim > 1]
    assert [tuple(t.shape) for t in stacks] == [(30, 4, 5)]
