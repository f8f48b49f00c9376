"""The benchmark's networks in JAX: loss, gradient and Adam in one jitted step, donated.

A network reads its parameters in order from an iterator. Images are channels last, which XLA's
convolutions on the CPU prefer, matrices [in, out].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn import relu, sigmoid

VGG = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512, "pool")
RESNET = ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))
HEADS, BLOCKS = 4, 4
TABLES = {"lstm": 1, "gru": 1, "gpt": 2}  # how many embeddings come first
NOISY = ("vae",)  # networks that draw numbers: their loss is their own

Array = np.ndarray[Any, Any]
Parts = Iterator[Any]


def dense(p: Parts, x: Any, bias: bool = True) -> Any:
    """x @ w + b."""
    y = x @ next(p)
    return y + next(p) if bias else y


def conv(p: Parts, x: Any, stride: int = 1, padding: str | list[tuple[int, int]] = "SAME",
         bias: bool = False) -> Any:
    """Convolution of f32[batch, height, width, channels]."""
    layout = ("NHWC", "HWIO", "NHWC")
    y = lax.conv_general_dilated(x, next(p), (stride, stride), padding, dimension_numbers=layout)
    return y + next(p) if bias else y


def conv3(p: Parts, x: Any, stride: int = 1) -> Any:
    """3x3 with a border of one pixel on every side, as PyTorch pads at stride 2 too."""
    return conv(p, x, stride, [(1, 1), (1, 1)])


def batch_norm(p: Parts, x: Any) -> Any:
    """Over batch and pixels."""
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * lax.rsqrt(variance + 1e-5) * next(p) + next(p)


def layer_norm(p: Parts, x: Any) -> Any:
    """Over the last axis."""
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * next(p) + next(p)


def average_pool(x: Any) -> Any:
    """Mean of 2x2 windows."""
    return lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4


def max_pool(x: Any) -> Any:
    """Largest of 2x2 windows."""
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def mlp(p: Parts, x: Any) -> Any:
    """784-512-512-10 with ReLU."""
    return dense(p, relu(dense(p, relu(dense(p, x)))))


def lenet(p: Parts, x: Any) -> Any:
    """LeNet-5 with tanh and average pooling."""
    h = average_pool(jnp.tanh(conv(p, x, bias=True)))
    h = average_pool(jnp.tanh(conv(p, h, padding="VALID", bias=True)))
    h = jnp.tanh(dense(p, h.reshape(len(x), -1)))
    return dense(p, jnp.tanh(dense(p, h)))


def vgg(p: Parts, x: Any) -> Any:
    """Seven 3x3 convolutions, five pools, two dense layers."""
    for size in VGG:
        x = max_pool(x) if size == "pool" else relu(conv(p, x, bias=True))
    return dense(p, relu(dense(p, x.reshape(len(x), -1))))


def resnet18(p: Parts, x: Any) -> Any:
    """A 3x3 stem and eight basic blocks."""
    h = relu(batch_norm(p, conv3(p, x)))
    for width, stride in RESNET:
        y = relu(batch_norm(p, conv3(p, h, stride)))
        y = batch_norm(p, conv3(p, y))
        if stride != 1 or h.shape[-1] != width:
            h = batch_norm(p, conv(p, h, stride))
        h = relu(y + h)
    return dense(p, h.mean((1, 2)))


def recurrent(p: Parts, text: Any, cell: Callable[..., Any], first: Any) -> Any:
    """Embedded characters through a scan of `cell`, and the logits at each time."""
    embedded, weight, hidden, bias, hidden_bias = next(p)[text], *(next(p) for _ in range(4))
    given = (embedded @ weight + bias).swapaxes(0, 1)

    def step(state: Any, x: Any) -> Any:
        last = state[0] if isinstance(state, tuple) else state
        return cell(state, x, last @ hidden + hidden_bias)

    _, outputs = lax.scan(step, first, given)
    return dense(p, outputs.swapaxes(0, 1))


def lstm(p: Parts, text: Any) -> Any:
    """An LSTM of 256 units."""
    def cell(state: Any, x: Any, y: Any) -> Any:
        into, forget, new, out = jnp.split(x + y, 4, -1)
        c = sigmoid(forget) * state[1] + sigmoid(into) * jnp.tanh(new)
        h = sigmoid(out) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((len(text), 256))
    return recurrent(p, text, cell, (zero, zero))


def gru(p: Parts, text: Any) -> Any:
    """A GRU of 256 units, reset after the product."""
    def cell(h: Any, x: Any, y: Any) -> Any:
        (reset, update, new), (reset_, update_, new_) = jnp.split(x, 3, -1), jnp.split(y, 3, -1)
        z = sigmoid(update + update_)
        h = (1 - z) * jnp.tanh(new + sigmoid(reset + reset_) * new_) + z * h
        return h, h

    return recurrent(p, text, cell, jnp.zeros((len(text), 256)))


def gpt(p: Parts, text: Any) -> Any:
    """Four blocks of causal attention and two dense layers, each after a norm."""
    h = next(p)[text] + next(p)
    for _ in range(BLOCKS):
        joint = dense(p, layer_norm(p, h))
        parts = jnp.split(joint.reshape(*text.shape, 3 * HEADS, -1), 3, 2)
        y = jax.nn.dot_product_attention(*parts, is_causal=True)
        h = h + dense(p, y.reshape(h.shape))
        h = h + dense(p, jax.nn.gelu(dense(p, layer_norm(p, h))))
    return dense(p, layer_norm(p, h), bias=False)


def vae(p: Parts, x: Any, key: Any) -> Any:
    """784-400-20-400-784; the loss, a sum a sample."""
    h = relu(dense(p, x))
    mean, spread = dense(p, h), dense(p, h)
    code = mean + jax.random.normal(key, mean.shape) * jnp.exp(0.5 * spread)
    logits = dense(p, relu(dense(p, code)))
    apart = jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-abs(logits)))
    return (apart.sum() - 0.5 * (1 + spread - mean * mean - jnp.exp(spread)).sum()) / len(x)


NETWORKS: dict[str, Callable[..., Any]] = {
    "mlp": mlp, "lenet": lenet, "vae": vae, "lstm": lstm, "gru": gru, "gpt": gpt, "vgg": vgg,
    "resnet18": resnet18}


def loss(model: str, params: Sequence[Any], inputs: Sequence[Any], key: Any) -> Any:
    """The network's own loss, or cross-entropy where the last input is a label."""
    network = NETWORKS[model]
    if model in NOISY:
        return network(iter(params), *inputs, key)
    logs = jax.nn.log_softmax(network(iter(params), inputs[0]))
    return -jnp.take_along_axis(logs, inputs[1][..., None], -1).mean()


