"""torch.nn.functional's activations and losses in dlc's DSL."""

from __future__ import annotations

import math
from typing import Any

import dlc
from dlc import nn
from dlc.graph import Node
from tests.conformance.adapters.reductions import log_softmax
from tests.conformance.adapters.registry import (
    Excluded,
    add,
    axis_of,
    covers,
    reduced,
)
from tests.conformance.adapters.shapes import movedim, sliced

# --- activations ----------------------------------------------------------------------------------


def negative_part(x: Node, curve: Any) -> Node:
    """x where it is positive, curve(x) elsewhere; the curve never sees a large x."""
    return dlc.where(x > 0, x, curve(dlc.where(x > 0, 0.0, x)))


# the gradient of expm1 is y + 1, as in torch.expm1; torch.elu has a rule of its own
for names, function in {
    "elu": lambda x, alpha=1.0, **_: negative_part(x, lambda v: alpha * dlc.expm1(v)),
    "celu": lambda x, alpha=1.0, **_: negative_part(x, lambda v: alpha * dlc.expm1(v / alpha)),
    "selu": lambda x, **_: 1.0507009873554805 * negative_part(
        x, lambda v: 1.6732632423543772 * dlc.expm1(v)),
}.items():
    add(f"nn.functional.{names}", function, scale=50.0)
for names, function in {
    "relu": lambda x, **_: dlc.relu(x),
    "relu6": lambda x, **_: dlc.minimum(dlc.relu(x), 6.0),
    "leaky_relu": lambda x, negative_slope=0.01, **_: nn.leaky_relu(x, negative_slope),
    "silu": lambda x, **_: nn.silu(x), "mish": lambda x, **_: x * dlc.tanh(nn.softplus(x)),
    "softsign": lambda x: x / (1.0 + dlc.abs(x)), "tanhshrink": lambda x: x - dlc.tanh(x),
    "logsigmoid": lambda x: -nn.softplus(-x),
    "hardtanh": lambda x, min_val=-1.0, max_val=1.0, **_: dlc.where(
        x < min_val, min_val, dlc.where(x > max_val, max_val, x)),
    "hardsigmoid": lambda x, **_: dlc.where(x <= -3, 0.0, dlc.where(x >= 3, 1.0, x / 6.0 + 0.5)),
    "hardswish": lambda x, **_: dlc.where(
        x <= -3, 0.0, dlc.where(x >= 3, x, x * (x + 3.0) / 6.0)),
    "hardshrink": lambda x, lambd=0.5: dlc.where(dlc.abs(x) <= lambd, 0.0, x),
    "softshrink": lambda x, lambd=0.5: dlc.where(
        x > lambd, x - lambd, dlc.where(x < -lambd, x + lambd, x * 0.0)),
    "threshold": lambda x, threshold, value, **_: dlc.where(x <= threshold, value, x),
}.items():
    add([f"nn.functional.{name}" for name in names.split()], function)


@covers("nn.functional.gelu")
def gelu(x: Node, approximate: str = "none") -> Node:
    if approximate == "none":
        return nn.gelu(x)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
    return x * 0.5 * (1.0 + dlc.tanh(inner))


@covers("nn.functional.softplus")
def softplus(x: Node, beta: float = 1, threshold: float = 20) -> Node:
    """torch gives x itself beyond the threshold."""
    return dlc.where(x * beta > threshold, x, nn.softplus(x * beta) / beta)


@covers("nn.functional.prelu")
def prelu(x: Node, weight: Node) -> Node:
    wide = weight.reshape((-1, *(1,) * (x.ndim - 2))) if weight.size > 1 and x.ndim > 1 else weight
    wide = wide if weight.size > 1 else weight.reshape((1,) * x.ndim)
    return dlc.where(x > 0, x, wide * x)


@covers("nn.functional.glu")
def glu(x: Node, dim: int = -1) -> Node:
    half = int(x.shape[dim]) // 2
    return sliced(x, dim, slice(0, half)) * dlc.sigmoid(sliced(x, dim, slice(half, 2 * half)))


