"""Cumulative folds against NumPy and by their definitions; derivatives where zeros and ties are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.errors import DlcError
from dlc.ir.types import Type, bf16, bool_, dtype, f16, i32, u8
from tests.ops.test_sort import compiled

RNG = np.random.default_rng(12)


@pytest.mark.swept(2)
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_as_numpy(axis: int | None) -> None:
    x = RNG.normal(size=(4, 70, 3))
    found = compiled(lambda x: (dlc.cumsum(x, axis), dlc.cumprod(x, axis), dlc.cummax(x, axis),
                                dlc.cummin(x, axis), dlc.logcumsumexp(x, axis)), x)
    folds: list[Any] = [np.add, np.multiply, np.maximum, np.minimum, np.logaddexp]
    flat = x.ravel() if axis is None else x
    for got, fold in zip(found, folds, strict=True):
        np.testing.assert_allclose(got, fold.accumulate(flat, axis=axis or 0), rtol=1e-9)


def test_exclusive_and_reverse() -> None:
    x = np.array([1, 2, 3, 4], np.float32)
    found = compiled(lambda x: (dlc.cumsum(x, exclusive=True), dlc.cumsum(x, reverse=True),
                                dlc.cumsum(x, reverse=True, exclusive=True),
                                dlc.cumprod(x, exclusive=True)), x)
    for got, want in zip(found, [[0, 1, 3, 6], [10, 9, 7, 4], [9, 7, 4, 0], [1, 1, 2, 6]],
                         strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", [f16, bf16, i32, u8, bool_], ids=str)
def test_other_dtypes(kind: Any) -> None:
    x = RNG.integers(0, 2, (5, 9)).astype(kind.numpy)
    graph = dlc.trace(lambda x: dlc.cumsum(x, 1), Type(kind, x.shape))
    found = dlc.evaluate(graph, x)
    assert dtype(found.dtype) is (i32 if kind in (u8, bool_) else kind)
    np.testing.assert_array_equal(found.astype(np.float64), np.cumsum(x.astype(np.float64), 1))


def test_ties_and_nan_of_extremes() -> None:
    """The last of equals stands, as in PyTorch; NaN stays."""
    x = np.array([1, 1, 0, 2, np.nan, 3], np.float32)
    values, places = compiled(dlc.cummax_with_indices, x)
    np.testing.assert_array_equal(values, [1, 1, 1, 2, np.nan, np.nan])
    np.testing.assert_array_equal(places, [0, 1, 1, 3, 4, 4])
    graph = dlc.trace(dlc.grad(lambda x: dlc.cummax(x).sum()), f64[3])
    np.testing.assert_array_equal(dlc.evaluate(graph, np.array([1.0, 1.0, 0.0])), [1, 2, 0])


def test_cumprod_differentiates_through_zeros() -> None:
    """y = (x0, x0 x1, x0 x1 x2) at x1 = 0: first and second derivatives by hand."""
    x, v = np.array([2.0, 0.0, 3.0]), np.array([1.0, 1.0, 1.0])

    def f(x: Any) -> Any:
        return (dlc.cumprod(x) * np.array([1.0, 10.0, 100.0])).sum()

    graph = dlc.trace(lambda x, v: (dlc.grad(f)(x), dlc.hvp(f, x, v)), f64[3], f64[3])
    slope, curved = dlc.evaluate(graph, x, v).values()
    # f = x0 + 10 x0 x1 + 100 x0 x1 x2
    np.testing.assert_allclose(slope, [1, 2 * (10 + 300), 0])
    np.testing.assert_allclose(curved, [10 + 300, 10 + 300 + 200, 200])


def test_logcumsumexp_of_extremes() -> None:
    x = np.array([-np.inf, -1000, 1000, 1e30, -np.inf])
    graph = dlc.trace(lambda x: (dlc.logcumsumexp(x),
                                 dlc.grad(lambda x: dlc.logcumsumexp(x)[1:].sum())(x)), f64[5])
    y, slope = dlc.evaluate(graph, x).values()
    np.testing.assert_allclose(y, [-np.inf, -1000, 1000, 1e30, 1e30])
    np.testing.assert_array_equal(slope, [0, 1, 1, 2, 0])


def test_discounted_returns() -> None:
    rewards = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]], np.float32)
    found = compiled(lambda r: dlc.linear_recurrence(0.5, r, axis=1, reverse=True), rewards)
    np.testing.assert_allclose(found, [[1.5, 1, 2], [0.75, 1.5, 1]])


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.cumsum(x, 2), "axis 2"),
    (lambda x: dlc.cummax(x, -3), "axis -3"),
    (lambda x: dlc.linear_recurrence(x, x[0, :3]), "do not broadcast"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])
