"""Losses at their edges, in dlc and in torch: probabilities 0 and 1, infinite logits, equal rows.

Where torch has a number, dlc has that number; where torch has NaN, dlc may have anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlc import nn

INF = math.inf


class Edge(NamedTuple):
    """One function at one set of arrays: in dlc, in torch (given the module and tensors), and how
    many of the arrays, from the first, it is differentiated by, and how often.

    `rounded`: torch has an epsilon there that was rounded to f32.
    """

    ours: Callable[..., Any]
    torchs: Callable[..., Any]
    arrays: tuple[Any, ...]
    count: int = 1
    order: int = 2
    rounded: bool = False


# rows: one masked class, all but the label masked, equal, far apart, a label of minus infinity
LOGITS = np.array([[1.0, -INF, 0.5], [0.3, -INF, -INF], [2.0, 2.0, 2.0], [800.0, -800.0, 0.0],
                   [-INF, 0.5, 1.0]])
LABELS = np.array([2, 0, 1, 1, 0])
KEPT = np.array([2, 0, 1, 1, -1])
WEIGHT = np.array([0.5, 2.0, 0.25])
SCORES = np.array([[-0.5, -INF, -0.9], [0.0, -INF, -INF], [-INF, -1.0, -0.4]])
SOFT = np.array([[0.25, 0.0, 0.75], [0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
FINITE = np.array([[0.3, -2.0, 0.5], [1.0, 1.0, 1.0], [900.0, -900.0, 0.0]])

P = np.array([0.0, 1.0, 0.0, 1.0, 0.25, 0.0, 1.0])
T = np.array([0.0, 1.0, 1.0, 0.0, 0.5, 0.5, 0.5])
X = np.array([0.0, 60.0, -60.0, 800.0, -800.0, 0.5, INF, -INF])
SIDE = np.array([0.0, 1.0, 0.0, 1.0, 0.0, 0.3, 1.0, 0.0])
ERRORS = np.array([0.5, 0.5, -1.0, 1e200, 0.0, INF])
TARGETS = np.array([0.5, 1.5, 1.0, -1e200, 3.0, 1.0])


def _functional(name: str, **options: Any) -> Callable[..., Any]:
    return lambda t, *arrays: getattr(t.nn.functional, name)(*arrays, **options)


def _cross(**options: Any) -> Edge:
    """Class numbers as a constant."""
    theirs = {{"smoothing": "label_smoothing", "ignore": "ignore_index"}.get(k, k): v
              for k, v in options.items()}
    labels = KEPT if "ignore" in options else LABELS

    def torchs(t: Any, x: Any) -> Any:
        more = {k: t.tensor(v) if k == "weight" else v for k, v in theirs.items()}
        return t.nn.functional.cross_entropy(x, t.tensor(labels), **more)

    return Edge(lambda x: nn.cross_entropy(x, labels, **options), torchs, (LOGITS,))


def _nll(labels: list[int], **options: Any) -> Edge:
    def torchs(t: Any, x: Any) -> Any:
        more = {{"ignore": "ignore_index"}.get(k, k): t.tensor(v) if k == "weight" else v
                for k, v in options.items()}
        return t.nn.functional.nll_loss(x, t.tensor(labels), **more)

    return Edge(lambda x: nn.nll(x, labels, **options), torchs, (SCORES,))


def _focal(gamma: float) -> Edge:
    """torchvision's sigmoid_focal_loss, whose formula this is."""
    def torchs(t: Any, x: Any) -> Any:
        target = t.tensor(SIDE[:6])
        p = t.sigmoid(x)
        ce = t.nn.functional.binary_cross_entropy_with_logits(x, target, reduction="none")
        right = p * target + (1 - p) * (1 - target)
        return ce * (1 - right) ** gamma * (0.25 * target + 0.75 * (1 - target))

    return Edge(lambda x: nn.focal(x, SIDE[:6], gamma, reduction="none"), torchs, (X[:6],))


