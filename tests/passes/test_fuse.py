"""Fusion beyond its table (test_fusion_table.py): values, loops, lines, no cycles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ops.convert import broadcast_to
from dlc.passes.check import structure
from dlc.passes.differentiate import differentiate
from dlc.passes.fuse.fuse import fuse
from dlc.reference.evaluate import run
from tests.conformance.cut import swept
from tests.fuzzing.bounds import mistakes
from tests.fuzzing.draw import Maker, Seeded
from tests.fuzzing.steps import program
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


def test_no_cycle() -> None:
    """z goes into the last launch past the product that it also feeds."""
    def f(x: Node, w: Node, v: Node) -> Node:
        z = dlc.exp(x @ w)
        return z + (z @ v).sum(1, keepdims=True)

    graph = fused(f, SQUARE, SQUARE, SQUARE)
    structure("fuse", graph, graph)
    assert len(launches(graph)) >= 3


def adam(w: Node, m: Node, v: Node, g: Node) -> tuple[Node, ...]:
    m, v = m * 0.9 + g * 0.1, v * 0.99 + g * g * 0.01
    return w - m / (dlc.sqrt(v) + 1e-8), m, v


def test_horizontal() -> None:
    """Two parameters of different sizes: one launch."""
    def f(*x: Node) -> tuple[Node, ...]:
        return (*adam(*x[:4]), *adam(*x[4:]))

    graph = graph_of([SQUARE] * 4 + [f32[N]] * 4, f, updates=())
    assert len(launches(fuse(graph))) == 1


def test_scalars_take_no_launch() -> None:
    def f(x: Node, rate: Node, t: Node) -> Node:
        return x * (rate * dlc.sqrt(1.0 - dlc.exp(-t)))

    assert count(f, SQUARE, f32[()], f32[()]) == 1


@pytest.mark.parametrize("block", swept("fused programs", 2, 16))
def test_fused_graphs_evaluate_to_the_same(block: int) -> None:
    for seed in range(5 * block, 5 * block + 5):
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
    fused = fuse(differentiate(program(maker, 12, loops=False)))
    assert {n.op.name for n in fused.nodes()} <= allowed


def test_a_group_serves_the_lines_of_its_members() -> None:
    graph = fused(lambda x: dlc.exp(x) + 1.0, SQUARE)
    (node,) = (n for n in graph.nodes() if n.op is higher.FUSED)
    assert node.locs and all("test_fuse" in str(loc) for loc in node.locs)


def test_what_an_operator_of_several_results_reads_is_no_fold() -> None:
    """Cheap work between a reduction and a factorization was asked for the size of a tuple."""
    def function(x: f32[4, 6]) -> Any:
        scaled = x * x.sum(1, keepdims=True)
        return dlc.linalg.qr(dlc.where(scaled > 0.5, scaled, x).T)

    assert dlc.compile(function).kernels
