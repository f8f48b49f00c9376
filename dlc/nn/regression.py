"""Losses of values beyond squares and sizes: relative, logarithmic, of quantiles; and Dice's."""

from __future__ import annotations

import math
from typing import Any

from dlc.ir.graph import Node
from dlc.nn import checks
from dlc.nn.functions import softplus
from dlc.nn.losses import paired, reduced
from dlc.ops import elementwise, reduce
from dlc.ops.convert import in_accumulator


@in_accumulator
def mape(prediction: Any, target: Any, eps: float = 1e-7, reduction: str = "mean") -> Node:
    """Absolute error in percent of the target: 100 |x - t| / max(|t|, eps), as in Keras."""
    checks.number("mape", 0, eps=eps)
    x, t = paired("mape", prediction, target, reduction)
    size = elementwise.maximum(elementwise.abs_(t), eps)
    return reduced(elementwise.abs_(x - t) / size * 100.0, reduction)


@in_accumulator
def msle(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """Squared error of logarithms, (log(1 + x) - log(1 + t))^2, where what is below 0 counts as 0:
    the same for a tenth too much whatever the size."""
    x, t = paired("msle", prediction, target, reduction)
    error = elementwise.log1p(elementwise.relu(x)) - elementwise.log1p(elementwise.relu(t))
    return reduced(error * error, reduction)


@in_accumulator
def log_cosh(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """log(cosh(x - t)): half the square of small errors, the size less log 2 of large ones."""
    x, t = paired("log_cosh", prediction, target, reduction)
    error = elementwise.abs_(x - t)
    return reduced(error + softplus(error * -2.0) - math.log(2.0), reduction)


@in_accumulator
def quantile(prediction: Any, target: Any, q: float = 0.5, reduction: str = "mean") -> Node:
    """max(q e, (q - 1) e) of the errors e = t - x: least where the prediction is the q-quantile of
    the targets (Koenker and Bassett 1978)."""
    checks.fraction("quantile", q=q)
    x, t = paired("quantile", prediction, target, reduction)
    error = t - x
    return reduced(elementwise.where(error > 0, error * q, error * (q - 1.0)), reduction)


@in_accumulator
def dice(probability: Any, target: Any, smooth: float = 1.0, reduction: str = "mean") -> Node:
    """1 - (2 sum p t + smooth) / (sum p + sum t + smooth) of each sample [N, ...] (Milletari et al.
    2016): how little what was found and what is there overlap."""
    checks.number("dice", smooth=smooth)
    p, t = paired("dice", probability, target, reduction)
    checks.rank(p, 1, "[batch, ...]")
    axes = tuple(range(1, p.ndim))
    both = reduce.sum_(p * t, axes) * 2.0 + smooth
    return reduced(1.0 - both / (reduce.sum_(p, axes) + reduce.sum_(t, axes) + smooth), reduction)
