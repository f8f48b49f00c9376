"""NumPy and Python's own functions on graph values: operators work, the rest is answered."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32
from dlc.errors import DlcError

ROW = np.array([3.0, 5.0, 2.0], np.float32)


@pytest.mark.parametrize("function", [
    lambda x: ROW + x, lambda x: ROW - x, lambda x: ROW * x, lambda x: ROW / x,
    lambda x: ROW // x, lambda x: ROW % x, lambda x: ROW ** x, lambda x: ROW @ x,
    lambda x: np.where(True, 1, 2) + x, lambda x: np.float32(2) * x, lambda x: np.int32(2) - x])
def test_an_array_on_the_left(function: Callable[[Any], Any]) -> None:
    x = np.array([2.0, 0.5, 3.0], np.float32)
    graph = dlc.trace(function, f32[3])
    np.testing.assert_allclose(dlc.evaluate(graph, x), function(x), rtol=1e-6)


@pytest.mark.parametrize("compare", [operator.eq, operator.ne, operator.lt, operator.le,
                                     operator.gt, operator.ge])
def test_comparisons(compare: Callable[[Any, Any], Any]) -> None:
    x = np.array([3.0, 0.5, 9.0], np.float32)
    graph = dlc.trace(lambda x: compare(ROW, x), f32[3])
    np.testing.assert_array_equal(dlc.evaluate(graph, x), compare(ROW, x))


@pytest.mark.parametrize("function", [
    lambda x: np.int32(6) & x, lambda x: np.int32(6) | x, lambda x: np.int32(6) ^ x,
    lambda x: np.int32(6) << x, lambda x: np.int32(6) >> x])
def test_integers(function: Callable[[Any], Any]) -> None:
    x = np.array([1, 2, 3], np.int32)
    np.testing.assert_array_equal(dlc.evaluate(dlc.trace(function, i32[3]), x), function(x))


def assign(x: Any) -> Any:
    x[0] = 1
    return x


def add_in_place(x: Any) -> Any:
    total = np.zeros(3, np.float32)
    total += x
    return total


@pytest.mark.parametrize(("function", "says", "hint"), [
    (np.exp, "numpy.exp can't take a graph value", "use dlc.exp"),
    (np.abs, "numpy.absolute can't", "use dlc.abs"),
    (np.spacing, "numpy.spacing can't", "compose it"),
    (np.arctan, "numpy.arctan can't", "use dlc.atan"),
    (np.add.reduce, "numpy.add can't", "compose it"),
    (np.sum, "numpy.sum can't", "use dlc.sum"),
    (lambda x: np.concatenate([x, x]), "numpy.concatenate can't", "use dlc.concat"),
    (np.array, "no elements while the graph is built", "dlc.evaluate"),
    (lambda x: float(x[0]), "no elements", "dlc.evaluate"),
    (lambda x: ROW[x], "no elements", "dlc.take"),
    (lambda x: range(x[0]), "no elements", "dlc.take"),
    (assign, "can't be changed", "dlc.where"),
    (add_in_place, "can't be changed by a graph value", "array \\+ x"),
])
def test_what_would_need_numbers_is_refused(function: Callable[[Any], Any], says: str,
                                            hint: str) -> None:
    with pytest.raises(DlcError, match=f"{says}(.|\n)*{hint}"):
        dlc.trace(lambda x: function(x), f32[3])
