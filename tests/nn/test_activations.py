"""Activations: values against their formulas in f64, slopes by differences, large operands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, f64
from dlc.nn import activations as a

X = np.array([-9.0, -3.01, -1.2, -0.6, -0.3, 0.2, 0.45, 0.7, 1.3, 2.9, 5.5, 8.0])


def soft(x: Any) -> Any:
    return np.log1p(np.exp(x))


FORMULAS: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "elu": (lambda x: a.elu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    "celu": (lambda x: a.celu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7))),
    "selu": (a.selu, lambda x: 1.0507009873554805 * np.where(
        x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "mish": (a.mish, lambda x: x * np.tanh(soft(x))),
    "gelu_tanh": (a.gelu_tanh, lambda x: 0.5 * x * (1 + np.tanh(
        math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    "quick_gelu": (a.quick_gelu, lambda x: x / (1 + np.exp(-1.702 * x))),
    "relu6": (a.relu6, lambda x: np.clip(x, 0, 6)),
    "relu_squared": (a.relu_squared, lambda x: np.maximum(x, 0) ** 2),
    "hard_tanh": (lambda x: a.hard_tanh(x, -2, 1), lambda x: np.clip(x, -2, 1)),
    "hard_sigmoid": (a.hard_sigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "hard_swish": (a.hard_swish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "softsign": (a.softsign, lambda x: x / (1 + np.abs(x))),
    "lecun_tanh": (a.lecun_tanh, lambda x: 1.7159 * np.tanh(2 * x / 3)),
    "tanh_shrink": (a.tanh_shrink, lambda x: x - np.tanh(x)),
    "soft_shrink": (a.soft_shrink, lambda x: np.sign(x) * np.maximum(np.abs(x) - 0.5, 0)),
    "hard_shrink": (a.hard_shrink, lambda x: np.where(np.abs(x) > 0.5, x, 0)),
    "threshold": (lambda x: a.threshold(x, 0.3, 7.0), lambda x: np.where(x > 0.3, x, 7.0)),
    "log_sigmoid": (a.log_sigmoid, lambda x: -soft(-x)),
    "softplus": (a.softplus, soft),
}


def run(function: Callable[..., Any], x: Any) -> Any:
    kind = {8: f64, 4: f32}[x.itemsize]
    return dlc.evaluate(dlc.trace(function, kind[len(x)]), x)


def test_every_activation_is_tested() -> None:
    assert set(FORMULAS) == set(a.__all__)


@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_slopes(name: str) -> None:
    function, formula = FORMULAS[name]
    np.testing.assert_allclose(run(function, X), formula(X), rtol=1e-13, atol=1e-15)
    slope = run(dlc.grad(lambda x: function(x).sum()), X)
    step = 1e-6
    np.testing.assert_allclose(slope, (formula(X + step) - formula(X - step)) / (2 * step),
                               rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", FORMULAS)
def test_large_operands_and_nan(name: str) -> None:
    """No overflow on the way, neither of the value nor of the slope; NaN stays."""
    function, _ = FORMULAS[name]
    x = np.array([-1e30, 1e30, -200.0, 200.0], np.float32)
    if name in ("gelu_tanh", "relu_squared"):
        x = x[2:]  # their cube and square themselves leave f32
    assert np.isfinite(run(function, x)).all()
    assert np.isfinite(run(dlc.grad(lambda x: function(x).sum()), x)).all()
    assert np.isnan(run(function, np.array([np.nan], np.float32))).all()
