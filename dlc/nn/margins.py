"""Losses of margins and distances: hinges, pairs, triplets, contrast."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import bool_, i32
from dlc.lang.array import elementwise_functions, rearrange, statistics
from dlc.nn import checks
from dlc.nn.activations import log_sigmoid
from dlc.nn.functions import softplus
from dlc.nn.losses import REDUCTIONS, cross_entropy, paired, reduced, scores_and_labels
from dlc.ops import elementwise, gather, leaf, reduce
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node, as_nodes, cast, in_accumulator
from dlc.ops.cumulative import cumsum

# --- signs and classes ----------------------------------------------------------------------------


@in_accumulator
def hinge(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """max(0, 1 - t x) for targets t of -1 and 1 (Cortes and Vapnik 1995)."""
    x, t = paired("hinge", prediction, target, reduction)
    return reduced(elementwise.maximum(1.0 - t * x, 0.0), reduction)


@in_accumulator
def squared_hinge(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """The square of hinge: max(0, 1 - t x)^2 for targets of -1 and 1."""
    x, t = paired("squared_hinge", prediction, target, reduction)
    return reduced(elementwise.square(elementwise.maximum(1.0 - t * x, 0.0)), reduction)


@in_accumulator
def soft_margin(prediction: Any, target: Any, reduction: str = "mean") -> Node:
    """log(1 + e ** (-t x)) for targets of -1 and 1."""
    x, t = paired("soft_margin", prediction, target, reduction)
    return reduced(softplus(-t * x), reduction)


@in_accumulator
def hinge_embedding(distance: Any, target: Any, margin: float = 1.0,
                    reduction: str = "mean") -> Node:
    """The distance x of pairs that belong together (t = 1), max(0, margin - x) of others (-1)."""
    checks.number("hinge_embedding", margin=margin)
    x, t = paired("hinge_embedding", distance, target, reduction)
    apart = elementwise.where(t != 1, elementwise.maximum(margin - x, 0.0), 0.0)
    return reduced(apart + elementwise.where(t != -1, x, 0.0), reduction)


@in_accumulator
def multi_margin(logits: Any, label: Any, p: int = 1, margin: float = 1.0, weight: Any = None,
                 reduction: str = "mean") -> Node:
    """sum over the other classes i of max(0, margin - x[label] + x[i])^p / classes.

    logits [..., classes], label [...]; p is 1 or 2; `weight` [classes] is a factor of the label's
    class (Crammer and Singer 2001, summed).
    """
    checks.number("multi_margin", margin=margin)
    checks.one_of("multi_margin", "reduction", reduction, REDUCTIONS)
    x, y, weight = scores_and_labels(logits, label, weight)
    checks.labels("multi_margin", y, x)
    if p not in (1, 2):
        raise DlcError(f"nn.multi_margin: p={p!r}", here(), "p is 1 or 2")
    classes = int(x.shape[-1])
    own = gather.one_hot(y, classes, bool_)
    right = reduce.sum_(elementwise.where(own, x, 0.0), -1, keepdims=True)
    # the label's own term is left out before the square, whose slope there may be infinite
    short = elementwise.where(own, 0.0, elementwise.maximum(margin - right + x, 0.0))
    values = reduce.sum_(short if p == 1 else short * short, -1) * (1.0 / max(1, classes))
    if weight is not None:
        checks.per_class("multi_margin", "weight", weight, classes)
        values = values * reduce.sum_(elementwise.where(own, weight, 0.0), -1)
    return reduced(values, reduction)


@in_accumulator
def multilabel_margin(logits: Any, labels: Any, reduction: str = "mean") -> Node:
    """sum over a row's classes j and all others i of max(0, 1 - x[j] + x[i]) / classes.

    logits [..., classes]; labels [..., k] holds class numbers in i32 or i64, and -1 after the last.
    """
    checks.one_of("multilabel_margin", "reduction", reduction, REDUCTIONS)
    x, y = as_node(logits), as_node(labels)
    _class_lists("multilabel_margin", x, y)
    classes = int(x.shape[-1])
    real = cumsum(cast(y < 0, i32), -1) == 0
    place = elementwise.where(real, y, 0)
    counted = rearrange.expand_dims(real, -1)
    chosen = gather.one_hot(place, classes, bool_) & counted
    wide = rearrange.expand_dims(x, -2)
    right = reduce.sum_(elementwise.where(chosen, wide, 0.0), -1, keepdims=True)
    others = ~rearrange.expand_dims(reduce.any_(chosen, -2), -2)
    short = elementwise.maximum(1.0 - right + wide, 0.0)
    terms = elementwise.where(counted & others, short, 0.0)
    return reduced(reduce.sum_(terms, (-2, -1)) * (1.0 / max(1, classes)), reduction)


def _class_lists(name: str, x: Node, y: Node) -> None:
    if not y.dtype.is_integer or y.dtype.category == "uint":
        raise DlcError(f"{name}: the labels are {describe(y)}", here(),
                       "lists of class numbers in i32 or i64, -1 after the last")
    if x.ndim < 1 or y.ndim != x.ndim or tuple(x.shape[:-1]) != tuple(y.shape[:-1]):
        raise DlcError(f"{name}: logits {describe(x)} and labels {describe(y)} do not fit", here(),
                       "logits are [..., classes], labels [..., k]")


@in_accumulator
def multilabel_soft_margin(logits: Any, target: Any, weight: Any = None,
                           reduction: str = "mean") -> Node:
    """The mean over classes of binary cross entropies: logits, targets of 0 and 1 [..., classes].

    `weight` [classes] is a factor of each; "none" gives one loss a row.
    """
    x, t = paired("multilabel_soft_margin", logits, target, reduction)
    values = -(t * log_sigmoid(x) + (1.0 - t) * log_sigmoid(-x))
    if weight is not None:
        values = values * as_node(weight, x.dtype)
    return reduced(reduce.mean(values, -1), reduction)


# --- pairs ----------------------------------------------------------------------------------------


@in_accumulator
def margin_ranking(first: Any, second: Any, target: Any, margin: float = 0.0,
                   reduction: str = "mean") -> Node:
    """max(0, margin - t (x - y)): t = 1 wants the first above the second, -1 below."""
    checks.number("margin_ranking", margin=margin)
    checks.one_of("margin_ranking", "reduction", reduction, REDUCTIONS)
    x, y, t = as_nodes(first, second, target)
    return reduced(elementwise.maximum(-t * (x - y) + margin, 0.0), reduction)


@in_accumulator
def cosine_similarity(a: Any, b: Any, axis: int = -1, eps: float = 1e-8) -> Node:
    """a . b / (max(|a|, eps) max(|b|, eps)) along `axis`, which goes; shapes broadcast."""
    x, y = rearrange.broadcast_arrays(a, b)
    return reduce.sum_(_unit(x, axis, eps) * _unit(y, axis, eps), axis)


def _unit(x: Node, axis: int, eps: float) -> Node:
    size = elementwise_functions.root(reduce.sum_(x * x, axis, keepdims=True))
    return x / elementwise.maximum(size, eps)


@in_accumulator
def cosine_embedding(a: Any, b: Any, target: Any, margin: float = 0.0,
                     reduction: str = "mean") -> Node:
    """1 - cos of pairs that belong together (t = 1), max(0, cos - margin) of others (-1).

    a and b [..., features], target [...]. Squared lengths get 1e-12 added.
    """
    checks.number("cosine_embedding", margin=margin)
    checks.one_of("cosine_embedding", "reduction", reduction, REDUCTIONS)
    x, y, t = as_nodes(a, b, target)
    checks.same_shape("cosine_embedding", x, y)
    across = (reduce.sum_(x * x, -1) + 1e-12) * (reduce.sum_(y * y, -1) + 1e-12)
    cos = reduce.sum_(x * y, -1) / elementwise.sqrt(across)
    zero = elementwise.const_like(cos, 0.0)
    together = elementwise.where(t == 1, 1.0 - cos, zero)
    apart = elementwise.where(t == -1, elementwise.maximum(cos - margin, 0.0), zero)
    return reduced(together + apart, reduction)


@in_accumulator
def pairwise_distance(a: Any, b: Any, p: float = 2.0, eps: float = 1e-6) -> Node:
    """|a - b + eps|_p along the last axis, which goes; shapes broadcast."""
    return statistics.norm(elementwise.sub(a, b) + eps, p, -1)


@in_accumulator
def contrastive(a: Any, b: Any, same: Any, margin: float = 1.0, reduction: str = "mean") -> Node:
    """d^2 of pairs that belong together (same = 1), max(0, margin - d)^2 of others (0), halved.

    d is the distance of a and b [..., features]; same [...] (Hadsell et al. 2006, eq. 4).
    """
    checks.number("contrastive", 0, margin=margin)
    checks.one_of("contrastive", "reduction", reduction, REDUCTIONS)
    x, y, t = as_nodes(a, b, same)
    checks.same_shape("contrastive", x, y)
    distance = statistics.norm(x - y, 2, -1)
    t = cast(t, distance.dtype)
    checks.same_shape("contrastive", distance, t)
    apart = elementwise.square(elementwise.maximum(margin - distance, 0.0))
    return reduced(0.5 * (t * distance * distance + (1.0 - t) * apart), reduction)


@in_accumulator
def info_nce(a: Any, b: Any, temperature: float = 0.1, reduction: str = "mean") -> Node:
    """Row i of a [batch, features] against every row of b: the i-th is right, the others are not.

    The cross entropy of cosine similarities divided by `temperature` (van den Oord et al. 2018,
    eq. 4; the mean of it both ways is the loss of Radford et al. 2021).
    """
    checks.number("info_nce", 0, temperature=temperature)
    x, y = as_nodes(a, b)
    checks.same_shape("info_nce", x, y)
    checks.rank(x, 2, "[batch, features]", 2)
    scores = matmul(_unit(x, -1, 1e-8), _unit(y, -1, 1e-8).T) * (1.0 / temperature)
    return cross_entropy(scores, leaf.iota((int(x.shape[0]),)), reduction=reduction)


@in_accumulator
def triplet_margin(anchor: Any, positive: Any, negative: Any, margin: float = 1.0, p: float = 2.0,
                   eps: float = 1e-6, swap: bool = False,
                   distance: Callable[[Node, Node], Node] | None = None,
                   reduction: str = "mean") -> Node:
    """max(0, d(a, p) - d(a, n) + margin), arrays [..., features] (Schroff et al. 2015).

    d is `distance`, or pairwise_distance of the p-norm. With `swap` the negative counts from
    the anchor or the positive, whichever is nearer (Balntas et al. 2016).
    """
    checks.number("triplet_margin", 0, margin=margin)
    checks.one_of("triplet_margin", "reduction", reduction, REDUCTIONS)
    if distance is not None and not callable(distance):
        raise DlcError(f"nn.triplet_margin: distance={distance!r} is not a function", here(),
                       "a function of two arrays [..., features]")
    a, good, bad = as_nodes(anchor, positive, negative)

    def measure(x: Node, y: Node) -> Node:
        return pairwise_distance(x, y, p, eps) if distance is None else distance(x, y)

    near, far = measure(a, good), measure(a, bad)
    if swap:
        far = elementwise.minimum(far, measure(good, bad))
    return reduced(elementwise.maximum(near - far + margin, 0.0), reduction)


