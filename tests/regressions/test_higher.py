"""Nodes that hold a graph: what once went wrong."""

from __future__ import annotations

import numpy as np

from dlc.derive import higher
from dlc.derive.autodiff import reverse
from dlc.ir.graph import Build, Graph, building, make
from dlc.ir.types import f64
from dlc.ops import elementwise, leaf
from dlc.reference.evaluate import evaluate


def test_a_group_that_reads_a_value_and_a_function_of_it() -> None:
    """d/dx of x * sin(x) as a group of (x, sin(x)): the path through sin was counted twice."""
    with building(Build()):
        a, b = (leaf.input_(name, f64[()]) for name in "ab")
        body = Graph("product", (a, b), (elementwise.mul(a, b),))
        x = leaf.input_("x", f64[()])
        y = make(higher.FUSED, (x, elementwise.sin(x)), body=body)
        (slope,) = reverse({y: leaf.constant(1.0, y.type)}, [x])
    found = evaluate(Graph("slope", (x,), (slope,)), np.float64(0.7))
    np.testing.assert_allclose(found, np.sin(0.7) + 0.7 * np.cos(0.7))
