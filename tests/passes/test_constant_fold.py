"""Constant folding: what depends on nothing becomes a constant or an array, with the same bits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlc.ir.graph import Build, Graph, Node, building
from dlc.ir.types import f32, i32
from dlc.ops import leaf
from dlc.ops.contract import matmul
from dlc.ops.elementwise import exp
from dlc.ops.reduce import sum_
from dlc.ops.view import pad, reshape
from dlc.passes.rules.constant_fold import FOLD, FOLD_ELEMENTS
from dlc.reference.evaluate import evaluate
from dlc.reference.rewrite import RuleSet, rewrite
from dlc.reference.verify import verify
from tests.random_graphs import random_arrays, random_graph


def constant_fold(graph: Graph) -> Graph:
    """The graph after this rule alone."""
    with building(Build()):
        return rewrite(graph, RuleSet([FOLD]))


def folded(node: Node, *inputs: Node) -> Node:
    graph = Graph("f", inputs, (node,))
    after = constant_fold(graph)
    verify(after)
    arrays = [np.ones(x.shape, x.dtype.numpy) for x in inputs]
    np.testing.assert_array_equal(evaluate(graph, *arrays), evaluate(after, *arrays))
    return after.outputs[0]


def test_numbers_fold_at_any_size() -> None:
    """A thousand million equal numbers are one number; nothing of that size is made."""
    with building(Build()):
        assert folded(exp(leaf.constant(0.1, f32[4]) * 3.0)).op is leaf.CONSTANT
        huge = leaf.constant(0.1, f32[10**6, 10**3])
        graph = Graph("f", (), (exp(reshape(huge, (10**9,))),))
    assert constant_fold(graph).outputs[0].op is leaf.CONSTANT


def test_arrays_fold_up_to_a_size() -> None:
    rng = np.random.default_rng(0)
    with building(Build()):
        a = leaf.array(rng.normal(size=(8, 8)), f32[8, 8])
        big = leaf.array(rng.normal(size=FOLD_ELEMENTS + 1), f32[FOLD_ELEMENTS + 1])
        assert folded(matmul(a, a) + 1.0).op is leaf.ARRAY
        assert folded(sum_(a)).op is leaf.CONSTANT
        assert folded(exp(big)).op.name == "exp"


def test_padding_with_another_value_makes_an_array() -> None:
    with building(Build()):
        ones = leaf.constant(1.0, f32[3])
        assert folded(pad(ones, (1,), (0,), 1.0)).op is leaf.CONSTANT
        assert folded(pad(ones, (1,), (0,), 2.0)).op is leaf.ARRAY


def test_what_depends_on_an_input_or_an_index_stays() -> None:
    with building(Build()):
        x = leaf.input_("x", f32[3])
        assert folded(x * 2.0, x).op.name == "mul"
        assert folded(leaf.iota((3,)) + leaf.constant(1, i32[3])).op.name == "add"


@given(st.integers(0, 10**6), st.integers(1, 40))
def test_random_graphs_keep_every_bit(seed: int, size: int) -> None:
    graph = random_graph(seed, size)
    after = constant_fold(graph)
    verify(after)
    arrays = random_arrays(graph, seed)
    old, new = evaluate(graph, *arrays), evaluate(after, *arrays)
    for key, value in old.items():
        np.testing.assert_array_equal(value, new[key], err_msg=key)
