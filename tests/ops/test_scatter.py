"""Scatters of every mode against NumPy written out, their gradients, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64, i32
from dlc.errors import DlcError
from dlc.ir.types import Type

FOLD: dict[str, Callable[[Any, Any], Any]] = {
    "set": lambda old, new: new, "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new, "max": np.maximum, "min": np.minimum}


def written_out(x: Any, index: Any, updates: Any, axis: int, batch: int, mode: str) -> Any:
    """One update after the other, in index order."""
    y = np.array(x)
    count = index.ndim - batch
    for at in np.ndindex(index.shape):
        lead, inner = at[:batch], at[batch:]
        for before in np.ndindex(*x.shape[batch:axis]):
            target = (*lead, *before, index[at])
            y[target] = FOLD[mode](y[target], updates[(*lead, *before, *inner)])
    assert updates.ndim == x.ndim - 1 + count
    return y


CASES = [((5,), (7,), 0, 0), ((4, 3), (2, 3), 0, 0), ((2, 3, 5), (4,), 1, 0),
         ((3, 2, 4), (3, 6), 2, 1), ((2, 6, 3), (2, 5), 1, 1), ((3, 290), (4,), 0, 0)]


@pytest.mark.swept(4)
@pytest.mark.parametrize("mode", FOLD)
@pytest.mark.parametrize(("shape", "index", "axis", "batch"), CASES)
def test_modes(shape: Any, index: Any, axis: int, batch: int, mode: str) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=shape).astype(np.float32)
    at = rng.integers(0, shape[axis], index).astype(np.int32)
    updates = rng.normal(size=(*shape[:axis], *index[batch:], *shape[axis + 1:]))
    updates = updates.astype(np.float32)
    graph = dlc.trace(lambda x, i, u: dlc.scatter(x, i, u, axis, batch, mode),
                      Type(f32, shape), Type(i32, index), Type(f32, updates.shape))
    want = written_out(x, at, updates, axis, batch, mode)
    results = dlc.evaluate(graph, x, at, updates)
    found = results if len(graph.outputs) == 1 else results[graph.output_names[0]]
    np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-6)
    with dlc.compile(graph).load(threads=2) as program:
        np.testing.assert_allclose(program(x, at, updates), want, rtol=1e-5, atol=1e-6)


def gradients(mode: str, x: Any, index: Any, u: Any) -> Any:
    graph = dlc.trace(dlc.grad(lambda x, u: (
        dlc.scatter(x, index, u, mode=mode) * np.array([1.0, 10.0, 100.0])).sum(), wrt=(0, 1)),
        f64[3], f64[len(u)])
    return tuple(dlc.evaluate(graph, np.array(x, float), np.array(u, float)).values())


INDEX = np.array([1, 0, 1], np.int32)


@pytest.mark.parametrize(("mode", "u", "dx", "du"), [
    ("set", [4, 5, 6], [0, 0, 100], [0, 1, 10]),
    ("add", [4, 5, 6], [1, 10, 100], [10, 1, 10]),
    ("mul", [0, 5, 6], [5, 0, 100], [6 * 2 * 10, 1, 0]),
    ("mul", [0, 5, 0], [5, 0, 100], [0, 1, 0]),
    ("max", [2, 5, 2], [0, 10 / 3, 100], [10 / 3, 1, 10 / 3]),
    ("min", [4, 0, 2], [0, 5, 100], [0, 1, 5]),
])
def test_gradients_where_updates_collide(mode: str, u: Any, dx: Any, du: Any) -> None:
    found = gradients(mode, [1, 2, 3], INDEX, u)
    np.testing.assert_allclose(found[0], dx)
    np.testing.assert_allclose(found[1], du)


def test_second_order_of_products_at_zeros() -> None:
    """d2/du0 du2 of x1 u0 u2 is x1, though both are 0."""
    index = INDEX
    graph = dlc.trace(dlc.grad(lambda u: dlc.grad(lambda u: dlc.scatter(
        np.array([1.0, 2.0, 3.0]), index, u, mode="mul").sum())(u)[0]), f64[3])
    np.testing.assert_allclose(dlc.evaluate(graph, np.array([0.0, 5.0, 0.0])), [0, 0, 2])


def test_put_along_axis() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(3, 4)).astype(np.float32)
    index = np.argsort(x, 0)[:2].astype(np.int32)
    want = x.copy()
    np.put_along_axis(want, index, 7, 0)
    graph = dlc.trace(lambda x: dlc.put_along_axis(x, index, 7, 0), f32[3, 4])
    np.testing.assert_array_equal(dlc.evaluate(graph, x), want)
    taken = dlc.trace(lambda x: dlc.take_along_axis(x, index, 0), f32[3, 4])
    np.testing.assert_array_equal(dlc.evaluate(taken, x), np.take_along_axis(x, index, 0))


def test_segments_and_counts() -> None:
    rng = np.random.default_rng(7)
    x, ids = rng.normal(size=(9, 2)).astype(np.float32), np.array([3, 0, 0, 4, 3, 3, 0, 4, 4])
    groups = [x[ids == i] for i in range(5)]

    def all_segments(x: Any) -> Any:
        return (dlc.segment_sum(x, ids, 5), dlc.segment_mean(x, ids, 5),
                dlc.segment_prod(x, ids, 5), dlc.segment_max(x, ids, 5), dlc.bincount(ids, 6))

    sums, means, products, largest, counts = dlc.evaluate(
        dlc.trace(all_segments, f32[9, 2]), x).values()
    np.testing.assert_allclose(sums, [g.sum(0) for g in groups], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(means, [g.mean(0) if len(g) else [0, 0] for g in groups],
                               rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(products, [g.prod(0) for g in groups], rtol=1e-5)
    np.testing.assert_array_equal(largest, [g.max(0, initial=-np.inf) for g in groups])
    np.testing.assert_array_equal(counts, np.bincount(ids, minlength=6))


def test_histogram() -> None:
    x = np.array([0, 0.1, 0.5, 1, 2, 2.01, -1, np.nan, 1.999], np.float32)
    graph = dlc.trace(lambda x: dlc.histogram(x, 4, 0.0, 2.0), f32[9])
    want, _ = np.histogram(x[np.isfinite(x)], 4, (0, 2))
    np.testing.assert_array_equal(dlc.evaluate(graph, x), want)


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.scatter(x, [0, 5], 1.0), "index 5 is out of range"),
    (lambda x: dlc.scatter(x, [0, 1], x), "updates need shape"),
    (lambda x: dlc.scatter(x, [0, 1], 1.0, mode="sum"), "modes are set, add"),
    (lambda x: dlc.scatter(x, [0.5], 1.0), "an index is i32 or i64"),
    (lambda x: dlc.scatter(x, [0], 1.0, batch=1), "batch"),
    (lambda x: dlc.scatter(x, [0], 1.0, axis=3), "axis 3"),
    (lambda x: dlc.put_along_axis(x, [[0, 1]], 1.0, 0), "same sizes beside the axis"),
    (lambda x: dlc.histogram(x, 0, 0, 1), "at least one bin"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])
