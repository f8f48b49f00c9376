"""The fusion table, row by row (docs/fusion.md), and that fusing changes no value."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.evaluate import run
from dlc.graph import Graph, Node
from dlc.ops import gather, higher
from dlc.ops.convert import broadcast_to
from dlc.passes.check import structure
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse import fuse
from tests.random_programs import Maker, Seeded, mistakes
from tests.random_steps import program
from tests.regressions.test_backend import graph_of

N = 200  # rows and columns: more work than one chunk holds
SQUARE = f32[N, N]


def fused(function: Callable[..., Any], *types: Any) -> Graph:
    return fuse(differentiate(graph_of(types, function)))


def launches(graph: Graph) -> list[list[str]]:
    """The operators of each launch that do arithmetic, in order."""
    return [[m.op.name for m in n.attrs["body"].nodes()
             if m.op.kind.value not in ("leaf", "view")]
            for n in graph.nodes() if n.op is higher.FUSED]


def count(function: Callable[..., Any], *types: Any) -> int:
    return len(launches(fused(function, *types)))


def test_elementwise_chains_are_one_launch() -> None:
    def f(x: Node) -> Node:
        y = dlc.exp(x)
        return y + dlc.tanh(y)

    assert launches(fused(f, SQUARE)) == [["exp", "tanh", "add"]]


def test_elementwise_work_goes_into_a_reduction() -> None:
    assert launches(fused(lambda x: dlc.exp(x).sum(1), SQUARE)) == [["exp", "sum"]]


def test_work_on_a_reduction_stays_in_its_rows() -> None:
    assert count(lambda x: x - x.max(1, keepdims=True), SQUARE) == 1


def test_reductions_in_turn_are_one_launch() -> None:
    def softmax(x: Node) -> Node:
        e = dlc.exp(x - x.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    assert count(softmax, SQUARE) == 1


def test_a_total_is_finished_before_it_is_read() -> None:
    assert count(lambda x: x - x.max(), SQUARE) == 2
    assert count(lambda x: x - x.max(), f32[8, 8]) == 1


def test_a_reduction_is_not_computed_again() -> None:
    """Each column of y needs every row's sum."""
    def f(x: Node) -> Node:
        rows = dlc.exp(x.sum(1))
        return dlc.tanh(broadcast_to(rows.reshape(N, 1), (N, N))).sum(0)

    assert count(f, SQUARE) >= 2


def test_no_diagonal() -> None:
    assert count(lambda x: x - broadcast_to(x.sum(1), (N, N)), SQUARE) == 2
    assert count(lambda x: x - x.sum(1, keepdims=True), SQUARE) == 1


def test_recomputing_at_other_indices() -> None:
    assert count(lambda x: dlc.flip(x * x + 1.0, 0) * 3.0, SQUARE) == 1

    def costly(x: Node) -> Node:
        y = dlc.exp(x)
        return dlc.concat([y, y, y, y, y, y], 0) * 3.0

    assert count(costly, SQUARE) == 2


def test_epilogue() -> None:
    found = launches(fused(lambda x, w, b: dlc.tanh(x @ w + b), SQUARE, SQUARE, f32[N]))
    assert found == [["matmul", "add", "tanh"]]


def test_epilogue_through_a_transpose() -> None:
    assert count(lambda x, w: (x @ w).T * 2.0, SQUARE, SQUARE) == 1


def test_a_reduction_is_no_epilogue() -> None:
    assert count(lambda x, w: (x @ w).sum(1), SQUARE, SQUARE) == 2


def test_prologue() -> None:
    assert count(lambda x, w: (x * 2.0) @ w, SQUARE, SQUARE) == 1


def test_costly_work_is_no_prologue() -> None:
    assert count(lambda x, w: dlc.exp(x) @ w, SQUARE, SQUARE) == 2

    def shared(x: Node, w: Node, v: Node) -> Any:
        y = (x @ v) * 2.0  # read by both products: it is stored
        return y @ w, y @ x

    assert count(shared, SQUARE, SQUARE, SQUARE) == 3


def test_one_contraction_a_launch() -> None:
    found = launches(fused(lambda x, w, v: (x @ w) @ v, SQUARE, SQUARE, SQUARE))
    assert all(names.count("matmul") == 1 for names in found) and len(found) == 2


def test_a_scatter_stands_alone() -> None:
    def f(i: Node, g: Node) -> Node:
        rows = dlc.exp(g)
        return gather.make(gather.SCATTER_ADD, (i, rows), shape=(9, N), axis=0, batch=0) * 2.0

    found = launches(fused(f, i32[N], SQUARE))
    assert ["scatter_add"] in found and len(found) == 3