EACH = {"reduction": "none"}

CLASSES = {
    "cross_entropy": _cross(**EACH),
    "cross_entropy mean": _cross(),
    "cross_entropy smoothed": _cross(smoothing=0.1, **EACH),
    "cross_entropy weighted": _cross(weight=WEIGHT, **EACH),
    "cross_entropy weighted smoothed": _cross(weight=WEIGHT, smoothing=0.1, **EACH),
    "cross_entropy ignored": _cross(ignore=-1, **EACH),
    "cross_entropy ignored mean": _cross(ignore=-1, weight=WEIGHT),
    "cross_entropy ignored smoothed": _cross(ignore=-1, smoothing=0.1, **EACH),
    "cross_entropy soft": Edge(
        lambda x, t: nn.cross_entropy(x, t, reduction="none"),
        _functional("cross_entropy", reduction="none"), (FINITE, SOFT), 2),
    "cross_entropy soft masked": Edge(
        lambda x, t: nn.cross_entropy(x, t, reduction="none"),
        _functional("cross_entropy", reduction="none"), (LOGITS[:3], SOFT)),
    "cross_entropy soft smoothed": Edge(
        lambda x, t: nn.cross_entropy(x, t, 0.1, reduction="none"),
        _functional("cross_entropy", reduction="none", label_smoothing=0.1), (FINITE, SOFT), 2),
    "nll": _nll([2, 0, 1], **EACH), "nll of minus infinity": _nll([1, 0, 0], **EACH),
    "nll weighted": _nll([2, 0, 1], weight=WEIGHT), "nll ignored": _nll([2, 1, -1], ignore=-1),
    "multi_margin": Edge(
        lambda x: nn.multi_margin(x, LABELS[:3], reduction="none"),
        lambda t, x: t.nn.functional.multi_margin_loss(x, t.tensor(LABELS[:3]), reduction="none"),
        (LOGITS[:3],)),
    "multi_margin of squares": Edge(
        lambda x: nn.multi_margin(x, LABELS[:3], p=2, reduction="none"),
        lambda t, x: t.nn.functional.multi_margin_loss(x, t.tensor(LABELS[:3]), p=2,
                                                       reduction="none"), (LOGITS[:3],)),
    "multilabel_margin": Edge(
        lambda x: nn.multilabel_margin(x, [[2, -1, -1], [0, -1, -1]], reduction="none"),
        lambda t, x: t.nn.functional.multilabel_margin_loss(
            x, t.tensor([[2, -1, -1], [0, -1, -1]]), reduction="none"), (LOGITS[:2],)),
    "multilabel_soft_margin": Edge(
        lambda x: nn.multilabel_soft_margin(x, [SIDE], reduction="none"),
        lambda t, x: t.nn.functional.multilabel_soft_margin_loss(
            x, t.tensor([SIDE]), reduction="none"), (X[None],)),
}

