"""Products of loops over all steps at once: where they move and where they stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32
from dlc.derive.control import SCAN
from dlc.ir.graph import Graph, Kind, Node
from dlc.passes import run_pipeline
from dlc.passes.check import same_meaning
from dlc.passes.loops.loops import loops
from dlc.passes.rules.simplify import simplify
from dlc.reference.text import print_graph
from tests.conformance.cut import swept
from tests.fuzzing.bounds import labelled, mistakes

Golden = Callable[[str, str], None]


def settled(function: Callable[..., Any], *types: Any) -> Graph:
    """The graph after `loops`; every pass of the pipeline keeps its meaning, and so do kernels."""
    records = run_pipeline(dlc.trace(function, *types), same_meaning)
    (found,) = [r.graph for r in records if r.name == "loops"]
    return found


def scans(graph: Graph) -> list[Node]:
    return [n for n in graph.nodes() if n.op is SCAN]


def products(graph: Graph) -> int:
    """Contractions outside loops."""
    return sum(n.op.kind is Kind.CONTRACT for n in graph.nodes())


def inner(scan: Node) -> int:
    """Contractions of each step."""
    return products(scan.attrs["body"])


def recurrent(x: Any, w: Any, u: Any, b: Any, v: Any, h: Any, reverse: bool = False) -> Any:
    """The hidden state of each step, and what `v` reads from it."""
    def step(h: Any, row: Any) -> Any:
        h = dlc.tanh(row @ w + b + h @ u)
        return h, h @ v

    return dlc.scan(step, h, x, reverse=reverse)


# T = 9 steps, 4 rows, 16 inputs, 8 units, 8 outputs
TYPES = (f32[9, 4, 16], f32[16, 8], f32[8, 8], f32[8], f32[8, 8], f32[4, 8])


def test_what_elements_give_and_what_results_need(golden: Golden) -> None:
    """x @ w + b before the loop, h @ v after it; h @ u stays."""
    before = print_graph(simplify(dlc.trace(recurrent, *TYPES)))
    graph = settled(recurrent, *TYPES)
    (scan,) = scans(graph)
    assert (inner(scan), products(graph)) == (1, 2)
    golden("named/products_of_a_loop.txt", f"# before\n{before}\n# after\n{print_graph(graph)}")


@pytest.mark.parametrize("reverse", [False, True])
def test_kernels_compute_the_same(reverse: bool) -> None:
    rng = np.random.default_rng(5)
    graph = dlc.trace(lambda *xs: recurrent(*xs, reverse=reverse), *TYPES)
    arrays = [rng.normal(size=t.shape).astype(np.float32) for t in TYPES]
    with dlc.compile(graph, verify=True).load(threads=1) as program:
        assert mistakes(graph, labelled(graph, arrays), program(*arrays)) == []


def test_gradients() -> None:
    """Of the backward loop's products only the one by the carry stays: the inputs' cotangents are
    one product of the stacked ones, as the weights' are."""
    def loss(*xs: Any) -> Any:
        return dlc.value_and_grad(lambda *xs: (recurrent(*xs)[1] ** 2.0).sum(),
                                  wrt=(0, 1, 2, 3, 4))(*xs)

    graph = settled(loss, *TYPES)
    assert [inner(s) for s in scans(graph)] == [1, 1]
    assert products(graph) == 2 + 2 + 3


def test_second_order() -> None:
    def f(x: Any, w: Any, u: Any, b: Any, v: Any, h: Any, d: Any) -> Any:
        return dlc.hvp(lambda w: (recurrent(x, w, u, b, v, h)[1] ** 2.0).sum(), w, d)

    settled(f, *TYPES, TYPES[1])


def test_a_product_above_a_product() -> None:
    """Both move; what stands between them does too, and nothing but the last is stacked."""
    def f(x: Any, w: Any, u: Any, h: Any) -> Any:
        return dlc.scan(lambda h, row: (dlc.tanh(dlc.tanh(row @ w) @ u + h), None), h, x)[0]

    graph = settled(f, f32[9, 4, 16], f32[16, 8], f32[8, 8], f32[4, 8])
    (scan,) = scans(graph)
    assert inner(scan) == 0 and products(graph) == 2
    assert [tuple(a.shape) for a in scan.args] == [(4, 8), (9, 4, 8)]


