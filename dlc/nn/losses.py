"""Losses of values and probabilities; what they share: the mean, the sum, or one of each element.

Every loss takes `reduction`: "mean" (a scalar), "sum" (a scalar) or "none" (the losses themselves).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, current_build, describe
from dlc.ir.types import bool_, f32
from dlc.lang.array import elementwise_functions, rearrange
from dlc.lang.gradient_rules import custom_gradient
from dlc.lang.names import name_locals
from dlc.nn import checks
from dlc.nn.functions import log_softmax, softplus
from dlc.ops import elementwise, gather, leaf, reduce, view
from dlc.ops.convert import as_node, as_nodes, cast, in_accumulator

REDUCTIONS = ("mean", "sum", "none")


def remember(prediction: Node, target: Node, loss: str) -> None:
    """The first loss over a data input says what the network predicts: reports show it."""
    prediction, target = _in_rows(_as_given(prediction), _as_given(target))
    build = current_build()
    scope = build.notes.get("scope") if build is not None else None
    if scope is None or scope.prediction is not None:
        return
    if target.op is leaf.INPUT and target.attrs["role"] == "data":
        scope.prediction = (prediction, target, loss)


def _as_given(x: Node) -> Node:
    """What a loss was given, before its f16 or bf16 became f32."""
    return x.args[0] if x.op is elementwise.CAST and x.dtype is f32 else x


def _in_rows(prediction: Node, target: Node) -> tuple[Node, Node]:
    """Both before a reshape of the target: rows flattened for the loss are rows again."""
    while target.op is view.RESHAPE:
        target = target.args[0]
    while (prediction.op is view.RESHAPE and target.ndim
           and prediction.shape[:1] != target.shape[:1]):
        prediction = prediction.args[0]
    return prediction, target


def paired(name: str, prediction: Any, target: Any, reduction: str) -> tuple[Node, Node]:
    """A loss's operands as floats of one shape and dtype. Raises DlcError where they are not."""
    checks.one_of(name, "reduction", reduction, REDUCTIONS)
    x, t = as_nodes(prediction, target)
    if not x.dtype.is_float:
        raise DlcError(f"{name}: the prediction is {describe(x)}", here(),
                       "it must hold floats: cast it, e.g. x.cast(f32)")
    checks.same_shape(name, x, t)
    remember(x, t, name)
    return x, t if t.dtype.is_float else cast(t, x.dtype)


def scores_and_labels(scores: Any, label: Any, weight: Any) -> tuple[Node, Node, Node | None]:
    """Scores, labels and weights of classes. Labels are class numbers, or distributions: those are
    floats beside the others."""
    y = as_node(label)
    floats = [scores, *(() if weight is None else (weight,))]
    if y.dtype.is_float:
        x, y, *scale = as_nodes(scores, label, *floats[1:])
    else:
        x, *scale = as_nodes(*floats)
    return x, y, scale[0] if scale else None


def reduced(values: Node, reduction: str) -> Node:
    """The losses themselves, their mean or their sum."""
    if reduction == "none":
        return values
    return reduce.mean(values) if reduction == "mean" else reduce.sum_(values)


# --- values ---------------------------------------------------------------------------------------


