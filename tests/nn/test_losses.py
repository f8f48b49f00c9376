"""Losses, metrics and activations against NumPy, at ordinary and at extreme values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn


def value(function: Any, *arrays: Any) -> Any:
    kinds = {"f": f32, "i": i32}
    graph = dlc.trace(function, *(kinds[a.dtype.kind][a.shape] for a in arrays))
    out = dlc.evaluate(graph, *arrays)
    return out["out"] if isinstance(out, dict) else out


def log_softmax(x: Any) -> Any:
    x = x.astype(np.float64) - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_cross_entropy(rng: np.random.Generator, scale: float) -> None:
    x = (rng.normal(size=(8, 5)) * scale).astype(np.float32)
    y = rng.integers(0, 5, 8).astype(np.int32)
    expected = -log_softmax(x)[np.arange(8), y].mean()
    np.testing.assert_allclose(value(nn.cross_entropy, x, y), expected, rtol=1e-5)


def test_cross_entropy_of_sequences(rng: np.random.Generator) -> None:
    x = rng.normal(size=(2, 3, 5)).astype(np.float32)
    y = rng.integers(0, 5, (2, 3)).astype(np.int32)
    expected = -np.take_along_axis(log_softmax(x), y[..., None], -1).mean()
    np.testing.assert_allclose(value(nn.cross_entropy, x, y), expected, rtol=1e-5)


def test_label_smoothing(rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 5)).astype(np.float32)
    y = rng.integers(0, 5, 8).astype(np.int32)
    target = np.eye(5)[y] * 0.9 + 0.1 / 5
    expected = -(target * log_softmax(x)).sum(-1).mean()
    found = value(lambda x, y: nn.cross_entropy(x, y, smoothing=0.1), x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_gradient_of_cross_entropy_is_softmax_minus_target(rng: np.random.Generator) -> None:
    x = rng.normal(size=(8, 5)).astype(np.float32)
    y = rng.integers(0, 5, 8).astype(np.int32)
    expected = (np.exp(log_softmax(x)) - np.eye(5)[y]) / 8
    found = value(dlc.grad(nn.cross_entropy), x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_binary_cross_entropy() -> None:
    x = np.array([-200.0, -3.0, 0.0, 2.0, 200.0], np.float32)
    t = np.array([0.0, 1.0, 0.5, 0.0, 1.0], np.float32)
    expected = (0 + math.log1p(math.exp(3)) + math.log(2) + math.log1p(math.exp(2)) + 0) / 5
    found = value(nn.binary_cross_entropy_with_logits, x, t)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    slope = value(dlc.grad(nn.binary_cross_entropy_with_logits), x, t)
    np.testing.assert_allclose(slope, (1 / (1 + np.exp(-x.astype(float))) - t) / 5, atol=1e-7)


def test_mse_and_mae(rng: np.random.Generator) -> None:
    a, b = (rng.normal(size=(4, 3)).astype(np.float32) for _ in range(2))
    np.testing.assert_allclose(value(nn.mse, a, b), ((a - b) ** 2).mean(), rtol=1e-5)
    np.testing.assert_allclose(value(nn.mae, a, b), np.abs(a - b).mean(), rtol=1e-5)


def test_accuracies() -> None:
    logits = np.array([[1, 3, 2], [5, 0, 1], [0, 0, 9], [2, 2, 1]], np.float32)
    assert value(nn.accuracy, logits, np.array([1, 2, 2, 0], np.int32)) == 0.75
    sides = np.array([-1.0, 2.0, 0.5, -0.5], np.float32)
    assert value(nn.binary_accuracy, sides, np.array([0, 1, 0, 0], np.float32)) == 0.75


@pytest.mark.parametrize(("function", "reference"), [
    (nn.relu, lambda x: max(x, 0.0)),
    (nn.leaky_relu, lambda x: x if x > 0 else 0.01 * x),
    (nn.gelu, lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2)))),
    (nn.silu, lambda x: x / (1 + math.exp(-x))),
    (nn.softplus, lambda x: max(x, 0.0) + math.log1p(math.exp(-abs(x)))),
    (nn.sigmoid, lambda x: 1 / (1 + math.exp(-x))),
    (nn.tanh, math.tanh)], ids=lambda f: getattr(f, "__name__", "reference"))
def test_activations(function: Any, reference: Any) -> None:
    x = np.array([-30.0, -2.0, -0.5, 0.0, 0.5, 2.0, 30.0], np.float32)
    expected = [reference(float(v)) for v in x]
    np.testing.assert_allclose(value(function, x), expected, rtol=1e-5, atol=1e-7)


def test_softmax_sums_to_one_and_does_not_overflow() -> None:
    x = np.array([[1000.0, 0.0, -1000.0], [1.0, 2.0, 3.0]], np.float32)
    p = value(nn.softmax, x)
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(value(nn.log_softmax, x), log_softmax(x), rtol=1e-6)
    columns = value(lambda x: nn.softmax(x, axis=0), x)
    np.testing.assert_allclose(columns.sum(0), 1, rtol=1e-6)


def test_labels_that_are_no_class_numbers_are_refused() -> None:
    for label in (f32[4], dlc.u8[4], dlc.bool_[4], i32[5]):
        with pytest.raises(DlcError, match="label"):
            dlc.trace(nn.cross_entropy, f32[4, 3], label)