def test_a_result_that_is_a_product_of_elements() -> None:
    """The stack itself, not a copy that the loop makes."""
    def f(x: Any, w: Any, h: Any) -> Any:
        return dlc.scan(lambda h, row: (dlc.sin(h) + row @ w, row @ w), h, x)

    (scan,) = scans(settled(f, f32[9, 4, 16], f32[16, 8], f32[4, 8]))
    assert len(scan.type.items) == 1


def test_of_loops_in_loops() -> None:
    """The inner loop's product moves into the outer one's body, and out of that."""
    def f(x: Any, w: Any, h: Any) -> Any:
        def outer(h: Any, rows: Any) -> Any:
            return dlc.scan(lambda h, row: (dlc.tanh(h + row @ w), None), h, rows)[0], None

        return dlc.scan(outer, h, x)[0]

    graph = settled(f, f32[5, 3, 4, 16], f32[16, 8], f32[4, 8])
    (scan,) = scans(graph)
    assert products(graph) == 1 and products(scan.attrs["body"]) == 0


# --- what stays -----------------------------------------------------------------------------------


def stays(function: Callable[..., Any], *types: Any) -> None:
    graph = settled(function, *types)
    assert sum(inner(s) for s in scans(graph)) >= 1 and products(graph) == 0


def test_many_rows_stay() -> None:
    """A step's product of more rows than the matrix has is not slowed down by reading it."""
    stays(lambda x, w, h: dlc.scan(lambda h, row: (dlc.tanh(row @ w + h), None), h, x)[0],
          f32[9, 17, 16], f32[16, 8], f32[17, 8])


def test_wide_results_of_narrow_elements_stay() -> None:
    """Memory: the stack would be 8 times the elements, and nothing else is stacked."""
    def f(x: Any, w: Any) -> Any:
        return dlc.scan(lambda h, row: (h + (row @ w).sum(1), None), x[0, :, 0], x)[0]

    stays(f, f32[9, 2, 8], f32[8, 64])


def test_small_results_of_wide_products_stay() -> None:
    """Memory: a loss of each step, whose logits are there one step at a time."""
    def f(x: Any, v: Any, h: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            h = dlc.tanh(h + row)
            return h, ((h @ v) ** 2.0).sum()

        return dlc.scan(step, h, x)

    stays(f, f32[9, 4, 16], f32[16, 64], f32[4, 16])


def test_map_needs_the_memory_of_one_step() -> None:
    stays(lambda x, w: dlc.map(lambda row: row @ w, x), f32[9, 4, 16], f32[16, 8])


def test_what_a_step_draws_stays_in_it() -> None:
    """Noise on an element is drawn by the iteration: over all steps it would be other noise."""
    def f(x: Any, w: Any, h: Any) -> Any:
        def step(h: Any, row: Any) -> Any:
            return dlc.tanh((row + dlc.random.normal((4, 16))) @ w + h), None

        return dlc.scan(step, h, x)[0]

    graph = dlc.trace(f, f32[9, 4, 16], f32[16, 8], f32[4, 8])
    (scan,) = scans(loops(simplify(graph)))
    assert inner(scan) == 1


@pytest.mark.parametrize("seed", swept("random products", 6, 80))
def test_random_products(seed: int) -> None:
    """Random sizes, directions and readers: the meaning after every pass is the same."""
    rng = np.random.default_rng(seed)
    t, m, k, n = (int(d) for d in rng.integers(1, 12, 4))
    t += 1
    shift, twice, reverse = (bool(b) for b in rng.integers(0, 2, 3))

    def step(h: Any, row: Any, w: Any, v: Any) -> Any:
        z = row @ w
        z = z + dlc.sin(row).sum(1, keepdims=True) if shift else z
        new = dlc.tanh(z + h * 0.5 if not twice else z[:, ::-1] * h + z)
        y = dlc.exp(new @ v) if shift else new[:1] @ v
        return new, (y, z.sum(0), row @ w)

    def f(x: Any, w: Any, v: Any, h: Any) -> Any:
        h, (y, z, again) = dlc.scan(lambda h, row: step(h, row, w, v), h, x, reverse=reverse)
        return h, y, z, again

    types = (f32[t, m, k], f32[k, n], f32[n, k], f32[m, n])
    settled(f, *types)
    settled(lambda *xs: dlc.grad(lambda *xs: sum((y ** 2.0).sum() for y in f(*xs)),
                                 wrt=(0, 1, 2, 3))(*xs), *types)