def test_no_cycle() -> None:
    """z goes into the last launch past the product that it also feeds."""
    def f(x: Node, w: Node, v: Node) -> Node:
        z = dlc.exp(x @ w)
        return z + (z @ v).sum(1, keepdims=True)

    graph = fused(f, SQUARE, SQUARE, SQUARE)
    structure("fuse", graph, graph)
    assert len(launches(graph)) >= 3


def test_siblings_read_a_value_once() -> None:
    def f(x: Node, w: Node) -> Any:
        h = x @ w
        return h.max(1), h.sum(1)

    found = launches(fused(f, SQUARE, SQUARE))
    assert found == [["matmul"], ["max", "sum"]]


def adam(w: Node, m: Node, v: Node, g: Node) -> tuple[Node, ...]:
    m, v = m * 0.9 + g * 0.1, v * 0.99 + g * g * 0.01
    return w - m / (dlc.sqrt(v) + 1e-8), m, v


def test_horizontal() -> None:
    """Two parameters of different sizes: one launch."""
    def f(*x: Node) -> tuple[Node, ...]:
        return (*adam(*x[:4]), *adam(*x[4:]))

    graph = graph_of([SQUARE] * 4 + [f32[N]] * 4, f, updates=())
    assert len(launches(fuse(graph))) == 1


def test_the_optimizer_in_a_gradients_epilogue() -> None:
    def plain(w: Node, x: Node, g: Node) -> Node:
        return w - (x.T @ g) * 0.1

    def clipped(w: Node, x: Node, g: Node) -> Node:
        gradient = x.T @ g
        norm = dlc.sqrt((gradient * gradient).sum())
        return w - gradient * dlc.minimum(1.0 / norm, 1.0) * 0.1

    assert count(plain, SQUARE, SQUARE, SQUARE) == 1
    found = launches(fused(clipped, SQUARE, SQUARE, SQUARE))
    assert len(found) >= 3 and "sub" not in found[0]


def test_cheap_functions_are_computed_by_each_reader() -> None:
    def f(x: Node, w: Node, g: Node) -> Any:
        y = dlc.tanh(x @ w)
        slope = 1.0 - y * y
        return (g * slope) @ w, dlc.exp(slope).sum(0), y

    graph = fused(f, SQUARE, SQUARE, SQUARE)
    stored = {str(n.op.name) for o in graph.nodes() if o.op is higher.FUSED
              for n in o.attrs["body"].outputs}
    assert "sub" not in stored


def test_scalars_take_no_launch() -> None:
    def f(x: Node, rate: Node, t: Node) -> Node:
        return x * (rate * dlc.sqrt(1.0 - dlc.exp(-t)))

    assert count(f, SQUARE, f32[()], f32[()]) == 1


# --- beyond the table -----------------------------------------------------------------------------


def test_every_row_of_the_table_has_its_test() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fusion.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| test |" not in line]
    named = [re.findall(r"\| (test_\w+) \|$", row) for row in rows]
    assert all(len(names) == 1 for names in named), "a row without a test"
    tests = {names[0] for names in named}
    assert tests <= set(globals())
    assert len(tests) == len(rows)


@pytest.mark.parametrize("block", range(4))
def test_fused_graphs_evaluate_to_the_same(block: int) -> None:
    for seed in range(20 * block, 20 * block + 20):
        maker = Maker(Seeded(np.random.default_rng(seed)), largest=600)
        graph = differentiate(program(maker, 12))
        after = fuse(graph)
        structure("fuse", graph, after)
        arrays = [maker.arrays[n.attrs["label"]] for n in graph.inputs]
        with np.errstate(all="ignore"):
            got = dict(zip(graph.output_names, run(after, arrays), strict=True))
        assert mistakes(graph, maker.arrays, got) == [], seed


@pytest.mark.parametrize("seed", range(10))
def test_only_fused_nodes_are_left(seed: int) -> None:
    maker = Maker(Seeded(np.random.default_rng(seed)), largest=600)
    allowed = {"fused", "item", "input", "array"}
    assert {n.op.name for n in fuse(differentiate(program(maker, 12))).nodes()} <= allowed


def test_a_group_serves_the_lines_of_its_members() -> None:
    graph = fused(lambda x: dlc.exp(x) + 1.0, SQUARE)
    (node,) = (n for n in graph.nodes() if n.op is higher.FUSED)
    assert node.locs and all("test_fuse" in str(loc) for loc in node.locs)
