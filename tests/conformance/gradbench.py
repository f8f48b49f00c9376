"""The objectives of GradBench in dlc's DSL and in JAX, with the sizes of its inputs.

GradBench (https://github.com/gradbench/gradbench) compares tools for automatic differentiation by
their derivatives of published objectives: lse, llsq (cmpad), kmeans (Bottou & Bengio 1994), gmm and
lstm (ADBench; gmm with GradBench's corrections). The inputs here are drawn as its definitions say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import dlc

SEED = 31337  # GradBench's


@dataclass(frozen=True)
class Problem:
    """An objective by both, its operands, and by how many of them it is differentiated.

    `second` asks for what kmeans reports: the gradient over the diagonal of the Hessian.
    """

    name: str
    ours: Callable[..., Any]
    theirs: Callable[..., Any]
    arrays: tuple[np.ndarray, ...]
    count: int = 1
    second: bool = False


# --- the log of a sum of exponentials, written out as GradBench asks ------------------------------


def lse(x: Any) -> Any:
    """x [n] -> f64[]: the largest, plus the log of the sum of exp(x - largest)."""
    top = dlc.max(x)
    return top + dlc.log(dlc.sum(dlc.exp(x - top)))


def jax_lse(x: Any) -> Any:
    top = jnp.max(x)
    return top + jnp.log(jnp.sum(jnp.exp(x - top)))


# --- least squares of a polynomial against sign(t) ------------------------------------------------


def llsq(count: int) -> Callable[[Any], Any]:
    """x [m] -> half the squared error of the polynomial with coefficients x at `count` points."""
    t = np.linspace(-1, 1, count)

    def objective(x: Any) -> Any:
        powers = t[:, None] ** np.arange(x.shape[0])
        error = np.sign(t) - dlc.matmul(powers, x.reshape(-1, 1)).reshape(-1)
        return 0.5 * dlc.sum(error * error)

    return objective


def jax_llsq(count: int) -> Callable[[Any], Any]:
    def objective(x: Any) -> Any:
        t = -1 + jnp.arange(count) * 2 / (count - 1)
        return 0.5 * jnp.sum((jnp.sign(t) - jnp.polyval(x[::-1], t)) ** 2)

    return objective


# --- k-means --------------------------------------------------------------------------------------


def kmeans(centroids: Any, points: Any) -> Any:
    """centroids [k, d], points [n, d] -> the sum of squared distances to the nearest centroid."""
    apart = points.reshape(points.shape[0], 1, -1) - centroids.reshape(1, *centroids.shape)
    return dlc.sum(dlc.min(dlc.sum(apart * apart, axis=2), axis=1))


def jax_kmeans(centroids: Any, points: Any) -> Any:
    apart = points[:, None] - centroids[None]
    return jnp.sum(jnp.min(jnp.sum(apart ** 2, 2), 1))


# --- mixture of Gaussians -------------------------------------------------------------------------


def log_wishart(components: int, d: int, m: int, gamma: float) -> float:
    """The part of the Wishart prior that no parameter moves."""
    n = d + m + 1
    log_gamma = d * (d - 1) / 4 * math.log(math.pi) + sum(
        math.lgamma((n - j) / 2) for j in range(d))
    return components * (n * d * math.log(gamma / math.sqrt(2)) - log_gamma)


def placement(d: int) -> np.ndarray:
    """[d(d-1)/2, d*d]: puts l, column by column, below the diagonal of a matrix."""
    cells = [(row, column) for column in range(d) for row in range(column + 1, d)]
    place = np.zeros((len(cells), d * d))
    for k, (row, column) in enumerate(cells):
        place[k, row * d + column] = 1
    return place


def gmm(alpha: Any, mu: Any, q: Any, lower: Any, x: Any, m: int = 0, gamma: float = 1.0) -> Any:
    """alpha [k], mu [k, d], q [k, d], lower [k, d(d-1)/2], x [n, d] -> the log posterior."""
    (k, d), n = mu.shape, x.shape[0]
    diagonal = dlc.exp(q).reshape(k, d, 1) * np.eye(d)
    factor = diagonal + dlc.matmul(lower, placement(d)).reshape(k, d, d)
    apart = x.reshape(1, n, d) - mu.reshape(k, 1, d)
    turned = dlc.matmul(apart, factor.transpose(0, 2, 1))
    beta = (alpha + dlc.sum(q, axis=1)).reshape(k, 1) - 0.5 * dlc.sum(turned * turned, axis=2)
    likelihood = dlc.sum(dlc.logsumexp(beta, axis=0)) - n * (
        d / 2 * math.log(2 * math.pi) + dlc.logsumexp(alpha))
    prior = m * dlc.sum(q) - gamma ** 2 / 2 * dlc.sum(factor * factor)
    return likelihood + prior + log_wishart(k, d, m, gamma)


def jax_gmm(alpha: Any, mu: Any, q: Any, lower: Any, x: Any, m: int = 0,
            gamma: float = 1.0) -> Any:
    (k, d), n = mu.shape, x.shape[0]

    def component(q_k: Any, lower_k: Any, mu_k: Any) -> Any:
        below = jnp.zeros((d, d)).T.at[jnp.triu_indices(d, 1)].set(lower_k).T
        factor = below + jnp.diag(jnp.exp(q_k))
        turned = jax.vmap(lambda row: factor @ (row - mu_k))(x)
        return -0.5 * jnp.sum(turned ** 2, 1) + jnp.sum(q_k), jnp.sum(factor ** 2)

    inner, squares = jax.vmap(component)(q, lower, mu)
    likelihood = jnp.sum(jax.nn.logsumexp(alpha[:, None] + inner, 0)) - n * (
        d / 2 * jnp.log(2 * jnp.pi) + jax.nn.logsumexp(alpha))
    prior = m * jnp.sum(q) - gamma ** 2 / 2 * jnp.sum(squares)
    return likelihood + prior + log_wishart(k, d, m, gamma)


# --- ADBench's LSTM: diagonal weights -------------------------------------------------------------


def lstm(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    """main [2 layers, 4 bits], extra [3, bits], state [2 layers, bits], sequence [chars, bits] ->
    the mean loss of predicting each character from those before."""
    layers, bits = state.shape[0] // 2, state.shape[1]

    def step(carry: Any, pair: Any) -> Any:
        hidden, cell = carry
        x, wanted = pair[0] * extra[0], pair[1]
        hiddens, cells = [], []
        for i in range(layers):
            gates = dlc.concat([x, hidden[i]] * 2) * main[2 * i] + main[2 * i + 1]
            forget, let_in, out = (dlc.sigmoid(gates[j * bits:(j + 1) * bits]) for j in range(3))
            cells.append(cell[i] * forget + let_in * dlc.tanh(gates[3 * bits:]))
            hiddens.append(out * dlc.tanh(cells[i]))
            x = hiddens[i]
        guess = x * extra[1] + extra[2]
        # ADBench's sum starts from 2
        loss = dlc.sum(wanted * (guess - dlc.log(2 + dlc.sum(dlc.exp(guess)))))
        return (dlc.stack(hiddens), dlc.stack(cells)), loss

    _, losses = dlc.scan(step, (state[0::2], state[1::2]), (sequence[:-1], sequence[1:]))
    return -dlc.sum(losses) / ((sequence.shape[0] - 1) * bits)


def jax_lstm(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    def step(carry: Any, pair: Any) -> Any:
        x, wanted = pair[0] * extra[0], pair[1]
        new = []
        for i in range(0, len(state), 2):
            gates = jnp.concatenate([x, carry[i], x, carry[i]]) * main[i] + main[i + 1]
            forget, let_in, out, change = jnp.split(gates, 4)
            cell = carry[i + 1] * jax.nn.sigmoid(forget) + jax.nn.sigmoid(let_in) * jnp.tanh(change)
            x = jax.nn.sigmoid(out) * jnp.tanh(cell)
            new += [x, cell]
        guess = x * extra[1] + extra[2]
        return new, jnp.sum(wanted * (guess - jnp.log(2 + jnp.sum(jnp.exp(guess)))))

    _, losses = jax.lax.scan(step, list(state), (sequence[:-1], sequence[1:]))
    return -jnp.sum(losses) / ((len(sequence) - 1) * state.shape[1])


# --- inputs ---------------------------------------------------------------------------------------


def characters(count: int, bits: int, rng: np.random.Generator) -> np.ndarray:
    """Characters as rows of bits [count, bits]."""
    codes = rng.integers(32, 2 ** bits, count)
    return ((codes[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.float64)


def problems(full: bool) -> Iterator[Problem]:
    """Problems of GradBench's default sizes (smallest of each unless `full`)."""
    rng = np.random.default_rng(SEED)
    for n in (2500, 5000, 10000, 160000, 1280000)[:5 if full else 1]:
        yield Problem(f"lse-{n}", lse, jax_lse, (rng.random(n),))
    for n in (16, 128, 1024, 16392)[:4 if full else 1]:
        yield Problem(f"llsq-{n}", llsq(n), jax_llsq(n), (rng.random(128),))
    for k, n, d in ((10, 1000, 8), (100, 1000, 16), (10, 10000, 16))[:3 if full else 1]:
        points = rng.random((n, d))
        yield Problem(f"kmeans-{k}-{n}-{d}", kmeans, jax_kmeans, (points[-k:], points),
                      second=True)
    for d, k in ((2, 5), (2, 100), (10, 25), (20, 10), (64, 5))[:5 if full else 1]:
        yield Problem(f"gmm-{d}-{k}", gmm, jax_gmm, (
            rng.normal(size=k), rng.uniform(size=(k, d)), rng.normal(size=(k, d)),
            rng.normal(size=(k, d * (d - 1) // 2)), rng.normal(size=(1000, d))), 4)
    for layers, count in ((2, 1024), (4, 1024), (2, 4096))[:3 if full else 1]:
        yield Problem(f"lstm-{layers}-{count}", lstm, jax_lstm, (
            rng.random((2 * layers, 56)), rng.random((3, 14)), rng.random((2 * layers, 14)),
            characters(count, 14, rng)), 2)
