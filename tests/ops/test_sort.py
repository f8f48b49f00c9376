"""Sorting and what is made of it, against NumPy: values, gradients of both orders, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.errors import DlcError
from dlc.ir.types import Type, bf16, bool_, dtype, f16, i32, i64, u8, u32

RNG = np.random.default_rng(11)


def compiled(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """Run on the CPU with two threads; outputs in order."""
    graph = dlc.trace(lambda *xs: function(*xs), *(Type(dtype(a.dtype), a.shape) for a in arrays))
    with dlc.compile(graph).load(threads=2) as program:
        found = program(*arrays)
    return list(found.values()) if isinstance(found, dict) else found


@pytest.mark.swept(5)
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("kind", [f32, f64, f16, bf16, i32, i64, u32, u8, bool_], ids=str)
def test_every_dtype(kind: Any, descending: bool) -> None:
    x = RNG.integers(0, 50, (3, 40, 2)).astype(kind.numpy)
    values, order = compiled(lambda x: (dlc.sort(x, 1, descending),
                                        dlc.argsort(x, 1, descending)), x)
    key = x.astype(np.float64)
    want = np.argsort(-key if descending else key, 1, kind="stable")
    np.testing.assert_array_equal(order, want)
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, 1))


def test_nan_is_the_largest() -> None:
    x = np.array([2, np.nan, -np.inf, np.inf, np.nan, 0], np.float32)
    up, down, (values, places) = (compiled(f, x) for f in (
        dlc.sort, lambda x: dlc.sort(x, descending=True), lambda x: dlc.top_k(x, 3)))
    np.testing.assert_array_equal(up, [-np.inf, 0, 2, np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(down, [np.nan, np.nan, np.inf, 2, 0, -np.inf])
    np.testing.assert_array_equal(values, [np.nan, np.nan, np.inf])
    np.testing.assert_array_equal(places, [1, 4, 3])


def test_a_long_row_and_many_rows() -> None:
    long, many = RNG.normal(size=30011).astype(np.float32), RNG.normal(size=(2003, 9))
    np.testing.assert_array_equal(compiled(dlc.sort, long), np.sort(long))
    np.testing.assert_array_equal(compiled(dlc.argsort, many), np.argsort(many))


def test_top_k() -> None:
    x = np.array([[3, 1, 3, 2], [0, 5, 5, 4]], np.float32)
    values, places = compiled(lambda x: dlc.top_k(x, 2), x)
    np.testing.assert_array_equal(values, [[3, 3], [5, 5]])
    np.testing.assert_array_equal(places, [[0, 2], [1, 2]])
    values, places = compiled(lambda x: dlc.top_k(x, 1, axis=0, largest=False), x)
    np.testing.assert_array_equal(values, [[0, 1, 3, 2]])
    np.testing.assert_array_equal(places, [[1, 0, 0, 0]])


@pytest.mark.parametrize("axis", [None, 0, (0, 2)])
@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantiles(axis: Any, method: str) -> None:
    x = RNG.normal(size=(3, 4, 5))
    graph = dlc.trace(lambda x: dlc.quantile(x, [0.1, 0.5, 1.0], axis, method=method), f64[3, 4, 5])
    np.testing.assert_allclose(dlc.evaluate(graph, x),
                               np.quantile(x, [0.1, 0.5, 1.0], axis, method=method))  # type: ignore[call-overload]


def test_median_with_nan() -> None:
    x = np.array([[1, 2, 4, 3], [np.nan, 0, 1, 2]], np.float32)
    np.testing.assert_array_equal(compiled(lambda x: dlc.median(x, 1, keepdims=True), x),
                                  [[2.5], [np.nan]])


def test_mode() -> None:
    x = np.array([[2, 7, 2, 7, 1], [3, 3, 0, 0, 0]], np.int32)
    np.testing.assert_array_equal(compiled(lambda x: dlc.mode(x, 1), x), [2, 0])


def test_gradients_go_back_through_the_permutation() -> None:
    """Of sum(w * sort(x)^2): the gradient is 2 w' x, its product with a direction 2 w' v."""
    x, v = np.array([3.0, 1.0, 2.0]), np.array([1.0, 10.0, 100.0])
    weight = np.array([1.0, 2.0, 3.0])

    def f(x: Any) -> Any:
        return (weight * dlc.sort(x) ** 2).sum()

    graph = dlc.trace(lambda x, v: (dlc.grad(f)(x), dlc.hvp(f, x, v)), f64[3], f64[3])
    slope, curved = dlc.evaluate(graph, x, v).values()
    np.testing.assert_allclose(slope, 2 * np.array([3.0, 1.0, 2.0]) * x)
    np.testing.assert_allclose(curved, 2 * np.array([3.0, 1.0, 2.0]) * v)


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side: Any) -> None:
    edges, x = np.sort(RNG.integers(0, 30, 50)), RNG.integers(-3, 33, (7, 9))
    found = compiled(lambda e, x: dlc.searchsorted(e, x, side), edges, x)
    np.testing.assert_array_equal(found, np.searchsorted(edges, x, side))


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.sort(x, 2), "axis 2"),
    (lambda x: dlc.argsort(x, 0.5), "axis 0.5"),
    (lambda x: dlc.top_k(x, 5), "k = 5 of 4 along axis 1"),
    (lambda x: dlc.top_k(x, -1), "k = -1"),
    (lambda x: dlc.sort(x[0, 0]), "no axes"),
    (lambda x: dlc.quantile(x, 1.5), "q is 0 .. 1"),
    (lambda x: dlc.quantile(x, 0.5, method="guess"), "method 'guess'"),
    (lambda x: dlc.median(x[:0]), "no elements"),
    (lambda x: dlc.searchsorted(x, x, "middle"), "side"),
    (lambda x: dlc.searchsorted(x, x[:2]), "axes before the last"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])


def test_an_order_has_no_gradient() -> None:
    graph = dlc.trace(dlc.grad(lambda x: dlc.argsort(x).astype(f32).sum()), f32[3])
    with pytest.raises(DlcError, match=r"argsort\(.*\) has no gradient"):
        dlc.evaluate(graph, np.zeros(3, np.float32))
