"""Axis classes: what one loop walks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dlc import f32
from dlc.backend.nest.analysis import broken_classes, merge_adjacent
from dlc.ir.access import Access, Piece
from dlc.ir.graph import Build, Graph, Kind, Node, Op, building, make, toposort
from dlc.ops import contract, leaf, reduce, view, window
from dlc.ops.convert import broadcast_to
from dlc.passes import run_pipeline
from dlc.passes.fuse.axes import carried, classes_of
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program


def classes(y: Node, *nodes: Node) -> list[tuple[Any, ...]]:
    found = classes_of(toposort([y]))
    return [found.of(n) for n in nodes]


def made(build: Callable[..., Node], *types: Any) -> tuple[Node, list[Node]]:
    inputs = [leaf.input_(f"x{i}", t) for i, t in enumerate(types)]
    with building(Build()):
        return build(*inputs), inputs


def test_a_reduction_keeps_its_other_axes() -> None:
    y, (x,) = made(lambda x: reduce.sum_(x, 1), f32[4, 5, 6])
    (of_y, of_x) = classes(y, y, x)
    assert of_y == (of_x[0], of_x[2])


def test_an_axis_of_size_one_belongs_to_no_class() -> None:
    y, _ = made(lambda x: view.reshape(x, (1, 4)), f32[4])
    assert classes(y, y)[0][0] is None


@pytest.mark.parametrize("build,types,pairs", [
    (lambda x: view.transpose(x, (1, 0)), (f32[3, 4],), [(0, 1), (1, 0)]),
    (lambda x: broadcast_to(x, (5, 3, 4)), (f32[3, 1],), [(1, 0)]),
    (lambda x: view.reshape(x, (3, 2, 4)), (f32[3, 8],), [(0, 0)]),
    (lambda x: view.reshape(x, (2, 12)), (f32[2, 3, 4],), [(0, 0)]),
    (lambda x: view.flip(x, 1), (f32[3, 4],), [(0, 0)]),
    (lambda x: view.slice_(x, (0, 1), (3, 4)), (f32[3, 4],), [(0, 0)]),
    (lambda x: view.pad(x, (0, 1), (0, 0)), (f32[3, 4],), [(0, 0)]),
    (lambda x: view.concat([x, x], 1), (f32[3, 4],), [(0, 0)]),
    (lambda x: window.window(x, (2,)), (f32[3, 4],), [(0, 0)]),
    (contract.matmul, (f32[3, 4], f32[4, 5]), [(0, 0)]),
])
def test_what_an_operator_carries_over(build: Any, types: Any, pairs: Any) -> None:
    y, inputs = made(build, *types)
    assert sorted(carried(y, inputs[0])) == pairs


ROLLED = Op("rolled", Kind.VIEW, lambda x: x, lambda x: np.roll(x, 1, 1),
            emit=lambda index, y: Access((Piece(0, (
                index[0], (index[1] + (int(y.shape[1]) - 1)) % int(y.shape[1]))),)))


def test_a_view_says_by_its_index_map_what_one_loop_may_walk() -> None:
    """An operator that dlc/passes/fuse/axes.py has never heard of is fused as any other view is."""
    x = leaf.input_("x", f32[300, 40])
    with building(Build()):
        y = make(ROLLED, (x * 2.0,)) + 1.0
    assert carried(y.args[0], y.args[0].args[0]) == [(0, 0)]
    graph = run_pipeline(Graph("f", (x,), (reduce.sum_(y, 1),)))[-1].graph
    assert [n.op.name for n in graph.nodes() if n.args and n.op.name != "item"] == ["fused"]


@pytest.mark.swept(3)
@pytest.mark.parametrize("seed", range(20))
def test_axes_that_are_probed_have_one_index(seed: int) -> None:
    """Whatever a view carries over: its element at any index is the operand's at the same ones."""
    graph = program(Maker(Seeded(np.random.default_rng(seed))), 14)
    rng = np.random.default_rng(seed)
    for node in (n for n in graph.nodes() if n.op.kind is Kind.VIEW and n.type.size):
        at = tuple(int(rng.integers(int(d))) for d in node.type.shape)
        for piece in node.op.emit(at, node).pieces:
            arg = node.args[piece.operand]
            pairs = [(i, j) for i, j in carried(node, arg)
                     if int(node.shape[i]) == int(arg.shape[j]) != 1]
            assert all(at[i] == piece.index[j] for i, j in pairs), (node, at)


def test_two_axes_of_one_value_are_never_one_loop() -> None:
    """x - sum(x, 1) as a row: the sum's axis would be both of x's."""
    y, (x,) = made(lambda x: x - broadcast_to(reduce.sum_(x, 1), (5, 5)), f32[5, 5])
    of_x, of_y = classes(y, x, y)
    assert len(set(of_x)) == len(set(of_y)) == 2


@pytest.mark.swept(4)
@pytest.mark.parametrize("seed", range(30))
def test_random_graphs_never_join_two_axes_of_a_node(seed: int) -> None:
    graph = program(Maker(Seeded(np.random.default_rng(seed))), 14)
    nodes = [n for n in graph.nodes() if hasattr(n.type, "shape")]
    found = classes_of(nodes)
    for node in nodes:
        mine = [c for c in found.of(node) if c is not None]
        assert len(set(mine)) == len(mine), node


def test_axes_that_always_stand_together_are_one_loop() -> None:
    y, (x, _) = made(lambda x, b: x * 2.0 + b, f32[4, 5, 6], f32[4, 5, 6])
    nodes = toposort([y])
    base = classes_of(nodes)
    merged = merge_adjacent(nodes, base, broken_classes(nodes, base))
    assert [d for _, d in merged.sized(x)] == [120]


def test_a_broadcast_axis_stays_a_loop_of_its_own() -> None:
    y, (x, _) = made(lambda x, b: x + broadcast_to(b, (4, 5, 6)), f32[4, 5, 6], f32[6])
    nodes = toposort([y])
    base = classes_of(nodes)
    merged = merge_adjacent(nodes, base, broken_classes(nodes, base))
    assert [d for _, d in merged.sized(x)] == [20, 6]
