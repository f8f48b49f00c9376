"""What the comparison with PyTorch and JAX found in dlc, each named after what went wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, nn


def value(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """What `function` gives for arrays, through the evaluator."""
    types = [dlc.Type(dlc.asarray(a).dtype, a.shape) for a in arrays]
    return dlc.evaluate(dlc.trace(function, *types), *arrays)


@pytest.mark.parametrize("offset", [0.0, 600.0, 1e4])
def test_log_softmax_far_from_zero(offset: float, rng: np.random.Generator) -> None:
    """x - logsumexp(x) lost 1e-2 of the result at scores near 10,000."""
    x = (rng.normal(size=(64, 10)) * 3 + offset).astype(np.float32)
    wide = x.astype(np.float64) - x.max(1, keepdims=True)
    exact = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    np.testing.assert_allclose(value(nn.log_softmax, x), exact, rtol=1e-6)
    np.testing.assert_allclose(value(nn.softmax, x), np.exp(exact), rtol=3e-6)


def test_softmax_over_no_elements() -> None:
    assert value(nn.softmax, np.zeros((5, 0), np.float32)).shape == (5, 0)


def test_any_and_all_of_nothing() -> None:
    """Refused once; NumPy says False and True."""
    none = np.zeros((3, 0), np.bool_)
    assert value(lambda x: dlc.any(x, 1), none).tolist() == [False] * 3
    assert value(lambda x: dlc.all(x, 1, keepdims=True), none).tolist() == [[True]] * 3
    assert value(lambda x: dlc.any(x, 0), none).shape == (0,)
    with pytest.raises(DlcError, match="needs bool"):
        dlc.trace(lambda x: dlc.any(x), f32[3])


def test_taking_nothing() -> None:
    """An empty index from data: its range check was a maximum over nothing."""
    found = value(dlc.take, np.zeros((3, 2), np.float32), np.zeros(0, np.int32))
    assert found["out"].shape == (0, 2) and found["fault"] == 0


def test_first_of_ties_over_no_axes() -> None:
    """The gradient of max(x, axis=(), ties="first") was an error about None."""
    slope = dlc.grad(lambda x: dlc.max(x, (), ties="first").sum())
    assert value(slope, np.array([2.0, 3.0], np.float32)).tolist() == [1.0, 1.0]


def test_numpy_ints_as_attributes() -> None:
    """np.int64 axes reached the Program, which can't hold them."""
    graph = dlc.trace(lambda x: dlc.transpose(x, np.argsort([1, 0])) + 1.0, f32[2, 3])
    assert {type(a) for n in graph.nodes() for a in n.attrs.get("axes", ())} == {int}
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with dlc.compile(graph).load(threads=1) as program:
        np.testing.assert_array_equal(program(x), x.T + 1)


def test_slice_bounds_that_are_no_ints() -> None:
    """x[:1.5] was a TypeError from inside."""
    with pytest.raises(DlcError, match="axis 0"):
        dlc.trace(lambda x: x[:1.5], f32[3])  # type: ignore[misc]


@pytest.mark.parametrize("pool", [nn.max_pool, nn.avg_pool])
def test_padding_that_hides_a_window(pool: Callable[..., Any]) -> None:
    """A maximum over padding alone would be -inf."""
    with pytest.raises(DlcError, match="hides a whole window of 2"):
        dlc.trace(lambda x: pool(2, 2, padding=2)(x), f32[1, 1, 8])


def test_relu_of_nan() -> None:
    """relu gave 0 for NaN: a network that diverged looked dead instead."""
    x = np.array([np.nan, -1.0, 0.0, 2.0], np.float32)
    np.testing.assert_array_equal(value(dlc.relu, x), [np.nan, 0, 0, 2])
    slope = dlc.grad(lambda x: dlc.relu(x).sum())
    np.testing.assert_array_equal(value(slope, x), [1, 0, 0, 1])
