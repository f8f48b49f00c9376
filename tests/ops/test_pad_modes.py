"""Padding in every mode against NumPy, also beyond the array's size; gradients; refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.errors import DlcError
from dlc.ir.types import Type

WIDTHS = [1, (2, 0), ((0, 0), (1, 2)), ((2, 1), (3, 3)), ((9, 4), (0, 7)), ((30, 0), (0, 33))]


@pytest.mark.parametrize("mode", ["constant", "reflect", "symmetric", "edge", "wrap"])
@pytest.mark.parametrize("width", WIDTHS, ids=str)
@pytest.mark.parametrize("shape", [(3, 4), (1, 5)], ids=str)
def test_as_numpy(shape: tuple[int, ...], width: Any, mode: str) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    graph = dlc.trace(lambda x: dlc.pad(x, width, mode=mode), Type(f32, shape))
    want = np.pad(x, width, mode=mode)  # type: ignore[call-overload]
    np.testing.assert_array_equal(dlc.evaluate(graph, x), want)


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "replicate", "circular"])
def test_compiled_with_gradient(mode: str) -> None:
    """The gradient of a sum of squares counts how often each element stands in the result."""
    x = np.arange(1.0, 13.0).reshape(3, 4)
    graph = dlc.trace(dlc.grad(lambda x: dlc.sum(dlc.pad(x, (2, 1), mode=mode) * 1.0)), f64[3, 4])
    spelled = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    places = np.pad(np.arange(12).reshape(3, 4), (2, 1), mode=spelled)  # type: ignore[call-overload]
    with dlc.compile(graph).load(threads=1) as program:
        found = program(x)
    np.testing.assert_array_equal(found, np.bincount(places.ravel()).reshape(3, 4))


def test_negative_counts_cut() -> None:
    x = np.arange(20, dtype=np.float32).reshape(4, 5)
    graph = dlc.trace(lambda x: (dlc.pad(x, (-1, 1), (0, -2), value=7.0),
                                 dlc.pad(x, ((-1, 2), (0, -3)), mode="edge")), f32[4, 5])
    first, second = dlc.evaluate(graph, x).values()
    np.testing.assert_array_equal(first, np.pad(x, ((0, 0), (1, 0)), constant_values=7)[1:, :-2])
    np.testing.assert_array_equal(second, np.pad(x, ((0, 2), (0, 0)), "edge")[1:, :-3])


@pytest.mark.parametrize(("function", "says"), [
    (lambda x: dlc.pad(x, 1, mode="mirror"), "constant, reflect"),
    (lambda x: dlc.pad(x, (1, 2, 3)), "a pair for each of 2 axes"),
    (lambda x: dlc.pad(x, 0.5), "a pair for each of 2 axes"),
    (lambda x: dlc.pad(x, (1,), (1,)), "for each of 2 axes"),
    (lambda x: dlc.pad(x, (-2, 0), (-2, 0)), "too short"),
    (lambda x: dlc.pad(x[:0], 1, mode="edge"), "no elements to repeat"),
    (lambda x: dlc.pad(x, 1, interior=(1, 1), mode="edge"), "only mode"),
])
def test_refusals(function: Callable[[Any], Any], says: str) -> None:
    with pytest.raises(DlcError, match=says):
        dlc.trace(lambda x: function(x), f32[3, 4])
