"""torch.nn.functional's losses by dlc.nn's."""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import nn
from dlc.ir.graph import Node
from tests.conformance.adapters.registry import add, axis_of, covers, reduced
from tests.conformance.adapters.shapes import movedim

# --- element by element ---------------------------------------------------------------------------


def loss(name: str, function: Any) -> None:
    """A loss of one name for one meaning; `weight`, where torch has it, is a factor."""
    def adapter(x: Node, target: Node, *, reduction: str = "mean", weight: Any = None,
                **settings: Any) -> Node:
        if weight is None:
            return function(x, target, reduction=reduction, **settings)
        values = function(x, target, reduction="none", **settings) * weight
        return reduced(values, reduction)

    add(f"nn.functional.{name}", adapter)


loss("mse_loss", nn.mse)
loss("l1_loss", nn.mae)
loss("smooth_l1_loss", nn.smooth_l1)
loss("huber_loss", nn.huber)
loss("hinge_embedding_loss", nn.hinge_embedding)
loss("soft_margin_loss", nn.soft_margin)
loss("binary_cross_entropy", nn.binary_cross_entropy)
loss("poisson_nll_loss", nn.poisson_nll)
add("nn.functional.margin_ranking_loss", nn.margin_ranking)


@covers("nn.functional.binary_cross_entropy_with_logits")
def binary_with_logits(x: Node, target: Node, weight: Any = None, pos_weight: Any = None,
                       reduction: str = "mean") -> Node:
    return nn.binary_cross_entropy_with_logits(x, target, weight, pos_weight, reduction)


@covers("nn.functional.kl_div")
def kl_div(x: Node, target: Node, reduction: str = "mean", log_target: bool = False) -> Node:
    """torch's batchmean is the sum over the batch's size."""
    if reduction == "batchmean":
        return nn.kl_div(x, target, log_target, "sum") / float(x.shape[0] if x.ndim else 1)
    return nn.kl_div(x, target, log_target, reduction)


@covers("nn.functional.gaussian_nll_loss")
def gaussian_nll(x: Node, target: Node, var: Node, full: bool = False, eps: float = 1e-6,
                 reduction: str = "mean") -> Node:
    if tuple(var.shape) != tuple(x.shape) and tuple(var.shape) == tuple(x.shape)[:-1]:
        var = var[..., None]
    x, target = dlc.broadcast_arrays(x, target)
    return nn.gaussian_nll(x, target, var, full, eps, reduction)


# --- classes --------------------------------------------------------------------------------------


def class_axis(x: Node) -> Node:
    """x [C], [N, C] or [N, C, S...] with the classes last."""
    return x if x.ndim < 2 else movedim(x, 1, -1)


@covers("nn.functional.nll_loss")
def nll_loss(x: Node, target: Node, weight: Any = None, ignore_index: int = -100,
             reduction: str = "mean") -> Node:
    return nn.nll(class_axis(x), target, weight, ignore_index, reduction)


@covers("nn.functional.cross_entropy")
def cross_entropy(x: Node, target: Node, weight: Any = None, ignore_index: int = -100,
                  reduction: str = "mean", label_smoothing: float = 0.0) -> Node:
    """torch's default ignores -100, which is not a class: labels are classes unless told."""
    if target.dtype.is_float:
        rows = class_axis(target)
        values = nn.cross_entropy(class_axis(x), rows, label_smoothing, weight, None, "none")
        if reduction == "mean":
            return dlc.sum(values) / float(max(1, values.size))
        return reduced(values, reduction)
    ignore = None if ignore_index == -100 and weight is None else ignore_index
    return nn.cross_entropy(class_axis(x), target, label_smoothing, weight, ignore, reduction)


@covers("nn.functional.multi_margin_loss")
def multi_margin(x: Node, target: Node, p: int = 1, margin: float = 1.0, weight: Any = None,
                 reduction: str = "mean") -> Node:
    """A single score is a row of one class."""
    x = x.reshape((1,)) if x.ndim == 0 else x
    target = target.reshape(tuple(x.shape[:-1]))
    return nn.multi_margin(x, target, p, margin, weight, reduction)


@covers("nn.functional.multilabel_margin_loss")
def multilabel_margin(x: Node, target: Node, *, reduction: str = "mean") -> Node:
    if x.ndim == 0:
        x, target = x.reshape((1,)), target.reshape((1,))
    return nn.multilabel_margin(x, target, reduction)


@covers("nn.functional.multilabel_soft_margin_loss")
def multilabel_soft_margin(x: Node, target: Node, weight: Any = None,
                           reduction: str = "mean") -> Node:
    return nn.multilabel_soft_margin(x, target, weight, reduction)


# --- pairs and triplets ---------------------------------------------------------------------------


@covers("nn.functional.cosine_similarity")
def cosine_similarity(a: Node, b: Node, dim: int = 1, eps: float = 1e-8) -> Node:
    if a.ndim == b.ndim == 0:
        return nn.cosine_similarity(a.reshape((1,)), b.reshape((1,)), 0, eps)
    return nn.cosine_similarity(a, b, axis_of(a if a.ndim >= b.ndim else b, dim), eps)


add("nn.functional.cosine_embedding_loss", nn.cosine_embedding)


@covers("nn.functional.triplet_margin_loss")
def triplet_margin(anchor: Node, positive: Node, negative: Node, margin: float = 1.0,
                   p: float = 2.0, eps: float = 1e-6, swap: bool = False,
                   reduction: str = "mean") -> Node:
    return nn.triplet_margin(anchor, positive, negative, margin, p, eps, swap, None, reduction)


@covers("nn.functional.triplet_margin_with_distance_loss")
def triplet_with_distance(anchor: Node, positive: Node, negative: Node, *,
                          distance_function: Any = None, margin: float = 1.0, swap: bool = False,
                          reduction: str = "mean") -> Node:
    """A distance of torch's is nn.pairwise_distance of its numbers."""
    def distance(a: Node, b: Node) -> Node:
        given = distance_function
        return nn.pairwise_distance(a, b, given.norm, given.eps) if given else (
            nn.pairwise_distance(a, b))

    return nn.triplet_margin(anchor, positive, negative, margin, swap=swap, distance=distance,
                             reduction=reduction)


# --- sequences ------------------------------------------------------------------------------------


@covers("nn.functional.ctc_loss", scale=10.0)
def ctc_loss(scores: Node, targets: Node, input_lengths: Any, target_lengths: Any, blank: int = 0,
             reduction: str = "mean", zero_infinity: bool = False) -> Node:
    """torch's gradient is that of the logits: nn.ctc_loss makes logarithms of probabilities."""
    rows = scores[:, None] if scores.ndim == 2 else scores
    batch = int(rows.shape[1])
    given = [n if isinstance(n, Node) else np.asarray(n, np.int32)
             for n in (input_lengths, target_lengths)]
    times, lengths = (dlc.asarray(n).reshape((batch,)) for n in given)
    labels = targets if targets.ndim == 2 else cut(targets, given[1], batch)
    values = nn.ctc_loss(dlc.moveaxis(rows, 0, 1), labels, times, lengths, blank, zero_infinity,
                         reduction)
    return values.reshape(()) if scores.ndim == 2 else values


def cut(targets: Node, lengths: Any, batch: int) -> Node:
    """Labels that torch takes one sample after the other, as rows."""
    if batch == 1:
        return targets.reshape((1, -1))
    most, starts = int(lengths.max()), np.cumsum(lengths) - lengths
    at = np.minimum(starts[:, None] + np.arange(most), int(targets.shape[0]) - 1)
    return dlc.take(targets, at.astype(np.int32))
