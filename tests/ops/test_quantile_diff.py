"""dlc.diff and computed quantiles against NumPy; what both refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32
from dlc.ir.types import Type

RNG = np.random.default_rng(8)
X = RNG.normal(size=(4, 5)).astype(np.float32)
METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]


@pytest.mark.parametrize("n", [0, 1, 2, 5, 9])
@pytest.mark.parametrize("axis", [0, -1])
def test_differences(n: int, axis: int) -> None:
    graph = dlc.trace(lambda x: dlc.diff(x, n, axis), f32[4, 5])
    want = np.diff(X, n, axis)
    assert graph.outputs[0].shape == want.shape
    np.testing.assert_allclose(dlc.evaluate(graph, X), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["i32", "u8", "bool"])
def test_differences_of_integers_with_ends(kind: str) -> None:
    type_ = Type(dlc.ir.types.dtype(kind), (2, 6))
    x = RNG.integers(0, 2 if kind == "bool" else 200, (2, 6)).astype(type_.dtype.numpy)
    one = True if kind == "bool" else 1  # an int beside bools makes i32
    graph = dlc.trace(lambda x: dlc.diff(x, 2, 1, prepend=x[:, :2], append=one), type_)
    ends = {"prepend": x[:, :2], "append": np.ones((2, 1), x.dtype)}
    np.testing.assert_array_equal(dlc.evaluate(graph, x), np.diff(x, 2, 1, **ends))


@pytest.mark.parametrize("wrong", [{"n": -1}, {"n": 1.5}, {"axis": 2}, {"n": True}])
def test_no_differences(wrong: dict[str, Any]) -> None:
    with pytest.raises(DlcError, match="diff"):
        dlc.trace(lambda x: dlc.diff(x, **wrong), f32[4, 5])
    with pytest.raises(DlcError, match="at least one axis"):
        dlc.trace(dlc.diff, f32[()])


@pytest.mark.parametrize("axis, keepdims", [(None, False), (0, True), (1, False), ((0, 1), True)])
@pytest.mark.parametrize("method", METHODS)
def test_computed_quantiles(method: str, axis: Any, keepdims: bool) -> None:
    """Of one and of several, at the elements and between them; nearest rounds half to even."""
    for q in (np.float32(0.3), np.array([0.0, 0.25, 0.5, 0.77, 1.0], np.float32)):
        graph = dlc.trace(lambda x, q: dlc.quantile(x, q, axis, keepdims, method), f32[4, 5],
                          f32[q.shape])
        found = dlc.evaluate(graph, X, q)
        assert found["fault"] == 0
        # in the dtype of x, as dlc: NumPy's f64 puts 0.77 * 19 elsewhere by a rounding
        want = np.quantile(X.astype(np.float64), q.astype(np.float64), axis, keepdims=keepdims,
                           method=method)
        np.testing.assert_allclose(found["out"], want, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_a_computed_quantile_and_a_wrong_one() -> None:
    """By q it is the gap to the next element times how many there are; NaN spoils a row."""
    graph = dlc.trace(dlc.value_and_grad(lambda q, x: dlc.quantile(x, q), wrt=(0, 1)),
                      f32[()], f32[5])
    x = np.array([3, 1, 2, 9, 5], np.float32)
    value, by_q, by_x, fault = dlc.evaluate(graph, np.float32(0.6), x).values()
    np.testing.assert_allclose(value, 3.8, rtol=1e-6)
    np.testing.assert_allclose(by_q, 8.0, rtol=1e-5)
    np.testing.assert_allclose(by_x, [0.6, 0, 0, 0, 0.4], atol=1e-6)
    assert fault == 0
    assert dlc.evaluate(graph, np.float32(1.1), x)["fault"] == 1
    assert dlc.evaluate(graph, np.float32(np.nan), x)["fault"] == 1
    x[1] = np.nan
    assert np.isnan(next(iter(dlc.evaluate(graph, np.float32(0.6), x).values())))


def test_wrong_quantiles() -> None:
    for q in (f32[2, 2], i32[2]):
        with pytest.raises(DlcError, match="q is"):
            dlc.trace(lambda x, q: dlc.quantile(x, q), f32[4], q)
    with pytest.raises(DlcError, match="method 'middle'"):
        dlc.trace(lambda x: dlc.quantile(x, 0.5, method="middle"), f32[4])
