"""Composed reductions against NumPy, their gradients where formulas are singular, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.errors import DlcError

RNG = np.random.default_rng(13)
HOLES = np.array([[1, np.nan, 3], [np.nan, np.nan, np.nan], [-4, 0, 2]], np.float64)

Pair = tuple[Callable[[Any], Any], Callable[[Any], Any]]
SAME: dict[str, Pair] = {
    "variance": (lambda x: dlc.variance(x, 0, correction=1), lambda x: np.var(x, 0, ddof=1)),
    "std": (lambda x: dlc.std(x, 1, keepdims=True), lambda x: np.std(x, 1, keepdims=True)),
    "std method": (lambda x: x.std(0, correction=1), lambda x: x.std(0, ddof=1)),
    "ptp": (lambda x: dlc.ptp(x, 1), lambda x: np.ptp(x, 1)),
    "count_nonzero": (lambda x: dlc.count_nonzero(x, 0), lambda x: np.count_nonzero(x, 0)),
    "norm": (lambda x: dlc.norm(x, axis=1), lambda x: np.linalg.norm(x, axis=1)),
    "norm of all": (lambda x: dlc.norm(x, keepdims=True), lambda x: np.linalg.norm(x)[None, None]),
    **{f"norm {p}": (lambda x, p=p: dlc.norm(x, p, 0), lambda x, p=p: np.linalg.norm(x, p, 0))
       for p in (0, 1, 3, 0.5, -1, -2, np.inf, -np.inf)},
}


@pytest.mark.parametrize("name", SAME)
def test_as_numpy(name: str) -> None:
    mine, numpys = SAME[name]
    x = RNG.normal(size=(3, 5))
    x[0, 2] = 0 if "-" not in name else 1
    graph = dlc.trace(lambda x: mine(x), f64[3, 5])
    np.testing.assert_allclose(dlc.evaluate(graph, x), numpys(x), rtol=1e-12)


@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanmax", "nanmin"])
def test_without_nan(name: str) -> None:
    graph = dlc.trace(lambda x: getattr(dlc, name)(x, 1), f64[3, 3])
    with np.errstate(all="ignore"):
        want = [getattr(np, name)(row[~np.isnan(row)]) if not np.isnan(row).all() else
                (0 if name == "nansum" else np.nan) for row in HOLES]
    np.testing.assert_array_equal(dlc.evaluate(graph, HOLES), want)


def test_norms_do_not_overflow() -> None:
    x = np.array([3e30, 4e30], np.float32)
    graph = dlc.trace(lambda x: (dlc.norm(x), dlc.grad(lambda x: dlc.norm(x))(x)), f32[2])
    value, slope = dlc.evaluate(graph, x).values()
    np.testing.assert_allclose(value, 5e30, rtol=1e-6)
    np.testing.assert_allclose(slope, [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize("p", [1, 1.5, 2, 3])
def test_gradient_of_norms(p: float) -> None:
    """sign(x) |x|^(p-1) / norm^(p-1); at 0 there is none, and it is 0."""
    x = np.array([1.0, -2.0, 3.0])
    graph = dlc.trace(dlc.grad(lambda x: dlc.norm(x, p)), f64[3])
    want = np.sign(x) * np.abs(x) ** (p - 1) / np.linalg.norm(x, p) ** (p - 1)
    np.testing.assert_allclose(dlc.evaluate(graph, x), want)
    np.testing.assert_array_equal(dlc.evaluate(graph, np.zeros(3)), 0)


def test_second_order_of_the_norm() -> None:
    """H v = (v - n (n v)) / |x| with n = x / |x|."""
    x, v = np.array([3.0, 4.0]), np.array([1.0, 0.5])
    graph = dlc.trace(lambda x, v: dlc.hvp(lambda x: dlc.norm(x), x, v), f64[2], f64[2])
    n = x / 5
    np.testing.assert_allclose(dlc.evaluate(graph, x, v), (v - n * (n @ v)) / 5)


def test_extremes_with_indices() -> None:
    x = np.array([[1, 7, 7], [5, 2, 5]], np.float32)
    graph = dlc.trace(lambda x: (*dlc.max_with_indices(x, 1), *dlc.min_with_indices(x, 0)),
                      f32[2, 3])
    largest, at, smallest, below = dlc.evaluate(graph, x).values()
    np.testing.assert_array_equal([largest, at], [[7, 5], [1, 0]])
    np.testing.assert_array_equal([smallest, below], [[1, 2, 5], [0, 1, 1]])
    slope = dlc.trace(dlc.grad(lambda x: dlc.max_with_indices(x, 1)[0].sum()), f32[2, 3])
    np.testing.assert_array_equal(dlc.evaluate(slope, x), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.norm(x, "fro"), "p is a number"),
    (lambda x: dlc.norm(x, axis=3), "axes are 0 .. 1"),
    (lambda x: dlc.max_with_indices(x, 2), "axis 2"),
    (lambda x: dlc.nanmax(x[:0]), "no elements"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])