ALL = "p = 1: nn.dropout takes rates below 1"
NOISE = "training with p > 0: two libraries draw two masks"


@covers("nn.functional.dropout nn.functional.dropout2d nn.functional.dropout3d "
        "nn.functional.feature_alpha_dropout/without_train", excludes=(NOISE, ALL))
def dropout(x: Node, p: float = 0.5, training: bool = True, inplace: bool = False) -> Node:
    if training and p > 0:
        raise Excluded(NOISE)
    if p == 1:
        raise Excluded(ALL)
    return nn.dropout(p)(x)


# --- losses ---------------------------------------------------------------------------------------


def loss(name: str, each: Any, **more: Any) -> None:
    """A loss that is a function of two arrays' elements."""
    def function(x: Node, target: Node, *, reduction: str = "mean", weight: Any = None,
                 **settings: Any) -> Node:
        values = each(x, target, **settings)
        return reduced(values if weight is None else values * weight, reduction)

    add(f"nn.functional.{name}", function, excludes=more.get("excludes", ()))


def smooth_l1(x: Node, target: Node, beta: float = 1.0) -> Node:
    size = dlc.abs(x - target)
    if beta == 0:
        return size
    return dlc.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def huber(x: Node, target: Node, delta: float = 1.0) -> Node:
    size = dlc.abs(x - target)
    return dlc.where(size <= delta, 0.5 * size * size, delta * (size - 0.5 * delta))


def hinge_embedding(x: Node, target: Node, margin: float = 1.0) -> Node:
    apart = dlc.where(target != 1, dlc.maximum(margin - x, 0.0), 0.0)
    return apart + dlc.where(target != -1, x, 0.0)


def binary(x: Node, target: Node) -> Node:
    """torch limits both logarithms to -100."""
    yes, no = dlc.maximum(dlc.log(x), -100.0), dlc.maximum(dlc.log(1.0 - x), -100.0)
    return (target - 1.0) * no - target * yes


def poisson(x: Node, target: Node, log_input: bool = True, full: bool = False,
            eps: float = 1e-8) -> Node:
    values = dlc.exp(x) - target * x if log_input else x - target * dlc.log(x + eps)
    if not full:
        return values
    safe = dlc.where(target > 1, target, 1.0)
    stirling = safe * dlc.log(safe) - safe + 0.5 * dlc.log(2 * math.pi * safe)
    return values + dlc.where(target > 1, stirling, 0.0)


loss("mse_loss", lambda x, t: dlc.square(x - t))
loss("l1_loss", lambda x, t: dlc.abs(x - t))
loss("smooth_l1_loss", smooth_l1)
loss("huber_loss", huber)
loss("hinge_embedding_loss", hinge_embedding)
loss("soft_margin_loss", lambda x, t: nn.softplus(-t * x))
loss("binary_cross_entropy", binary)
loss("poisson_nll_loss", poisson)


@covers("nn.functional.binary_cross_entropy_with_logits")
def binary_with_logits(x: Node, target: Node, weight: Any = None, pos_weight: Any = None,
                       reduction: str = "mean") -> Node:
    if weight is None and pos_weight is None and reduction == "mean":
        return nn.binary_cross_entropy_with_logits(x, target)
    positive = target if pos_weight is None else target * pos_weight
    values = (1.0 - target) * x + (positive + 1.0 - target) * nn.softplus(-x)
    return reduced(values if weight is None else values * weight, reduction)


@covers("nn.functional.kl_div")
def kl_div(x: Node, target: Node, reduction: str = "mean", log_target: bool = False) -> Node:
    if log_target:
        values = dlc.exp(target) * (target - x)
    else:
        some = target > 0
        values = dlc.where(some, target * (dlc.log(dlc.where(some, target, 1.0)) - x), -x * target)
    if reduction == "batchmean":
        return dlc.sum(values) / float(x.shape[0] if x.ndim else 1)
    return reduced(values, reduction)


@covers("nn.functional.margin_ranking_loss")
def margin_ranking(a: Node, b: Node, target: Node, margin: float = 0.0,
                   reduction: str = "mean") -> Node:
    return reduced(dlc.maximum(-target * (a - b) + margin, 0.0), reduction)