PROBABILITIES = {
    "binary_cross_entropy": Edge(
        lambda p, t: nn.binary_cross_entropy(p, t, reduction="none"),
        _functional("binary_cross_entropy", reduction="none"), (P, T), rounded=True),
    "binary_cross_entropy weighted": Edge(
        lambda p, t: nn.binary_cross_entropy(p, t, np.abs(P - 0.5)),
        lambda t, p, y: t.nn.functional.binary_cross_entropy(p, y, t.tensor(np.abs(P - 0.5))),
        (P, T), rounded=True),
    "binary_cross_entropy_with_logits": Edge(
        lambda x: nn.binary_cross_entropy_with_logits(x, SIDE, reduction="none"),
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x, t.tensor(SIDE), reduction="none"), (X,)),
    "binary_cross_entropy_with_logits weighted": Edge(
        lambda x: nn.binary_cross_entropy_with_logits(x, SIDE, None, 3.0, reduction="none"),
        lambda t, x: t.nn.functional.binary_cross_entropy_with_logits(
            x, t.tensor(SIDE), pos_weight=t.tensor(3.0, dtype=x.dtype), reduction="none"), (X,)),
    **{f"focal {gamma}": _focal(gamma) for gamma in (0.0, 0.5, 1.0, 2.0, 3.0)},
    "kl_div": Edge(lambda x, t: nn.kl_div(x, t, reduction="none"),
                   _functional("kl_div", reduction="none"), (np.full((3, 1), -0.7), SOFT[:, :1])),
    "kl_div masked": Edge(lambda x: nn.kl_div(x, SOFT, reduction="none"),
                          lambda t, x: t.nn.functional.kl_div(x, t.tensor(SOFT), reduction="none"),
                          (SCORES,)),
    "kl_div of logarithms": Edge(
        lambda x, t: nn.kl_div(x, t, log_target=True, reduction="none"),
        _functional("kl_div", reduction="none", log_target=True),
        (np.full((3, 3), -0.7), SCORES), 2),
    "poisson_nll": Edge(
        lambda x: nn.poisson_nll(x, [0.0, 1.0, 2.0], full=True, reduction="none"),
        lambda t, x: t.nn.functional.poisson_nll_loss(
            x, t.tensor([0.0, 1.0, 2.0], dtype=x.dtype), full=True, reduction="none"),
        (np.array([-INF, 0.0, 3.0]),)),
    "poisson_nll of rates": Edge(
        lambda x: nn.poisson_nll(x, [0.0, 1.0, 2.0], log_input=False, reduction="none"),
        lambda t, x: t.nn.functional.poisson_nll_loss(
            x, t.tensor([0.0, 1.0, 2.0], dtype=x.dtype), log_input=False, reduction="none"),
        (np.array([0.0, 0.0, 3.0]),)),
    "gaussian_nll": Edge(
        lambda x, y, v: nn.gaussian_nll(x, y, v, full=True, reduction="none"),
        _functional("gaussian_nll_loss", full=True, reduction="none"),
        (np.array([0.5, 0.5, 1.0]), np.array([0.5, 2.5, 1.0]), np.array([0.0, 0.0, 1.0])), 3),
}

VALUES = {
    **{name: Edge(lambda x, y, f=ours: getattr(nn, f)(x, y, reduction="none"),
                  _functional(theirs, reduction="none"), (ERRORS, TARGETS), 2)
       for name, ours, theirs in (("mse", "mse", "mse_loss"), ("mae", "mae", "l1_loss"),
                                  ("huber", "huber", "huber_loss"),
                                  ("smooth_l1", "smooth_l1", "smooth_l1_loss"))},
    "soft_margin": Edge(lambda x: nn.soft_margin(x, np.sign(SIDE - 0.5), reduction="none"),
                        lambda t, x: t.nn.functional.soft_margin_loss(
                            x, t.tensor(np.sign(SIDE - 0.5)), reduction="none"), (X,)),
    "hinge_embedding": Edge(
        lambda x: nn.hinge_embedding(x, [1.0, 1.0, -1.0, -1.0], reduction="none"),
        lambda t, x: t.nn.functional.hinge_embedding_loss(
            x, t.tensor([1.0, 1.0, -1.0, -1.0], dtype=x.dtype), reduction="none"),
        (np.array([0.0, INF, 0.0, INF]),)),
    "margin_ranking": Edge(
        lambda x, y: nn.margin_ranking(x, y, [1.0, -1.0], 0.5, reduction="none"),
        lambda t, x, y: t.nn.functional.margin_ranking_loss(
            x, y, t.tensor([1.0, -1.0], dtype=x.dtype), 0.5, reduction="none"),
        (np.array([0.3, INF]), np.array([0.3, 1.0])), 2),
}
LOSSES = {**CLASSES, **PROBABILITIES, **VALUES}