@in_accumulator
def mse(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """Squared error of two arrays of one shape."""
    x, t = paired("mse", prediction, target, reduction)
    error = x - t
    return reduced(error * error, reduction)


@in_accumulator
def mae(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """Absolute error of two arrays of one shape."""
    x, t = paired("mae", prediction, target, reduction)
    return reduced(elementwise.abs_(x - t), reduction)


@in_accumulator
def huber(prediction: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Node:
    """e^2 / 2 for errors |e| up to delta, delta (|e| - delta / 2) beyond (Huber 1964)."""
    checks.number("huber", 0, delta=delta)
    x, t = paired("huber", prediction, target, reduction)
    size = elementwise.abs_(x - t)
    small = size <= delta
    # of an infinite error no square is taken: its slope times 0 would be NaN
    near = elementwise.where(small, size, 0.0)
    far = (size - 0.5 * delta) * delta
    return reduced(elementwise.where(small, 0.5 * near * near, far), reduction)


@in_accumulator
def smooth_l1(prediction: Any, target: Any, beta: float = 1.0, reduction: str = "mean") -> Node:
    """huber of delta = beta, divided by beta: slope 1 far away (Girshick 2015, eq. 3).

    beta = 0 is mae.
    """
    if beta == 0:
        return mae(prediction, target, reduction)
    checks.number("smooth_l1", 0, beta=beta)
    return huber(prediction, target, beta, reduction) * (1.0 / beta)


@in_accumulator
def poisson_nll(prediction: Any, target: Any, log_input: bool = True, full: bool = False,
                eps: float = 1e-8, reduction: str = "mean") -> Node:
    """-log of the Poisson probability of counts: the prediction is the logarithm of the rate (or
    the rate, log_input=False); `full` adds Stirling's approximation of log target!."""
    x, t = paired("poisson_nll", prediction, target, reduction)
    values = elementwise.exp(x) - t * x if log_input else x - t * elementwise.log(x + eps)
    if full:
        many = elementwise.where(t > 1, t, 1.0)
        stirling = many * elementwise.log(many) - many + 0.5 * elementwise.log(2 * math.pi * many)
        values = values + elementwise.where(t > 1, stirling, 0.0)
    return reduced(values, reduction)


@in_accumulator
def gaussian_nll(prediction: Any, target: Any, variance: Any, full: bool = False,
                 eps: float = 1e-6, reduction: str = "mean") -> Node:
    """-log of the normal density (Nix and Weigend 1994): (log v + (x - t)^2 / v) / 2.

    `variance` broadcasts to the prediction; below `eps` it counts as eps, its gradient as if it did
    not. `full` adds log(2 pi) / 2.
    """
    checks.number("gaussian_nll", 0, eps=eps)
    x, t = paired("gaussian_nll", prediction, target, reduction)
    v = as_node(variance, x.dtype)
    safe = v + elementwise.stop_gradient(elementwise.maximum(v, eps) - v)
    values = 0.5 * (elementwise.log(safe) + elementwise.square(x - t) / safe)
    return reduced(values + 0.5 * math.log(2 * math.pi) if full else values, reduction)


# --- probabilities --------------------------------------------------------------------------------


@in_accumulator
def cross_entropy(logits: Any, label: Any, smoothing: float = 0.0, weight: Any = None,
                  ignore: int | None = None, reduction: str = "mean") -> Node:
    """-log softmax(logits)[label]: logits [..., classes], label [...] of class numbers.

    Or label [..., classes] of floats: a distribution for each row. With `smoothing` s the target
    is 1 - s on the label plus s / classes everywhere (Szegedy et al. 2016). `weight` [classes]
    counts classes more or less, rows labelled `ignore` do not count; the mean is over the weights.
    A label outside 0 .. classes-1 stops the run after the step. Raises DlcError for labels that
    are not integers or do not fit the logits.
    """
    checks.fraction("cross_entropy", smoothing=smoothing)
    checks.one_of("cross_entropy", "reduction", reduction, REDUCTIONS)
    x, y, weight = scores_and_labels(logits, label, weight)
    if y.dtype.is_float and x.ndim and tuple(y.shape) == tuple(x.shape):
        return _soft_cross_entropy(x, y, smoothing, weight, reduction)
    checks.labels("cross_entropy", y, x)
    remember(x, y, "cross_entropy")
    if weight is not None or ignore is not None:
        scores = log_softmax(x if ignore is None else _counted(x, y, ignore))
        return _weighted_nll("cross_entropy", scores, y, smoothing, weight, ignore, reduction)
    target = gather.one_hot(y, int(x.shape[-1]), bool_)
    chosen = _chosen(x, target)
    if smoothing:
        chosen = chosen * (1.0 - smoothing) + reduce.mean(x, -1) * smoothing
    log_total = reduce.logsumexp(x, -1)
    name_locals({"target": target, "chosen": chosen, "log_total": log_total})
    return reduced(log_total - chosen, reduction)


def _chosen(x: Node, target: Node) -> Node:
    """The element of each row that `target` marks; the others may be infinite."""
    return reduce.sum_(elementwise.where(target, x, 0.0), -1)


def _counted(x: Node, label: Node, ignore: int) -> Node:
    """Zeros for the rows that do not count: what they hold reaches neither value nor gradient."""
    return elementwise.where(rearrange.expand_dims(label != ignore, -1), x, 0.0)


def _soft_cross_entropy(x: Node, target: Node, smoothing: float, weight: Any,
                        reduction: str) -> Node:
    """Rows of targets that are distributions."""
    classes = int(x.shape[-1])
    remember(x, target, "cross_entropy")
    scores = log_softmax(x)
    if weight is not None:
        checks.per_class("cross_entropy", "weight", weight, classes)
        scores = scores * weight
    spread = target * (1.0 - smoothing) + smoothing / max(1, classes) if smoothing else target
    return reduced(-reduce.sum_(scores * spread, -1), reduction)


@in_accumulator
def nll(scores: Any, label: Any, weight: Any = None, ignore: int | None = None,
        reduction: str = "mean") -> Node:
    """-scores[label] for logarithms of probabilities [..., classes] and labels [...].

    `weight`, `ignore` and errors as in cross_entropy, which is nll of log_softmax.
    """
    checks.one_of("nll", "reduction", reduction, REDUCTIONS)
    x, y, weight = scores_and_labels(scores, label, weight)
    checks.labels("nll", y, x)
    remember(x, y, "nll")
    x = x if ignore is None else _counted(x, y, ignore)
    return _weighted_nll("nll", x, y, 0.0, weight, ignore, reduction)


def _weighted_nll(name: str, scores: Node, label: Node, smoothing: float, weight: Any,
                  ignore: int | None, reduction: str) -> Node:
    """-scores[label], a share of it spread over all classes, weighted; without ignored rows."""
    classes = int(scores.shape[-1])
    place = label if ignore is None else elementwise.where(label != ignore, label, 0)
    share = None if ignore is None else cast(label != ignore, scores.dtype)
    values, spread = -_chosen(scores, gather.one_hot(place, classes, bool_)), scores
    if weight is not None:
        checks.per_class(name, "weight", weight, classes)
        own = gather.take(weight, place, mode="clip")
        values, spread = values * own, scores * weight
        share = own if share is None else share * own
    if smoothing:
        mean = reduce.sum_(spread, -1) * (smoothing / max(1, classes))
        values = values * (1.0 - smoothing) - mean
    if ignore is not None:
        values = elementwise.where(label != ignore, values, 0.0)
    if reduction == "mean" and share is not None:
        return reduce.sum_(values) / reduce.sum_(share)
    return reduced(values, reduction)


@in_accumulator
def binary_cross_entropy(prediction: Any, target: Any, weight: Any = None,
                         reduction: str = "mean") -> Node:
    """-t log p - (1 - t) log(1 - p) for probabilities p; logarithms below -100 count as -100.

    The gradient (p - t) / (p (1 - p)) is limited by a denominator of 1e-12 at p = 0 and 1, as in
    PyTorch. From logits binary_cross_entropy_with_logits is exact. `weight` broadcasts to the
    prediction.
    """
    p, t = paired("binary_cross_entropy", prediction, target, reduction)
    values = _log_loss(p, t)
    return reduced(values if weight is None else values * as_node(weight, p.dtype), reduction)


@custom_gradient
def _log_loss(p: Node, t: Node) -> tuple[Node, Callable[[Node], tuple[Node, Node]]]:
    """The cross entropy of probabilities, with PyTorch's derivatives at 0 and 1."""
    yes = elementwise.maximum(elementwise.log(p), -100.0)
    no = elementwise.maximum(elementwise.log(1.0 - p), -100.0)
    return (t - 1.0) * no - t * yes, lambda g: (g * _log_loss_slope(p, t), g * (no - yes))


@custom_gradient
def _log_loss_slope(p: Node, t: Node) -> tuple[Node, Callable[[Node], tuple[Node, Node]]]:
    """The derivative of _log_loss by p; its own by p is (t - 2 p t + p^2) / (p^2 (1 - p)^2)."""
    wide = elementwise.maximum(p * (1.0 - p), 1e-12)

    def pullback(g: Node) -> tuple[Node, Node]:
        return g * (t - 2.0 * p * t + p * p) / wide / wide, -g / wide

    return (p - t) / wide, pullback


@in_accumulator
def binary_cross_entropy_with_logits(logits: Any, target: Any, weight: Any = None,
                                     positive_weight: Any = None,
                                     reduction: str = "mean") -> Node:
    """-w t log sigmoid(x) - (1 - t) log(1 - sigmoid(x)), without overflow; equal shapes.

    `positive_weight` w (1 unless told) and `weight`, a factor of the loss, broadcast to x.
    """
    x, t = paired("binary_cross_entropy_with_logits", logits, target, reduction)
    if positive_weight is None:
        values = softplus(x) - x * t
    else:
        positive = t * as_node(positive_weight, x.dtype)
        values = (1.0 - t) * x + (positive + 1.0 - t) * softplus(-x)
    return reduced(values if weight is None else values * as_node(weight, x.dtype), reduction)


@in_accumulator
def focal(logits: Any, target: Any, gamma: float = 2.0, alpha: float | None = 0.25,
          reduction: str = "mean") -> Node:
    """Binary cross entropy times (1 - p_t)^gamma: easy examples count less (Lin et al. 2017).

    p_t is the probability of the target; `alpha` weighs positives, 1 - alpha negatives.
    """
    checks.number("focal", gamma=gamma)
    x, t = paired("focal", logits, target, reduction)
    p = elementwise.sigmoid(x)
    wrong = p + t - 2.0 * p * t
    values = (softplus(x) - x * t) * elementwise.power(wrong, float(gamma))
    if alpha is not None:
        checks.number("focal", alpha=alpha)
        values = values * (t * (2.0 * alpha - 1.0) + (1.0 - alpha))
    return reduced(values, reduction)


@in_accumulator
def kl_div(log_prediction: Any, target: Any, log_target: bool = False,
           reduction: str = "mean") -> Node:
    """Terms t (log t - x) of the divergence from prediction e ** x to target t (Kullback 1951).

    The target holds probabilities, or their logarithms. "mean" is over all elements: the divergence
    itself is the "sum" of a row.
    """
    x, t = paired("kl_div", log_prediction, target, reduction)
    if log_target:
        return reduced(elementwise.exp(t) * (t - x), reduction)
    return reduced(elementwise_functions.xlogy(t, t) - t * x, reduction)