def as_jax(model: str, parameters: Iterable[Array]) -> list[Any]:
    """PyTorch's parameters with matrices [in, out] and kernels [height, width, in, out]."""
    return [jnp.asarray(_turned(model, number, p)) for number, p in enumerate(parameters)]


def _turned(model: str, number: int, value: Array) -> Array:
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if value.ndim != 2 or number < TABLES.get(model, 0):
        return value
    if model == "lenet" and value.shape[1] == 400:  # of 16 maps of 5x5, here with channels last
        value = value.reshape(-1, 16, 25).swapaxes(1, 2).reshape(-1, 400)
    return value.T


def images_last(inputs: Sequence[Array]) -> list[Any]:
    """The inputs, images with channels last."""
    return [jnp.asarray(a.transpose(0, 2, 3, 1) if a.ndim == 4 else a) for a in inputs]


def adam(params: Any, first: Any, second: Any, time: Any, grads: Any) -> Any:
    """Adam at 1e-3 (Kingma & Ba 2015), betas .9 and .999, epsilon 1e-8."""
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
    scale_first = 1 / (1 - 0.9**time)
    scale_second = 1 / (1 - 0.999**time)

    def update(p: Any, m: Any, v: Any) -> Any:
        return p - 1e-3 * (m * scale_first) / (jnp.sqrt(v * scale_second) + 1e-8)

    return jax.tree.map(update, params, first, second), first, second


def build(
    model: str, parameters: Iterable[Array], inputs: Sequence[Array], threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """(steps, parameters, batch, version) of `model`; raises KeyError when there is none.

    XLA takes its threads from the cores the process may use, and always compiles.
    """
    del threads, compiled

    def step(params: Any, first: Any, second: Any, time: Any, key: Any, batch: Any) -> Any:
        key, drawn = jax.random.split(key) if model in NOISY else (key, key)
        value, grads = jax.value_and_grad(lambda p: loss(model, p, batch, drawn))(params)
        params, first, second = adam(params, first, second, time + 1, grads)
        return params, first, second, time + 1, key, value

    run = jax.jit(step, donate_argnums=(0, 1, 2, 3))
    batch, params = images_last(inputs), as_jax(model, parameters)
    count = sum(leaf.size for leaf in params)
    zeros = [[jnp.zeros_like(p) for p in params] for _ in range(2)]
    held = [params, *zeros, jnp.float32(0), jax.random.key(0)]

    def steps(number: int) -> float:
        for _ in range(number):
            *held[:], value = run(*held, batch)
        return float(value)

    return steps, int(count), len(inputs[0]), str(jax.__version__)


def build_prediction(
    model: str, parameters: Iterable[Array], inputs: Sequence[Array], threads: int, compiled: bool
) -> tuple[Callable[[int], float], int, int, str]:
    """The same of predictions, each waited for. Raises KeyError for a network that normalizes by
    its batch: it has no running statistics here."""
    del threads, compiled
    if model == "resnet18":
        raise KeyError(f"{model} has no running statistics in JAX's networks")
    run = jax.jit(lambda params, batch: NETWORKS[model](iter(params), batch))
    batch, params = images_last(inputs)[0], as_jax(model, parameters)

    def steps(number: int) -> float:
        for _ in range(number):
            found = run(params, batch).block_until_ready()
        return float(abs(found).mean())

    return steps, int(sum(leaf.size for leaf in params)), len(batch), str(jax.__version__)
