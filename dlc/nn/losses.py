"""Losses and metrics: means over the batch, as float scalars."""

from __future__ import annotations

from typing import Any

from dlc.errors import DlcError, here
from dlc.graph import Node, current_build, describe
from dlc.names import name_locals
from dlc.nn import checks
from dlc.nn.functions import softplus
from dlc.ops import elementwise, gather, leaf, reduce
from dlc.ops.convert import as_node, cast
from dlc.types import f32


def _remember(prediction: Node, target: Node) -> None:
    """The first loss over a data input says what the network predicts: reports show it."""
    build = current_build()
    scope = build.notes.get("scope") if build is not None else None
    if scope is None or scope.prediction is not None:
        return
    if target.op is leaf.INPUT and target.attrs["role"] == "data":
        scope.prediction = (prediction, target)


def cross_entropy(logits: Any, label: Any, smoothing: float = 0.0) -> Node:
    """Mean of -log softmax(logits)[label]: logits [..., classes], label [...] of class numbers.

    With `smoothing` s the target is 1 - s on the label plus s / classes everywhere (Szegedy et al.
    2016). A label outside 0 .. classes-1 stops the run after the step. Raises DlcError for labels
    that are no integers or do not fit the logits.
    """
    checks.fraction("cross_entropy", smoothing=smoothing)
    x, y = as_node(logits), as_node(label)
    checks.labels("cross_entropy", y, x)
    _remember(x, y)
    classes = int(x.shape[-1])
    target = gather.one_hot(y, classes, x.dtype)
    chosen = reduce.sum_(x * target, -1)
    if smoothing:
        chosen = chosen * (1.0 - smoothing) + reduce.mean(x, -1) * smoothing
    log_total = reduce.logsumexp(x, -1)
    name_locals({"target": target, "chosen": chosen, "log_total": log_total})
    return reduce.mean(log_total - chosen)


def binary_cross_entropy_with_logits(logits: Any, target: Any) -> Node:
    """Mean of -t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), without overflow; equal shapes."""
    x = as_node(logits)
    t = as_node(target, x.dtype)
    checks.same_shape("binary_cross_entropy_with_logits", x, t)
    _remember(x, t)
    return reduce.mean(softplus(x) - x * cast(t, x.dtype))


def mse(prediction: Any, target: Any) -> Node:
    """Mean squared error of two arrays of one shape."""
    x, t = as_node(prediction), as_node(target)
    checks.same_shape("mse", x, t)
    _remember(x, t)
    error = x - t
    return reduce.mean(error * error)


def mae(prediction: Any, target: Any) -> Node:
    """Mean absolute error of two arrays of one shape."""
    x, t = as_node(prediction), as_node(target)
    checks.same_shape("mae", x, t)
    _remember(x, t)
    return reduce.mean(elementwise.abs_(x - t))


def accuracy(logits: Any, label: Any) -> Node:
    """The share of rows whose largest logit is the label: [..., classes] and [...]."""
    x, y = as_node(logits), as_node(label)
    checks.labels("accuracy", y, x)
    return reduce.mean(cast(elementwise.eq(cast(reduce.argmax(x, -1), y.dtype), y), f32))


def binary_accuracy(logits: Any, target: Any, threshold: float = 0.0) -> Node:
    """The share of elements on the target's side: logit > threshold against target > 0.5."""
    x, t = as_node(logits), as_node(target)
    checks.same_shape("binary_accuracy", x, t)
    if not t.dtype.is_float:
        raise DlcError(f"binary_accuracy: the target is {describe(t)}", here(),
                       "targets are floats 0.0 and 1.0")
    return reduce.mean(cast(elementwise.eq(x > threshold, t > 0.5), f32))
