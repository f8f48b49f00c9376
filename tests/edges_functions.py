"""Functions at their edges, in dlc and in torch: distances of equal points, roots of 0, infinities.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dlc
from dlc import nn
from tests.edges_losses import INF, Edge

ROWS = np.array([[1.0, -INF, 0.5], [0.3, -INF, -INF], [2.0, 2.0, 2.0], [800.0, -800.0, 0.0],
                 [-INF, -INF, -INF], [INF, 0.0, 1.0]])
LEVEL = np.array([[2.0, 2.0, 2.0], [0.0, 0.0, 0.0], [0.5, -1.0, 3.0]])
ZEROS = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0]])
OTHER = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -4.0], [0.5, 1.0, 0.0]])
WIDE = np.array([0.0, -0.0, 1.0, -1.0, 30.0, -30.0, 800.0, -800.0, INF, -INF])
LEFT = np.array([-INF, -INF, 0.0, INF, 2.0, 800.0, 0.0])
RIGHT = np.array([-INF, 0.5, 0.0, 1.0, 2.0, -800.0, -INF])
BASE = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 2.0, -2.0, -2.0, 0.0, 4.0])
POWER = np.array([0.0, 1.0, 2.0, 0.5, 3.0, 0.0, 2.0, 3.0, 3.0, -0.5])
SHARES = np.array([0.0, 1.0, 0.0, 0.5, 2.0])
UNDER = np.array([0.0, 0.0, 2.0, 0.0, 1.0])
ENDS = np.array([0.0, 1.0, -1.0])


def _named(name: str, *arrays: Any, count: int = 0, theirs: str = "") -> Edge:
    """A function that has one name in both."""
    return Edge(getattr(dlc, name), lambda t, *a: getattr(t, theirs or name)(*a), arrays,
                count or len(arrays))


def _functional(name: str, **options: Any) -> Callable[..., Any]:
    return lambda t, *arrays: getattr(t.nn.functional, name)(*arrays, **options)


def _norm(p: float, x: np.ndarray) -> Edge:
    return Edge(lambda x: dlc.norm(x, p, -1),
                lambda t, x: t.linalg.vector_norm(x, p, -1), (x,))


def _power(y: float) -> Edge:
    return Edge(lambda x: x ** y, lambda t, x: x ** y, (BASE[BASE >= 0] if y % 1 else BASE,))


REDUCTIONS = {
    "softmax": Edge(nn.softmax, lambda t, x: t.softmax(x, -1), (ROWS[:4],)),
    "log_softmax": Edge(nn.log_softmax, lambda t, x: t.log_softmax(x, -1), (ROWS[:4],)),
    "logsumexp": Edge(lambda x: dlc.logsumexp(x, -1), lambda t, x: t.logsumexp(x, -1), (ROWS,)),
    "logcumsumexp": Edge(lambda x: dlc.logcumsumexp(x, -1), lambda t, x: t.logcumsumexp(x, -1),
                         (ROWS[[0, 2, 4]],)),
    "logcumsumexp from minus infinity": Edge(
        lambda x: dlc.logcumsumexp(x, -1), lambda t, x: t.logcumsumexp(x, -1),
        (np.array([[-INF, -INF, 0.5], [-INF, 1.0, -INF]]),)),
    "std": Edge(lambda x: dlc.std(x, -1), lambda t, x: t.std(x, -1, correction=0), (LEVEL,)),
    "std corrected": Edge(lambda x: dlc.std(x, -1, correction=1), lambda t, x: t.std(x, -1),
                          (LEVEL,)),
    "std of one": Edge(lambda x: dlc.std(x, -1), lambda t, x: t.std(x, -1, correction=0),
                       (LEVEL[:, :1],)),
    "std of all": Edge(dlc.std, lambda t, x: t.std(x, correction=0), (LEVEL[:1],)),
    "variance": Edge(lambda x: dlc.variance(x, -1), lambda t, x: t.var(x, -1, correction=0),
                     (LEVEL,)),
    **{f"norm {p}": _norm(p, ZEROS) for p in (2.0, 1.0, 0.0, 3.0)},
    **{f"norm {p}": _norm(p, LEVEL[[0, 2]] if p < 1 else ZEROS) for p in (0.5, -1.0, -2.0)},
    "vector_norm": Edge(lambda x: dlc.linalg.vector_norm(x, 2, -1),
                        lambda t, x: t.linalg.vector_norm(x, 2, -1), (ZEROS,)),
    "vector_norm 3": Edge(lambda x: dlc.linalg.vector_norm(x, 3, -1),
                          lambda t, x: t.linalg.vector_norm(x, 3, -1), (ZEROS,)),
    "matrix_norm": Edge(dlc.linalg.matrix_norm, lambda t, x: t.linalg.matrix_norm(x),
                        (np.zeros((2, 2)),)),
    "prod": Edge(lambda x: dlc.prod(x, -1), lambda t, x: t.prod(x, -1), (ZEROS,)),
    "cumprod": Edge(lambda x: dlc.cumprod(x, -1), lambda t, x: t.cumprod(x, -1),
                    (np.array([[2.0, 0.0, 3.0], [0.0, 0.0, 3.0]]),)),
    "nansum": Edge(lambda x: dlc.nansum(x, -1), lambda t, x: t.nansum(x, -1),
                   (np.array([[1.0, np.nan], [np.nan, np.nan]]),)),
    "nanmean": Edge(lambda x: dlc.nanmean(x, -1), lambda t, x: t.nanmean(x, -1),
                    (np.array([[1.0, np.nan], [3.0, 4.0]]),)),
    "layer_norm": Edge(lambda x: dlc.nn.norms.standardized(x, (1,), 1e-5),
                       lambda t, x: t.nn.functional.layer_norm(x, (3,)), (LEVEL,)),
    "attention masked": Edge(
        lambda q, k, v: nn.scaled_dot_product_attention(
            q, k, v, np.array([[True, False, True], [True, False, False], [False] * 3])),
        lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(
            q, k, v, t.tensor([[True, False, True], [True, False, False], [False] * 3])),
        (LEVEL, OTHER, LEVEL), 3),
}

DISTANCES = {
    "cosine_similarity": Edge(nn.cosine_similarity, _functional("cosine_similarity", dim=-1),
                              (ZEROS, OTHER[:2]), 2),
    "cosine_embedding": Edge(
        lambda x, y: nn.cosine_embedding(x, y, [1, -1], 0.5, reduction="none"),
        lambda t, x, y: t.nn.functional.cosine_embedding_loss(
            x, y, t.tensor([1, -1]), 0.5, reduction="none"), (ZEROS, OTHER[:2]), 2, rounded=True),
    **{f"pairwise_distance {p}": Edge(
        lambda x, y, p=p: nn.pairwise_distance(x, y, p, 0.0),
        _functional("pairwise_distance", p=p, eps=0.0), (ZEROS, OTHER[:2] * 0.5), 2)
       for p in (1.0, 2.0, 3.0)},
    "triplet_margin": Edge(
        lambda x, y, z: nn.triplet_margin(x, y, z, eps=0.0, reduction="none"),
        _functional("triplet_margin_loss", eps=0.0, reduction="none"),
        (ZEROS, ZEROS, OTHER[:2] * 0.5), 3),
    "hypot": _named("hypot", np.array([0.0, 3.0, 0.0, 1e200, INF]),
                    np.array([0.0, 0.0, 4.0, 1e200, 1.0])),
    "contrastive": Edge(
        lambda x, y: nn.contrastive(x, y, [1.0, 0.0], 9.0, reduction="none"),
        lambda t, x, y: 0.5 * t.stack((
            t.linalg.vector_norm(x[0] - y[0]) ** 2,
            t.clamp(9 - t.linalg.vector_norm(x[1] - y[1]), min=0) ** 2)),
        (ZEROS, OTHER[:2] * 0.5), 2),
    "info_nce": Edge(
        lambda x, y: nn.info_nce(x, y, 0.5, reduction="none"),
        lambda t, x, y: t.nn.functional.cross_entropy(
            t.nn.functional.normalize(x, eps=1e-8) @ t.nn.functional.normalize(y, eps=1e-8).T / 0.5,
            t.arange(2), reduction="none"), (ZEROS, OTHER[1:]), 2),
    "lp_pool": Edge(
        lambda x: dlc.lp_pool(x, 2.0, 2), lambda t, x: t.nn.functional.lp_pool1d(x, 2.0, 2),
        (np.array([[[0.0, 0.0, 3.0, 4.0]]]),)),
}

POINTS = {
    "logaddexp": _named("logaddexp", LEFT, RIGHT), "logaddexp2": _named("logaddexp2", LEFT, RIGHT),
    "xlogy": _named("xlogy", SHARES, UNDER)._replace(order=1),
    "xlogy of numbers": _named("xlogy", SHARES[1:], UNDER[[2, 4, 4, 2]]),
    "atan2": _named("atan2", WIDE[:4], WIDE[2:6]),
    "xlog1py": Edge(dlc.xlog1py, lambda t, x, y: t.special.xlog1py(x, y), (SHARES, UNDER - 1.0), 2,
                    order=1),
    "entr": Edge(dlc.entr, lambda t, x: t.special.entr(x), (np.array([1.0, 0.5, 2.0]),)),
    "entr at its ends": Edge(dlc.entr, lambda t, x: t.special.entr(x),
                             (np.array([0.0, -1.0, INF]),), order=0),
    "power": _named("power", BASE, POWER, theirs="pow"),
    **{f"power {y}": _power(y) for y in (0.0, 1.0, 2.0, 3.0, 0.5, 1.5, 2.5)},
    "softplus": Edge(dlc.softplus, lambda t, x: t.logaddexp(x, x * 0), (WIDE[:8],)),
    "log_sigmoid": Edge(dlc.log_sigmoid, _functional("logsigmoid"), (WIDE,)),
    "sigmoid": _named("sigmoid", WIDE), "tanh": _named("tanh", WIDE), "sqrt": _named(
        "sqrt", np.array([0.0, 4.0, INF])), "rsqrt": _named("rsqrt", np.array([4.0, INF])),
    "sinc": _named("sinc", np.array([0.0, 1.0, 0.5])), "erf": _named("erf", WIDE),
    "log1p": _named("log1p", np.array([0.0, INF])), "expm1": _named("expm1", WIDE[[0, 1, 2, 9]]),
    "logit": _named("logit", np.array([0.0, 1.0, 0.5])),
    "erfinv": _named("erfinv", np.array([1.0, -1.0, 0.0])),
    **{name: _named(name, ENDS)._replace(order=1) for name in ("asin", "acos", "atanh")},
    "acosh": _named("acosh", np.array([1.0, 2.0]))._replace(order=1),
    "log": _named("log", np.array([0.0, 1.0, INF])),
    "maximum": _named("maximum", WIDE[:4], WIDE[2:6]),
    "max": Edge(lambda x: dlc.max(x, -1), lambda t, x: t.amax(x, -1), (LEVEL,)),
    "max of infinities": Edge(lambda x: dlc.max(x, -1), lambda t, x: t.amax(x, -1), (ROWS,)),
    # torch's second derivative has 9 digits
    "lgamma": _named("lgamma", np.array([1.0, 2.0, INF]))._replace(order=1),
    **{name: Edge(getattr(nn, name), _functional(theirs or name), (WIDE[2:8],))
       for name, theirs in (
        ("elu", ""), ("celu", ""), ("selu", ""), ("mish", ""), ("silu", ""), ("gelu", ""),
        ("softsign", ""), ("tanh_shrink", "tanhshrink"))},
    **{f"{name} at zero": Edge(getattr(nn, name), _functional(name), (WIDE[:2],), order=order)
       for name, order in (("elu", 1), ("celu", 1), ("selu", 1), ("mish", 2), ("silu", 2),
                           ("gelu", 2), ("softsign", 1))},
    **{f"{name} at infinity": Edge(getattr(nn, name), _functional(name), (WIDE[8:],))
       for name in ("elu", "celu", "selu", "mish", "silu", "gelu")},
    "clip": Edge(lambda x: dlc.clip(x, -0.5, 0.5), lambda t, x: t.clamp(x, -0.5, 0.5),
                 (np.array([0.0, 3.0, INF, -INF]),)),
    "div": Edge(lambda x, y: x / y, lambda t, x, y: x / y,
                (np.array([0.0, 1.0, INF]), np.array([2.0, INF, 4.0])), 2),
    "lerp": _named("lerp", WIDE[:4], WIDE[2:6], np.array([0.0, 1.0, 0.5, 0.25])),
}
FUNCTIONS = {**REDUCTIONS, **DISTANCES, **POINTS}
