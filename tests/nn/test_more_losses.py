"""Losses of margins, distributions and sequences against their formulas; reductions; metrics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, i32, nn

RNG = np.random.default_rng(5)
X = RNG.normal(size=(6, 4)).astype(np.float32)
T = RNG.normal(size=(6, 4)).astype(np.float32)
P = RNG.uniform(0.05, 0.95, (6, 4)).astype(np.float32)
BITS = (RNG.random((6, 4)) < 0.5).astype(np.float32)
SIGNS = 2 * BITS - 1
LABEL = RNG.integers(0, 4, 6).astype(np.int32)
WEIGHT = RNG.uniform(0.5, 2, 4).astype(np.float32)


def value(function: Any, *arrays: Any) -> Any:
    kinds = {"f": f32, "i": i32}
    out = dlc.evaluate(dlc.trace(function, *(kinds[a.dtype.kind][a.shape] for a in arrays)),
                       *arrays)
    return out["out"] if isinstance(out, dict) else out


def logs(x: Any) -> Any:
    x = x.astype(np.float64)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def soft(x: Any) -> Any:
    return np.log1p(np.exp(x))


ROWS = np.arange(6)
ELEMENTWISE: dict[str, tuple[Callable[..., Any], tuple[Any, ...], Any]] = {
    "mse": (nn.mse, (X, T), (X - T) ** 2),
    "mae": (nn.mae, (X, T), np.abs(X - T)),
    "huber": (lambda x, t, **r: nn.huber(x, t, 0.6, **r), (X, T), np.where(
        np.abs(X - T) <= 0.6, (X - T) ** 2 / 2, 0.6 * (np.abs(X - T) - 0.3))),
    "smooth_l1": (lambda x, t, **r: nn.smooth_l1(x, t, 0.6, **r), (X, T), np.where(
        np.abs(X - T) < 0.6, (X - T) ** 2 / 1.2, np.abs(X - T) - 0.3)),
    "poisson_nll": (nn.poisson_nll, (X, P), np.exp(X) - P * X),
    "gaussian_nll": (lambda x, t, v, **r: nn.gaussian_nll(x, t, v, **r), (X, T, P),
                     (np.log(P) + (X - T) ** 2 / P) / 2),
    "binary_cross_entropy": (nn.binary_cross_entropy, (P, BITS),
                             -BITS * np.log(P) - (1 - BITS) * np.log(1 - P)),
    "positive weight": (
        lambda x, t, w, **r: nn.binary_cross_entropy_with_logits(x, t, positive_weight=w, **r),
        (X, BITS, WEIGHT), WEIGHT * BITS * soft(-X) + (1 - BITS) * soft(X)),
    "focal": (nn.focal, (X, BITS), np.where(BITS == 1, 0.25 * (1 / (1 + np.exp(X))) ** 2 * soft(-X),
                                            0.75 * (1 / (1 + np.exp(-X))) ** 2 * soft(X))),
    "kl_div": (nn.kl_div, (X, P), P * (np.log(P) - X)),
    "kl_div of logarithms": (lambda x, t, **r: nn.kl_div(x, t, True, **r), (X, T),
                             np.exp(T) * (T - X)),
    "hinge": (nn.hinge, (X, SIGNS), np.maximum(0, 1 - SIGNS * X)),
    "squared_hinge": (nn.squared_hinge, (X, SIGNS), np.maximum(0, 1 - SIGNS * X) ** 2),
    "soft_margin": (nn.soft_margin, (X, SIGNS), soft(-SIGNS * X)),
    "hinge_embedding": (nn.hinge_embedding, (P, SIGNS), np.where(
        SIGNS == 1, P, np.maximum(0, 1 - P))),
    "margin_ranking": (lambda x, y, t, **r: nn.margin_ranking(x, y, t, 0.3, **r), (X, T, SIGNS),
                       np.maximum(0, -SIGNS * (X - T) + 0.3)),
    "multi_margin": (nn.multi_margin, (X, LABEL), np.array([sum(
        max(0, 1 - X[n, y] + X[n, i]) for i in range(4) if i != y) / 4
        for n, y in enumerate(LABEL)])),
    "multilabel_soft_margin": (nn.multilabel_soft_margin, (X, BITS), (
        BITS * soft(-X) + (1 - BITS) * soft(X)).mean(-1)),
    "cross_entropy": (nn.cross_entropy, (X, LABEL), -logs(X)[ROWS, LABEL]),
    "soft targets": (nn.cross_entropy, (X, P), -(P * logs(X)).sum(-1)),
    "nll": (nn.nll, (X, LABEL), -X[ROWS, LABEL]),
    "triplet_margin": (nn.triplet_margin, (X, T, P), np.maximum(0, np.linalg.norm(
        X - T + 1e-6, axis=-1) - np.linalg.norm(X - P + 1e-6, axis=-1) + 1)),
    "contrastive": (nn.contrastive, (X, T, BITS[:, 0]), np.where(
        BITS[:, 0] == 1, ((X - T) ** 2).sum(-1),
        np.maximum(0, 1 - np.linalg.norm(X - T, axis=-1)) ** 2) / 2),
    "cosine_embedding": (nn.cosine_embedding, (X, T, SIGNS[:, 0]), np.where(
        SIGNS[:, 0] == 1, 1 - (X * T).sum(-1) / np.linalg.norm(X, axis=-1) / np.linalg.norm(
            T, axis=-1), np.maximum(0, (X * T).sum(-1) / np.linalg.norm(
                X, axis=-1) / np.linalg.norm(T, axis=-1)))),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values_and_reductions(name: str) -> None:
    function, arrays, expected = ELEMENTWISE[name]
    for reduction, fold in (("none", lambda v: v), ("mean", np.mean), ("sum", np.sum)):
        found = value(lambda *a, r=reduction: function(*a, reduction=r), *arrays)
        np.testing.assert_allclose(found, fold(expected), rtol=2e-5, atol=1e-5)


def test_weighted_cross_entropy_without_ignored_rows() -> None:
    counts = LABEL != 2
    share = WEIGHT[LABEL] * counts
    each = -(0.9 * logs(X)[ROWS, LABEL] * WEIGHT[LABEL]
             + 0.025 * (logs(X) * WEIGHT).sum(-1)) * counts
    found = value(lambda x, y: nn.cross_entropy(x, y, 0.1, WEIGHT, ignore=2), X, LABEL)
    np.testing.assert_allclose(found, each.sum() / share.sum(), rtol=1e-5)


def test_an_ignored_label_may_be_no_class() -> None:
    label = np.where(LABEL == 2, -100, LABEL).astype(np.int32)
    graph = dlc.trace(lambda x, y: nn.cross_entropy(x, y, ignore=-100), f32[6, 4], i32[6])
    out = dlc.evaluate(graph, X, label)
    assert not isinstance(out, dict) or out["fault"] == 0
    kept = label >= 0
    np.testing.assert_allclose(out["out"] if isinstance(out, dict) else out,
                               -logs(X)[ROWS[kept], LABEL[kept]].mean(), rtol=1e-5)


def test_multilabel_margin() -> None:
    lists = np.array([[0, 2, -1], [3, -1, 1], [-1, 0, 0], [1, 2, 3], [2, -1, -1], [0, 1, -1]],
                     np.int32)
    expected = []
    for x, row in zip(X, lists, strict=True):
        own = list(itertools.takewhile(lambda v: v >= 0, row))
        expected.append(sum(max(0, 1 - x[j] + x[i]) for j in own for i in range(4)
                            if i not in own) / 4)
    found = value(lambda x, y: nn.multilabel_margin(x, y, "none"), X, lists)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_info_nce_is_a_cross_entropy_of_cosines() -> None:
    a, b = (v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (X, T))
    expected = -np.diag(logs(a @ b.T / 0.2)).mean()
    np.testing.assert_allclose(value(lambda x, t: nn.info_nce(x, t, 0.2), X, T), expected,
                               rtol=1e-5)


# --- sequences ------------------------------------------------------------------------------------


def spelled(path: tuple[int, ...], blank: int) -> tuple[int, ...]:
    """What an alignment spells: repeats joined, blanks removed."""
    joined = [k for k, _ in itertools.groupby(path)]
    return tuple(k for k in joined if k != blank)


@pytest.mark.parametrize("blank", [0, 2])
def test_ctc_sums_all_alignments(blank: int) -> None:
    """Against the sum over every path of 4 steps through 3 classes; a label repeated needs a blank
    between, no labels are all blanks."""
    x = RNG.normal(size=(4, 4, 3)).astype(np.float32)
    one, two = (c for c in range(3) if c != blank)
    labels = np.array([[one, two], [one, one], [two, one], [one, one]], np.int32)
    times, lengths = np.array([4, 3, 4, 4], np.int32), np.array([2, 2, 1, 0], np.int32)
    expected = []
    for n in range(4):
        scores, wanted = logs(x[n]), tuple(labels[n, :lengths[n]])
        paths = itertools.product(range(3), repeat=int(times[n]))
        total = sum(math.exp(sum(scores[t, k] for t, k in enumerate(p))) for p in paths
                    if spelled(p, blank) == wanted)
        expected.append(-math.log(total))
    found = value(lambda x, y: nn.ctc_loss(x, y, times, lengths, blank, reduction="none"), x,
                  labels)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    mean = value(lambda x, y: nn.ctc_loss(x, y, times, lengths, blank), x, labels)
    np.testing.assert_allclose(mean, np.mean(expected / np.maximum(lengths, 1)), rtol=1e-5)


def test_ctc_of_an_impossible_sample() -> None:
    """Two steps can't spell a repeated label: infinite, or nothing, with a finite gradient."""
    x, labels = RNG.normal(size=(1, 2, 3)).astype(np.float32), np.array([[1, 1]], np.int32)
    assert value(nn.ctc_loss, x, labels) == np.inf
    none = value(lambda x, y: nn.ctc_loss(x, y, zero_infinity=True), x, labels)
    slope = value(dlc.grad(lambda x, y: nn.ctc_loss(x, y, zero_infinity=True)), x, labels)
    assert none == 0
    np.testing.assert_array_equal(slope, np.zeros_like(x))


