"""Metrics: shares and counts of a batch, without gradients."""

from __future__ import annotations

import math
from typing import Any

from dlc.errors import DlcError, here
from dlc.ir.graph import Node, describe
from dlc.ir.types import f32, f64
from dlc.lang.array import order, rearrange
from dlc.lang.array.diagonals import diagonal
from dlc.nn import checks
from dlc.nn.functions import log_softmax
from dlc.ops import elementwise, gather, reduce, view
from dlc.ops.contract import matmul
from dlc.ops.convert import as_node, as_nodes, cast
from dlc.ops.searchsorted import searchsorted
from dlc.ops.varying import present


def accuracy(logits: Any, label: Any) -> Node:
    """The fraction of rows whose largest logit is the label: [..., classes] and [...]."""
    x, y = as_node(logits), as_node(label)
    checks.labels("accuracy", y, x)
    return reduce.mean(cast(elementwise.eq(cast(reduce.argmax(x, -1), y.dtype), y), f32))


def top_k_accuracy(logits: Any, label: Any, k: int = 5) -> Node:
    """The fraction of rows whose label is among the k largest logits (the first at ties)."""
    x, y = as_node(logits), as_node(label)
    checks.labels("top_k_accuracy", y, x)
    checks.at_least("top_k_accuracy", 1, k=k)
    places = cast(order.top_k(x, k)[1], y.dtype)
    hit = reduce.any_(elementwise.eq(places, rearrange.expand_dims(y, -1)), -1)
    return reduce.mean(cast(hit, f32))


def binary_accuracy(logits: Any, target: Any, threshold: float = 0.0) -> Node:
    """The fraction of elements where logit > threshold agrees with target > 0.5."""
    x, t = as_nodes(logits, target)
    checks.same_shape("binary_accuracy", x, t)
    if not t.dtype.is_float:
        raise DlcError(f"binary_accuracy: the target is {describe(t)}", here(),
                       "targets are floats 0.0 and 1.0")
    return reduce.mean(cast(elementwise.eq(x > threshold, t > 0.5), f32))


def confusion_matrix(logits: Any, label: Any) -> Node:
    """f32[classes, classes]: how many examples with each label (row) are predicted as each class
    (column). logits [..., classes], label [...]."""
    x, y = as_node(logits), as_node(label)
    checks.labels("confusion_matrix", y, x)
    classes = int(x.shape[-1])
    rows = present(gather.one_hot(y, classes, f32), tuple(range(y.ndim)), 0)
    told = view.reshape(rows, (-1, classes))
    found = gather.one_hot(rearrange.ravel(reduce.argmax(x, -1)), classes, f32)
    return matmul(told.T, found)


def precision(logits: Any, label: Any) -> Node:
    """The fraction of predictions of each class that are correct, f32[classes]; 0 for none."""
    counts = confusion_matrix(logits, label)
    return _share(diagonal(counts), reduce.sum_(counts, 0))


def recall(logits: Any, label: Any) -> Node:
    """The fraction of examples of each class that are found, f32[classes]; 0 for none."""
    counts = confusion_matrix(logits, label)
    return _share(diagonal(counts), reduce.sum_(counts, 1))


def f1(logits: Any, label: Any) -> Node:
    """The harmonic mean of precision and recall per class, f32[classes]; 0 for an absent class.

    Its mean over classes is the macro average (van Rijsbergen 1979).
    """
    counts = confusion_matrix(logits, label)
    return _share(2.0 * diagonal(counts), reduce.sum_(counts, 0) + reduce.sum_(counts, 1))


def auc(scores: Any, target: Any) -> Node:
    """The area under the ROC curve: the share of pairs of a positive and a negative row in which
    the positive scores higher, equal scores counting half (Mann and Whitney 1947; Fawcett 2006).

    scores [n] or [n, 1], target of that shape: 0 or 1 (or False, True). NaN where one of the two
    kinds is missing. Of a data set: dlc.over_set(nn.auc, scores, target).
    """
    x, t = as_node(scores), as_node(target)
    checks.same_shape("auc", x, t)
    x, positive = rearrange.ravel(x), cast(rearrange.ravel(t), f64) > 0.5
    edges = order.sort(x)
    # the mean place of equal scores; counts are whole numbers, which f64 adds exactly
    below, upto = (cast(searchsorted(edges, x, side), f64) for side in ("left", "right"))
    ours = cast(positive, f64)
    place = (below + upto + 1.0) * 0.5
    count, other = reduce.sum_(ours), reduce.sum_(1.0 - ours)
    wins = reduce.sum_(place * ours) - count * (count + 1.0) * 0.5
    return cast(wins / (count * other), f32)


def inception_score(logits: Any) -> Node:
    """e ** mean KL(p(class | row) || p(class)) of a classifier's logits [rows, classes].

    1 for rows that it can't tell, or that are all alike; the number of classes where it is sure of
    each and all classes occur alike (Salimans et al. 2016, section 4).

    Of a data set: dlc.over_set(nn.inception_score, logits).
    """
    x = as_node(logits)
    if x.ndim != 2 or not x.dtype.is_float:
        raise DlcError(f"inception_score: the logits are {describe(x)}", here(),
                       "logits are floats [rows, classes]")
    each = log_softmax(x, -1)
    count = math.log(max(1, int(x.shape[0])))
    whole = reduce.logsumexp(each, 0) - count
    apart = reduce.sum_(elementwise.exp(each) * (each - whole), -1)
    return elementwise.exp(reduce.mean(apart))


def _share(part: Node, whole: Node) -> Node:
    return part / elementwise.maximum(whole, 1.0)
