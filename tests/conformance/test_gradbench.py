"""GradBench's objectives and derivatives in f64: evaluator and CPU against JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import dlc
from dlc.ir.types import Type, f64
from tests.conformance import gradbench
from tests.conformance.cut import FULL, Tally
from tests.conformance.gradbench import Problem

pytestmark = pytest.mark.conformance
PROBLEMS = {p.name: p for p in gradbench.problems(FULL)}
# GradBench asks for 1e-4 of |x| + |y| (at least 1), ADBench in f64 for 1e-8.
TOLERANCE = 1e-8


def difference(x: Any, y: Any) -> float:
    """ADBench's measure: |x - y| over the sum of magnitudes, which counts as at least 1."""
    x, y = np.asarray(x), np.asarray(y)
    assert x.shape == y.shape, (x.shape, y.shape)
    return float(np.max(np.abs(x - y) / np.maximum(np.abs(x) + np.abs(y), 1), initial=0.0))


def ours(problem: Problem, *args: Any) -> Any:
    """The objective, then its gradients, or the Newton direction of kmeans."""
    wrt = tuple(range(problem.count))
    if not problem.second:
        value, grads = dlc.value_and_grad(problem.ours, wrt)(*args)
        return (value, *grads)
    ones = np.ones(args[0].shape)
    slope, bent = dlc.jvp(lambda c: dlc.grad(problem.ours)(c, *args[1:]), (args[0],), (ones,))
    return problem.ours(*args), slope / bent


def theirs(problem: Problem) -> list[Any]:
    """The same by JAX in f64."""
    with jax.enable_x64():
        args = [jax.numpy.asarray(a) for a in problem.arrays]
        if not problem.second:
            value, grads = jax.value_and_grad(problem.theirs, tuple(range(problem.count)))(*args)
            return [value, *grads]
        slope = jax.grad(problem.theirs)
        d, h = jax.jvp(lambda c: slope(c, *args[1:]), (args[0],), (np.ones(args[0].shape),))
        return [problem.theirs(*args), d / h]


@pytest.mark.parametrize("name", PROBLEMS)
def test_value_and_derivatives(name: str, tally: Callable[[str], Tally]) -> None:
    problem, counts = PROBLEMS[name], tally("GradBench")
    want = theirs(problem)

    def function(*args: Any) -> Any:
        return ours(problem, *args)

    types = [Type(f64, a.shape) for a in problem.arrays]
    graph = dlc.trace(function, *types)
    with dlc.compile(graph, name=f"gradbench_{name.replace('-', '_')}").load(threads=2) as program:
        compiled = program(*problem.arrays)
    for found in (dlc.evaluate(graph, *problem.arrays), compiled):
        results = found.values() if isinstance(found, dict) else found
        for got, value in zip(results, want, strict=True):
            assert difference(got, value) < TOLERANCE
    counts.add()