def test_gradient_of_ctc_in_f64() -> None:
    """Against central differences."""
    x, y = RNG.normal(size=(2, 5, 4)), np.array([[1, 1], [3, 2]], np.int32)

    def loss(x: Any) -> Any:
        return nn.ctc_loss(x, dlc.asarray(y), lengths=np.array([2, 1], np.int32))

    def at(function: Any, x: Any) -> Any:
        return dlc.evaluate(dlc.trace(function, dlc.f64[x.shape]), x)["out"]

    slope = at(dlc.grad(loss), x)
    direction = RNG.normal(size=x.shape)
    step = 1e-5
    expected = (at(loss, x + step * direction) - at(loss, x - step * direction)) / (2 * step)
    np.testing.assert_allclose((slope * direction).sum(), expected, rtol=1e-7)


# --- metrics --------------------------------------------------------------------------------------


def test_metrics() -> None:
    table = np.zeros((4, 4))
    for y, x in zip(LABEL, X.argmax(-1), strict=True):
        table[y, x] += 1
    np.testing.assert_array_equal(value(nn.confusion_matrix, X, LABEL), table)
    right, told, found = np.diag(table), table.sum(1), table.sum(0)
    np.testing.assert_allclose(value(nn.precision, X, LABEL), right / np.maximum(found, 1))
    np.testing.assert_allclose(value(nn.recall, X, LABEL), right / np.maximum(told, 1))
    np.testing.assert_allclose(value(nn.f1, X, LABEL), 2 * right / np.maximum(told + found, 1))
    order = np.argsort(-X, axis=-1)[:, :2]
    expected = (order == LABEL[:, None]).any(-1).mean()
    np.testing.assert_allclose(value(lambda x, y: nn.top_k_accuracy(x, y, 2), X, LABEL), expected)


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [
    lambda: nn.mse(X, T, reduction="avg"), lambda: nn.mse(X, T[:, :2]),
    lambda: nn.huber(X, T, delta=0), lambda: nn.mae(LABEL, LABEL),
    lambda: nn.nll(X, BITS[:, 0]), lambda: nn.cross_entropy(X, LABEL, weight=WEIGHT[:2]),
    lambda: nn.multi_margin(X, LABEL, p=3), lambda: nn.multilabel_margin(X, LABEL),
    lambda: nn.info_nce(X, T, temperature=0), lambda: nn.contrastive(X, T, SIGNS),
    lambda: nn.ctc_loss(X, LABEL), lambda: nn.ctc_loss(X[None], LABEL[None], blank=4),
    lambda: nn.ctc_loss(X[None], LABEL[None], times=LABEL), lambda: nn.softplus(X, beta=0),
    lambda: nn.glu(X[:, :3]), lambda: nn.top_k_accuracy(X, LABEL, k=0),
    lambda: nn.focal(X, BITS, gamma=math.inf)])
def test_bad_arguments_are_told_at_the_users_line(wrong: Callable[[], Any]) -> None:
    with pytest.raises(DlcError) as caught:
        dlc.trace(wrong)
    assert caught.value.loc is not None
    assert caught.value.loc.file == __file__
    assert caught.value.hint
