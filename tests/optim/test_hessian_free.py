"""Hessian-free optimization: 12 compiled steps beside NumPy, which has the Gauss-Newton matrix."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import DlcError, f32, f64, i32, nn, optim
from dlc.ir.types import Type
from tests.instruction_sets import NATIVE, generated_for

Array = Any
STEPS, SAMPLES, INPUTS, HIDDEN, CLASSES = 12, 40, 4, 5, 3
DECAY = 0.05  # of a penalty beside the network's loss
RNG = np.random.default_rng(31)
X = RNG.normal(size=(SAMPLES, INPUTS))
Y = (np.abs(X[:, 0] * X[:, 1]) * 3).astype(np.int32) % CLASSES
FIRST = RNG.normal(size=(INPUTS, HIDDEN)), RNG.normal(size=(HIDDEN, CLASSES))
SIZES = FIRST[0].size, FIRST[1].size


def parts(row: Array) -> tuple[Array, Array]:
    return row[:SIZES[0]].reshape(INPUTS, HIDDEN), row[SIZES[0]:].reshape(HIDDEN, CLASSES)


def passed(row: Array) -> tuple[float, Array, Array]:
    """(loss, gradient, Gauss-Newton matrix) at the parameters in `row`, all in full."""
    w1, w2 = parts(row)
    h = np.tanh(X @ w1)
    z = h @ w2
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(SAMPLES), Y]).mean() + DECAY * (w1 ** 2).sum()
    slope = 1 - h ** 2
    j1 = np.einsum("ni,nj,jk->nkij", X, slope, w2).reshape(SAMPLES, CLASSES, -1)
    j2 = np.einsum("nj,kl->nkjl", h, np.eye(CLASSES)).reshape(SAMPLES, CLASSES, -1)
    j = np.concatenate([j1, j2], 2)
    own = np.concatenate([np.ones(SIZES[0]), np.zeros(SIZES[1])])
    g = np.einsum("nk,nkp->p", p - np.eye(CLASSES)[Y], j) / SAMPLES + 2 * DECAY * own * row
    h_z = np.einsum("nk,kl->nkl", p, np.eye(CLASSES)) - p[:, :, None] * p[:, None, :]
    return loss, g, np.einsum("nkp,nkl,nlq->pq", j, h_z, j) / SAMPLES + 2 * DECAY * np.diag(own)


def solutions(a: Array, b: Array, x: Array, limit: int) -> list[tuple[Array, float]]:
    """(x, the quadratic's value) after each iteration of conjugate gradients; Martens' stop."""
    r = b - a @ x
    p, found = r.copy(), [(x, 0.5 * x @ a @ x - b @ x)]
    for i in range(1, limit + 1):
        size = (r @ r) / (p @ a @ p)
        x, new = x + size * p, r - size * (a @ p)
        p, r = new + (new @ new) / (r @ r) * p, new
        found.append((x, 0.5 * x @ a @ x - b @ x))
        k = max(10, i // 10)
        if i > k and found[i][1] < 0 and (
                found[i][1] - found[i - k][1]) / found[i][1] < k * 0.0005:
            break
    return found


def updates(limit: int, damping: float, momentum: float) -> Any:
    """(parameters, damping) after each step, by the paper."""
    row = np.concatenate([w.reshape(-1) for w in FIRST])
    previous = np.zeros_like(row)
    while True:
        loss, g, gauss_newton = passed(row)
        a = gauss_newton + damping * np.eye(len(row))
        found = solutions(a, -g, momentum * previous, limit)
        last = len(found) - 1
        looked = {math.ceil(1.3 ** j) for j in range(40)} | {last}
        tried = [(passed(row + found[i][0])[0], i) for i in range(1, last + 1) if i in looked]
        least, at = min(tried)
        best, promised = found[at]
        ratio = (least - loss) / promised
        damping *= 1.5 if ratio < 0.25 else 1 / 1.5 if ratio > 0.75 else 1.0
        share = 1.0
        while passed(row + share * best)[0] > loss + 0.01 * share * (g @ best):
            share *= 0.8
        previous, row = found[last][0], row + share * best
        yield row, damping


def net_task(kind: Any, optimizer: optim.Optimizer) -> dlc.Task:
    def start(number: int) -> Any:
        return lambda key, shape, dtype: dlc.asarray(FIRST[number].astype(dtype.numpy))

    def fit(x: Any, y: Any) -> Any:
        w1 = dlc.parameter("w1", Type(kind, (INPUTS, HIDDEN)), start(0))
        w2 = dlc.parameter("w2", Type(kind, (HIDDEN, CLASSES)), start(1))
        return dlc.loss(nn.cross_entropy(dlc.tanh(x @ w1) @ w2, y) + DECAY * (w1 * w1).sum())

    fit.__annotations__ = {"x": kind["batch", INPUTS], "y": i32["batch"]}
    return dlc.task(optimizer=optimizer, batch=SAMPLES)(fit)


def follows(kind: Any, isa: str, device: str, steps: int, tolerance: float) -> None:
    settings = {"damping": 0.3, "iterations": 25, "momentum": 0.9}
    wanted = updates(25, 0.3, 0.9)
    task = net_task(kind, optim.hessian_free(**settings))
    with generated_for(isa), dlc.compile(task).load(device) as run:
        strength = next(p.name for p in run.compiled.program.persistent if "damping" in p.name)
        for step in range(steps):
            run(X.astype(kind.numpy), Y, entry="train")
            row, damping = next(wanted)
            for name, want in zip(("w1", "w2"), parts(row), strict=True):
                np.testing.assert_allclose(run.read(name), want, 0, tolerance * 2 ** step,
                                           err_msg=f"{name} after step {step + 1} on {isa}")
            np.testing.assert_allclose(run.read(strength), damping, 1e-6)


@pytest.mark.swept(2)
@pytest.mark.parametrize("isa", sorted({NATIVE[0], NATIVE[-1]}))
def test_as_the_paper_says(isa: str) -> None:
    """In f64. Conjugate gradients lose their directions' independence by the condition of the
    damped matrix, some 1e3 here, times eps in each of 25 iterations: 1e-11 in the first step, and
    what one leaves the next may double."""
    follows(f64, isa, "cpu", STEPS, 1e-11)


def test_interpreted() -> None:
    follows(f64, NATIVE[-1], "interpret", 1, 1e-11)


def test_in_f32() -> None:
    """The first steps: later ones may take another branch of the search."""
    follows(f32, NATIVE[-1], "cpu", 2, 1e-3)


def test_it_needs_a_prediction_and_a_batch_of_its_own() -> None:
    def bare(x: f32["batch", 3]) -> Any:
        return dlc.loss((x @ dlc.parameter("w", f32[3])).sum())

    def judged(x: f32["batch", 3], y: f32["batch"]) -> Any:
        return dlc.loss(nn.mse(x @ dlc.parameter("w", f32[3]), y))

    rule = optim.hessian_free()
    with pytest.raises(DlcError, match="no prediction"):
        dlc.compile(dlc.task(optimizer=rule, batch=4)(bare))
    with pytest.raises(DlcError, match="can't be accumulated"):
        dlc.compile(dlc.task(optimizer=optim.accumulate(rule, 2), batch=4)(judged))
    with pytest.raises(DlcError, match="iterations=0"):
        optim.hessian_free(iterations=0)


def test_a_quadratic_is_solved_at_once() -> None:
    """Least squares without damping: conjugate gradients end at the solution."""
    a, b = RNG.normal(size=(30, 4)), RNG.normal(size=30)

    def judged(x: f64["batch", 4], y: f64["batch"]) -> Any:
        return dlc.loss(nn.mse(x @ dlc.parameter("w", f64[4], dlc.init.zeros), y))

    with dlc.compile(dlc.task(optimizer=optim.hessian_free(damping=0.0), batch=30)(
            judged)).load() as run:
        run(a, b, entry="train")
        np.testing.assert_allclose(run.read("w"), np.linalg.lstsq(a, b)[0], rtol=1e-9)
