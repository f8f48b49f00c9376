"""Transformations: what once went wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64
from dlc.reference.verify import verify
from tests.everywhere import everywhere, traced

X = np.array([0.3, -1.2, 2.0])


def test_two_captured_values_without_a_name() -> None:
    """Both became inputs named `captured` of the body, which was no valid graph."""
    def f(x: Any) -> Any:
        return dlc.grad(lambda y: (y * (x * 2.0) * (x + 1.0)).sum())(x)

    graph = traced(f, X)
    verify(graph)
    np.testing.assert_allclose(everywhere(f, X), 2 * X * (X + 1))


def test_one_value_as_two_arguments() -> None:
    """The body had two inputs of one name."""
    def f(x: Any) -> Any:
        return dlc.grad(lambda a, b: (a * a * b).sum(), wrt=(0, 1))(x, x)

    out = everywhere(f, X)
    np.testing.assert_allclose(out["out0"], 2 * X * X)
    np.testing.assert_allclose(out["out1"], X * X)


def test_one_value_as_two_arguments_of_a_checkpoint() -> None:
    """Each argument has a cotangent of its own; their sum is the value's, once."""
    found = everywhere(dlc.grad(lambda x: dlc.checkpoint(lambda a, b: a * a * b)(x, x).sum()), X)
    np.testing.assert_allclose(found, 3 * X * X)


def test_a_cotangent_of_another_dtype() -> None:
    """It was taken, and the gradient was computed in a mixture of dtypes."""
    def pulled(x: Any) -> Any:
        return dlc.vjp(dlc.sin, x)[1](x.astype(f64))

    with pytest.raises(DlcError, match=r"cotangent .*f64.* for .*f32"):
        dlc.trace(pulled, f32[3])


def test_layers_of_a_wrapped_function_keep_their_names() -> None:
    """dlc.grad(f) did not see the variables that f sees: its layers were called by rank."""
    head = dlc.nn.dense(2)
    graph = dlc.trace(dlc.grad(lambda x: head(x).sum()), f32[4, 3])
    assert [v.name for v in graph.notes["variables"]] == ["head.weight", "head.bias"]
