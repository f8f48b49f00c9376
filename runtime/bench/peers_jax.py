"""The benchmark's networks in JAX: loss, gradient and Adam in one jitted step, donated."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

INPUT = {"mlp": (784,), "lenet": (28, 28, 1)}  # channels last: what XLA's CPU convolution prefers
DENSE = {"mlp": (784, 512, 512, 10), "lenet": (400, 120, 84, 10)}
CONV = {"mlp": (), "lenet": ((1, 6), (6, 16))}

Params = list[dict[str, Any]]


def initial(model: str, data: np.random.Generator) -> Params:
    """Weights uniform in +-1/sqrt(fan in), biases zero: the convolutions, then the dense layers."""
    shapes: list[tuple[int, ...]] = [(5, 5, i, o) for i, o in CONV[model]]
    shapes += list(itertools.pairwise(DENSE[model]))
    params = []
    for shape in shapes:
        bound = 1 / np.sqrt(np.prod(shape[:-1]))
        weight = data.uniform(-bound, bound, shape).astype(np.float32)
        params.append({"w": jnp.asarray(weight), "b": jnp.zeros(shape[-1], jnp.float32)})
    return params


def dense(p: dict[str, Any], x: Any) -> Any:
    """x @ w + b."""
    return x @ p["w"] + p["b"]


def conv(p: dict[str, Any], x: Any, padding: str) -> Any:
    """5x5 convolution of f32[batch, height, width, channels]."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, p["w"], (1, 1), padding, dimension_numbers=layout) + p["b"]


def average_pool(x: Any) -> Any:
    """Mean of 2x2 windows."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def mlp(params: Params, x: Any) -> Any:
    """784-512-512-10 with ReLU."""
    h = jax.nn.relu(dense(params[0], x))
    h = jax.nn.relu(dense(params[1], h))
    return dense(params[2], h)


def lenet(params: Params, x: Any) -> Any:
    """LeNet-5 with tanh and average pooling."""
    h = average_pool(jnp.tanh(conv(params[0], x, "SAME")))
    h = average_pool(jnp.tanh(conv(params[1], h, "VALID")))
    h = h.reshape(len(x), -1)
    h = jnp.tanh(dense(params[2], h))
    h = jnp.tanh(dense(params[3], h))
    return dense(params[4], h)


NETWORKS: dict[str, Callable[[Params, Any], Any]] = {"mlp": mlp, "lenet": lenet}


def adam(params: Params, first: Params, second: Params, time: Any, grads: Params) -> Any:
    """Adam at 1e-3 (Kingma & Ba 2015), betas .9 and .999, epsilon 1e-8."""
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    scale_first = 1 / (1 - 0.9**time)
    scale_second = 1 / (1 - 0.999**time)

    def update(p: Any, m: Any, v: Any) -> Any:
        return p - 1e-3 * (m * scale_first) / (jnp.sqrt(v * scale_second) + 1e-8)

    return jax.tree.map(update, params, first, second), first, second


def build(
    model: str, batch: int, threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """(steps, parameters, batch, version) of `model`; raises KeyError when there is none.

    XLA takes its threads from the cores the process may use, and always compiles.
    """
    del threads, compiled
    data = np.random.default_rng(0)
    image = jnp.asarray(data.random((batch, *INPUT[model]), np.float32))
    label = jnp.asarray(data.integers(0, 10, batch))
    logits_of = NETWORKS[model]

    def loss_of(params: Params, image: Any, label: Any) -> Any:
        logs = jax.nn.log_softmax(logits_of(params, image))
        return -jnp.take_along_axis(logs, label[:, None], 1).mean()

    def step(params: Params, first: Params, second: Params, time: Any, x: Any, y: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, y)
        params, first, second = adam(params, first, second, time + 1, grads)
        return params, first, second, time + 1, loss

    run = jax.jit(step, donate_argnums=(0, 1, 2, 3))
    params = initial(model, data)
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    zeros = [jax.tree.map(jnp.zeros_like, params) for _ in range(2)]
    held = [params, *zeros, jnp.float32(0)]

    def steps(number: int) -> float:
        for _ in range(number):
            *held[:], loss = run(*held, image, label)
        return float(loss)

    return steps, int(count), batch, str(jax.__version__)
