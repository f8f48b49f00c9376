"""Loops and branches: what once went wrong."""

from __future__ import annotations

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.ir.graph import Build, Graph, Node, building
from dlc.ops import leaf
from tests.instruction_sets import RUNS, loaded


def _rows(x: Node, t: Node) -> Node:
    """A loop in a loop around a branch: the rows of results."""
    def step(d: Node, e: Node) -> tuple[Node, Node]:
        d = dlc.cond(e > 0, lambda: d * 0.9 + e, lambda: d - t * e)
        return d, d * 2

    return dlc.scan(lambda c, row: dlc.scan(step, c, row), 0.0, x)[1]


def _unrolled(x: Node, t: Node) -> Node:
    d, total = 0.0 * t, 0.0 * t
    for i in range(3):
        for k in range(2):
            e = x[i, k]
            d = dlc.where(e > 0, d * 0.9 + e, d - t * e)
            total = total + (d * 2) ** 2
    return total


def test_a_residual_of_the_inner_loop_that_simplify_found_unread() -> None:
    """The branch's gradient multiplies the kept carry by 0: the outer loop dropped its stack, the
    inner one kept a result that nobody read, and the memory plan ended in a KeyError."""
    x = np.array([[0.3, -1.2], [0.7, 0.1], [-0.4, 2.0]], np.float32)
    t = np.float32(0.7)
    types = (f32[3, 2], f32[()])
    first = dlc.grad(lambda x, t: (_rows(x, t) ** 2).sum(), wrt=1)
    graph = dlc.trace(first, *types)
    wanted = dlc.evaluate(dlc.trace(dlc.grad(_unrolled, wrt=1), *types), x, t)
    np.testing.assert_allclose(dlc.evaluate(graph, x, t), wanted, rtol=1e-5)
    with dlc.compile(graph).load() as run:
        np.testing.assert_allclose(run(x, t), wanted, rtol=1e-5)


@pytest.mark.parametrize("isa,device", RUNS)
def test_a_carry_that_begins_in_a_batch_laid_out_as_tiles_want_it(isa: str, device: str) -> None:
    """The copy of the batch, [1, 1, k, lanes] like a packed matrix, took over its place and was
    packed by tiles all the same, which copy between two places: loading it was refused."""
    with building(Build()):
        x = leaf.input_("x", f32[1, 1, 9, 6], "data")
        last, rows = dlc.scan(lambda c, i: (dlc.tanh(c * 1.5), dlc.sum(c)), x, dlc.arange(4))
        graph = Graph("carried", (x,), (last, rows), ("last", "rows"))
    array = np.linspace(-1, 2, 54, dtype=np.float32).reshape(1, 1, 9, 6)
    with loaded(graph, isa, device) as run:
        for got, want in zip(run(array).values(), dlc.evaluate(graph, array).values(), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5)
