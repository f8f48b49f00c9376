"""dlc.evaluate of plain functions: traced with the types of the arrays."""

from __future__ import annotations

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn
from dlc.ir.graph import Node

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def scaled(x: f32["batch", 3], k: f32[()]) -> Node:
    return x * k


def test_annotated_arguments_bind_their_dimensions() -> None:
    np.testing.assert_array_equal(dlc.evaluate(scaled, X, 2.0), X * 2)
    np.testing.assert_array_equal(dlc.evaluate(scaled, k=2.0, x=X[:1]), X[:1] * 2)


def test_arguments_without_annotation_have_the_arrays_types() -> None:
    np.testing.assert_allclose(dlc.evaluate(lambda x: dlc.sin(x), X.astype(np.float64)), np.sin(X),
                               rtol=1e-6)
    assert dlc.evaluate(lambda a, b: (a + 1, b), 3, 0.5)["out0"] == np.int32(4)
    assert dlc.evaluate(dlc.grad(lambda x: x * x), 3.0) == np.float32(6)
    assert dlc.evaluate(lambda x, by=2: x.sum() * by, X) == 30


def test_a_layer_has_its_first_values() -> None:
    assert dlc.evaluate(nn.dense(4), X).shape == (2, 4)


def test_several_arrays_of_variable_count() -> None:
    np.testing.assert_array_equal(dlc.evaluate(lambda *xs: xs[0] + xs[1], X, X), 2 * X)


def test_what_does_not_fit() -> None:
    with pytest.raises(dlc.DlcError, match="shape"):
        dlc.evaluate(scaled, X[:, :2], 1.0)
    with pytest.raises(dlc.DlcError, match="dtype float64 given"):
        dlc.evaluate(scaled, X.astype(np.float64), 1.0)
    with pytest.raises(dlc.DlcError, match="scaled takes 2 arrays"):
        dlc.evaluate(scaled, X)
    with pytest.raises(dlc.DlcError, match="argument x"):
        dlc.evaluate(lambda x: x, np.array(["a"]))
    with pytest.raises(dlc.DlcError, match="give a Graph"):
        dlc.evaluate(3)


def test_a_check_that_fails_is_raised() -> None:
    def pick(x: f32[2, 3], i: i32[1]) -> Node:
        return x[i]

    with pytest.raises(dlc.DlcError, match="index out of 0"):
        dlc.evaluate(pick, X, np.array([5], np.int32))