@covers("nn.functional.gaussian_nll_loss")
def gaussian_nll(x: Node, target: Node, var: Node, full: bool = False, eps: float = 1e-6,
                 reduction: str = "mean") -> Node:
    if tuple(var.shape) != tuple(x.shape) and tuple(var.shape) == tuple(x.shape)[:-1]:
        var = var[..., None]
    safe = var + dlc.stop_gradient(dlc.maximum(var, eps) - var)
    values = 0.5 * (dlc.log(safe) + dlc.square(x - target) / safe)
    return reduced(values + 0.5 * math.log(2 * math.pi) if full else values, reduction)


def class_axis(x: Node) -> Node:
    """x [C], [N, C] or [N, C, S...] with the classes last."""
    return x if x.ndim < 2 else movedim(x, 1, -1)


def chosen_loss(scores: Node, target: Node, weight: Any, ignore: int, reduction: str) -> Node:
    """-scores[target] weighted, scores [..., C]; the mean is over the weights that count."""
    counts = dlc.cast(target != ignore, scores.dtype)
    place = dlc.where(target == ignore, 0, target)
    classes = int(scores.shape[-1])
    values = -dlc.sum(scores * dlc.one_hot(place, classes, scores.dtype), -1)
    share = counts if weight is None else counts * dlc.take(weight, place)
    values = dlc.where(target == ignore, 0.0, values * share)
    if reduction == "mean":
        return dlc.sum(values) / dlc.sum(share)
    return reduced(values, reduction)


@covers("nn.functional.nll_loss")
def nll_loss(x: Node, target: Node, weight: Any = None, ignore_index: int = -100,
             reduction: str = "mean") -> Node:
    return chosen_loss(class_axis(x), target, weight, ignore_index, reduction)


@covers("nn.functional.cross_entropy")
def cross_entropy(x: Node, target: Node, weight: Any = None, ignore_index: int = -100,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Node:
    """nn.cross_entropy where it says the same; weights and spread targets written out."""
    rows = class_axis(x)
    plain = weight is None and ignore_index == -100 and reduction == "mean"
    if target.dtype.is_integer and plain and tuple(target.shape) == tuple(rows.shape[:-1]):
        return nn.cross_entropy(rows, target, label_smoothing)
    logs = log_softmax(rows, -1)
    scaled = logs if weight is None else logs * weight
    if target.dtype.is_float:
        spread = class_axis(target) * (1 - label_smoothing) + label_smoothing / rows.shape[-1]
        values = -dlc.sum(scaled * spread, -1)
        count = max(1, values.size)
        return dlc.sum(values) / float(count) if reduction == "mean" else reduced(values, reduction)
    hard = chosen_loss(logs, target, weight, ignore_index, reduction)
    if not label_smoothing:
        return hard
    counts = target != ignore_index
    smooth = dlc.where(counts, -dlc.sum(scaled, -1), 0.0)
    if reduction == "mean":
        place = dlc.where(counts, target, 0)
        one = dlc.cast(counts, rows.dtype)
        share = one if weight is None else one * dlc.take(weight, place)
        soft = dlc.sum(smooth) / dlc.sum(share)
    else:
        soft = reduced(smooth, reduction)
    return hard * (1 - label_smoothing) + soft * (label_smoothing / rows.shape[-1])


# --- distances ------------------------------------------------------------------------------------


@covers("nn.functional.cosine_similarity")
def cosine_similarity(a: Node, b: Node, dim: int = 1, eps: float = 1e-8) -> Node:
    if a.ndim == b.ndim == 0:
        return cosine_similarity(a.reshape((1,)), b.reshape((1,)), 0, eps)
    shape = (a + b).shape
    a, b = dlc.broadcast_to(a, shape), dlc.broadcast_to(b, shape)

    def unit(x: Node) -> Node:
        size = dlc.sqrt(dlc.sum(x * x, axis_of(a, dim), keepdims=True))
        return x / dlc.maximum(size, eps)

    return dlc.sum(unit(a) * unit(b), axis_of(a, dim))
