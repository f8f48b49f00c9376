"""Programs of any length: unrolled loops and wide stacks once ended in a RecursionError.

One launch took a chain of any length; its kernel was written by recursion. The choice between the
pieces of a concat is one expression that nests as deep as there are pieces.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.passes import run_pipeline
from dlc.passes.fuse.limits import DEFAULT

X = np.linspace(-1, 1, 4, dtype=np.float32)


def results(function: Callable[..., Any], *arrays: np.ndarray) -> tuple[Any, Any]:
    with dlc.compile(function).load() as run:
        return run(*arrays), dlc.evaluate(function, *arrays)


@pytest.mark.slow
def test_an_unrolled_loop_of_300_steps_and_its_gradient() -> None:
    def steps(x: Any) -> Any:
        y = x
        for i in range(300):
            y = 0.5 * y * y + x * (i * 1e-3)
        return y

    def chain(x: f32[4]) -> Any:
        return steps(x), dlc.grad(lambda x: steps(x).sum())(x)

    now, expected = results(chain, X)
    np.testing.assert_allclose(now["out0"], expected["out0"], rtol=1e-4)
    np.testing.assert_allclose(now["out1"], expected["out1"], rtol=1e-4)


@pytest.mark.parametrize("shape", [(), (4,)], ids=["scalars", "cheap"])
def test_what_is_computed_again_is_short(shape: tuple[int, ...]) -> None:
    """Each sum would compute its whole chain again: 25,000 operators for 500."""

    def chain(x: Any) -> Any:
        y, sums = x, []
        for i in range(500):
            y = y * 0.99 + i * 1e-3
            if i % 50 == 0:
                sums.append(dlc.exp(y))
        return tuple(sums)

    graph = dlc.trace(chain, f32[shape])
    nodes = sum(len(n.attrs["body"].nodes()) for n in run_pipeline(graph)[-1].graph.nodes()
                if n.op.name == "fused")
    assert nodes < 4 * len(graph.nodes()) + 20 * 3 * DEFAULT.again
    x = X[:1].reshape(()) if shape == () else X
    with dlc.compile(graph).load() as run:
        now, expected = run(x), dlc.evaluate(graph, x)
    for name, value in expected.items():
        np.testing.assert_allclose(now[name], value, rtol=1e-5)


def test_no_launch_takes_operators_without_end() -> None:
    def chain(x: Any) -> Any:
        for i in range(3 * DEFAULT.operators):
            x = dlc.sqrt(x + i)
        return x

    fused = [n for n in run_pipeline(dlc.trace(chain, f32[4]))[-1].graph.nodes()
             if n.op.name == "fused"]
    most = 2 * DEFAULT.operators
    assert all(len(n.attrs["body"].nodes()) <= most for n in fused) and len(fused) < 10


@pytest.mark.slow
def test_a_stack_of_150_pieces() -> None:
    def stacked(x: f32[150]) -> Any:
        return dlc.stack([x[i] * float(i) for i in range(150)])

    now, expected = results(stacked, np.ones(150, np.float32))
    np.testing.assert_array_equal(now, expected)
